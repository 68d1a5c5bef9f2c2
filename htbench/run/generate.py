"""Has a crew learn the interventions of a run and make its images, in batches that mix methods, concepts and strengths."""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import inf

from htbench.run.context import FitFailures, RunContext, chunks
from htbench.run.store import CellRow, Failure
from htbench.run.workers.messages import (
    FitResult,
    FitTask,
    GenerateResult,
    GenerateTask,
    Handle,
    ImageTask,
    SteeringSource,
    Task,
)
from htbench.steering import intervention
from htbench.steering.concept import Concept
from htbench.steering.intervention import InterventionOrigin

_WARMUP_BELOW = 10.0
"""Seconds of learning beside which what a first call costs on top is not worth warming up for."""


def generate(context: RunContext, fit_failures: FitFailures) -> None:
    """Learn and time each concept's intervention and make every image that is missing, as soon as what it needs is learnt.

    An image whose intervention could not be learnt is failed for that reason, which is added to `fit_failures`.
    """
    schedule = _Schedule(context, fit_failures)
    for task, result in context.pool.run_tasks(schedule.next):
        if isinstance(task, FitTask) and isinstance(result, FitResult | Failure):
            schedule.record_fit(task, result)
        elif isinstance(result, GenerateResult):
            schedule.record_images(result)


class _Schedule:
    """What is to be done next: interventions first, then images.

    Batches are cut from what is missing in the order of the plan, before anything is learnt, so that they are the same whoever makes
    them and whenever. A batch waits for its interventions; since those come first, few batches ever wait.
    """

    def __init__(self, context: RunContext, fit_failures: FitFailures) -> None:
        self._context, self._fit_failures = context, fit_failures
        self._concepts = {c.id: c for c in context.concepts}
        self._sources: dict[str, SteeringSource] = {
            name: context.steering_source(name) for name in context.steerings
        }
        timings = [
            (method, concept, seconds)
            for phase, method, concept, seconds, _ in context.store.timings()
            if phase == "towards"
        ]
        self._fit_seconds = {method: seconds for method, _, seconds in timings}
        known = {(method, concept) for method, concept, _ in timings}
        self._to_fit: dict[str, deque[Concept]] = {
            name: deque(
                c
                for c in context.concepts
                if (name, c.id) not in fit_failures
                and ((name, c.id) not in known or not context.map_path(name, c).exists())
            )
            for name in context.steerings
        }
        self._unfinished_fits = {
            (name, c.id) for name, concepts in self._to_fit.items() for c in concepts
        }
        self._warmup_concept = next(
            (
                c
                for split in ("dev", "train")
                for c in context.concept_set.splits[split]
                if c not in context.concepts
            ),
            None,
        )
        pending = context.store.pending()
        self._fit_progress = context.display.progress(
            "learn interventions", len(self._unfinished_fits)
        )
        self._image_progress = context.display.progress("generate images", len(pending))
        self._batches = self._cut_batches(pending)
        self._waiting: list[Sequence[CellRow]] = []
        self._cached_handle = lru_cache(maxsize=256)(self._load_intervention)

    def next(self) -> Task | None:
        """What somebody who is free should do."""
        return self._next_fit() or self._next_images()

    def record_fit(self, task: FitTask, result: FitResult | Failure) -> None:
        """Keep an intervention, or why there is none."""
        job, method, concept = self._context, task.source.name, task.concept
        if isinstance(result, Failure):
            self._fit_failures[method, concept.id] = result
        else:
            path = job.map_path(method, concept)
            fresh = path.with_name(f".{path.name}")
            origin = InterventionOrigin(
                model=job.model.name, revision=job.model.revision, method=method, concept=concept.id, seed=job.plan.seed, seconds=result.seconds
            )  # fmt: skip
            intervention.save(result.intervention, fresh, origin=origin)
            fresh.replace(path)
            job.store.add_timing("towards", method, concept.id, result.seconds, job.model.device)
            self._fit_seconds[method] = result.seconds
        self._unfinished_fits.discard((method, concept.id))
        self._fit_progress.advance()

    def record_images(self, result: GenerateResult) -> None:
        """Keep images, or why there are none."""
        for note in result.warnings:
            self._context.display.warn(note)
        for part in result.batches:
            self._image_progress.advance(len(part.image_keys))
            if part.failure:
                self._context.record_failure(part.image_keys, part.failure)
            else:
                self._context.store.add_images(
                    part.images, seconds=part.seconds, batch=part.batch_size
                )

    def _next_fit(self) -> FitTask | None:
        """One worker takes methods in turn, so that their times are those of the same conditions; several take what is longest first."""
        waiting = [name for name, concepts in self._to_fit.items() if concepts]
        if not waiting:
            return None
        several = self._context.pool.size > 1
        name = max(
            waiting,
            key=lambda name: (
                self._fit_seconds.get(name, inf) if several else 0,
                len(self._to_fit[name]),
            ),
        )
        spare = self._warmup_concept if self._fit_seconds.get(name, 0.0) < _WARMUP_BELOW else None
        return FitTask(
            source=self._sources[name], concept=self._to_fit[name].popleft(), warmup_concept=spare
        )

    def _next_images(self) -> GenerateTask | None:
        for rows in [*self._waiting]:
            if self._is_ready(rows):
                self._waiting.remove(rows)
                if task := self._generate_task(rows):
                    return task
        for rows in self._batches:
            if not self._is_ready(rows):
                self._waiting.append(rows)
            elif task := self._generate_task(rows):
                return task
        return None

    def _cut_batches(self, pending: Sequence[int]) -> Iterator[Sequence[CellRow]]:
        batch = self._context.plan.batch
        return (
            rows
            for ids in chunks(pending, 16 * batch)
            for rows in chunks(self._context.store.cells(ids), batch)
        )

    def _is_ready(self, rows: Sequence[CellRow]) -> bool:
        return not any(
            row.strength != 0 and (row.method, row.concept) in self._unfinished_fits for row in rows
        )

    def _generate_task(self, rows: Sequence[CellRow]) -> GenerateTask | None:
        """Making those of `rows` that can be made; the others are failed."""
        pieces: list[ImageTask] = []
        changes: dict[str, Handle] = {}
        for row in rows:
            change = None
            if row.strength != 0:
                if problem := self._fit_failures.get((row.method, row.concept)):
                    self._image_progress.advance()
                    self._context.record_failure([row.image], problem)
                    continue
                change = f"{row.method} {row.concept}"
                changes[change] = self._cached_handle(row.method, row.concept)
            pieces.append(
                ImageTask(
                    image_key=row.image,
                    prompt=row.prompt,
                    seed=row.seed,
                    strength=row.strength,
                    intervention=change,
                )
            )
        return (
            GenerateTask(
                image_tasks=tuple(pieces),
                interventions=changes,
                batch_size=self._context.plan.batch,
            )
            if pieces
            else None
        )

    def _load_intervention(self, method: str, concept: str) -> Handle:
        job = self._context
        return job.pool.put(
            intervention.load(job.map_path(method, self._concepts[concept]), model=job.model)
        )
