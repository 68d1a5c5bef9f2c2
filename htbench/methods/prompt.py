"""Prompting: the concept's words in the prompt, the baseline to beat."""

from dataclasses import dataclass

from htbench.steering.concept import Concept
from htbench.steering.intervention import Interpolate, Rewrite
from htbench.steering.method import FitsEachConcept
from htbench.steering.model import Model


@dataclass(frozen=True, kw_only=True)
class Prompting(FitsEachConcept):
    """Asks for the concept at any positive strength, and against it at a negative one; both are templates of `{prompt}` and `{concept}`."""

    asking: str = ""
    """Empty: the concept's own template, which adds its words at the end."""
    against: str = "{prompt} without {concept}"

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Rewrite:
        asking, against = (
            template.replace("{concept}", concept.text) for template in (self.asking, self.against)
        )
        return Rewrite(more=asking or concept.template, less=against)


@dataclass(frozen=True, kw_only=True)
class PromptInterpolation(FitsEachConcept):
    """Mixes the encodings of the prompt and of the prompt that asks for the concept, which gives prompting a continuous strength."""

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Interpolate:
        return Interpolate(template=concept.template)
