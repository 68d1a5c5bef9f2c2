"""Methods: how interventions are learnt; steerings: what was learnt."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from htbench.concept import Concept
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


def fitting_seeds(seed: int, count: int, *, first: int = 0) -> list[int]:
    """Seeds of the images that a method learns from; they never meet those of evaluation, which are digests of prompts."""
    return [seed * 1_000_003 + first + k for k in range(count)]


