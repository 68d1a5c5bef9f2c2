"""Closed-form methods: a map fitted to samples of each site, site after site.

Fitting a site on sources that went through the maps of the sites before it is what keeps many sites from doing the same work many
times over. Published code runs all sources again for every site; here one run does for all sites (`fit_in_one_pass`).
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
"""From source and target samples of one site to what shall be done there."""


@dataclass(frozen=True, kw_only=True)
class FitsEachSite(FitsEachConcept):
    """A method that says how one site is fitted: all the rest follows."""

    samples: int = 32
    """Source images, and as many target images."""
    blocks: int = 0
    """0: all images in one batch, and every site is fitted as they pass. Else sites are fitted in so many blocks, a run of all images a
    block, sites of one block without each other's maps: 1 fits all at once, as many as there are sites one after the other."""
    batch: int = 32
    """Images at a time where there are blocks."""
    sites: tuple[str, ...] = ("*",)

    @abstractmethod
    def fit_site(
        self, site: Site, source: transport.SourceSamples, target: transport.TargetSamples
    ) -> Intervention:
        """What shall be done at `site`."""

    def pool(
        self, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "samples channels"]:
        """What is learnt from at a site: means over positions, unless a method wants more."""
        return mean_pool(z)

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
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
    """What is done at all sites, each fitted on sources that already went through the sites before it; targets are not steered.

    Sources and targets go through the model in one batch; the hook of each site fits what arrives, and changes the sources before they
    pass on. The steps of a few-step model share what the first one fitted: a later step sees sources that are steered already.
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
    """The same, `batch` images at a time: sites of one block see sources that went through the blocks before it.

    A block a site is the published procedure, as exact as one run and as slow as there are sites. Steps of a few-step model are pooled.
    """
    with torch.no_grad(), phase("extract"):
        aims = activations(model, *target, batch=batch, pool=pool)
        parts: dict[Site, AnyIntervention] = {}
        width = -(-len(sites) // min(blocks, len(sites)))
        for start in range(0, len(sites), width):
            arriving = activations(
                model, *source, change=_apply_parts(parts), batch=batch, pool=pool
            )
            with phase("fit"):
                parts |= {
                    site: fit(site, arriving[site], aims[site])
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
    """About `count` positions of each image, evenly spread, as samples of their own."""
    return (
        z[:, :: max(1, z.shape[1] // count)]
        .flatten(0, 1)
        .to(torch.promote_types(z.dtype, torch.float32))
    )
