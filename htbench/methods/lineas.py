"""LinEAS: all affine maps of a concept trained together, end to end, on an optimal-transport loss.

The loss and its descent are in `htbench.steering.fitting.end_to_end`.

References:
    Rodriguez et al. LinEAS: End-to-end Learning of Activation Steering with a Distributional Loss.
    2025. https://arxiv.org/abs/2503.10679
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from htbench.steering.concept import Concept
from htbench.steering.fitting.end_to_end import EndToEnd
from htbench.steering.fitting.gates import CanBeGated, fit_gated
from htbench.steering.intervention import Intervention
from htbench.steering.method import FitsSideBySide
from htbench.steering.model import Model


@dataclass(frozen=True, kw_only=True)
class Lineas(CanBeGated, EndToEnd, FitsSideBySide):
    """Adam on scale and shift of every channel."""

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        """The maps that the descent reaches from the identity."""
        if self.gate != "none":
            ungated = partial(Lineas.fit, model=model, concept=concept, seed=seed)
            return fit_gated(self, ungated, model, concept, seed=seed)
        return self.optimise(model, concept, start=None, seed=seed)

    def fit_many(
        self, model: Model, concepts: Sequence[Concept], *, seed: int
    ) -> Sequence[Intervention]:
        """The maps of several concepts, trained side by side in one batch, in turn with a gate."""
        if self.gate != "none":
            return [self.fit(model, concept, seed=seed) for concept in concepts]
        return self.optimise_many(model, concepts, starts=[None] * len(concepts), seed=seed)
