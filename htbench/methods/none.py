"""No steering: the reference that every score is paired with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.concept import Concept
from htbench.intervention import Intervention
from htbench.method import PerConcept
from htbench.model import Model


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """Leaves prompts and activations alone."""

    def fit(self, model: Model, concepts: Sequence[Concept], *, seed: int) -> PerConcept:
        return PerConcept(learn=lambda _: Intervention())

    def load(self, model: Model, path: Path, *, seed: int) -> PerConcept:
        return self.fit(model, (), seed=seed)
