"""Learns the interventions of a run and makes its images, in batches that mix methods, concepts and strengths."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from htbench import intervention
from htbench.intervention import Intervention, Origin
from htbench.job import Job, Unlearnt, failure, parts
from htbench.model import Request
from htbench.store import Failure, Picture, Row

if TYPE_CHECKING:
    from PIL.Image import Image

_DARK = 4
"""Levels of 255 up to which a picture counts as black, and a picture's range as constant: what a decoder makes of nothing is rarely pure."""


def learn_each(job: Job) -> Unlearnt:
    """Learn and time each concept's intervention, methods in turn; gives why it failed where it did."""
    known = {(method, concept) for phase, method, concept, _, _ in job.store.timings() if phase == "towards"}
    todo = [(name, c) for c in job.concepts for name in job.methods if (name, c.id) not in known or not job.map_path(name, c).exists()]
    stage = job.voice.stage("learn interventions", len(todo))
    found: Unlearnt = {}
    warm: set[str] = set()
    spare = next((c for split in ("dev", "train") for c in job.concept_set.splits[split] if c not in job.concepts), None)
    for name, wanted in todo:
        steering = job.methods[name].steering
        try:
            if spare and name not in warm:
                steering.towards(spare)
            warm.add(name)
            job.model.synchronise()
            began = time.perf_counter()
            change = steering.towards(wanted)
            job.model.synchronise()
            seconds = time.perf_counter() - began
        except Exception as error:
            found[name, wanted.id] = failure(error, during="learn")
        else:
            path = job.map_path(name, wanted)
            fresh = path.with_name(f".{path.name}")
            origin = Origin(model=job.model.name, revision=job.model.revision, method=name, concept=wanted.id, seed=job.plan.seed, seconds=seconds)
            intervention.save(change, fresh, origin=origin)
            fresh.replace(path)
            job.store.add_timing("towards", name, wanted.id, seconds, job.model.device)
        stage.advance()
    return found


def generate(job: Job, unlearnt: Unlearnt) -> None:
    """Make every image that is missing; one whose intervention could not be learnt is failed for that reason.

    Files are written while the next batch is made, so a run that is killed makes two batches again at most.
    """
    pending = job.store.pending()
    stage = job.voice.stage("generate images", len(pending))
    studio = _Studio(job)
    previous: Future[list[_Made]] | None = None
    with ThreadPoolExecutor(1) as encoder:
        for rows in _batches(job, pending, unlearnt, studio):
            made = studio.make(rows)
            if previous:
                _write(job, previous.result())
            previous = encoder.submit(_encoded, made)
            stage.advance(len(rows))
        if previous:
            _write(job, previous.result())


@dataclass(frozen=True, kw_only=True)
class _Made:
    """What came of some rows of one batch."""

    rows: Sequence[Row]
    images: "Sequence[Image]" = ()
    """One a row, or none if they failed."""
    failure: Failure | None = None
    seconds: float = 0.0
    """An image."""
    batch: int = 0
    pictures: Sequence[Picture] = ()


class _Studio:
    """Makes images, in smaller batches once memory ran out."""

    def __init__(self, job: Job) -> None:
        self.size = job.plan.batch
        self._job = job
        self._concepts = {c.id: c for c in job.concepts}
        self._learnt = lru_cache(maxsize=256)(self._load)

    def make(self, rows: Sequence[Row]) -> list[_Made]:
        """Images of `rows`; those that fail together are tried one by one.

        Raises:
            Refused: if an intervention's file is damaged.
        """
        requests = [self._request(row) for row in rows]
        try:
            return [self._batch(rows, requests)]
        except Exception as error:
            problem = failure(error, during="generate")
        if problem.kind == "memory" and self.size > 1:
            self._halve()
        elif len(rows) == 1:
            return [_Made(rows=rows, failure=problem)]
        size = min(self.size, len(rows)) if problem.kind == "memory" else 1
        return [made for part in parts(rows, size) for made in self.make(part)]

    def _batch(self, rows: Sequence[Row], requests: Sequence[Request]) -> _Made:
        filler = [requests[-1]] * (self.size - len(requests))  # an image may depend on the size of its batch, to the last bit
        self._job.model.synchronise()
        began = time.perf_counter()
        images = self._job.model.generate([*requests, *filler])[: len(requests)]
        return _Made(rows=rows, images=images, seconds=(time.perf_counter() - began) / self.size, batch=self.size)

    def _halve(self) -> None:
        import torch

        self.size //= 2
        self._job.voice.warn(f"out of memory: going on with batches of {self.size} instead of {self._job.plan.batch}")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _request(self, row: Row) -> Request:
        change = Intervention() if row.strength == 0 else self._learnt(row.method, row.concept)
        return Request(prompt=row.prompt, seed=row.seed, intervention=change, strength=row.strength)

    def _load(self, method: str, concept: str) -> Intervention:
        return intervention.load(self._job.map_path(method, self._concepts[concept]), model=self._job.model)


def _batches(job: Job, pending: Sequence[int], unlearnt: Unlearnt, studio: _Studio) -> Iterator[list[Row]]:
    """Full batches of what can be made; the rest is failed on the way."""
    waiting: list[Row] = []
    for ids in parts(pending, 16 * job.plan.batch):
        for row in job.store.cells(ids):
            if row.strength != 0 and (row.method, row.concept) in unlearnt:
                job.fail([row.image], unlearnt[row.method, row.concept])
            else:
                waiting.append(row)
        while len(waiting) >= studio.size:
            yield waiting[: studio.size]
            del waiting[: studio.size]
    while waiting:
        yield waiting[: studio.size]
        del waiting[: studio.size]


def _encoded(made: Sequence[_Made]) -> list[_Made]:
    def pictures(part: _Made) -> list[Picture]:
        return [Picture(key=row.image, png=_png(image), flaw=flaw(image)) for row, image in zip(part.rows, part.images, strict=True)]

    return [part if part.failure else replace(part, pictures=pictures(part)) for part in made]


def _write(job: Job, made: Sequence[_Made]) -> None:
    for part in made:
        if part.failure:
            job.fail([row.image for row in part.rows], part.failure)
        else:
            job.store.add_images(part.pictures, seconds=part.seconds, batch=part.batch)


def _png(image: "Image") -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # half the time of the default for a sixth more bytes
    return buffer.getvalue()


def flaw(image: "Image") -> str | None:
    """`black` or `constant` for a picture that shows nothing, else None."""
    levels = np.asarray(image.convert("RGB"))
    if levels.max() <= _DARK:
        return "black"
    return "constant" if np.ptp(levels, axis=(0, 1)).max() <= _DARK else None
