"""The timing protocol: rounds of all methods in turn, each round on a concept that is new to them,
until the noise of the times is steady.

Every piece of work runs between two synchronisations, on prompts that the model has to encode anew;
loading the model and writing files are never inside. Work that is too long to be done in full, such
as a fit of very many steps or the training of an amortised method, is done with fewer steps or
concepts; the samples stay as they were measured, with the factor to scale them by beside them.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from htbench.core.phase import phase
from htbench.run.store import Sample
from htbench.run.timing.stopwatch import Measurement, Stopwatch, Value
from htbench.stats import durations
from htbench.steering import baseline
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept
from htbench.steering.intervention import Intervention
from htbench.steering.method import FitsEachConcept, Method, Steering
from htbench.steering.model import CachesPrompts, Model, Request
from htbench.steering.training import Training


@dataclass(frozen=True, kw_only=True)
class TimingProtocol:
    """Settings of a timing session: its length, and the size of the work."""

    rounds: int = 30
    """Maximum number of rounds; there are at least 10 unless time runs out."""
    minutes: float = 9.0
    """Time budget from the start, preparation included; no round begins that would exceed it."""
    again: int = 8
    """Rounds in which every method gets the same concept a second time, to detect caching."""
    steps: int = 20
    """Maximum number of steps that a fit is measured over."""
    train_concepts: int = 8
    """Number of concepts that amortised methods are trained on."""
    train_steps: int = 8
    """Maximum number of training steps."""
    encoder: str = ""
    """Concept encoder to use where the model's own conditioner is not installed.

    With another encoder a method is not timed as published.
    """
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """The training cost of a method, from a training on fewer concepts or in fewer steps."""

    concepts: int = 0
    of_concepts: int = 0
    steps: int = 0
    of_steps: int = 0
    parts: tuple[durations.ScaledPart, ...] = ()
    """The pieces that C is extrapolated from: trainings without their steps, and single steps."""
    recorded: Training = field(default_factory=Training)
    """The record of the shipped training."""

    @property
    def seconds(self) -> float:
        """C: the seconds of the full training."""
        return durations.ScaledCost(parts=self.parts).value


@dataclass(frozen=True, kw_only=True)
class TimedMethod:
    """A method that is ready to be timed on concepts."""

    card: Card
    steering: Steering
    training_cost: TrainingCost = field(default_factory=TrainingCost)
    scale: float = 1.0
    """Number of steps of a fit per measured step."""

    def facts(self) -> dict[str, object]:
        """Facts that the store keeps beside the samples."""
        cost = self.training_cost
        return {
            "kind": self.card.kind,
            "scale": self.scale,
            "steps": self.card.settings.get("steps"),
            "published": bool(self.card.published),
            "training": {
                **{
                    name: getattr(cost, name)
                    for name in ("concepts", "of_concepts", "steps", "of_steps", "seconds")
                },
                "parts": [asdict(part) for part in cost.parts],
            },
            "recorded": {
                "seconds": cost.recorded.seconds,
                "device": cost.recorded.device,
                "concepts": len(cost.recorded.concepts),
            },
        }


_REPEATED_SHARE = 1 / 20
"""Share of the time budget that repeated trainings of one method may take."""
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
            return TimedMethod(card=card, steering=shipped, training_cost=trained.training_cost)
        if source is card:
            return TimedMethod(
                card=card, steering=trained.steering, training_cost=trained.training_cost
            )
        path = self.folder / f"{name}-base"
        trained.steering.save(path)
        return TimedMethod(
            card=card,
            steering=method.load(self.model, path, seed=self.protocol.seed),
            training_cost=trained.training_cost,
        )

    def _with_fewer_steps(self, card: Card, method: FitsEachConcept) -> TimedMethod:
        """The method with fewer steps per fit, if there are many and they are a phase of theirs."""
        seed, steps = self.protocol.seed, getattr(method, "steps", 0)
        if steps > self.protocol.steps:
            fewer: Method = baseline.load_method(card.with_settings({"steps": self.protocol.steps}))
            steering = fewer.train(self.model, self.training_concepts, seed=seed)
            measurement = self.stopwatch.measure(lambda: steering.towards(self.warmup_concept))
            if "fit" in measurement.phases:
                return TimedMethod(card=card, steering=steering, scale=steps / self.protocol.steps)
        return TimedMethod(
            card=card, steering=method.train(self.model, self.training_concepts, seed=seed)
        )

    def _load_shipped(self, card: Card, method: Method) -> Steering | None:
        path = card.artifacts.get(self.model.name)
        return (
            method.load(self.model, path, seed=self.protocol.seed)
            if path and self.has_weights and not self.protocol.encoder
            else None
        )

    def _train(self, name: str, card: Card, shipped: Steering | None) -> TimedMethod:
        """Train `card` in part, for the seconds of its full training.

        The seconds of the phase `train` grow with the steps, the others with the concepts. A short
        training is repeated, for the interval of its cost.
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
        measurements = []
        began = time.monotonic()
        for number in range(1, durations.MIN_PIECES + 1):
            own = self.folder / f"{Path(name).stem}-{number}"
            own.mkdir(parents=True, exist_ok=True)
            train = partial(method.train, self.model, concepts, seed=self.protocol.seed, folder=own)
            measurements.append(self._measure(train))
            self.sink(
                to_samples(measurements[-1], method=name, work="learn", concept="", number=number)
            )
            spent = time.monotonic() - began
            if spent * durations.MIN_PIECES / number > _REPEATED_SHARE * 60 * self.protocol.minutes:
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
        return TimedMethod(card=card, steering=measurements[0].result, training_cost=cost)

    def warm_up(self, method: TimedMethod) -> None:
        """Fit a concept that is not timed and generate an image with it; its memory is recorded."""
        self._generate(
            Request(prompt=self.prompt, seed=0, intervention=Intervention(), strength=0.0)
        )
        self._time_method(method, self.warmup_concept, number=0)

    def run(self, methods: Sequence[TimedMethod]) -> Iterator[int]:
        """Time `methods` in turn; yield the number of each round when it is done."""
        times: dict[str, list[float]] = {entry.card.name: [] for entry in methods}
        for number, concept in enumerate(self.concepts[: self.protocol.rounds], 1):
            first = number % max(1, len(methods))
            started = time.monotonic()
            rotated = [*methods[first:], *methods[:first]]
            for name, seconds in self._round(rotated, concept, number=number).items():
                times[name].append(seconds)
            yield number
            next_end = 2 * time.monotonic() - started  # of another round like this one
            if next_end - self.started_at > 60 * self.protocol.minutes:
                return
            if number >= durations.MIN_SAMPLES and all(map(is_steady, times.values())):
                return

    def _round(
        self, methods: Sequence[TimedMethod], concept: Concept, *, number: int
    ) -> dict[str, float]:
        """Time the model and all methods once; return the seconds per concept, by method.

        In the first rounds every method then gets the same concept a second time.
        """
        unsteered = Request(
            prompt=concept.target(self.prompt) or self.prompt,
            seed=number,
            intervention=Intervention(),
            strength=0.0,
        )
        self.sink(
            to_samples(
                self._measure(lambda: self._generate(unsteered)),
                method="",
                work="image",
                concept=concept.id,
                number=number,
            )
        )
        seconds = {
            entry.card.name: self._time_method(entry, concept, number=number) for entry in methods
        }
        for entry in methods if number <= self.protocol.again else ():
            # as before the first time: the state of the processor's caches is not a cached answer
            self._generate(unsteered)
            again = self._fit_concept(entry, concept)
            self.sink(
                to_samples(
                    again, method=entry.card.name, work="again", concept=concept.id, number=number
                )
            )
        return seconds

    def _time_method(self, entry: TimedMethod, concept: Concept, *, number: int) -> float:
        """Time one method on one concept and an image with it; return seconds per concept."""
        fit = self._fit_concept(entry, concept, memory=number == 0)
        request = Request(prompt=self.prompt, seed=number, intervention=fit.result, strength=1.0)
        image = self._measure(lambda: self._generate(request), memory=number == 0)
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
        return fit.seconds

    def _fit_concept(
        self, entry: TimedMethod, concept: Concept, *, memory: bool = False
    ) -> Measurement[Intervention]:
        return self._measure(lambda: entry.steering.towards(concept), memory=memory)

    def _generate(self, request: Request) -> None:
        with phase("generate"):
            self.model.generate([request])

    def _measure(self, work: Callable[[], Value], *, memory: bool = False) -> Measurement[Value]:
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
