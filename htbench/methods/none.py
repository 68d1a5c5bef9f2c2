"""No steering: the reference with which every score is paired."""

from dataclasses import dataclass

from htbench.steering.concept import Concept
from htbench.steering.intervention import Intervention
from htbench.steering.method import FitsEachConcept
from htbench.steering.model import Model


@dataclass(frozen=True, kw_only=True)
class NoSteering(FitsEachConcept):
    """The identity for every concept."""

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        """The intervention that does nothing."""
        return Intervention()
