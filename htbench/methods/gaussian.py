"""Gaussian transport: matches mean and standard deviation of each channel, site after site.

`T(z) = w z + m_b - w m_a` with `w = s_b / s_a`: `htbench.steering.fitting.transport.gaussian_map`.

References:
    Peyré and Cuturi. Computational Optimal Transport. 2019. https://arxiv.org/abs/1803.00567
"""

from dataclasses import dataclass

from htbench.core.types import Site
from htbench.steering.fitting.closed_form import MapsEachSite, affine
from htbench.steering.fitting.transport import SourceSamples, TargetSamples, gaussian_map
from htbench.steering.intervention import Affine


@dataclass(frozen=True, kw_only=True)
class GaussianTransport(MapsEachSite):
    """Scale and shift of each channel from two moments."""

    def fit_site(self, site: Site, source: SourceSamples, target: TargetSamples) -> Affine:
        """The transport map between normal distributions of each channel."""
        return affine(site, gaussian_map(source, target))
