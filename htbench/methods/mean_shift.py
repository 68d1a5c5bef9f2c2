"""Mean shift: adds the difference of mean activations with and without the concept (CAA, DiffMean; sequential, as in Mean-AcT).

`T(z) = z + m_b - m_a` a channel, means of activations pooled over positions. Each site's difference is taken with the shifts before it
in force: at many sites at once, differences of the unsteered model would add up to far more than the concept.

References:
    Rimsky et al. Steering Llama 2 via Contrastive Activation Addition. 2024. https://arxiv.org/abs/2312.06681
    Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024. https://arxiv.org/abs/2410.23054
"""

from dataclasses import dataclass

from htbench import transport
from htbench.concept import Concept
from htbench.hooks import fit_in_passing
from htbench.intervention import Affine
from htbench.method import FitsEachConcept, fitting_images
from htbench.model import Model


@dataclass(frozen=True, kw_only=True)
class MeanShift(FitsEachConcept):
    """Shifts without scaling."""

    samples: int = 32
    """Source images, and as many target images; all of them in one batch."""
    sites: tuple[str, ...] = ("*",)

    def learn(self, model: Model, concept: Concept, *, seed: int) -> Affine:
        source, target = fitting_images(concept, self.samples, seed=seed)
        return fit_in_passing(model, source, target, transport.mean_map, sites=self.sites)
