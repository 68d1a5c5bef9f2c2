"""Prompting: the concept's words in the prompt, the baseline to beat."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.concept import Concept
from htbench.intervention import Rewrite
from htbench.method import PerConcept
from htbench.model import Model


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Asks for the concept by its own template at any positive strength, and against it at a negative one."""

    against: str = "{prompt} without {concept}"

    def fit(self, model: Model, concepts: Sequence[Concept], *, seed: int) -> PerConcept:
        return PerConcept(learn=lambda concept: Rewrite(more=concept.template, less=self.against.replace("{concept}", concept.text)))

    def load(self, model: Model, path: Path, *, seed: int) -> PerConcept:
        return self.fit(model, (), seed=seed)
