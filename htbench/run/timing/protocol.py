"""The timing protocol: methods in turn, each round on a concept that is new to all of them, until the figures are steady.

Every piece of work runs between two synchronisations, on prompts that the model has to encode anew; loading the model and writing files
are never inside. What is too long to be done in full, a fit of very many steps or the training of an amortised method, is done with fewer steps
or concepts; the samples stay as they were measured, and what they stand for is written beside them.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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
from htbench.steering.method import FitsEachConcept, Method, Steering, Training
from htbench.steering.model import CachesPrompts, Model, Request


@dataclass(frozen=True, kw_only=True)
class TimingProtocol:
    """How long, and on how much, things are timed."""

    rounds: int = 30
    """The most; there are at least 10 unless time runs out."""
    minutes: float = 9.0
    """From the start, preparing counted; no round begins that would not end in time."""
    again: int = 8
    """Rounds in which every method is asked for the same concept once more, to find out answers that are kept."""
    steps: int = 20
    """Fits of more steps than this are measured over so many."""
    train_concepts: int = 8
    """What all concepts share is learnt from so many."""
    train_steps: int = 8
    """And in so many steps."""
    encoder: str = ""
    """What concepts are read with instead of the model's own conditioner, where that is not at hand; a method is not timed as published then."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """What a method paid beforehand, as far as it was done here, and what it stands for."""

    concepts: int = 0
    of_concepts: int = 0
    steps: int = 0
    of_steps: int = 0
    seconds: float = 0.0
    """C: of the training in full, by what its parts took here."""
    recorded: Training = field(default_factory=Training)
    """What the shipped training says of itself."""


@dataclass(frozen=True, kw_only=True)
class TimedMethod:
    """A method that is ready to be asked for concepts."""

    card: Card
    steering: Steering
    training_cost: TrainingCost = field(default_factory=TrainingCost)
    scale: float = 1.0
    """How many times the steps that are measured a fit has."""

    def facts(self) -> dict[str, object]:
        """For the store, beside its samples."""
        done = self.training_cost
        return {
            "kind": self.card.kind,
            "scale": self.scale,
            "steps": self.card.settings.get("steps"),
            "training": {
                name: getattr(done, name)
                for name in ("concepts", "of_concepts", "steps", "of_steps", "seconds")
            },
            "recorded": {
                "seconds": done.recorded.seconds,
                "device": done.recorded.device,
                "concepts": len(done.recorded.concepts),
            },
        }


Sink = Callable[[Sequence[Sample]], None]


@dataclass(frozen=True, kw_only=True)
class TimingHarness:
    """What is timed on."""

    model: Model
    concepts: Sequence[Concept]
    """Timed on, a round each."""
    training_concepts: Sequence[Concept]
    warmup_concept: Concept
    """Another one, that warms up."""
    prompt: str
    protocol: TimingProtocol
    folder: Path
    """For what methods keep while they learn."""
    sink: Sink
    """Takes samples as they come."""
    started_at: float = field(default_factory=time.monotonic)
    has_weights: bool = True
    """Whether the model has the weights that shipped trainings are for."""

    @property
    def stopwatch(self) -> Stopwatch:
        """Times on the model's device."""
        return Stopwatch(device=self.model.device, synchronise=self.model.synchronise)

    def prepare(self, name: str) -> TimedMethod:
        """The baseline `name`, its shared part shipped, or learnt from a few concepts in a few steps."""
        card = baseline.load_card(name)
        method: Method = baseline.load_method(card)
        if isinstance(method, FitsEachConcept):
            return self._with_fewer_steps(card, method)
        base = baseline.load_card(str(getattr(method, "base", "") or name))
        source = (
            base if base.kind == "amortised" else card
        )  # a method that refines predictions of another learns nothing but that one
        shipped = self._load_shipped(card, method)
        learnt = self._train(name, source, shipped)
        if shipped:
            return TimedMethod(card=card, steering=shipped, training_cost=learnt.training_cost)
        if source is card:
            return TimedMethod(
                card=card, steering=learnt.steering, training_cost=learnt.training_cost
            )
        path = self.folder / f"{name}-base"
        learnt.steering.save(path)
        return TimedMethod(
            card=card,
            steering=method.load(self.model, path, seed=self.protocol.seed),
            training_cost=learnt.training_cost,
        )

    def _with_fewer_steps(self, card: Card, method: FitsEachConcept) -> TimedMethod:
        """With fewer steps, if there are many and the method says which part of its work they are."""
        seed, steps = self.protocol.seed, getattr(method, "steps", 0)
        if steps > self.protocol.steps:
            fewer: Method = baseline.load_method(card.with_settings({"steps": self.protocol.steps}))
            steering = fewer.train(self.model, self.training_concepts, seed=seed)
            if (
                "fit"
                in self.stopwatch.measure(lambda: steering.towards(self.warmup_concept)).phases
            ):
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
        """The shared part, learnt here for its time: the part that takes as long as there are steps, and the rest, which takes as long as there
        are concepts."""
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
        chosen = self.training_concepts[: self.protocol.train_concepts]
        own = self.folder / Path(name).stem
        own.mkdir(parents=True, exist_ok=True)
        lap = self._measure(
            lambda: method.train(self.model, chosen, seed=self.protocol.seed, folder=own)
        )
        self.sink(to_samples(lap, method=name, work="learn", concept="", number=1))
        in_steps = lap.phases.get("train", 0.0)
        by_concept = max(0.0, (lap.result.training.seconds or lap.seconds) - in_steps)
        seconds = by_concept * of_concepts / len(chosen) + (
            in_steps * of_steps / steps if steps else 0.0
        )
        shared = TrainingCost(
            concepts=len(chosen),
            of_concepts=of_concepts,
            steps=steps,
            of_steps=of_steps,
            seconds=seconds,
            recorded=recorded,
        )
        return TimedMethod(card=card, steering=lap.result, training_cost=shared)

    def warm_up(self, method: TimedMethod) -> None:
        """A concept that is not timed on, learnt and drawn; what it needs of memory is kept."""
        self._generate(
            Request(prompt=self.prompt, seed=0, intervention=Intervention(), strength=0.0)
        )
        self._time_method(method, self.warmup_concept, number=0)

    def run(self, methods: Sequence[TimedMethod]) -> Iterator[int]:
        """Time `methods` in turn; gives the number of each round when it is done."""
        times: dict[str, list[float]] = {entry.card.name: [] for entry in methods}
        for number, concept in enumerate(self.concepts[: self.protocol.rounds], 1):
            first = number % max(1, len(methods))
            started = time.monotonic()
            for name, seconds in self._round(
                [*methods[first:], *methods[:first]], concept, number=number
            ).items():
                times[name].append(seconds)
            yield number
            ends = 2 * time.monotonic() - started  # of another round like this one
            if ends - self.started_at > 60 * self.protocol.minutes or (
                number >= durations.MIN_SAMPLES and all(map(is_steady, times.values()))
            ):
                return

    def _round(
        self, methods: Sequence[TimedMethod], concept: Concept, *, number: int
    ) -> dict[str, float]:
        """Everything once, and in the first rounds every concept once more when all have had it; gives seconds a concept."""
        bare = Request(
            prompt=concept.target(self.prompt) or self.prompt,
            seed=number,
            intervention=Intervention(),
            strength=0.0,
        )
        self.sink(
            to_samples(
                self._measure(lambda: self._generate(bare)),
                method="",
                work="image",
                concept=concept.id,
                number=number,
            )
        )
        found = {
            entry.card.name: self._time_method(entry, concept, number=number) for entry in methods
        }
        for entry in methods if number <= self.protocol.again else ():
            self._generate(
                bare
            )  # as before the first time: what it leaves in the processor's caches is not an answer that is kept
            more = self._fit_concept(entry, concept)
            self.sink(
                to_samples(
                    more, method=entry.card.name, work="again", concept=concept.id, number=number
                )
            )
        return found

    def _time_method(self, entry: TimedMethod, concept: Concept, *, number: int) -> float:
        """One method on one concept, and an image with it; gives seconds of the concept."""
        made = self._fit_concept(entry, concept, memory=number == 0)
        request = Request(prompt=self.prompt, seed=number, intervention=made.result, strength=1.0)
        image = self._measure(lambda: self._generate(request), memory=number == 0)
        self.sink(
            to_samples(
                made, method=entry.card.name, work="concept", concept=concept.id, number=number
            )
        )
        self.sink(
            to_samples(
                image, method=entry.card.name, work="image", concept=concept.id, number=number
            )
        )
        return made.seconds

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


def is_steady(seconds: Sequence[float]) -> bool:
    """Whether three more samples have not changed the relative noise by more than 2 %, or all are too short to matter: below a millisecond."""
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
    """A lap as it is kept: the whole, and its phases."""
    one = partial(Sample, method=method, work=work, concept=concept, round=number)
    gpu = measurement.device_seconds is not None
    parts = [
        one(
            phase=name,
            seconds=seconds,
            device_seconds=seconds if gpu else None,
            memory=measurement.memory.get(name),
        )
        for name, seconds in measurement.phases.items()
    ]
    return [
        one(
            phase="",
            seconds=measurement.seconds,
            device_seconds=measurement.device_seconds,
            memory=max(measurement.memory.values(), default=None),
        ),
        *parts,
    ]
