"""Prompting: the concept's words in the prompt, the baseline to beat."""

from dataclasses import dataclass

from htbench.steering.concept import Concept
from htbench.steering.intervention import Interpolate, Rewrite
from htbench.steering.method import FitsEachConcept
from htbench.steering.model import Model


@dataclass(frozen=True, kw_only=True)
class Prompting(FitsEachConcept):
    """Prompts that ask for the concept at positive strength, and against it at negative strength.

    The size of the strength does not matter. Settings are templates of `{prompt}` and `{concept}`.
    """

    asking: str = ""
    """Prompt at positive strength; empty: the concept's own template."""
    against: str = "{prompt} without {concept}"
    """Prompt at negative strength."""

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Rewrite:
        """The two templates with the concept's text; no image is needed."""
        asking, against = (
            template.replace("{concept}", concept.text) for template in (self.asking, self.against)
        )
        return Rewrite(more=asking or concept.template, less=against)


@dataclass(frozen=True, kw_only=True)
class PromptInterpolation(FitsEachConcept):
    """Interpolation between the encodings of the prompt and of one that asks for the concept.

    It gives prompting a continuous strength.
    """

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Interpolate:
        """The interpolation towards the concept's own template; no image is needed."""
        return Interpolate(template=concept.template)
