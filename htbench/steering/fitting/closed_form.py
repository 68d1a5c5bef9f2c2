"""Closed-form methods: a map fitted to samples of each site, site after site.

Each site is fitted on sources that went through the maps of the sites before it; otherwise every
site would make the whole change again. Published code runs all sources again for every site; here
one run is enough for all sites (`fit_in_one_pass`).
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.core.phase import phase
from htbench.core.types import Site
from htbench.steering.algebra import join
from htbench.steering.concept import Concept
from htbench.steering.fitting import transport
from htbench.steering.hooks import Pooling, activations, mean_pool
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.method import FitsEachConcept, PromptsAndSeeds, fitting_images
from htbench.steering.model import Model, Tap, select_sites

AnyIntervention = TypeVar("AnyIntervention", bound=Intervention)
SiteFit = Callable[[Site, transport.SourceSamples, transport.TargetSamples], AnyIntervention]
"""From the source and target samples of one site to the intervention there."""


@dataclass(frozen=True, kw_only=True)
class FitsEachSite(FitsEachConcept):
    """A method in closed form: a subclass implements `fit_site`, the fit of one site."""

    samples: int = 32
    """Number of source images, and of target images."""
    blocks: int = 0
    """Number of blocks that sites are fitted in, with one run of all source images per block; the
    sites of a block do not see each other's maps. 1 fits all sites at once, the number of sites one
    after the other. 0: all images in one batch, with every site fitted as they pass through it."""
    batch: int = 32
    """Images at a time; used only with `blocks`."""
    sites: tuple[str, ...] = ("*",)
    """Glob patterns of sites, as `select_sites` takes them."""

    @abstractmethod
    def fit_site(
        self, site: Site, source: transport.SourceSamples, target: transport.TargetSamples
    ) -> Intervention:
        """The intervention at `site` that moves the source samples to the target samples."""

    def pool(
        self, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "samples channels"]:
        """The samples that a site is fitted on: means over positions, unless overridden."""
        return mean_pool(z)

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        """Fit the selected sites to `samples` source and target images of the concept."""
        source, target = fitting_images(concept, self.samples, seed=seed)
        sites = select_sites(model, self.sites)
        if self.blocks == 0:
            return fit_in_one_pass(
                model, source, target, self.fit_site, sites=sites, pool=self.pool
            )
        return fit_in_blocks(
            model,
            source,
            target,
            self.fit_site,
            sites=sites,
            blocks=self.blocks,
            batch=self.batch,
            pool=self.pool,
        )


def fit_in_one_pass(
    model: Model,
    source: PromptsAndSeeds,
    target: PromptsAndSeeds,
    fit: SiteFit[AnyIntervention],
    *,
    sites: tuple[Site, ...],
    pool: Pooling = mean_pool,
) -> AnyIntervention:
    """The intervention at all sites, each fitted on sources steered at the sites before it.

    Sources and targets go through the model in one batch. The hook of each site fits its samples,
    and steers the sources before they pass on; targets are not steered. In a few-step model the
    first step fits the maps, and later steps apply them.
    """
    parts: dict[Site, AnyIntervention] = {}
    count = len(source[0])

    def fit_and_pass_on(
        site: Site, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "images positions channels"]:
        if site not in sites:
            return z
        if site not in parts:
            with phase("fit"):
                parts[site] = fit(site, pool(z[:count]), pool(z[count:]))
        return torch.cat([parts[site].apply(site, z[:count], strength=1.0), z[count:]])

    with torch.no_grad(), phase("extract"):
        model.trace([*source[0], *target[0]], [*source[1], *target[1]], fit_and_pass_on)
    return join([parts[site] for site in sites])


def fit_in_blocks(
    model: Model,
    source: PromptsAndSeeds,
    target: PromptsAndSeeds,
    fit: SiteFit[AnyIntervention],
    *,
    sites: tuple[Site, ...],
    blocks: int,
    batch: int = 32,
    pool: Pooling = mean_pool,
) -> AnyIntervention:
    """The intervention at all sites, fitted in `blocks` runs on sources steered in earlier blocks.

    Images run `batch` at a time. One site per block is the published procedure, as exact as
    `fit_in_one_pass` and slower by the number of sites. The steps of a few-step model are pooled.
    """
    with torch.no_grad(), phase("extract"):
        targets = activations(model, *target, batch=batch, pool=pool)
        parts: dict[Site, AnyIntervention] = {}
        width = -(-len(sites) // min(blocks, len(sites)))
        for start in range(0, len(sites), width):
            change = _apply_parts(parts)
            sources = activations(model, *source, change=change, batch=batch, pool=pool)
            with phase("fit"):
                parts |= {
                    site: fit(site, sources[site], targets[site])
                    for site in sites[start : start + width]
                }
    return join([parts[site] for site in sites])


def affine(site: Site, maps: transport.AffineMap) -> Affine:
    """The scale and shift of one site as an intervention."""
    return Affine({site: maps[0]}, {site: maps[1]})


def _apply_parts(parts: dict[Site, AnyIntervention]) -> Tap:
    return lambda site, z: parts[site].apply(site, z, strength=1.0) if site in parts else z


def sample_positions(
    z: Float[Tensor, "images positions channels"], count: int
) -> Float[Tensor, "samples channels"]:
    """About `count` evenly spaced positions of each image, each a sample of its own."""
    return (
        z[:, :: max(1, z.shape[1] // count)]
        .flatten(0, 1)
        .to(torch.promote_types(z.dtype, torch.float32))
    )
