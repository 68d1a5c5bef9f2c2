"""No steering: the reference that every score is paired with."""

from dataclasses import dataclass

from htbench.concept import Concept
from htbench.intervention import Intervention
from htbench.method import FitsEachConcept
from htbench.model import Model


@dataclass(frozen=True, kw_only=True)
class Nothing(FitsEachConcept):
    """Leaves prompts and activations alone."""

    def learn(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        return Intervention()
