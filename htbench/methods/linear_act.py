r"""Linear-AcT: an affine optimal-transport map a channel, fitted site after site.

Each site is fitted on source activations that already went through the maps of the sites before it; targets come from the
unsteered model. Published code runs the data set again for every site; here sources and targets go through the model together and
the hook of each site fits its map on what arrives and applies it to the sources before they pass on: one run for all sites.

References:
    Rodriguez et al. Controlling Language and Diffusion Models by Transporting Activations. 2024. https://arxiv.org/abs/2410.23054
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from htbench import transport
from htbench.concept import Concept
from htbench.intervention import Affine
from htbench.method import PerConcept, fitting_images
from htbench.model import Model, select_sites
from htbench.types import Site


@dataclass(frozen=True, kw_only=True)
class LinearAct:
    """Sequential estimation in one pass."""

    samples: int = 32
    """Source images, and as many target images; all of them in one batch."""
    sites: tuple[str, ...] = ("*",)

    def fit(self, model: Model, concepts: Sequence[Concept], *, seed: int) -> PerConcept:
        return PerConcept(learn=partial(self._learn, model, seed))

    def load(self, model: Model, path: Path, *, seed: int) -> PerConcept:
        return self.fit(model, (), seed=seed)

    @torch.no_grad()
    def _learn(self, model: Model, seed: int, concept: Concept) -> Affine:
        (sources, source_seeds), (targets, target_seeds) = fitting_images(concept, self.samples, seed=seed)
        chosen = frozenset(select_sites(model, self.sites))
        scale: dict[Site, Tensor] = {}
        shift: dict[Site, Tensor] = {}

        def fit_and_pass_on(site: Site, z: Float[Tensor, "images positions channels"]) -> Float[Tensor, "images positions channels"]:
            if site not in chosen:
                return z
            pooled = z.float().mean(1)
            scale[site], shift[site] = transport.linear_map(pooled[: self.samples], pooled[self.samples :])
            moved = scale[site] * z[: self.samples] + shift[site]
            return torch.cat([moved.to(z.dtype), z[self.samples :]])

        model.trace([*sources, *targets], [*source_seeds, *target_seeds], fit_and_pass_on)
        return Affine(scale, shift)
