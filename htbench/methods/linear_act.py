"""Linear-AcT: an affine optimal-transport map a channel, fitted site after site.

Least squares on the optimal coupling of activations: `htbench.steering.fitting.transport.linear_map`.

References:
    Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024. https://arxiv.org/abs/2410.23054
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from htbench.core.types import Site
from htbench.steering.fitting.closed_form import FitsEachSite, affine, sample_positions
from htbench.steering.fitting.transport import SourceSamples, TargetSamples, linear_map
from htbench.steering.hooks import mean_pool
from htbench.steering.intervention import Affine


@dataclass(frozen=True, kw_only=True)
class LinearAct(FitsEachSite):
    """Sequential estimation in one pass, unless there are `blocks`."""

    support: bool = False
    """Whether a map acts only on values between the least and the greatest that it was fitted on."""
    tokens: int = 0
    """Positions of each image that are samples of their own; 0: an image is one sample, the mean of its positions.
    Means vary less than what they are means of, and differently: a slope fitted to them need not suit positions."""

    def pool(
        self, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "samples channels"]:
        return sample_positions(z, self.tokens) if self.tokens else mean_pool(z)

    def fit_site(self, site: Site, source: SourceSamples, target: TargetSamples) -> Affine:
        change = affine(site, linear_map(source, target))
        return (
            Affine(
                change.scale, change.shift, low={site: source.amin(0)}, high={site: source.amax(0)}
            )
            if self.support
            else change
        )
