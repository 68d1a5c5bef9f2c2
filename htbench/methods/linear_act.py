"""Linear-AcT: an affine optimal-transport map a channel, fitted site after site.

Least squares on the optimal coupling of pooled activations: `htbench.transport.linear_map`.

References:
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
class LinearAct(FitsEachConcept):
    """Sequential estimation in one pass."""

    samples: int = 32
    """Source images, and as many target images; all of them in one batch."""
    sites: tuple[str, ...] = ("*",)

    def learn(self, model: Model, concept: Concept, *, seed: int) -> Affine:
        source, target = fitting_images(concept, self.samples, seed=seed)
        return fit_in_passing(model, source, target, transport.linear_map, sites=self.sites)
