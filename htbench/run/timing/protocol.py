"""The timing protocol: rounds of all methods in turn, each round on a concept that is new to them,
until the noise of the times is steady.

Every piece of work runs between two synchronisations, on prompts that the model has to encode anew;
loading the model and writing files are never inside. Work that is too long to be done in full, such
as a fit of very many steps or the training of an amortised method, is done with fewer steps or
concepts; the samples stay as they were measured, with the factor to scale them by beside them.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from htbench.core.phase import phase
from htbench.run.store import Sample
from htbench.run.timing import schedule
from htbench.run.timing.plan import TimingProtocol
from htbench.run.timing.schedule import MethodPace, Schedule
from htbench.run.timing.stopwatch import Measurement, Stopwatch, Value
from htbench.run.timing.trainings import KeptTrainings, MeasuredTraining, TrainingCost
from htbench.stats import durations
from htbench.steering import baseline
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept
from htbench.steering.intervention import Intervention
from htbench.steering.method import FitsEachConcept, Method, Steering
from htbench.steering.model import CachesPrompts, Model, Request
from htbench.steering.training import Training


@dataclass(frozen=True, kw_only=True)
class TimedMethod:
    """A method that is ready to be timed on concepts."""

    card: Card
    steering: Steering
    training_cost: TrainingCost = field(default_factory=TrainingCost)
    steps: int = 0
    """Steps of a fit that are measured; 0: all of them."""
    of_steps: int = 0
    """Steps of a whole fit of which a part is measured."""

    @property
    def scale(self) -> float:
        """Number of steps of a fit per measured step."""
        return self.of_steps / self.steps if self.steps else 1.0

    def facts(self) -> dict[str, object]:
        """Facts that the store keeps beside the samples."""
        cost = self.training_cost
        return {
            "kind": self.card.kind,
            "scale": self.scale,
            "steps": self.card.settings.get("steps"),
            "published": bool(self.card.published),
            "published_speed_up": next(
                (each.value for each in self.card.published if each.what.startswith("speed-up")), ""
            ),
            "training": {
                **{
                    name: getattr(cost, name)
                    for name in (
                        "concepts",
                        "of_concepts",
                        "steps",
                        "of_steps",
                        "seconds",
                        "measured",
                    )
                },
                "parts": [asdict(part) for part in cost.parts],
            },
            "recorded": {
                "seconds": cost.recorded.seconds,
                "device": cost.recorded.device,
                "concepts": len(cost.recorded.concepts),
            },
        }


REPEATED_SHARE = 1 / 20
"""Share of the time budget that repetitions before the rounds may take, of one method."""
Sink = Callable[[Sequence[Sample]], None]


@dataclass(frozen=True, kw_only=True)
class TimingHarness:
    """The model, concepts and protocol of a session."""

    model: Model
    concepts: Sequence[Concept]
    """Concepts to time on, one per round."""
    training_concepts: Sequence[Concept]
    warmup_concept: Concept
    """Another concept, for warming up."""
    prompt: str
    protocol: TimingProtocol
    folder: Path
    """Folder for files that methods write during training."""
    kept: KeptTrainings
    """Trainings of earlier sessions."""
    sink: Sink
    """Receives samples as they are measured."""
    started_at: float = field(default_factory=time.monotonic)
    has_weights: bool = True
    """True if the model has its real weights, which shipped trainings need."""

    @property
    def stopwatch(self) -> Stopwatch:
        """A stopwatch on the model's device."""
        return Stopwatch(device=self.model.device, synchronise=self.model.synchronise)

    def prepare(self, name: str) -> TimedMethod:
        """The baseline `name`, with its shipped training, or trained on a few concepts."""
        card = baseline.load_card(name)
        method: Method = baseline.load_method(card)
        if isinstance(method, FitsEachConcept):
            return self._with_fewer_steps(card, method)
        base = baseline.load_card(str(getattr(method, "base", "") or name))
        # a method that refines predictions of another trains nothing but that one
        source = base if base.kind == "amortised" else card
        shipped = self._load_shipped(card, method)
        trained = self._train(name, source, shipped)
        if shipped:
            return TimedMethod(card=card, steering=shipped, training_cost=trained.cost)
        if source is card:
            return TimedMethod(card=card, steering=trained.steering, training_cost=trained.cost)
        path = self.folder / f"{Path(name).stem}-base"
        trained.steering.save(path)
        steering = method.load(self.model, path, seed=self.protocol.seed)
        return TimedMethod(card=card, steering=steering, training_cost=trained.cost)

    def _with_fewer_steps(self, card: Card, method: FitsEachConcept) -> TimedMethod:
        """The method with fewer steps per fit, if there are many and they are a phase of theirs."""
        fewest, of_steps = self.protocol.steps or schedule.MIN_STEPS, getattr(method, "steps", 0)
        if of_steps > fewest:
            shorter = self._shortened(card, steps=fewest, of_steps=of_steps)
            warming_up = partial(shorter.steering.towards, self.warmup_concept)
            if "fit" in self.stopwatch.measure(warming_up).phases:
                return shorter
        steering = method.train(self.model, self.training_concepts, seed=self.protocol.seed)
        return TimedMethod(card=card, steering=steering)

    def with_steps(self, method: TimedMethod, steps: int) -> TimedMethod:
        """`method` with its fits measured over `steps` steps, if a part of them is measured."""
        if not method.steps:
            return method
        of_steps = method.of_steps
        return self._shortened(method.card, steps=min(steps, of_steps), of_steps=of_steps)

    def _shortened(self, card: Card, *, steps: int, of_steps: int) -> TimedMethod:
        fewer: Method = baseline.load_method(card.with_settings({"steps": steps}))
        steering = fewer.train(self.model, self.training_concepts, seed=self.protocol.seed)
        return TimedMethod(card=card, steering=steering, steps=steps, of_steps=of_steps)

    def _load_shipped(self, card: Card, method: Method) -> Steering | None:
        path = card.artifacts.get(self.model.name)
        return (
            method.load(self.model, path, seed=self.protocol.seed)
            if path and self.has_weights and not self.protocol.encoder
            else None
        )

    def _train(self, name: str, card: Card, shipped: Steering | None) -> MeasuredTraining:
        """Train `card` in part, for the seconds of its full training.

        The seconds of the phase `train` grow with the steps, the others with the concepts. A short
        training is repeated, for the interval of its cost. One that is kept is not done again.
        """
        other = {"encoder": self.protocol.encoder} if self.protocol.encoder else {}
        settings = {
            **card.settings,
            **dict(getattr(getattr(shipped, "base", shipped), "settings", {})),
            **other,
        }
        full: Method = baseline.load_method(card.with_settings(settings))
        recorded = shipped.training if shipped else Training()
        of_steps, of_concepts = (
            getattr(full, "steps", 0),
            len(recorded.concepts) or len(self.training_concepts),
        )
        steps = min(of_steps, self.protocol.train_steps)
        method: Method = (
            baseline.load_method(card.with_settings({**settings, "steps": steps}))
            if of_steps
            else full
        )
        concepts = self.training_concepts[: self.protocol.train_concepts]
        key = self.kept.key(
            [
                card.with_settings(settings).digest,
                self.model.revision,
                [concept.digest for concept in concepts],
                [of_concepts, steps, self.protocol.seed],
            ]
        )
        if kept := self.kept.read(key, method, self.model, seed=self.protocol.seed):
            return replace(kept, cost=replace(kept.cost, recorded=recorded))
        measurements = []
        began = time.monotonic()
        for number in range(1, durations.MIN_PIECES + 1):
            own = self.folder / f"{Path(name).stem}-{number}"
            own.mkdir(parents=True, exist_ok=True)
            train = partial(method.train, self.model, concepts, seed=self.protocol.seed, folder=own)
            measurements.append(self.measure(train))
            self.sink(
                to_samples(measurements[-1], method=name, work="learn", concept="", number=number)
            )
            spent = time.monotonic() - began
            if spent * durations.MIN_PIECES / number > REPEATED_SHARE * 60 * self.protocol.minutes:
                break
        by_concepts = durations.ScaledPart(
            factor=of_concepts / len(concepts),
            seconds=tuple(map(_seconds_without_steps, measurements)),
        )
        laps = [lap for each in measurements for lap in each.laps.get("train", ())]
        by_steps = durations.ScaledPart(
            factor=of_steps * len(laps) / (len(measurements) * max(1, steps)), seconds=tuple(laps)
        )
        cost = TrainingCost(
            concepts=len(concepts),
            of_concepts=of_concepts,
            steps=steps,
            of_steps=of_steps,
            parts=(by_concepts, by_steps) if laps and steps else (by_concepts,),
            recorded=recorded,
        )
        trained = MeasuredTraining(steering=measurements[0].result, cost=cost)
        self.kept.write(key, trained)
        return trained

    def warm_up(self, method: TimedMethod) -> MethodPace:
        """Fit a concept that is not timed and generate an image with it; its memory is recorded."""
        self._generate(
            Request(prompt=self.prompt, seed=0, intervention=Intervention(), strength=0.0)
        )
        return self._time_method(method, self.warmup_concept, number=0)

    def plan(self, paces: Sequence[MethodPace]) -> Schedule:
        """The size of the session for methods that took `paces`, in the time that is left."""
        unsteered = Request(prompt=self.prompt, seed=0, intervention=Intervention(), strength=0.0)
        return schedule.choose(
            paces,
            image=self.measure(lambda: self._generate(unsteered)).seconds,
            seconds=60 * self.protocol.minutes - (time.monotonic() - self.started_at),
            rounds=min(self.protocol.rounds, len(self.concepts)),
            again=self.protocol.again,
            steps=self.protocol.steps,
        )

    def run(self, methods: Sequence[TimedMethod], *, again: int | None = None) -> Iterator[int]:
        """Time `methods` in turn; yield the number of each round when it is done.

        `again` is the number of rounds with repeats; None: as many as in the protocol.
        """
        again = self.protocol.again if again is None else again
        times: dict[str, list[float]] = {entry.card.name: [] for entry in methods}
        for number, concept in enumerate(self.concepts[: self.protocol.rounds], 1):
            first = number % max(1, len(methods))
            rotated = [*methods[first:], *methods[:first]]
            started = time.monotonic()
            for name, seconds in self._round(rotated, concept, number=number).items():
                times[name].append(seconds)
            middle = time.monotonic()
            if number <= again:
                self._repeat(rotated, concept, number=number)
            yield number
            now = time.monotonic()
            another = now - started if number < again else middle - started
            if now + another - self.started_at > 60 * self.protocol.minutes:
                return
            if number >= durations.MIN_SAMPLES and all(map(is_steady, times.values())):
                return

    def _round(
        self, methods: Sequence[TimedMethod], concept: Concept, *, number: int
    ) -> dict[str, float]:
        """Time the model and all methods once; return the seconds per concept, by method."""
        unsteered = self._unsteered(concept, number)
        self.sink(
            to_samples(
                self.measure(lambda: self._generate(unsteered)),
                method="",
                work="image",
                concept=concept.id,
                number=number,
            )
        )
        paces = {
            entry.card.name: self._time_method(entry, concept, number=number) for entry in methods
        }
        return {
            entry.card.name: paces[entry.card.name].concept
            + entry.steps * paces[entry.card.name].step
            for entry in methods
        }

    def _repeat(self, methods: Sequence[TimedMethod], concept: Concept, *, number: int) -> None:
        """Time all methods on a concept that they had before."""
        unsteered = self._unsteered(concept, number)
        for entry in methods:
            # as before the first time: the state of the processor's caches is not a cached answer
            self._generate(unsteered)
            again = self._fit_concept(entry, concept)
            self.sink(
                to_samples(
                    again, method=entry.card.name, work="again", concept=concept.id, number=number
                )
            )

    def _unsteered(self, concept: Concept, number: int) -> Request:
        return Request(
            prompt=concept.target(self.prompt) or self.prompt,
            seed=number,
            intervention=Intervention(),
            strength=0.0,
        )

    def _time_method(self, entry: TimedMethod, concept: Concept, *, number: int) -> MethodPace:
        """Time one method on one concept and an image with it."""
        fit = self._fit_concept(entry, concept, memory=number == 0)
        request = Request(prompt=self.prompt, seed=number, intervention=fit.result, strength=1.0)
        image = self.measure(lambda: self._generate(request), memory=number == 0)
        self.sink(
            to_samples(
                fit, method=entry.card.name, work="concept", concept=concept.id, number=number
            )
        )
        self.sink(
            to_samples(
                image, method=entry.card.name, work="image", concept=concept.id, number=number
            )
        )
        in_steps = fit.phases.get("fit", 0.0) if entry.steps else 0.0
        return MethodPace(
            concept=fit.seconds - in_steps,
            image=image.seconds,
            step=in_steps / max(1, entry.steps),
        )

    def _fit_concept(
        self, entry: TimedMethod, concept: Concept, *, memory: bool = False
    ) -> Measurement[Intervention]:
        return self.measure(lambda: entry.steering.towards(concept), memory=memory)

    def _generate(self, request: Request) -> None:
        with phase("generate"):
            self.model.generate([request])

    def measure(self, work: Callable[[], Value], *, memory: bool = False) -> Measurement[Value]:
        """Measure `work` on prompts that the model has to encode anew."""
        if isinstance(self.model, CachesPrompts):
            self.model.forget_prompts()
        return self.stopwatch.measure(work, memory=memory)


def _seconds_without_steps(measurement: Measurement[Steering]) -> float:
    whole = measurement.result.training.seconds or measurement.seconds
    return max(0.0, whole - measurement.phases.get("train", 0.0))


def is_steady(seconds: Sequence[float]) -> bool:
    """True if the last three samples changed the relative noise by at most 2 %.

    Times below a millisecond are always steady.
    """
    now, before = (
        durations.summarise_durations(seconds),
        durations.summarise_durations(seconds[:-3]),
    )
    return (
        now is not None
        and before is not None
        and (now.median < 1e-3 or abs(now.noise - before.noise) <= 0.02)
    )


def to_samples(
    measurement: Measurement[Value], *, method: str, work: str, concept: str, number: int
) -> list[Sample]:
    """A measurement as samples: the whole, and its phases."""
    sample = partial(Sample, method=method, work=work, concept=concept, round=number)
    gpu = measurement.device_seconds is not None
    parts = [
        sample(
            phase=name,
            seconds=seconds,
            device_seconds=seconds if gpu else None,
            memory=measurement.memory.get(name),
        )
        for name, seconds in measurement.phases.items()
    ]
    return [
        sample(
            phase="",
            seconds=measurement.seconds,
            device_seconds=measurement.device_seconds,
            memory=max(measurement.memory.values(), default=None),
        ),
        *parts,
    ]
