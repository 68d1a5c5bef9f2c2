"""Methods: how interventions are learnt; steerings: what was learnt."""

import json
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from htbench.core import content
from htbench.core.errors import Missing, UsageError
from htbench.core.types import Digest
from htbench.steering import baseline
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept
from htbench.steering.intervention import Intervention
from htbench.steering.model import Model


@dataclass(frozen=True, kw_only=True)
class Training:
    """What was paid once, before the first concept."""

    seconds: float = 0.0
    device: str = ""
    concepts: tuple[str, ...] = ()
    """Ids of the concepts that were learnt from."""
    encoders: tuple[str, ...] = ()
    """Encoders that concepts are read with: they may not be the only judges."""


class Steering(Protocol):
    """What was learnt: an intervention for any concept."""

    @property
    def training(self) -> Training:
        """What was paid beforehand."""

    def towards(self, concept: Concept) -> Intervention:
        """The intervention that adds `concept`."""

    def save(self, path: Path) -> None:
        """Write all that `Method.load` needs."""


class Method(Protocol):
    """How interventions are learnt: a frozen dataclass whose fields are its hyper-parameters, all of them."""

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> Steering:
        """Learn what is shared by all concepts, from the training concepts; nothing for a method that fits each concept by itself.

        What takes long is kept in `folder`, so that an interrupted call goes on where it stopped; None: nowhere. The folder belongs to
        this method with these settings, concepts and seed; what others could use as well goes beside it.
        """

    def load(self, model: Model, path: Path, *, seed: int) -> Steering:
        """The steering that was saved at `path`."""


class FitsEachConcept(ABC):
    """A method that shares nothing between concepts: it says how one is learnt, and all the rest follows."""

    @abstractmethod
    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        """The intervention that adds `concept`."""

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> Steering:
        return _PerConceptSteering(method=self, model=model, seed=seed)

    def load(self, model: Model, path: Path, *, seed: int) -> Steering:
        return self.train(model, (), seed=seed)


@dataclass(frozen=True, kw_only=True)
class _PerConceptSteering:
    method: FitsEachConcept
    model: Model
    seed: int
    training: Training = Training()

    def towards(self, concept: Concept) -> Intervention:
        return self.method.fit(self.model, concept, seed=self.seed)

    def save(self, path: Path) -> None:
        path.write_text(
            json.dumps({"learnt": "nothing: every concept is fitted by itself"}), encoding="utf-8"
        )


@dataclass(frozen=True, kw_only=True)
class TrainedMethod:
    """A baseline with all that it shares between concepts."""

    card: Card
    steering: Steering
    digest: Digest
    """Of the card, what was learnt and the seed: all that decides an intervention besides model and concept."""


def load_or_train(
    card: Card, model: Model, concepts: Sequence[Concept], *, folder: Path, seed: int
) -> TrainedMethod:
    """What a baseline shares between concepts: shipped beside its card, or kept in `folder` by an earlier call, or learnt now."""
    method: Method = baseline.load_method(card)
    key = steering_key(card, model.revision, concepts, seed=seed)
    shipped = card.artifacts.get(model.name)
    if shipped and not shipped.is_file():
        raise Missing(
            f"card {card.name!r} names {str(shipped)!r}, which is not there",
            remedy="Restore it, or take its line out of the card to learn it anew.",
        )
    path = shipped or folder / f"steering-{key}"
    if path.exists():
        steering = method.load(model, path, seed=seed)
    else:
        own = folder / f"learning-{key}"
        own.mkdir(parents=True, exist_ok=True)
        steering = method.train(model, concepts, seed=seed, folder=own)
        if not any(own.iterdir()):
            own.rmdir()
        fresh = path.with_name(f".{path.name}")
        steering.save(fresh)
        fresh.replace(path)
    what = (
        content.file_digest(path) if shipped else key
    )  # what is learnt here also records how long that took
    return TrainedMethod(
        card=card, steering=steering, digest=content.digest([card.digest, what, seed])
    )


def steering_key(card: Card, revision: Digest, concepts: Sequence[Concept], *, seed: int) -> Digest:
    """What decides a steering that is learnt: `load_or_train` keeps it at `steering-KEY`, and at `learning-KEY` while it is learnt."""
    return content.digest([card.digest, revision, [concept.digest for concept in concepts], seed])


def load_or_train_base(
    name: str, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None
) -> Steering:
    """The steering of another card, for a method that builds on it: shipped, or kept in `folder`, or learnt now."""
    card = baseline.load_card(name)
    if folder or model.name in card.artifacts:
        return load_or_train(card, model, concepts, folder=folder or Path(), seed=seed).steering
    method: Method = baseline.load_method(card)
    return method.train(model, concepts, seed=seed)


PromptsAndSeeds = tuple[list[str], list[int]]
"""Prompts and seeds of images."""


def fitting_images(
    concept: Concept, count: int, *, seed: int, number: int = 0
) -> tuple[PromptsAndSeeds, PromptsAndSeeds]:
    """`count` source and `count` target images to learn a concept from, unpaired; another `number` gives other images.

    Their seeds never meet those of evaluation, which are digests of prompts.
    """
    if not concept.sources:
        raise UsageError(
            f"concept {concept.id!r} has no neutral prompts to learn from",
            remedy="Give its set prompts with use = fit.",
        )
    rng = random.Random(f"{seed}/{number}/{concept.id}")
    prompts = [
        concept.sources[k % len(concept.sources)]
        for k in range(number * count, (number + 1) * count)
    ]
    other = rng.sample(prompts, count)
    return (prompts, [rng.getrandbits(32) for _ in range(count)]), (
        [concept.target(prompt) for prompt in other],
        [rng.getrandbits(32) for _ in range(count)],
    )
