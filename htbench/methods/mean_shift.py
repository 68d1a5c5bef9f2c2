"""Mean shift: adds the difference of mean activations with and without the concept (CAA, DiffMean; sequential, as in Mean-AcT).

`T(z) = z + m_b - m_a` a channel, means of activations pooled over positions. Each site's difference is taken with the shifts before it
in force: at many sites at once, differences of the unsteered model would add up to far more than the concept.

References:
    Rimsky et al. Steering Llama 2 via Contrastive Activation Addition. 2024. https://arxiv.org/abs/2312.06681
    Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024. https://arxiv.org/abs/2410.23054
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from htbench import transport
from htbench.concept import Concept
from htbench.hooks import fit_in_passing
from htbench.intervention import Affine
from htbench.method import PerConcept, fitting_images
from htbench.model import Model


@dataclass(frozen=True, kw_only=True)
class MeanShift:
    """Shifts without scaling."""

    samples: int = 32
    """Source images, and as many target images; all of them in one batch."""
    sites: tuple[str, ...] = ("*",)

    def fit(self, model: Model, concepts: Sequence[Concept], *, seed: int) -> PerConcept:
        return PerConcept(learn=partial(self._learn, model, seed))

    def load(self, model: Model, path: Path, *, seed: int) -> PerConcept:
        return self.fit(model, (), seed=seed)

    def _learn(self, model: Model, seed: int, concept: Concept) -> Affine:
        source, target = fitting_images(concept, self.samples, seed=seed)
        return fit_in_passing(model, source, target, transport.mean_map, sites=self.sites)
