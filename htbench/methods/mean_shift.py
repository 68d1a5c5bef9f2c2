"""Mean shift: adds the difference of mean activations with and without the concept (CAA, DiffMean; sequential, as in Mean-AcT).

`T(z) = z + m_b - m_a` a channel, means of activations pooled over positions. Each site's difference is taken with the shifts before it
in force: at many sites at once, differences of the unsteered model would add up to far more than the concept.

References:
    Rimsky et al. Steering Llama 2 via Contrastive Activation Addition. 2024. https://arxiv.org/abs/2312.06681
    Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024. https://arxiv.org/abs/2410.23054
"""

from dataclasses import dataclass

from htbench.core.types import Site
from htbench.steering.fitting.closed_form import FitsEachSite, affine
from htbench.steering.fitting.transport import SourceSamples, TargetSamples, mean_map
from htbench.steering.intervention import Affine


@dataclass(frozen=True, kw_only=True)
class MeanShift(FitsEachSite):
    """Shifts without scaling."""

    def fit_site(self, site: Site, source: SourceSamples, target: TargetSamples) -> Affine:
        return affine(site, mean_map(source, target))
