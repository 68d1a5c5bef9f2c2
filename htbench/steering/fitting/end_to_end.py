r"""End-to-end training of affine maps of all sites together, on an optimal-transport loss.

The loss is a sum over sites of means over channels of squared 1-D 2-Wasserstein distances. They are
between pooled activations of source prompts, with all maps active in the frozen generator, and of
target prompts in the unsteered model, which are computed once. `Objective` adds what may be added
to it, for LinEAS, warm starts and HyperTransport alike.

References:
    Rodriguez et al. LinEAS: End-to-end Learning of Activation Steering with a Distributional Loss.
    2025. https://arxiv.org/abs/2503.10679
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Annotated, Literal, cast

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad

from htbench.core.device import autocast_bfloat16, send
from htbench.core.errors import UsageError
from htbench.core.phase import phase
from htbench.steering.concept import Concept
from htbench.steering.fitting import transport
from htbench.steering.fitting.steered_means import (
    arriving_means,
    one_over,
    steer_means,
    unsteered_means,
)
from htbench.steering.hooks import BATCH
from htbench.steering.intervention import Affine
from htbench.steering.layout import Layout
from htbench.steering.method import PromptsAndSeeds, fitting_images
from htbench.steering.model import Model, select_sites
from htbench.steering.spatial import Spatial, from_flat

Share = Annotated[float, Field(ge=0, lt=1)]
Samples = Float[Tensor, "*batch samples channels"]
"""Pooled activations of all sites, in the order of a layout."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Target activations, as distances to a known number of steered samples need them."""

    samples: Float[Tensor, "*batch samples channels"]
    """In ascending order at each channel; as many as the steered ones. See `transport.Matched`."""
    rest: Float[Tensor, "*batch"]
    """The part of the distance that no steering changes."""

    @classmethod
    def of(cls, values: Samples, layout: Layout, *, samples: int) -> "Targets":
        """Target activations `values`, for distances to `samples` steered samples."""
        matched = transport.match(values, samples)
        shares = one_over(layout.widths, layout, values)
        return cls(samples=matched.samples, rest=(matched.rest * shares).sum(-1))

    @classmethod
    def stack(cls, several: Sequence["Targets"]) -> "Targets":
        """Targets with a row for each of `several`."""
        return cls(
            samples=torch.stack([each.samples for each in several]),
            rest=torch.stack([each.rest for each in several]),
        )


def distance(steered: Samples, targets: Targets, layout: Layout) -> Float[Tensor, "*batch"]:
    """LinEAS' distance of pooled activations to targets, at least 0; leading axes are batches."""
    gaps = steered.sort(-2).values - targets.samples
    shares = one_over(layout.widths, layout, gaps)
    return (gaps.square().mean(-2) * shares).sum(-1) + targets.rest


@cache
def shrinkage(samples: int, others: int) -> float:
    """The scale of `samples` values at which their expected distance to `others` is least.

    Both are of one normal distribution, so that 1 would be right; it is 0 for one sample, and rises
    to 1. A distance is quadratic in the scale, and least at the mean product of coupled values
    over the variance, which expected order statistics give. With 32 others it is 0.68 for 4
    samples, 0.82 for 8 and 0.89 for 16.
    """
    x, y = (_normal_order_statistics(count)[:, None] for count in (samples, others))
    products = x.square().mean() + y.square().mean() - transport.wasserstein(x, y)
    return float(products / 2)


def _normal_order_statistics(count: int) -> Float[Tensor, " count"]:
    """Expected values of `count` sorted samples of the standard normal distribution."""
    x = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    rank = torch.arange(count, dtype=torch.float64)[:, None]
    choices = math.lgamma(count + 1) - torch.lgamma(rank + 1) - torch.lgamma(count - rank)
    tails = rank * torch.special.log_ndtr(x) + (count - 1 - rank) * torch.special.log_ndtr(-x)
    density = (choices + tails - x.square() / 2).exp() / math.sqrt(2 * math.pi)
    return torch.trapezoid(density * x, x)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Settings of the loss, the same for all methods that learn end to end."""

    ridge: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the mean squares of `w - 1`, summed over sites: without it, scales below 1 at many
    sites in a row wash images out."""
    relative: bool = False
    """Divide a concept's distance by that without steering, so that `ridge` weighs as much for
    large changes, such as of a background, as for small ones, such as a companion."""
    unshrunk: bool = False
    """Correct that distances of few samples are least for maps that narrow a distribution: targets
    are spread around their means by one over `shrinkage`, which is exact for normal ones."""

    def losses(
        self,
        steered: Float[Tensor, "concepts samples channels"],
        targets: Targets,
        maps: Float[Tensor, "concepts numbers channels"],
        layout: Layout,
        *,
        unsteered: Float[Tensor, " concepts"] | float = 1.0,
    ) -> Float[Tensor, " concepts"]:
        """The distance and the penalty of each concept, at least 0.

        Args:
            steered: pooled activations of source prompts, after the maps.
            targets: those of target prompts, a row per concept or one for all.
            maps: scales and shifts.
            layout: the sites of all of them.
            unsteered: distances that those of the concepts are divided by.
        """
        distances = distance(steered, targets, layout) / unsteered
        if not self.ridge:
            return distances
        squares = (maps[:, 0] - 1).square()
        return distances + self.ridge * (squares * one_over(layout.widths, layout, squares)).sum(-1)

    def spread(self, targets: Samples, *, samples: int, others: int | None = None) -> Samples:
        """`targets` as a step compares `samples` steered ones with `others` of them; None: all."""
        if not self.unshrunk:
            return targets
        if samples < 2:
            raise UsageError(
                "unshrunk needs at least 2 steered images a step, not 1",
                remedy="Raise the number of images a step, or set unshrunk = false.",
            )
        mean = targets.mean(-2, keepdim=True)
        return mean + (targets - mean) / shrinkage(samples, others or targets.shape[-2])


@dataclass(frozen=True, kw_only=True)
class EndToEnd(Objective):
    """Settings of the gradient descent on the maps of one concept."""

    steps: int = 60
    batch: int = 16
    """Source images per step, drawn from `samples`."""
    rate: float = 0.05
    """Adam's learning rate."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay of Adam's running means of gradients and of their squares."""
    decay: Literal["cosine", "none"] = "cosine"
    """Schedule of the learning rate; `cosine` falls along half a cosine."""
    rate_floor: Share = 0.0
    """Share of `rate` at which the cosine ends."""
    samples: int = 32
    """Number of source images, and of target images."""
    fresh: bool = False
    """Draw new source images at each step, as HyperTransport does, instead of from `samples`."""
    subsample: bool = False
    """Compare a step's source images with as many random target images, others at each site and
    step, as published code does; it is biased. Otherwise with all, by the exact coupling."""
    sparsity: float = 0.0
    r"""Weight `g` of the sparse group lasso, by a proximal step after each step; 0: none.

    It is `g (|w-1|_1 + |b|_1 + sqrt(d) (|w-1|_2 + |b|_2))` for the scales `w` and shifts `b` of the
    `d` channels of a site, summed over sites."""
    patience: int = 0
    """Steps without a new lowest smoothed loss after which the descent stops; 0: never."""
    at_once: int = 0
    """Images with gradients in memory at once; 0: all. Fewer need less memory, and one more forward
    pass without gradients of all images but as many, and give the same gradient."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the generator's matrix products; maps and loss are in float32.

    A processor without instructions for bfloat16 uses float32 instead.
    """
    sites: tuple[str, ...] = ("*",)
    """Glob patterns of sites, as `select_sites` takes them."""

    def arrange(
        self, model: Model, concepts: Sequence[Concept], layout: Layout, *, seed: int
    ) -> Layout:
        """The layout of the maps for `concepts`, of the sites and channels of `layout`.

        Here it is that; a method whose maps have shifts per position overrides this.
        """
        return layout

    def optimise(
        self, model: Model, concept: Concept, *, start: Affine | None, seed: int
    ) -> Affine | Spatial:
        """Fit maps that lower the loss, from `start` on, or from the identity if it is None.

        Sites are those that `sites` selects and all of `start`.
        """
        return self.optimise_many(model, [concept], starts=[start], seed=seed)[0]

    def optimise_many(
        self,
        model: Model,
        concepts: Sequence[Concept],
        *,
        starts: Sequence[Affine | None],
        seed: int,
    ) -> list[Affine | Spatial]:
        """Fit maps for several concepts side by side, the images of their steps in one batch.

        A small batch leaves a processor idle, and on a GPU the time of a step is that of launching
        its operators, so a step for several concepts takes less time than a step of each. Nothing
        couples the concepts: each has its own images, random numbers, targets, loss and maps, of
        which Adam treats every number by itself. Each gets the maps that it gets alone, but for
        rounding. One whose loss has stopped falling (`patience`) is left out of later steps.

        A step needs memory for the images of all concepts, unless `at_once` limits them.

        Args:
            model: the generator.
            concepts: at least one.
            starts: first maps of each concept; None: the identity.
            seed: with the settings, the model and the concept it determines a concept's map.
        """
        sites = {
            *select_sites(model, self.sites),
            *(site for on in starts if on for site in on.sites),
        }
        layout = Layout.of(
            {site: info.channels for site, info in model.sites.items() if site in sites}
        )
        layout = self.arrange(model, concepts, layout, seed=seed)
        rows = [self._row(model, concept, layout, seed=seed) for concept in concepts]
        first = [(start or Affine({}, {})).over(layout).detach() for start in starts]
        maps = torch.stack([each.to(model.device, torch.float32) for each in first])
        maps = pad(maps, (0, 0, 0, len(layout.identity) - 2))
        maps.requires_grad_()
        optimiser = torch.optim.Adam([maps], self.rate, self.betas, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimiser, self.steps, eta_min=self.rate * self.rate_floor
        )
        active, results = list(range(len(rows))), dict[int, Tensor]()
        stacked = list[int]()
        with phase("fit"):
            for _ in range(self.steps):
                steps = [next(rows[k].steps) for k in active]
                if self.subsample or stacked != active:
                    stacked = [*active]
                    targets = Targets.stack([own for _, own in steps])
                    unsteered = torch.stack([rows[k].unsteered for k in active])
                images = _concatenate([own for own, _ in steps])
                # A concept that has stopped is moved by its momentum, and has its result already.
                part = maps if len(active) == len(maps) else maps.detach()[active].requires_grad_()
                optimiser.zero_grad()
                losses = self.backward(model, images, targets, part, layout, unsteered=unsteered)
                if part is not maps:
                    maps.grad = torch.zeros_like(maps)
                    maps.grad[active] = cast(Tensor, part.grad)
                optimiser.step()
                if self.sparsity:
                    proximal_step(maps, layout, self.sparsity * optimiser.param_groups[0]["lr"])
                if self.decay == "cosine":
                    schedule.step()
                # To read a loss is to wait for the device.
                for k, loss in (
                    zip([*active], losses.tolist(), strict=True) if self.patience else ()
                ):
                    if rows[k].plateau.should_stop(loss):
                        results[k] = maps.detach()[k].clone()
                        active.remove(k)
                if not active:
                    break
        # copies, so that no map keeps the others in memory or in its pickle
        final = [results.get(k, own).clone() for k, own in enumerate(maps.detach())]
        return [from_flat(own, layout) for own in final]

    def _row(self, model: Model, concept: Concept, layout: Layout, *, seed: int) -> "_Row":
        """The part of a descent that is of one concept alone."""
        sources, targets = fitting_images(concept, self.samples, seed=seed)
        with phase("extract"):
            target_means = unsteered_means(model, targets, layout)
            unsteered = target_means.new_ones(())
            if self.relative:
                plain = unsteered_means(model, sources, layout)
                whole = Targets.of(target_means, layout, samples=len(plain))
                unsteered = distance(plain, whole, layout)
        return _Row(
            steps=self._steps(model, concept, sources, target_means, layout, seed=seed),
            unsteered=unsteered,
            plateau=EarlyStopping(self.patience),
        )

    def _steps(
        self,
        model: Model,
        concept: Concept,
        sources: PromptsAndSeeds,
        target_means: Float[Tensor, "samples channels"],
        layout: Layout,
        *,
        seed: int,
    ) -> Iterator[tuple[PromptsAndSeeds, Targets]]:
        """Source images and targets of each step."""
        images = self.batch if self.fresh else min(self.batch, self.samples)
        # A few-step model gives several samples per image.
        count = images * len(target_means) // self.samples
        spread = self.spread(target_means, samples=count, others=count if self.subsample else None)
        targets = Targets.of(spread, layout, samples=count)
        random = torch.Generator().manual_seed(seed)
        for step in range(self.steps):
            if self.fresh:
                drawn = fitting_images(concept, images, seed=seed, number=1 + step)[0]
            else:
                rows = torch.randperm(self.samples, generator=random)[:images].tolist()
                drawn = [sources[0][k] for k in rows], [sources[1][k] for k in rows]
            if self.subsample:
                # one draw per site of the model, whether or not it is learnt
                chosen = {
                    site: torch.randperm(len(spread), generator=random)[:count]
                    for site in model.sites
                }
                index = torch.stack([chosen[site] for site in layout.sites], 1)
                widths = send(torch.tensor(layout.widths), spread.device)
                by_channel = send(index, spread.device).repeat_interleave(
                    widths, 1, output_size=layout.channels
                )
                by_channel = by_channel.repeat(1, spread.shape[1] // layout.channels)
                targets = Targets.of(spread.gather(0, by_channel), layout, samples=count)
            yield drawn, targets

    def backward(
        self,
        model: Model,
        images: PromptsAndSeeds,
        targets: Targets,
        maps: Float[Tensor, "concepts numbers channels"],
        layout: Layout,
        *,
        unsteered: Float[Tensor, " concepts"] | float = 1.0,
    ) -> Float[Tensor, " concepts"]:
        """The loss of each concept; adds the gradient of their sum to that of `maps`.

        Nothing in it waits for the device. Means are small, unlike the activations of the whole
        generator. With `at_once` the means of all images but the last `at_once` are computed
        without gradients. The loss is differentiated with respect to them, and that gradient is
        propagated through the generator for so many images at a time.

        Args:
            model: the generator.
            images: source images, as many for each concept, concept after concept.
            targets: as `Targets.of` gives them, a row per concept or one for all.
            maps: scales and shifts that require gradients.
            layout: the sites of `maps` and `targets`.
            unsteered: distances that those of the concepts are divided by.
        """
        count, concepts = len(images[0]), len(maps)
        parts = self.at_once or count
        first = max(0, count - parts)

        def arriving(start: int, stop: int, *, with_values: bool = True) -> Tensor:
            own = images[0][start:stop], images[1][start:stop]
            rows = maps
            if concepts > 1:
                rows = maps.repeat_interleave(count // concepts, 0)[start:stop]
            with autocast_bfloat16(model.device, enabled=self.precision == "bfloat16"):
                return arriving_means(model, own, rows, layout, with_values=with_values)

        with torch.no_grad():
            # As many at a time as target images, which have no gradients either.
            batches = [
                arriving(start, min(start + BATCH, first)) for start in range(0, first, BATCH)
            ]
        with torch.enable_grad():
            last = arriving(first, count)
            early = torch.cat([last[:0].detach(), *batches]).requires_grad_()
            arrived = torch.cat([early, last]).view(concepts, -1, layout.channels)
            steered = steer_means(arrived, maps)
            losses = self.losses(steered, targets, maps, layout, unsteered=unsteered)
            losses.sum().backward()  # type: ignore[no-untyped-call]
            for start in range(0, first, parts):
                stop = min(start + parts, first)
                again = arriving(start, stop, with_values=False)
                of_again = cast(Tensor, early.grad)[start:stop]
                again.backward(of_again)  # type: ignore[no-untyped-call]
        return losses.detach()


class EarlyStopping:
    """Detects that a loss, smoothed over about ten steps, has no new minimum for `patience` steps.

    With a `patience` of 0 it never stops.
    """

    def __init__(self, patience: int) -> None:
        self.patience, self.smooth, self.lowest, self.since = patience, 0.0, float("inf"), 0
        self._weight = 0.0

    def should_stop(self, loss: float) -> bool:
        """Record the next loss; true if the training should stop."""
        self.smooth, self._weight = 0.9 * self.smooth + 0.1 * loss, 0.9 * self._weight + 0.1
        mean = self.smooth / self._weight
        self.lowest, self.since = (mean, 0) if mean < self.lowest else (self.lowest, self.since + 1)
        return 0 < self.patience <= self.since


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One of the concepts of a descent."""

    steps: Iterator[tuple[PromptsAndSeeds, Targets]]
    unsteered: Float[Tensor, ""]
    """The distance without steering, or 1 where distances are not relative to it."""
    plateau: EarlyStopping


def _concatenate(images: Sequence[PromptsAndSeeds]) -> PromptsAndSeeds:
    """The images of several lists, one list after the other."""
    prompts, seeds = zip(*images, strict=True)
    return [*chain.from_iterable(prompts)], [*chain.from_iterable(seeds)]


@torch.no_grad()
def proximal_step(
    maps: Float[Tensor, "*concepts numbers channels"], layout: Layout, amount: float
) -> None:
    """Take the proximal step of the sparse group lasso, in place.

    Each channel moves towards the identity (scale 1, shift 0) by `amount`, then each site's vector
    of scales and each of shifts as a whole by `amount` times the square root of its channels.

    References:
        Simon et al. A Sparse-Group Lasso. 2013. https://doi.org/10.1080/10618600.2012.681250
    """
    scales, *shifts = maps.unbind(-2)
    offset = torch.stack([scales - 1, *shifts], -2)
    soft = offset.sign() * (offset.abs() - amount).clamp_min(0)
    widths = send(torch.tensor(layout.widths), maps.device)
    rows = soft.flatten(0, -2)
    lengths = widths.expand(len(rows), -1).contiguous()
    norms = torch.segment_reduce(rows.square(), "sum", lengths=lengths, axis=1, unsafe=True).sqrt()
    norms = norms.clamp_min(torch.finfo(maps.dtype).tiny)
    kept = (1 - amount * widths.sqrt() / norms).clamp_min(0)
    kept = kept.repeat_interleave(widths, 1, output_size=layout.channels)
    moved = kept.view_as(soft) * soft
    scales.copy_(1 + moved[..., 0, :])
    for k, own in enumerate(shifts, 1):
        own.copy_(moved[..., k, :])
