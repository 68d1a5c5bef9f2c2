"""Prompting: the concept's words in the prompt, the baseline to beat."""

from dataclasses import dataclass

from htbench.concept import Concept
from htbench.intervention import Rewrite
from htbench.method import FitsEachConcept
from htbench.model import Model


@dataclass(frozen=True, kw_only=True)
class Prompt(FitsEachConcept):
    """Asks for the concept by its own template at any positive strength, and against it at a negative one."""

    against: str = "{prompt} without {concept}"

    def learn(self, model: Model, concept: Concept, *, seed: int) -> Rewrite:
        return Rewrite(more=concept.template, less=self.against.replace("{concept}", concept.text))
