"""No steering: the reference that every score is paired with."""

from dataclasses import dataclass

from htbench.steering.concept import Concept
from htbench.steering.intervention import Intervention
from htbench.steering.method import FitsEachConcept
from htbench.steering.model import Model


@dataclass(frozen=True, kw_only=True)
class NoSteering(FitsEachConcept):
    """Leaves prompts and activations alone."""

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        return Intervention()
