"""Linear-AcT: an affine optimal-transport map per channel, fitted site after site.

Each map is a least-squares fit of the optimal coupling of activations:
`htbench.steering.fitting.transport.linear_map`. The published procedure has `targets = "mapped"`
(Definition 3.2), and `apply = "mean"` or, in its first code, `"mean-of-maps"` with a `support`.

References:
    Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024.
    https://arxiv.org/abs/2410.23054
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from htbench.core.types import Site
from htbench.steering.fitting.closed_form import MapsEachSite, affine, sample_positions
from htbench.steering.fitting.transport import SourceSamples, TargetSamples, linear_map
from htbench.steering.hooks import mean_pool
from htbench.steering.intervention import Affine


@dataclass(frozen=True, kw_only=True)
class LinearAct(MapsEachSite):
    """Maps that are estimated in sequence, in one run unless `blocks` is set."""

    support: bool = False
    """Restrict each map to values between the least and the greatest that it was fitted on."""
    tokens: int = 0
    """Positions of each image that are samples of their own; 0: an image is one sample, the mean of
    its positions. Means vary less than positions, and differently: a slope fitted to means need not
    suit positions."""

    def pool(
        self, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "samples channels"]:
        """Samples of about `tokens` positions per image, or means over positions."""
        return sample_positions(z, self.tokens) if self.tokens else mean_pool(z)

    def fit_site(self, site: Site, source: SourceSamples, target: TargetSamples) -> Affine:
        """The least-squares map of each channel, with limits if there is a `support`."""
        change = affine(site, linear_map(source, target))
        if not self.support:
            return change
        low, high = {site: source.amin(0)}, {site: source.amax(0)}
        return Affine(change.scale, change.shift, low=low, high=high)
