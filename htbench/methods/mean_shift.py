"""Mean shift: adds the difference of mean activations with and without the concept.

It is known as CAA or DiffMean. `T(z) = z + m_b - m_a` per channel, with means of activations pooled
over positions. Each site's difference is measured with the shifts of earlier sites in force: those
of the unsteered model would, at many sites, add up to far more than the concept. Where they are in
force on targets as well (`targets = "mapped"`), it is Mean-AcT.

References:
    Rimsky et al. Steering Llama 2 via Contrastive Activation Addition. 2024.
    https://arxiv.org/abs/2312.06681
    Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024.
    https://arxiv.org/abs/2410.23054
"""

from dataclasses import dataclass

from htbench.core.types import Site
from htbench.steering.fitting.closed_form import FitsEachSite, affine
from htbench.steering.fitting.transport import SourceSamples, TargetSamples, mean_map
from htbench.steering.intervention import Affine


@dataclass(frozen=True, kw_only=True)
class MeanShift(FitsEachSite):
    """A shift of each channel without scaling."""

    def fit_site(self, site: Site, source: SourceSamples, target: TargetSamples) -> Affine:
        """The shift by the difference of means."""
        return affine(site, mean_map(source, target))
