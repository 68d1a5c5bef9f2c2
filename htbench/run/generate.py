"""Has a crew learn the interventions of a run and make its images, in batches that mix methods, concepts and strengths."""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import inf

from htbench.run.context import Job, Unlearnt, parts
from htbench.run.store import Failure, Row
from htbench.run.workers.messages import Album, Change, Handle, Make, Piece, Source, Task, Towards
from htbench.steering import intervention
from htbench.steering.concept import Concept
from htbench.steering.intervention import Origin

_LONG = 10.0
"""Seconds of learning beside which what a first call costs on top is not worth warming up for."""


def generate(job: Job, unlearnt: Unlearnt) -> None:
    """Learn and time each concept's intervention and make every image that is missing, as soon as what it needs is learnt.

    An image whose intervention could not be learnt is failed for that reason, which is added to `unlearnt`.
    """
    schedule = _Schedule(job, unlearnt)
    for task, result in job.crew.work(schedule.next):
        if isinstance(task, Towards) and isinstance(result, Change | Failure):
            schedule.settle(task, result)
        elif isinstance(result, Album):
            schedule.keep(result)


class _Schedule:
    """What is to be done next: interventions first, then images.

    Batches are cut from what is missing in the order of the plan, before anything is learnt, so that they are the same whoever makes
    them and whenever. A batch waits for its interventions; since those come first, few batches ever wait.
    """

    def __init__(self, job: Job, unlearnt: Unlearnt) -> None:
        self._job, self._unlearnt = job, unlearnt
        self._concepts = {c.id: c for c in job.concepts}
        self._sources: dict[str, Source] = {name: job.source(name) for name in job.methods}
        timings = [(method, concept, seconds) for phase, method, concept, seconds, _ in job.store.timings() if phase == "towards"]
        self._seconds = {method: seconds for method, _, seconds in timings}
        known = {(method, concept) for method, concept, _ in timings}
        self._todo: dict[str, deque[Concept]] = {
            name: deque(c for c in job.concepts if (name, c.id) not in unlearnt and ((name, c.id) not in known or not job.map_path(name, c).exists()))
            for name in job.methods
        }
        self._open = {(name, c.id) for name, concepts in self._todo.items() for c in concepts}
        self._spare = next((c for split in ("dev", "train") for c in job.concept_set.splits[split] if c not in job.concepts), None)
        pending = job.store.pending()
        self._learning = job.voice.stage("learn interventions", len(self._open))
        self._making = job.voice.stage("generate images", len(pending))
        self._batches = self._cut(pending)
        self._waiting: list[Sequence[Row]] = []
        self._handle = lru_cache(maxsize=256)(self._load)

    def next(self) -> Task | None:
        """What somebody who is free should do."""
        return self._learn() or self._make()

    def settle(self, task: Towards, result: Change | Failure) -> None:
        """Keep an intervention, or why there is none."""
        job, method, concept = self._job, task.source.name, task.concept
        if isinstance(result, Failure):
            self._unlearnt[method, concept.id] = result
        else:
            path = job.map_path(method, concept)
            fresh = path.with_name(f".{path.name}")
            origin = Origin(
                model=job.model.name, revision=job.model.revision, method=method, concept=concept.id, seed=job.plan.seed, seconds=result.seconds
            )  # fmt: skip
            intervention.save(result.intervention, fresh, origin=origin)
            fresh.replace(path)
            job.store.add_timing("towards", method, concept.id, result.seconds, job.model.device)
            self._seconds[method] = result.seconds
        self._open.discard((method, concept.id))
        self._learning.advance()

    def keep(self, album: Album) -> None:
        """Keep images, or why there are none."""
        for note in album.notes:
            self._job.voice.warn(note)
        for part in album.made:
            self._making.advance(len(part.images))
            if part.failure:
                self._job.fail(part.images, part.failure)
            else:
                self._job.store.add_images(part.pictures, seconds=part.seconds, batch=part.batch)

    def _learn(self) -> Towards | None:
        """One worker takes methods in turn, so that their times are those of the same conditions; several take what is longest first."""
        waiting = [name for name, concepts in self._todo.items() if concepts]
        if not waiting:
            return None
        several = self._job.crew.size > 1
        name = max(waiting, key=lambda name: (self._seconds.get(name, inf) if several else 0, len(self._todo[name])))
        spare = self._spare if self._seconds.get(name, 0.0) < _LONG else None
        return Towards(source=self._sources[name], concept=self._todo[name].popleft(), spare=spare)

    def _make(self) -> Make | None:
        for rows in [*self._waiting]:
            if self._is_ready(rows):
                self._waiting.remove(rows)
                if task := self._task(rows):
                    return task
        for rows in self._batches:
            if not self._is_ready(rows):
                self._waiting.append(rows)
            elif task := self._task(rows):
                return task
        return None

    def _cut(self, pending: Sequence[int]) -> Iterator[Sequence[Row]]:
        batch = self._job.plan.batch
        return (rows for ids in parts(pending, 16 * batch) for rows in parts(self._job.store.cells(ids), batch))

    def _is_ready(self, rows: Sequence[Row]) -> bool:
        return not any(row.strength != 0 and (row.method, row.concept) in self._open for row in rows)

    def _task(self, rows: Sequence[Row]) -> Make | None:
        """Making those of `rows` that can be made; the others are failed."""
        pieces: list[Piece] = []
        changes: dict[str, Handle] = {}
        for row in rows:
            change = None
            if row.strength != 0:
                if problem := self._unlearnt.get((row.method, row.concept)):
                    self._making.advance()
                    self._job.fail([row.image], problem)
                    continue
                change = f"{row.method} {row.concept}"
                changes[change] = self._handle(row.method, row.concept)
            pieces.append(Piece(image=row.image, prompt=row.prompt, seed=row.seed, strength=row.strength, change=change))
        return Make(pieces=tuple(pieces), changes=changes, batch=self._job.plan.batch) if pieces else None

    def _load(self, method: str, concept: str) -> Handle:
        job = self._job
        return job.crew.share(intervention.load(job.map_path(method, self._concepts[concept]), model=job.model))
