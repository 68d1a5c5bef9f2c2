"""Methods: how interventions are learnt; steerings: what was learnt."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from htbench.concept import Concept
from htbench.errors import UsageError
from htbench.intervention import Intervention
from htbench.model import Model


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

    training: Training

    def towards(self, concept: Concept) -> Intervention:
        """The intervention that adds `concept`."""

    def save(self, path: Path) -> None:
        """Write all that `Method.load` needs."""


class Method(Protocol):
    """How interventions are learnt: a frozen dataclass whose fields are its hyper-parameters, all of them."""

    def fit(self, model: Model, concepts: Sequence[Concept], *, seed: int) -> Steering:
        """Learn what is shared by all concepts, from the training concepts; nothing for a method that fits each concept by itself."""

    def load(self, model: Model, path: Path, *, seed: int) -> Steering:
        """The steering that was saved at `path`."""


@dataclass(frozen=True, kw_only=True)
class PerConcept:
    """The steering of a method that shares nothing between concepts."""

    learn: Callable[[Concept], Intervention]
    training: Training = Training()

    def towards(self, concept: Concept) -> Intervention:
        return self.learn(concept)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"learnt": "nothing: every concept is fitted by itself"}), encoding="utf-8")


Images = tuple[list[str], list[int]]
"""Prompts and seeds of images."""


def fitting_images(concept: Concept, count: int, *, seed: int, number: int = 0) -> tuple[Images, Images]:
    """`count` source and `count` target images to learn a concept from, unpaired; another `number` gives other images.

    Their seeds never meet those of evaluation, which are digests of prompts.
    """
    if not concept.sources:
        raise UsageError(f"concept {concept.id!r} has no neutral prompts to learn from", remedy="Give its set prompts with use = fit.")
    rng = random.Random(f"{seed}/{number}/{concept.id}")
    prompts = [concept.sources[k % len(concept.sources)] for k in range(number * count, (number + 1) * count)]
    other = rng.sample(prompts, count)
    return (prompts, [rng.getrandbits(32) for _ in range(count)]), ([concept.target(prompt) for prompt in other], [rng.getrandbits(32) for _ in range(count)])
