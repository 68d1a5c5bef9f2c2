"""LinEAS with shifts per position: all maps of a concept trained together, which can say where.

Each site's map also shifts patterns of positions, the principal ones of the concept's own change.
The loss is that of LinEAS on means for each pattern beside the plain means over positions, which do
not see where anything is.

References:
    Rodriguez et al. LinEAS: End-to-end Learning of Activation Steering with a Distributional Loss.
    2025. https://arxiv.org/abs/2503.10679 (the shifts per position are ours)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from htbench.steering.concept import Concept
from htbench.steering.fitting import position_patterns
from htbench.steering.fitting.end_to_end import EndToEnd
from htbench.steering.intervention import Intervention
from htbench.steering.layout import Layout
from htbench.steering.method import FitsEachConcept
from htbench.steering.model import Model


@dataclass(frozen=True, kw_only=True)
class LineasSpatial(EndToEnd, FitsEachConcept):
    """Adam on scale and shift of every channel, and on its shift of every pattern."""

    patterns: Annotated[int, Field(ge=1)] = 8
    """Patterns of positions per site."""

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        """The maps that the descent reaches from the identity."""
        return self.optimise(model, concept, start=None, seed=seed)

    def arrange(
        self, model: Model, concepts: Sequence[Concept], layout: Layout, *, seed: int
    ) -> Layout:
        return position_patterns.arrange(
            model, concepts, layout, patterns=self.patterns, images=16, seed=seed
        )
