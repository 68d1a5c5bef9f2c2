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
from htbench.run.timing.stopwatch import Lap, Result, Stopwatch
from htbench.stats import durations
from htbench.steering import baseline
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept
from htbench.steering.intervention import Intervention
from htbench.steering.method import FitsEachConcept, Method, Steering, Training
from htbench.steering.model import KeepsPrompts, Model, Request


@dataclass(frozen=True, kw_only=True)
class Protocol:
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
class Shared:
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
class Entry:
    """A method that is ready to be asked for concepts."""

    card: Card
    steering: Steering
    shared: Shared = field(default_factory=Shared)
    scale: float = 1.0
    """How many times the steps that are measured a fit has."""

    def facts(self) -> dict[str, object]:
        """For the store, beside its samples."""
        done = self.shared
        return {
            "kind": self.card.kind,
            "scale": self.scale,
            "steps": self.card.settings.get("steps"),
            "training": {name: getattr(done, name) for name in ("concepts", "of_concepts", "steps", "of_steps", "seconds")},
            "recorded": {"seconds": done.recorded.seconds, "device": done.recorded.device, "concepts": len(done.recorded.concepts)},
        }


Sink = Callable[[Sequence[Sample]], None]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is timed on."""

    model: Model
    concepts: Sequence[Concept]
    """Timed on, a round each."""
    training: Sequence[Concept]
    warm: Concept
    """Another one, that warms up."""
    prompt: str
    protocol: Protocol
    folder: Path
    """For what methods keep while they learn."""
    sink: Sink
    """Takes samples as they come."""
    began: float = field(default_factory=time.monotonic)
    weights: bool = True
    """Whether the model has the weights that shipped trainings are for."""

    @property
    def watch(self) -> Stopwatch:
        """Times on the model's device."""
        return Stopwatch(device=self.model.device, synchronise=self.model.synchronise)

    def prepare(self, name: str) -> Entry:
        """The baseline `name`, its shared part shipped, or learnt from a few concepts in a few steps."""
        card = baseline.card(name)
        method: Method = baseline.method(card)
        if isinstance(method, FitsEachConcept):
            return self._shortened(card, method)
        base = baseline.card(str(getattr(method, "base", "") or name))
        source = base if base.kind == "amortised" else card  # a method that refines predictions of another learns nothing but that one
        shipped = self._shipped(card, method)
        learnt = self._learn(name, source, shipped)
        if shipped:
            return Entry(card=card, steering=shipped, shared=learnt.shared)
        if source is card:
            return Entry(card=card, steering=learnt.steering, shared=learnt.shared)
        path = self.folder / f"{name}-base"
        learnt.steering.save(path)
        return Entry(card=card, steering=method.load(self.model, path, seed=self.protocol.seed), shared=learnt.shared)

    def _shortened(self, card: Card, method: FitsEachConcept) -> Entry:
        """With fewer steps, if there are many and the method says which part of its work they are."""
        seed, steps = self.protocol.seed, getattr(method, "steps", 0)
        if steps > self.protocol.steps:
            fewer: Method = baseline.method(card.with_settings({"steps": self.protocol.steps}))
            steering = fewer.fit(self.model, self.training, seed=seed)
            if "fit" in self.watch.lap(lambda: steering.towards(self.warm)).phases:
                return Entry(card=card, steering=steering, scale=steps / self.protocol.steps)
        return Entry(card=card, steering=method.fit(self.model, self.training, seed=seed))

    def _shipped(self, card: Card, method: Method) -> Steering | None:
        path = card.artifacts.get(self.model.name)
        return method.load(self.model, path, seed=self.protocol.seed) if path and self.weights and not self.protocol.encoder else None

    def _learn(self, name: str, card: Card, shipped: Steering | None) -> Entry:
        """The shared part, learnt here for its time: the part that takes as long as there are steps, and the rest, which takes as long as there
        are concepts."""
        other = {"encoder": self.protocol.encoder} if self.protocol.encoder else {}
        settings = {**card.settings, **dict(getattr(getattr(shipped, "base", shipped), "settings", {})), **other}
        full: Method = baseline.method(card.with_settings(settings))
        recorded = shipped.training if shipped else Training()
        of_steps, of_concepts = getattr(full, "steps", 0), len(recorded.concepts) or len(self.training)
        steps = min(of_steps, self.protocol.train_steps)
        method: Method = baseline.method(card.with_settings({**settings, "steps": steps})) if of_steps else full
        chosen = self.training[: self.protocol.train_concepts]
        own = self.folder / Path(name).stem
        own.mkdir(parents=True, exist_ok=True)
        lap = self._lap(lambda: method.fit(self.model, chosen, seed=self.protocol.seed, folder=own))
        self.sink(samples(lap, method=name, work="learn", concept="", number=1))
        in_steps = lap.phases.get("train", 0.0)
        by_concept = max(0.0, (lap.result.training.seconds or lap.seconds) - in_steps)
        seconds = by_concept * of_concepts / len(chosen) + (in_steps * of_steps / steps if steps else 0.0)
        shared = Shared(concepts=len(chosen), of_concepts=of_concepts, steps=steps, of_steps=of_steps, seconds=seconds, recorded=recorded)
        return Entry(card=card, steering=lap.result, shared=shared)

    def warm_up(self, entry: Entry) -> None:
        """A concept that is not timed on, learnt and drawn; what it needs of memory is kept."""
        self._image(Request(prompt=self.prompt, seed=0, intervention=Intervention(), strength=0.0))
        self._turn(entry, self.warm, number=0)

    def run(self, entries: Sequence[Entry]) -> Iterator[int]:
        """Time `entries` in turn; gives the number of each round when it is done."""
        times: dict[str, list[float]] = {entry.card.name: [] for entry in entries}
        for number, concept in enumerate(self.concepts[: self.protocol.rounds], 1):
            first = number % max(1, len(entries))
            started = time.monotonic()
            for name, seconds in self._round([*entries[first:], *entries[:first]], concept, number=number).items():
                times[name].append(seconds)
            yield number
            ends = 2 * time.monotonic() - started  # of another round like this one
            if ends - self.began > 60 * self.protocol.minutes or (number >= durations.FEWEST and all(map(steady, times.values()))):
                return

    def _round(self, entries: Sequence[Entry], concept: Concept, *, number: int) -> dict[str, float]:
        """Everything once, and in the first rounds every concept once more when all have had it; gives seconds a concept."""
        bare = Request(prompt=concept.target(self.prompt) or self.prompt, seed=number, intervention=Intervention(), strength=0.0)
        self.sink(samples(self._lap(lambda: self._image(bare)), method="", work="image", concept=concept.id, number=number))
        found = {entry.card.name: self._turn(entry, concept, number=number) for entry in entries}
        for entry in entries if number <= self.protocol.again else ():
            self._image(bare)  # as before the first time: what it leaves in the processor's caches is not an answer that is kept
            more = self._learn_concept(entry, concept)
            self.sink(samples(more, method=entry.card.name, work="again", concept=concept.id, number=number))
        return found

    def _turn(self, entry: Entry, concept: Concept, *, number: int) -> float:
        """One method on one concept, and an image with it; gives seconds of the concept."""
        made = self._learn_concept(entry, concept, memory=number == 0)
        request = Request(prompt=self.prompt, seed=number, intervention=made.result, strength=1.0)
        image = self._lap(lambda: self._image(request), memory=number == 0)
        self.sink(samples(made, method=entry.card.name, work="concept", concept=concept.id, number=number))
        self.sink(samples(image, method=entry.card.name, work="image", concept=concept.id, number=number))
        return made.seconds

    def _learn_concept(self, entry: Entry, concept: Concept, *, memory: bool = False) -> Lap[Intervention]:
        return self._lap(lambda: entry.steering.towards(concept), memory=memory)

    def _image(self, request: Request) -> None:
        with phase("generate"):
            self.model.generate([request])

    def _lap(self, work: Callable[[], Result], *, memory: bool = False) -> Lap[Result]:
        if isinstance(self.model, KeepsPrompts):
            self.model.forget_prompts()
        return self.watch.lap(work, memory=memory)


def steady(seconds: Sequence[float]) -> bool:
    """Whether three more samples have not changed the relative noise by more than 2 %, or all are too short to matter: below a millisecond."""
    now, before = durations.duration(seconds), durations.duration(seconds[:-3])
    return now is not None and before is not None and (now.median < 1e-3 or abs(now.noise - before.noise) <= 0.02)


def samples(lap: Lap[Result], *, method: str, work: str, concept: str, number: int) -> list[Sample]:
    """A lap as it is kept: the whole, and its phases."""
    one = partial(Sample, method=method, work=work, concept=concept, round=number)
    gpu = lap.device_seconds is not None
    parts = [one(phase=name, seconds=seconds, device_seconds=seconds if gpu else None, memory=lap.memory.get(name)) for name, seconds in lap.phases.items()]
    return [one(phase="", seconds=lap.seconds, device_seconds=lap.device_seconds, memory=max(lap.memory.values(), default=None)), *parts]
