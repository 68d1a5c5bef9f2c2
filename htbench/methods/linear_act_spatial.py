r"""Linear-AcT with a shift per position: a map that can say where.

The map of Linear-AcT, fitted to means over positions, leaves differences between the positions of
the mean images. With means :math:`m_a, m_b` over source and target images,

.. math:: D_p = m_b(p) - (w\,m_a(p) + b) \approx \sum_r u_{pr} v_r

by the first singular vectors of `D`. Sites are fitted in sequence, as Linear-AcT's are.

References:
    Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024.
    https://arxiv.org/abs/2410.23054 (the shift per position is ours)
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from htbench.core.types import Site
from htbench.steering.concept import Concept
from htbench.steering.fitting.closed_form import affine, fit_in_one_pass
from htbench.steering.fitting.transport import SourceSamples, TargetSamples, linear_map
from htbench.steering.intervention import Intervention
from htbench.steering.method import FitsEachConcept, fitting_images
from htbench.steering.model import Model, select_sites
from htbench.steering.spatial import Spatial


@dataclass(frozen=True, kw_only=True)
class LinearActSpatial(FitsEachConcept):
    """Maps in closed form, with all images in one batch."""

    samples: int = 32
    """Number of source images, and of target images."""
    rank: Annotated[int, Field(ge=1)] = 4
    """Patterns of positions per site; a site of fewer positions or channels has as many."""
    sites: tuple[str, ...] = ("*",)
    """Glob patterns of sites, as `select_sites` takes them."""

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        """Fit the selected sites to `samples` source and target images of the concept."""
        source, target = fitting_images(concept, self.samples, seed=seed)

        def fit_site(site: Site, a: SourceSamples, b: TargetSamples) -> Spatial:
            channels = model.sites[site].channels
            before, after = (each.view(len(each), -1, channels) for each in (a, b))
            return spatial_map(site, before, after, rank=self.rank)

        sites = select_sites(model, self.sites)
        return fit_in_one_pass(model, source, target, fit_site, sites=sites, pool=_all_positions)


def spatial_map(
    site: Site,
    source: Float[Tensor, "images positions channels"],
    target: Float[Tensor, "others positions channels"],
    *,
    rank: int,
) -> Spatial:
    """The linear map of the means over positions, and what it leaves at each, to a `rank`."""
    scale, shift = linear_map(source.mean(1), target.mean(1))
    left = target.double().mean(0) - (scale * source.double().mean(0) + shift)
    u, sizes, v = torch.linalg.svd(left, full_matrices=False)
    where, added = u[:, :rank] * sizes[:rank], v[:rank]
    return Spatial(
        affine(site, (scale, shift)), {site: where.float()}, {site: added.float().contiguous()}
    )


def _all_positions(
    z: Float[Tensor, "images positions channels"],
) -> Float[Tensor, "images positions_and_channels"]:
    """An image as one sample, with all of its positions behind each other."""
    return z.flatten(1).to(torch.promote_types(z.dtype, torch.float32))
