"""The stage of a run that fits interventions and generates images, in batches that mix methods,
concepts and strengths."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from math import inf
from pathlib import Path

from htbench.core.types import Digest
from htbench.run.context import FitFailures, RunContext, chunks
from htbench.run.image_writer import ImageWriter
from htbench.run.store import CellRow, Failure
from htbench.run.workers.messages import (
    EarlierFit,
    FitResult,
    FitTask,
    GenerateResult,
    GenerateTask,
    Handle,
    PartFit,
    SteeringSource,
)
from htbench.steering import baseline, intervention, wording
from htbench.steering.concept import Concept
from htbench.steering.derived import DerivedMethod
from htbench.steering.fitting import map_bank
from htbench.steering.intervention import Intervention, InterventionOrigin
from htbench.steering.method import FitsSideBySide, Method

_WARMUP_BELOW = 10.0
"""Seconds of a fit above which the overhead of a first call is too small to warm up for."""


def generate(context: RunContext, fit_failures: FitFailures) -> None:
    """Fit and time each concept's intervention and generate every image that is missing.

    An image is generated as soon as its intervention is fitted. One whose intervention could not be
    fitted has failed for that reason, which is added to `fit_failures`.
    """
    schedule = _Schedule(context, fit_failures)
    with ImageWriter(context.store) as images:
        for task, result in context.pool.run_tasks(schedule.next):
            if isinstance(task, FitTask) and isinstance(result, FitResult | Failure):
                schedule.record_fit(task, result)
            elif isinstance(result, GenerateResult):
                schedule.record_images(result, images)


class _Schedule:
    """The order of tasks: interventions first, then images.

    Batches are cut from the missing images in the order of the plan, before anything is fitted, so
    that they are the same whichever worker generates them and whenever. A batch waits for its
    interventions; since those come first, few batches ever wait.
    """

    def __init__(self, context: RunContext, fit_failures: FitFailures) -> None:
        self._context, self._fit_failures = context, fit_failures
        self._said = {concept.digest: concept for concept in context.plan.said}
        self._sources: dict[str, SteeringSource] = {
            name: context.steering_source(name) for name in context.steerings
        }
        timings = context.store.fit_timings()
        self._fit_seconds = {timing.method: timing.seconds for timing in timings}
        timed = {(timing.method, timing.concept) for timing in timings}
        self._names = context.plan.given_names
        self._methods: dict[str, Method] = {
            name: baseline.load_method(context.plan.cards[name]) for name in context.steerings
        }
        self._fits: dict[tuple[str, Digest], tuple[Path, float]] = {}
        """Files and seconds of this session's fits, by name of the method and concept."""
        self._to_fit = {name: self._missing_fits(name, timed) for name in context.steerings}
        self._unfinished_fits = {
            (name, concept.digest)
            for name, groups in self._to_fit.items()
            for group in groups
            for concept in group
        }
        self._warmup_concept = self._find_warmup_concept()
        pending = context.store.pending(without=context.frozen.methods)
        self._fit_progress = context.display.progress(
            "learn interventions",
            len(self._unfinished_fits),
            parts={name: sum(map(len, groups)) for name, groups in self._to_fit.items()},
        )
        self._image_progress = context.display.progress(
            "generate images", len(pending), starts_now=False
        )
        self._batches = self._cut_batches(pending)
        self._waiting: list[Sequence[CellRow]] = []
        self._cached_handle = lru_cache(maxsize=256)(self._load_intervention)

    def next(self) -> FitTask | GenerateTask | None:
        """The next task for a free worker."""
        return self._next_fit() or self._next_images()

    def record_fit(self, task: FitTask, result: FitResult | Failure) -> None:
        """Save interventions, or the reason why there is none.

        Concepts that could not be fitted side by side are fitted one by one.
        """
        context, method = self._context, task.source.name
        if isinstance(result, Failure) and len(task.concepts) > 1:
            context.display.warn(
                f"{method} could not fit {len(task.concepts)} concepts side by side, and fits them "
                f"one by one: {result.message}"
            )
            self._to_fit[method].extendleft((concept,) for concept in reversed(task.concepts))
            return
        seconds = 0.0 if isinstance(result, Failure) else result.seconds
        for part in () if isinstance(result, Failure) else result.parts:
            self._save_part(self._base_of(method), part)
        for number, concept in enumerate(task.concepts):
            self._fit_progress.advance(part=method, seconds=seconds)
            if isinstance(result, Failure):
                self._fit_failures[method, concept.digest] = result
            else:
                together = len(task.concepts)
                self._save(
                    method, concept, result.interventions[number], seconds, together=together
                )
            self._unfinished_fits.discard((method, concept.digest))

    def _save(
        self,
        method: str,
        concept: Concept,
        change: Intervention,
        seconds: float,
        *,
        together: int,
    ) -> None:
        context, path = self._context, self._context.map_path(method, concept)
        intervention.save(change, path, origin=self._origin(method, concept, seconds))
        if together == 1:  # a fit side by side with others has other last bits, and another time
            self._fits[self._names[method], concept.digest] = path, seconds
        context.store.add_timing(
            "towards", method, concept.id, seconds, context.model.device, together=together
        )
        self._fit_seconds[method] = seconds

    def _save_part(self, base: str, part: PartFit) -> None:
        """Save the fit of a part, for the other methods that need it."""
        context, concept = self._context, part.concept
        path = map_bank.path_of(
            context.maps,
            base,
            context.model.revision,
            concept,
            seed=context.plan.settings.seed,
        )
        map_bank.save(part.intervention, path, self._origin(base, concept, part.seconds))
        self._fits[base, concept.digest] = path, part.seconds

    def _origin(self, method: str, concept: Concept, seconds: float) -> InterventionOrigin:
        model = self._context.model
        return InterventionOrigin(
            model=model.name,
            revision=model.revision,
            method=method,
            concept=concept.id,
            seed=self._context.plan.settings.seed,
            seconds=seconds,
        )

    def record_images(self, result: GenerateResult, images: ImageWriter) -> None:
        """Save images, or the reasons why there are none."""
        for warning in result.warnings:
            self._context.display.warn(warning)
        for batch in result.batches:
            self._image_progress.advance(len(batch.image_keys))
            if batch.failure:
                self._context.record_failure(batch.image_keys, batch.failure)
            else:
                images.add(batch)

    def _missing_fits(self, method: str, timed: set[tuple[str, str]]) -> deque[tuple[Concept, ...]]:
        """Concepts whose intervention is not in the store, or was not timed, and has not failed.

        They are in groups that are fitted side by side, cut from all concepts of the plan, so that
        those of a run that goes on are the same.
        """
        context = self._context
        can_group = isinstance(self._methods[method], FitsSideBySide)
        size = context.fit_together if can_group else 1

        def is_missing(concept: Concept) -> bool:
            return (method, concept.digest) not in self._fit_failures and (
                (method, concept.id) not in timed or not context.map_path(method, concept).exists()
            )

        groups = (tuple(filter(is_missing, group)) for group in chunks(context.plan.said, size))
        return deque(filter(None, groups))

    def _find_warmup_concept(self) -> Concept | None:
        """A concept that the run does not evaluate."""
        splits = self._context.plan.concept_set.splits
        others = (
            concept
            for concept in (*splits["dev"], *splits["train"])
            if concept not in self._context.plan.concepts
        )
        return next(others, None)

    def _next_fit(self) -> FitTask | None:
        """The next fit.

        One worker takes methods in turn, so that their times are of the same conditions; several
        workers begin with the slowest method.
        """
        methods = [name for name, groups in self._to_fit.items() if groups]
        if not methods:
            return None
        has_many_workers = self._context.pool.size > 1

        def priority(name: str) -> tuple[float, int]:
            seconds = self._fit_seconds.get(name, inf) if has_many_workers else 0
            return seconds, len(self._to_fit[name])

        method = max(methods, key=priority)
        is_quick = self._fit_seconds.get(method, 0.0) < _WARMUP_BELOW
        concepts = self._to_fit[method].popleft()
        more = f" and {len(concepts) - 1} more" if len(concepts) > 1 else ""
        self._fit_progress.show(f"{method}, {concepts[0].id}{more}")
        return FitTask(
            source=self._sources[method],
            concepts=concepts,
            warmup_concept=self._warmup_concept if is_quick else None,
            earlier=self._earlier_fits(method, concepts),
        )

    def _earlier_fits(self, method: str, concepts: Sequence[Concept]) -> dict[Digest, EarlierFit]:
        """This session's fits of the concepts, or of the parts that a derived method needs."""
        own = self._methods[method]
        needed = own.parts(concepts[0]) if isinstance(own, DerivedMethod) else concepts
        earlier: dict[Digest, EarlierFit] = {}
        for concept in needed:
            if fit := self._fits.get((self._base_of(method), concept.digest)):
                path, seconds = fit
                change = intervention.load(path, model=self._context.model)
                handle = self._context.pool.put(change)
                earlier[concept.digest] = EarlierFit(intervention=handle, seconds=seconds)
        return earlier

    def _base_of(self, method: str) -> str:
        """The name, in a plan, of the method that fits: a derived method's base, or itself."""
        own = self._methods[method]
        return own.base if isinstance(own, DerivedMethod) else self._names[method]

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
        context = self._context
        batch = context.plan.settings.batch
        for alike in self._in_one_phrasing(pending):
            for ids in chunks(alike, 16 * batch):
                yield from chunks(context.store.cells(ids), batch)

    def _in_one_phrasing(self, pending: Sequence[int]) -> Iterator[Sequence[int]]:
        """The cells in parts, in each of which a concept is said in one way."""
        context = self._context
        if all(len(ways) == 1 for ways in context.plan.phrasings.values()):
            yield pending
            return
        by_number: dict[int, list[int]] = {}
        for ids in chunks(pending, 1000):
            for row in context.store.cells(ids):
                by_number.setdefault(self._number(row), []).append(row.id)
        yield from (by_number[number] for number in sorted(by_number))

    def _number(self, row: CellRow) -> int:
        return self._context.plan.number(row.prompt, row.seed)

    def _fit_key(self, row: CellRow) -> tuple[str, Digest]:
        """The method of a steered cell, and the digest of its concept as the method is given it."""
        ways = self._context.plan.phrasings[row.concept]
        return row.method, wording.choose(ways, self._number(row)).digest

    def _is_ready(self, rows: Sequence[CellRow]) -> bool:
        steered = (row for row in rows if row.is_steered)
        return not any(self._fit_key(row) in self._unfinished_fits for row in steered)

    def _generate_task(self, rows: Sequence[CellRow]) -> GenerateTask | None:
        """A task for those of `rows` that have their intervention; the others have failed."""
        cells: list[CellRow] = []
        interventions: dict[tuple[str, str], Handle] = {}
        for row in rows:
            if row.is_steered:
                key = self._fit_key(row)
                if failure := self._fit_failures.get(key):
                    self._image_progress.advance()
                    self._context.record_failure([row.image], failure)
                    continue
                interventions[row.method, row.concept] = self._cached_handle(*key)
            cells.append(replace(row, strength=self._context.plan.task.direction * row.strength))
        if not cells:
            return None
        self._image_progress.show(f"{cells[0].method}, {cells[0].concept}")
        return GenerateTask(
            cells=tuple(cells),
            interventions=interventions,
            batch_size=self._context.plan.settings.batch,
        )

    def _load_intervention(self, method: str, concept: Digest) -> Handle:
        context = self._context
        path = context.map_path(method, self._said[concept])
        return context.pool.put(intervention.load(path, model=context.model))
