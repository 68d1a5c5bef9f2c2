"""Scores the images of a run, each against the unsteered one of the same prompt and seed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from htbench.core.types import Digest
from htbench.run.context import Job, Reader, encoder_id, parts
from htbench.run.store import Failure, Picture, Row
from htbench.run.summary import METRICS
from htbench.run.workers.messages import Look, Seen, every
from htbench.scorers import metrics
from htbench.steering.concept import Concept

if TYPE_CHECKING:
    from torch import Tensor

Key = tuple[str, int]
"""Prompt and seed."""
_AT_ONCE = 64


def score(job: Job) -> int:
    """Score what has no scores yet by every scorer of the plan; gives how many images turned out to be damaged and have to be made again."""
    return sum(_score(job, scorer) for scorer in job.tools.scorers)


def _score(job: Job, scorer: Reader) -> int:
    todo = job.store.unscored(encoder_id(scorer), len(METRICS))
    stage = job.voice.stage(f"score by {scorer.name}", len(todo))
    if not todo:
        return 0
    gazer = _Gazer(job, scorer)
    gazer.look_at_unsteered()
    under_way: dict[int, _Sheet] = {}

    def supply() -> Look | None:
        sheet = next(sheets, None)
        if sheet is None:
            return None
        under_way[id(sheet.task)] = sheet
        return sheet.task

    sheets, began = gazer.sheets(todo), time.perf_counter()
    for task, seen in job.crew.work(supply):
        sheet = under_way.pop(id(task))
        if isinstance(seen, Seen) and sheet.rows:
            job.store.add_scores(gazer.values(sheet, seen))
        stage.advance(sheet.cells)
    job.store.add_timing("score", scorer.name, "", (time.perf_counter() - began) * job.crew.size / len(todo), job.model.device)
    return gazer.damaged


@dataclass(frozen=True, kw_only=True)
class _Sheet:
    """Cells whose images are embedded together."""

    rows: Sequence[Row]
    """Those that can be scored."""
    cells: int
    """All of them."""
    images: tuple[Digest, ...]
    task: Look


class _Gazer:
    """Has images embedded, unsteered ones first and once a run, with the texts that they are compared with."""

    def __init__(self, job: Job, scorer: Reader) -> None:
        self.damaged = 0
        self._job, self._scorer = job, scorer
        self._concepts = {c.id: c for c in job.concepts}
        self._unsteered: dict[Key, Tensor] = {}
        self._rivals = {kind: self._find_rivals(kind) for kind in dict.fromkeys(c.kind for c in job.concepts)}

    def look_at_unsteered(self) -> None:
        """Embed all unsteered images, in the order of the plan, whatever is scored: so their vectors are always those of the same batches."""
        files: dict[Key, tuple[Digest, str]] = {
            (prompt, seed): (key, file)
            for prompt, seed, key, file in self._job.store.select(
                "SELECT prompt, seed, image, file FROM cells JOIN images ON key = image WHERE strength = 0 AND file IS NOT NULL ORDER BY place"
            )
        }
        whole = [(key, png) for key, (image, file) in files.items() if (png := self._read(image, file))]
        tasks = {
            Look(scorer=self._scorer.number, pngs=tuple(png for _, png in part), batch=_AT_ONCE): [key for key, _ in part] for part in parts(whole, _AT_ONCE)
        }
        for task, seen in every(self._job.crew, list(tasks)):
            if isinstance(task, Look) and isinstance(seen, Seen):
                self._unsteered.update(zip(tasks[task], seen.images, strict=True))

    def sheets(self, todo: Sequence[int]) -> Iterator[_Sheet]:
        """The cells with these ids in sheets of as many steered images as are embedded together."""
        rows: list[Row] = []
        pngs: dict[Digest, bytes] = {}
        cells = 0
        for ids in parts(todo, 8 * _AT_ONCE):
            for row in self._job.store.cells(ids):
                cells += 1
                if (row.prompt, row.seed) not in self._unsteered:
                    continue
                if row.strength != 0 and row.image not in pngs:
                    png = self._read(row.image, str(row.file))
                    if png is None:
                        continue
                    pngs[row.image] = png
                rows.append(row)
                if len(pngs) == _AT_ONCE or len(rows) == 8 * _AT_ONCE:
                    yield self._sheet(rows, pngs, cells)
                    rows, pngs, cells = [], {}, 0
        if cells:
            yield self._sheet(rows, pngs, cells)

    def values(self, sheet: _Sheet, seen: Seen) -> list[tuple[int, str, str, float | None]]:
        """All scores of a sheet: (cell, metric, encoder, value)."""
        vectors = dict(zip(sheet.images, seen.images, strict=True))
        before = [self._unsteered[row.prompt, row.seed] for row in sheet.rows]
        images = [vectors[row.image] if row.strength != 0 else plain for row, plain in zip(sheet.rows, before, strict=True)]
        texts = dict(zip(sheet.task.texts, seen.texts, strict=True))
        return _values(sheet.rows, images, before, texts, [self._concepts[row.concept] for row in sheet.rows], self._rivals, self._scorer)

    def _sheet(self, rows: Sequence[Row], pngs: Mapping[Digest, bytes], cells: int) -> _Sheet:
        wanted = [(row.prompt, self._concepts[row.concept]) for row in rows]
        texts = dict.fromkeys(text for prompt, concept in wanted for text in (prompt, concept.text, concept.target(prompt)))
        task = Look(scorer=self._scorer.number, pngs=tuple(pngs.values()), texts=tuple(texts), batch=_AT_ONCE)
        return _Sheet(rows=tuple(rows), cells=cells, images=tuple(pngs), task=task)

    def _find_rivals(self, kind: str) -> "tuple[list[str], Tensor]":
        """What an image of this kind of concept is told apart from: the words of its kind, or of the whole set where there is but one."""
        everything = [concept for concepts in self._job.concept_set.splits.values() for concept in concepts]
        alike = [concept.text for concept in everything if concept.kind == kind]
        words = list(dict.fromkeys(alike if len(alike) > 1 else [concept.text for concept in everything]))
        return words, self._scorer.texts(words)

    def _read(self, key: Digest, file: str) -> bytes | None:
        """A picture's file; None if it is damaged, which is a failure in the store."""
        png = (self._job.store.folder / "images" / file).read_bytes()
        if Picture(key=key, png=png).file == file:
            return png
        self.damaged += 1
        self._job.voice.warn(f"image {file} is damaged and is made again")
        self._job.store.add_failure([key], Failure(kind="damaged", message=f"image {file} is not what was written"))
        return None


Rivals = Mapping[str, "tuple[list[str], Tensor]"]


def _values(
    rows: Sequence[Row],
    images: "Sequence[Tensor]",
    unsteered: "Sequence[Tensor]",
    texts: "Mapping[str, Tensor]",
    concepts: Sequence[Concept],
    rivals: Rivals,
    scorer: Reader,
) -> list[tuple[int, str, str, float | None]]:
    import torch

    image, before = torch.stack(list(images)), torch.stack(list(unsteered))
    prompt = torch.stack([texts[row.prompt] for row in rows])
    wanted = torch.stack([texts[concept.text] for concept in concepts])
    target = torch.stack([texts[concept.target(row.prompt)] for concept, row in zip(concepts, rows, strict=True)])
    values = {
        "concept_gain": metrics.concept_gain(image, before, wanted),
        "presence": metrics.presence(image, target, prompt, scale=scorer.scale),
        "identity": _identity(concepts, image, rivals, scorer),
        "prompt_preservation": metrics.prompt_preservation(image, prompt),
        "image_preservation": metrics.image_preservation(image, before),
    }
    return [(row.id, name, encoder_id(scorer), float(column[k])) for name, column in values.items() for k, row in enumerate(rows)]


def _identity(wanted: Sequence[Concept], image: "Tensor", rivals: Rivals, scorer: Reader) -> "Tensor":
    import torch

    found = torch.empty(len(wanted))
    for kind in {concept.kind for concept in wanted}:
        words, vectors = rivals[kind]
        here = [k for k, concept in enumerate(wanted) if concept.kind == kind]
        own = torch.tensor([words.index(wanted[k].text) for k in here])
        found[here] = metrics.identity(image[here], vectors, own, scale=scorer.scale)
    return found
