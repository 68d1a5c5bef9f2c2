"""Scores the images of a run, each against the unsteered one of the same prompt and seed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from htbench.core.types import Digest
from htbench.run.context import RemoteEncoder, RunContext, chunks, encoder_id
from htbench.run.store import CellRow, Failure, GeneratedImage
from htbench.run.summary import METRICS
from htbench.run.workers.messages import Embeddings, EmbedImages, run_all
from htbench.scorers import metrics
from htbench.steering.concept import Concept

if TYPE_CHECKING:
    from torch import Tensor

UnsteeredKey = tuple[str, int]
"""Prompt and seed."""
_BATCH_SIZE = 64


def score(context: RunContext) -> int:
    """Score what has no scores yet by every scorer of the plan; gives how many images turned out to be damaged and have to be made again."""
    return sum(_score(context, scorer) for scorer in context.resources.encoders)


def _score(context: RunContext, encoder: RemoteEncoder) -> int:
    todo = context.store.unscored(encoder_id(encoder), len(METRICS))
    stage = context.display.progress(f"score by {encoder.name}", len(todo))
    if not todo:
        return 0
    gazer = _Embedder(context, encoder)
    gazer.embed_unsteered()
    under_way: dict[int, _ScoreBatch] = {}

    def supply() -> EmbedImages | None:
        sheet = next(sheets, None)
        if sheet is None:
            return None
        under_way[id(sheet.task)] = sheet
        return sheet.task

    sheets, began = gazer.batches(todo), time.perf_counter()
    for task, seen in context.pool.run_tasks(supply):
        sheet = under_way.pop(id(task))
        if isinstance(seen, Embeddings) and sheet.rows:
            context.store.add_scores(gazer.values(sheet, seen))
        stage.advance(sheet.cells)
    context.store.add_timing(
        "score",
        encoder.name,
        "",
        (time.perf_counter() - began) * context.pool.size / len(todo),
        context.model.device,
    )
    return gazer.damaged


@dataclass(frozen=True, kw_only=True)
class _ScoreBatch:
    """Cells whose images are embedded together."""

    rows: Sequence[CellRow]
    """Those that can be scored."""
    cells: int
    """All of them."""
    images: tuple[Digest, ...]
    task: EmbedImages


class _Embedder:
    """Has images embedded, unsteered ones first and once a run, with the texts that they are compared with."""

    def __init__(self, context: RunContext, encoder: RemoteEncoder) -> None:
        self.damaged = 0
        self._context, self._encoder = context, encoder
        self._concepts = {c.id: c for c in context.concepts}
        self._unsteered: dict[UnsteeredKey, Tensor] = {}
        self._class_texts = {
            kind: self._embed_class_texts(kind)
            for kind in dict.fromkeys(c.kind for c in context.concepts)
        }

    def embed_unsteered(self) -> None:
        """Embed all unsteered images, in the order of the plan, whatever is scored: so their vectors are always those of the same batches."""
        files: dict[UnsteeredKey, tuple[Digest, str]] = {
            (prompt, seed): (key, file)
            for prompt, seed, key, file in self._context.store.select(
                "SELECT prompt, seed, image, file FROM cells JOIN images ON key = image WHERE strength = 0 AND file IS NOT NULL ORDER BY place"
            )
        }
        whole = [
            (key, png) for key, (image, file) in files.items() if (png := self._read(image, file))
        ]
        tasks = {
            EmbedImages(
                encoder=self._encoder.index,
                pngs=tuple(png for _, png in part),
                batch_size=_BATCH_SIZE,
            ): [key for key, _ in part]
            for part in chunks(whole, _BATCH_SIZE)
        }
        for task, seen in run_all(self._context.pool, list(tasks)):
            if isinstance(task, EmbedImages) and isinstance(seen, Embeddings):
                self._unsteered.update(zip(tasks[task], seen.images, strict=True))

    def batches(self, todo: Sequence[int]) -> Iterator[_ScoreBatch]:
        """The cells with these ids in sheets of as many steered images as are embedded together."""
        rows: list[CellRow] = []
        pngs: dict[Digest, bytes] = {}
        cells = 0
        for ids in chunks(todo, 8 * _BATCH_SIZE):
            for row in self._context.store.cells(ids):
                cells += 1
                if (row.prompt, row.seed) not in self._unsteered:
                    continue
                if row.strength != 0 and row.image not in pngs:
                    png = self._read(row.image, str(row.file))
                    if png is None:
                        continue
                    pngs[row.image] = png
                rows.append(row)
                if len(pngs) == _BATCH_SIZE or len(rows) == 8 * _BATCH_SIZE:
                    yield self._batch(rows, pngs, cells)
                    rows, pngs, cells = [], {}, 0
        if cells:
            yield self._batch(rows, pngs, cells)

    def values(
        self, batch: _ScoreBatch, embeddings: Embeddings
    ) -> list[tuple[int, str, str, float | None]]:
        """All scores of a sheet: (cell, metric, encoder, value)."""
        vectors = dict(zip(batch.images, embeddings.images, strict=True))
        before = [self._unsteered[row.prompt, row.seed] for row in batch.rows]
        images = [
            vectors[row.image] if row.strength != 0 else plain
            for row, plain in zip(batch.rows, before, strict=True)
        ]
        texts = dict(zip(batch.task.texts, embeddings.texts, strict=True))
        return _values(
            batch.rows,
            images,
            before,
            texts,
            [self._concepts[row.concept] for row in batch.rows],
            self._class_texts,
            self._encoder,
        )

    def _batch(
        self, rows: Sequence[CellRow], pngs: Mapping[Digest, bytes], cells: int
    ) -> _ScoreBatch:
        wanted = [(row.prompt, self._concepts[row.concept]) for row in rows]
        texts = dict.fromkeys(
            text
            for prompt, concept in wanted
            for text in (prompt, concept.text, concept.target(prompt))
        )
        task = EmbedImages(
            encoder=self._encoder.index,
            pngs=tuple(pngs.values()),
            texts=tuple(texts),
            batch_size=_BATCH_SIZE,
        )
        return _ScoreBatch(rows=tuple(rows), cells=cells, images=tuple(pngs), task=task)

    def _embed_class_texts(self, kind: str) -> "tuple[list[str], Tensor]":
        """What an image of this kind of concept is told apart from: the words of its kind, or of the whole set where there is but one."""
        everything = [
            concept
            for concepts in self._context.concept_set.splits.values()
            for concept in concepts
        ]
        alike = [concept.text for concept in everything if concept.kind == kind]
        words = list(
            dict.fromkeys(alike if len(alike) > 1 else [concept.text for concept in everything])
        )
        return words, self._encoder.texts(words)

    def _read(self, key: Digest, file: str) -> bytes | None:
        """A picture's file; None if it is damaged, which is a failure in the store."""
        png = (self._context.store.folder / "images" / file).read_bytes()
        if GeneratedImage(key=key, png=png).file == file:
            return png
        self.damaged += 1
        self._context.display.warn(f"image {file} is damaged and is made again")
        self._context.store.add_failure(
            [key], Failure(kind="damaged", message=f"image {file} is not what was written")
        )
        return None


ClassTexts = Mapping[str, "tuple[list[str], Tensor]"]


def _values(
    rows: Sequence[CellRow],
    images: "Sequence[Tensor]",
    unsteered: "Sequence[Tensor]",
    texts: "Mapping[str, Tensor]",
    concepts: Sequence[Concept],
    class_texts: ClassTexts,
    encoder: RemoteEncoder,
) -> list[tuple[int, str, str, float | None]]:
    import torch

    image, before = torch.stack(list(images)), torch.stack(list(unsteered))
    prompt = torch.stack([texts[row.prompt] for row in rows])
    wanted = torch.stack([texts[concept.text] for concept in concepts])
    target = torch.stack(
        [texts[concept.target(row.prompt)] for concept, row in zip(concepts, rows, strict=True)]
    )
    values = {
        "concept_gain": metrics.concept_gain(image, before, wanted),
        "presence": metrics.presence(image, target, prompt, scale=encoder.scale),
        "identity": _concept_class(concepts, image, class_texts, encoder),
        "prompt_preservation": metrics.prompt_preservation(image, prompt),
        "image_preservation": metrics.image_preservation(image, before),
    }
    return [
        (row.id, name, encoder_id(encoder), float(column[k]))
        for name, column in values.items()
        for k, row in enumerate(rows)
    ]


def _concept_class(
    concepts: Sequence[Concept], image: "Tensor", class_texts: ClassTexts, encoder: RemoteEncoder
) -> "Tensor":
    import torch

    found = torch.empty(len(concepts))
    for kind in {concept.kind for concept in concepts}:
        words, vectors = class_texts[kind]
        here = [k for k, concept in enumerate(concepts) if concept.kind == kind]
        own = torch.tensor([words.index(concepts[k].text) for k in here])
        found[here] = metrics.concept_class(image[here], vectors, own, scale=encoder.scale)
    return found
