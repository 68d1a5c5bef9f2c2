"""Methods that make the intervention for a concept from those of another method."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.steering import baseline
from htbench.steering.concept import Concept
from htbench.steering.intervention import Intervention
from htbench.steering.method import Method, Steering, load_or_train_base
from htbench.steering.model import Model
from htbench.steering.training import Training


@dataclass(frozen=True, kw_only=True)
class DerivedMethod(ABC):
    """A method that learns nothing itself: a subclass implements `parts` and `derive`.

    A run fits the base to each part once, for all methods that need it, and charges the seconds of
    that fit to each of them.
    """

    base: str
    """Name of the method that fits or predicts, or the path of its card."""

    @abstractmethod
    def parts(self, concept: Concept) -> tuple[Concept, ...]:
        """The concepts whose interventions, by the base, that for `concept` is made from."""

    @abstractmethod
    def derive(self, concept: Concept, parts: Sequence[Intervention]) -> Intervention:
        """The intervention for `concept`, from those for its `parts`.

        Raises:
            UsageError: if it cannot be made from interventions of their class.
        """

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, folder: Path | None = None
    ) -> "DerivedSteering":
        """Train the base on `concepts`, or load what was kept beside `folder`."""
        maps = folder and folder.parent
        base = load_or_train_base(self.base, model, concepts, seed=seed, folder=maps)
        return DerivedSteering(method=self, base=base)

    def load(self, model: Model, path: Path, *, seed: int) -> "DerivedSteering":
        """The base's steering that was saved at `path`."""
        method: Method = baseline.load_method(self.base)
        return DerivedSteering(method=self, base=method.load(model, path, seed=seed))


@dataclass(frozen=True, kw_only=True)
class DerivedSteering:
    """The steering of a derived method."""

    method: DerivedMethod
    base: Steering

    @property
    def training(self) -> Training:
        """That of the base."""
        return self.base.training

    def towards(self, concept: Concept) -> Intervention:
        """The intervention for `concept`, from parts that are all fitted now."""
        parts = [self.base.towards(part) for part in self.method.parts(concept)]
        return self.method.derive(concept, parts)

    def save(self, path: Path) -> None:
        """Write the base's file."""
        self.base.save(path)
