"""Closed-form methods: a map fitted to samples of each site, site after site.

Each site is fitted on sources that went through the maps of the sites before it; otherwise every
site would make the whole change again. Published code runs all images again for every site; for a
model of one step, one run is enough for all sites (`fit_in_one_pass`).

In a model of several steps a site has one map for all of them, fitted to the samples of all steps
together. Published code (ml-act, commit d2c3560, `PostprocessAndSaveHook`) ends a run where the
site first fires, and so fits the first step alone.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.core import threads
from htbench.core.errors import NotFinite
from htbench.core.phase import phase
from htbench.core.types import Site, SiteInfo
from htbench.steering.algebra import join
from htbench.steering.concept import Concept
from htbench.steering.fitting import transport
from htbench.steering.fitting.gates import CanBeGated, fit_gated
from htbench.steering.hooks import Pooling, activations, mean_pool
from htbench.steering.intervention import Affine, Intervention, OnMeans
from htbench.steering.method import FitsEachConcept, PromptsAndSeeds, fitting_images
from htbench.steering.model import Model, Tap, select_sites

AnyIntervention = TypeVar("AnyIntervention", bound=Intervention)
SiteFit = Callable[[Site, transport.SourceSamples, transport.TargetSamples], AnyIntervention]
"""From the source and target samples of one site to the intervention there."""
Targets = Literal["plain", "mapped"]
"""`plain`: target samples are those of the unsteered model. `mapped`: targets, like sources, pass
through the maps of earlier sites first."""


@dataclass(frozen=True, kw_only=True)
class FitsEachSite(CanBeGated, FitsEachConcept):
    """A method in closed form: a subclass implements `fit_site`, the fit of one site."""

    samples: int = 32
    """Number of source images, and of target images."""
    blocks: int = 0
    """Number of blocks that sites are fitted in, with one run of all source images per block; the
    sites of a block do not see each other's maps. 1 fits all sites at once, the number of sites one
    after the other. 0: all images in one batch, with every site fitted as they pass through it."""
    batch: int = 32
    """Images at a time; used only with `blocks`."""
    targets: Targets = "plain"
    """Treatment of targets: they go through the maps of earlier sites as sources do (`mapped`,
    Definition 3.2 of Rodriguez et al., https://arxiv.org/abs/2410.23054), or are not steered
    (`plain`)."""

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
        if self.gate != "none":
            ungated = partial(type(self).fit, model=model, concept=concept, seed=seed)
            return fit_gated(self, ungated, model, concept, seed=seed)
        source, target = fitting_images(concept, self.samples, seed=seed)
        sites = select_sites(model, self.sites)

        def fit(site: Site, a: transport.SourceSamples, b: transport.TargetSamples) -> Intervention:
            return self.place(self.fit_site(site, a, b), model.sites[site])

        if self.blocks == 0:
            return fit_in_one_pass(
                model, source, target, fit, sites=sites, targets=self.targets, pool=self.pool
            )
        return fit_in_blocks(
            model,
            source,
            target,
            fit,
            sites=sites,
            blocks=self.blocks,
            batch=self.batch,
            targets=self.targets,
            pool=self.pool,
        )

    def place(self, change: Intervention, info: SiteInfo) -> Intervention:
        """The intervention that applies the map `change` to the outputs of its site.

        It maps each position, unless overridden.
        """
        return change


@dataclass(frozen=True, kw_only=True)
class MapsEachSite(FitsEachSite):
    """A `FitsEachSite` whose maps scale: positions of an image and their mean change differently.

    Maps are fitted to means, which vary less than positions and around other values, so a scale
    that suits means may flatten the differences between positions.
    """

    apply: Literal["positions", "mean", "mean-of-maps"] = "positions"
    """`positions`: each position is mapped. `mean`: the mean over positions is mapped, and all
    positions are shifted by its change. `mean-of-maps`: the same at sites of feature maps, with
    axes (images, channels, rows, columns), while tokens are mapped one by one."""

    def place(self, change: Intervention, info: SiteInfo) -> Intervention:
        """The map `change` applied to positions or to means, as `apply` says."""
        if self.apply == "positions":
            return change
        is_mean = self.apply == "mean" or info.channel_axis == 1
        return OnMeans(change, sites=change.sites if is_mean else ())


def fit_in_one_pass(
    model: Model,
    source: PromptsAndSeeds,
    target: PromptsAndSeeds,
    fit: SiteFit[AnyIntervention],
    *,
    sites: tuple[Site, ...],
    targets: Targets = "plain",
    pool: Pooling = mean_pool,
) -> AnyIntervention:
    """The intervention at all sites, each fitted on sources steered at the sites before it.

    Sources and targets go through the model in one batch. The hook of each site fits its samples
    and steers the sources before they pass on, and the targets too if they are `mapped`. In a model
    of several steps the first step would be all that a map is fitted on: there it is done by
    `fit_in_blocks`, with one run per site.

    Raises:
        NotFinite: if a sample holds NaN or infinity, with its site.
    """
    parts: dict[Site, AnyIntervention] = {}
    count = len(source[0])
    steered = count if targets == "plain" else count + len(target[0])
    has_steps = False

    def fit_and_pass_on(
        site: Site, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "images positions channels"]:
        nonlocal has_steps
        if site not in sites:
            return z
        if site in parts:
            has_steps = True
            return z
        parts[site] = _fit_site(fit, site, pool(z[:count]), pool(z[count:]))
        return torch.cat([parts[site].apply(site, z[:steered], strength=1.0), z[steered:]])

    with torch.no_grad(), phase("extract"):
        model.trace([*source[0], *target[0]], [*source[1], *target[1]], fit_and_pass_on)
    if has_steps:
        return fit_in_blocks(
            model,
            source,
            target,
            fit,
            sites=sites,
            blocks=len(sites),
            batch=count,
            targets=targets,
            pool=pool,
        )
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
    targets: Targets = "plain",
    pool: Pooling = mean_pool,
) -> AnyIntervention:
    """The intervention at all sites, fitted in `blocks` runs on sources steered in earlier blocks.

    Images run `batch` at a time. With one site per block it equals `fit_in_one_pass`, and is slower
    by the number of sites; with `mapped` targets it is then the published procedure. The steps of a
    few-step model are pooled: each adds samples, as if it were further images.

    Raises:
        NotFinite: if a sample holds NaN or infinity, with its site.
    """
    with torch.no_grad(), phase("extract"):
        parts: dict[Site, AnyIntervention] = {}
        width = -(-len(sites) // min(blocks, len(sites)))
        for start in range(0, len(sites), width):
            change = _apply_parts(parts)
            before = activations(model, *source, change=change, batch=batch, pool=pool)
            if start == 0 or targets == "mapped":
                after = activations(model, *target, change=change, batch=batch, pool=pool)
            parts |= {
                site: _fit_site(fit, site, before[site], after[site])
                for site in sites[start : start + width]
            }
    return join([parts[site] for site in sites])


def _fit_site(
    fit: SiteFit[AnyIntervention],
    site: Site,
    source: transport.SourceSamples,
    target: transport.TargetSamples,
) -> AnyIntervention:
    for name, samples in (("source", source), ("target", target)):
        if bad := int((~samples.isfinite()).any(1).sum()):
            raise NotFinite(
                f"{bad} of {len(samples)} {name} samples of site {site!r} hold NaN or infinity",
                remedy="Load the model in a number format of wider range: bfloat16 or float32.",
            )
    # products of samples with each other and with channels
    work = (len(source) + len(target)) * (source.numel() + target.numel())
    with phase("fit"), threads.for_work(work, str(source.device)):
        return fit(site, source, target)


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
