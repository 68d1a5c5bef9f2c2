"""The scoring stage: embeds the images of a run and compares each with the unsteered image of the
same prompt and seed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from htbench.core.errors import Missing, UsageError
from htbench.core.types import Digest
from htbench.run.context import RemoteEncoder, RunContext, chunks
from htbench.run.embeddings import Embeddings as KeptEmbeddings
from htbench.run.facts import headline_encoder
from htbench.run.store import CellRow, Failure, ImageSeed, image_file
from htbench.run.summary import METRICS
from htbench.run.tasks.task import PAIR_SCORES, REPLACEMENT_SCORES, TaskPrompt
from htbench.run.workers.messages import Embeddings, EmbedImages, run_all
from htbench.scorers.metric_table import PAIRED
from htbench.steering.concept import Concept
from htbench.steering.pair import ConceptPair, Replacement

if TYPE_CHECKING:
    from torch import Tensor

_BATCH_SIZE = 64
ClassTexts = Mapping[str, "tuple[list[str], Tensor]"]
"""The texts of each kind's classes, with their embeddings."""
Score = tuple[int, str, str, float | None]
"""Cell, metric, encoder, value."""


def score(context: RunContext) -> int:
    """Score all images that have no scores yet by an encoder of the plan.

    Returns the number of images that turned out to be damaged and have to be generated again.
    """
    return sum(_score(context, encoder) for encoder in context.encoders)


def _score(context: RunContext, encoder: RemoteEncoder) -> int:
    without = context.frozen.methods
    todo = context.store.unscored(encoder.id, len(METRICS), without=without)
    stage = context.display.progress(f"score by {encoder.name}", len(todo))
    if not todo:
        return 0
    embedder = _Embedder(context, encoder)
    embedder.embed_unsteered()
    under_way: dict[int, _ScoreBatch] = {}

    def supply() -> EmbedImages | None:
        batch = next(batches, None)
        if batch is None:
            return None
        under_way[id(batch.task)] = batch
        return batch.task

    batches, began = embedder.batches(todo), time.perf_counter()
    for task, result in context.pool.run_tasks(supply):
        batch = under_way.pop(id(task))
        if isinstance(result, Embeddings) and batch.rows:
            context.store.add_scores(embedder.scores(batch, result))
            embedder.keep(batch.files, result)
        stage.advance(batch.cells)
    seconds = (time.perf_counter() - began) * context.pool.size / len(todo)
    context.store.add_timing("score", encoder.name, "", seconds, context.model.device)
    return embedder.damaged


@dataclass(frozen=True, kw_only=True)
class _ScoreBatch:
    """Cells whose images are embedded together."""

    rows: Sequence[CellRow]
    """The cells that can be scored."""
    cells: int
    """Number of cells, with those that cannot be scored."""
    files: tuple[str, ...]
    """The files of the images that are embedded."""
    task: EmbedImages


class _Embedder:
    """Has images embedded, unsteered ones first and once per run, and the texts they go with."""

    def __init__(self, context: RunContext, encoder: RemoteEncoder) -> None:
        self.damaged = 0
        self._context, self._encoder = context, encoder
        self._unsteered: dict[ImageSeed, Tensor] = {}
        self._unpaired = context.store.unpaired()
        self._kept: KeptEmbeddings | None = None
        if context.set_scorers and encoder.id == headline_encoder(context).id:
            self._kept = KeptEmbeddings(context.store.folder, encoder.id)
        self._class_texts = {
            kind: self._embed_class_texts(kind)
            for kind in dict.fromkeys(concept.kind for concept in _asked(context))
        }
        # The evaluation prompts of the set, which are the classes of an image's subject. They are
        # embedded here, since a pool with tasks under way gives the results of these.
        wanted = context.plan.task.further_scores
        self._subjects = list(dict.fromkeys(context.plan.concept_set.prompts)) if wanted else []
        self._subject_vectors = encoder.texts(self._subjects) if wanted else None

    def embed_unsteered(self) -> None:
        """Embed all unsteered images, in the order of the plan, whatever is to be scored.

        So their vectors are always those of the same batches.
        """
        files = self._context.store.unsteered_images()
        whole = [
            (seed, file, png)
            for seed, (key, file) in files.items()
            if (png := self._read(key, file))
        ]
        tasks = {
            EmbedImages(
                encoder=self._encoder.index,
                pngs=tuple(png for _, _, png in part),
                batch_size=_BATCH_SIZE,
            ): part
            for part in chunks(whole, _BATCH_SIZE)
        }
        for task, embeddings in run_all(self._context.pool, list(tasks), Embeddings):
            seeds = [seed for seed, _, _ in tasks[task]]
            self._unsteered.update(zip(seeds, embeddings.images, strict=True))
            self.keep([file for _, file, _ in tasks[task]], embeddings)

    def keep(self, files: Sequence[str], embeddings: Embeddings) -> None:
        """Keep the embeddings of these files for scorers of sets, where the run has any."""
        if self._kept and files:
            rows = embeddings.images.float().cpu().numpy()
            self._kept.add(dict(zip(files, rows, strict=True)))

    def batches(self, todo: Sequence[int]) -> Iterator[_ScoreBatch]:
        """The cells with these ids, with as many steered images per batch as are embedded at once.

        A cell whose image or unsteered image is damaged is counted and left out.
        """
        rows: list[CellRow] = []
        pngs: dict[str, bytes] = {}
        cells = 0
        for ids in chunks(todo, 8 * _BATCH_SIZE):
            for row in self._context.store.cells(ids):
                cells += 1
                if not self._can_score(row):
                    continue
                file = str(row.file)
                if row.is_steered and file not in pngs:
                    png = self._read(row.image, file)
                    if png is None:
                        continue
                    pngs[file] = png
                rows.append(row)
                if len(pngs) == _BATCH_SIZE or len(rows) == 8 * _BATCH_SIZE:
                    yield self._batch(rows, pngs, cells)
                    rows, pngs, cells = [], {}, 0
        if cells:
            yield self._batch(rows, pngs, cells)

    def scores(self, batch: _ScoreBatch, embeddings: Embeddings) -> list[Score]:
        """All scores of a batch."""
        steered = dict(zip(batch.files, embeddings.images, strict=True))
        questions = [self._question(row) for row in batch.rows]
        unsteered = [self._unsteered.get((row.prompt, row.seed)) for row in batch.rows]
        images = [
            steered[str(row.file)] if row.is_steered or vector is None else vector
            for row, vector in zip(batch.rows, unsteered, strict=True)
        ]
        texts = dict(zip(batch.task.texts, embeddings.texts, strict=True))
        scores = _scores(
            batch.rows, images, unsteered, texts, questions, self._class_texts, self._encoder
        )
        return [
            *scores,
            *self._further_scores(batch.rows, images, questions),
            *_pair_scores(batch.rows, images, texts, questions, self._encoder),
        ]

    def _further_scores(
        self, rows: Sequence[CellRow], images: "Sequence[Tensor]", questions: Sequence[TaskPrompt]
    ) -> list[Score]:
        """The scores that the task of the run needs besides those of the leaderboard."""
        wanted = self._context.plan.task.further_scores
        if self._subject_vectors is None:
            return []
        import torch

        from htbench.scorers import metrics

        image, neutral = torch.stack(list(images)), [each.neutral for each in questions]
        plain = [self._unsteered[text, row.seed] for text, row in zip(neutral, rows, strict=True)]
        own = torch.tensor([self._subjects.index(text) for text in neutral])
        values = {
            "rest_kept": metrics.image_preservation(image, torch.stack(plain)),
            "subject": metrics.class_probability(
                image, self._subject_vectors, own, scale=self._encoder.scale
            ),
        }
        return [
            (row.id, name, self._encoder.id, float(values[name][k]))
            for name in values
            if name in wanted
            for k, row in enumerate(rows)
        ]

    def _question(self, row: CellRow) -> TaskPrompt:
        return self._context.plan.question(row.concept, row.prompt)

    def _can_score(self, row: CellRow) -> bool:
        """True if the unsteered images that the cell is compared with are here."""
        seed = row.prompt, row.seed
        if seed not in self._unsteered and seed not in self._unpaired:
            return False
        plain = self._question(row).neutral, row.seed
        return not self._context.plan.task.further_scores or plain in self._unsteered

    def _batch(self, rows: Sequence[CellRow], pngs: Mapping[str, bytes], cells: int) -> _ScoreBatch:
        questions = map(self._question, rows)
        texts = dict.fromkeys(
            text
            for each in questions
            for text in (
                each.neutral,
                each.asked.text,
                each.asked.target(each.neutral),
                *_member_targets(each),
            )
        )
        task = EmbedImages(
            encoder=self._encoder.index,
            pngs=tuple(pngs.values()),
            texts=tuple(texts),
            batch_size=_BATCH_SIZE,
        )
        return _ScoreBatch(rows=tuple(rows), cells=cells, files=tuple(pngs), task=task)

    def _embed_class_texts(self, kind: str) -> "tuple[list[str], Tensor]":
        """The classes of a zero-shot classifier for this kind: the texts of the kind's concepts.

        Where the kind has one concept alone, they are the texts of the whole set.
        """
        splits = self._context.plan.concept_set.splits.values()
        chosen = self._context.plan.concepts_by_id
        of_set = {concept.id: concept for split in splits for concept in split}
        concepts = [*(of_set | chosen).values()]
        same_kind = [concept.text for concept in concepts if concept.kind == kind]
        texts = same_kind if len(same_kind) > 1 else [concept.text for concept in concepts]
        distinct = list(dict.fromkeys(texts))
        return distinct, self._encoder.texts(distinct)

    def _read(self, key: Digest, file: str) -> bytes | None:
        """The bytes of an image file; None if it is damaged, which the store keeps as a failure."""
        with suppress(UsageError, Missing):
            png = self._context.store.image_bytes(file)
            if image_file(png) == file:
                return png
        self.damaged += 1
        self._context.display.warn(f"image {file} is damaged and is made again")
        self._context.store.add_failure(
            [key], Failure(kind="damaged", message=f"image {file} is not what was written")
        )
        return None


def _asked(context: RunContext) -> Iterator[Concept]:
    """The concepts that scores look for: those of the plan, and others that its prompts ask for."""
    yield from context.plan.concepts
    for own in context.plan.task_prompts.values():
        yield from (prompt.asked for prompt in own)


def _scores(
    rows: Sequence[CellRow],
    images: "Sequence[Tensor]",
    unsteered: "Sequence[Tensor | None]",
    texts: "Mapping[str, Tensor]",
    questions: Sequence[TaskPrompt],
    class_texts: ClassTexts,
    encoder: RemoteEncoder,
) -> list[Score]:
    import torch

    from htbench.scorers import metrics

    image = torch.stack(list(images))
    pairs = zip(images, unsteered, strict=True)
    before = torch.stack([own if other is None else other for own, other in pairs])
    concepts = [each.asked for each in questions]
    prompt = torch.stack([texts[each.neutral] for each in questions])
    concept_text = torch.stack([texts[concept.text] for concept in concepts])
    target = torch.stack([texts[each.asked.target(each.neutral)] for each in questions])
    values = {
        "concept_gain": metrics.concept_gain(image, before, concept_text),
        "presence": metrics.presence(image, target, prompt, scale=encoder.scale),
        "class_probability": _class_probability(concepts, image, class_texts, encoder),
        "prompt_preservation": metrics.prompt_preservation(image, prompt),
        "image_preservation": metrics.image_preservation(image, before),
    }
    return [
        (
            row.id,
            name,
            encoder.id,
            None if name in PAIRED and unsteered[k] is None else float(column[k]),
        )
        for name, column in values.items()
        for k, row in enumerate(rows)
    ]


def _pair_scores(
    rows: Sequence[CellRow],
    images: "Sequence[Tensor]",
    texts: "Mapping[str, Tensor]",
    questions: Sequence[TaskPrompt],
    encoder: RemoteEncoder,
) -> list[Score]:
    """The presence of each concept of a pair, and the smaller one; cells of one concept have none.

    A concept is asked for alone, as in the presence of a cell of that concept. Where one replaces
    the other, they have the probabilities of `REPLACEMENT_SCORES`.
    """
    import torch

    from htbench.scorers import metrics

    scores: list[Score] = []
    for row, image, question in zip(rows, images, questions, strict=True):
        targets = _member_targets(question)
        if isinstance(question.asked, Replacement):
            rivals = torch.stack([texts[text] for text in (question.neutral, *targets)])
            own = torch.tensor([1, 2])
            shares = metrics.class_probability(
                image.expand(2, -1), rivals, own, scale=encoder.scale
            ).tolist()
            values = dict(zip(REPLACEMENT_SCORES, shares, strict=True))
        elif targets:
            both = metrics.presence(
                image.expand(2, -1),
                torch.stack([texts[target] for target in targets]),
                texts[question.neutral].expand(2, -1),
                scale=encoder.scale,
            ).tolist()
            values = dict(zip(PAIR_SCORES, (*both, min(both)), strict=True))
        else:
            continue
        scores += [(row.id, name, encoder.id, value) for name, value in values.items()]
    return scores


def _member_targets(question: TaskPrompt) -> list[str]:
    """The prompts that ask for either concept of a pair; none for a concept of its own."""
    asked = question.asked
    members = asked.members if isinstance(asked, ConceptPair) else ()
    return [member.target(question.neutral) for member in members]


def _class_probability(
    concepts: Sequence[Concept], image: "Tensor", class_texts: ClassTexts, encoder: RemoteEncoder
) -> "Tensor":
    import torch

    from htbench.scorers import metrics

    scores = torch.empty(len(concepts))
    for kind in {concept.kind for concept in concepts}:
        texts, vectors = class_texts[kind]
        of_kind = [k for k, concept in enumerate(concepts) if concept.kind == kind]
        own = torch.tensor([texts.index(concepts[k].text) for k in of_kind])
        scores[of_kind] = metrics.class_probability(
            image[of_kind], vectors, own, scale=encoder.scale
        )
    return scores
