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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal, cast

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from htbench.core.device import autocast_bfloat16
from htbench.core.errors import UsageError
from htbench.core.phase import phase
from htbench.core.types import Site
from htbench.steering.concept import Concept
from htbench.steering.fitting import transport
from htbench.steering.hooks import activations
from htbench.steering.intervention import Affine
from htbench.steering.layout import Layout
from htbench.steering.method import PromptsAndSeeds, fitting_images
from htbench.steering.model import Model, Tap, select_sites

Share = Annotated[float, Field(ge=0, lt=1)]
PooledActivations = Mapping[Site, Float[Tensor, "*batch samples channels"]]


def affine_tap(scale: Mapping[Site, Tensor], shift: Mapping[Site, Tensor]) -> Tap:
    """The differentiable tap `scale * z + shift`, calculated in float32 or wider.

    Scale and shift of a site are of shape (channels), or (images, channels) with a row per image.
    """

    def tap(
        site: Site, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "images positions channels"]:
        if site not in scale:
            return z
        wide = z.to(torch.promote_types(z.dtype, torch.float32))
        gain, offset = (
            part if part.ndim == 1 else part[:, None] for part in (scale[site], shift[site])
        )
        return torch.addcmul(offset, gain, wide).to(z.dtype)

    return tap


def distance(
    steered: PooledActivations, targets: PooledActivations, sites: Sequence[Site]
) -> Float[Tensor, "*batch"]:
    """LinEAS' loss between pooled activations, at least 0; leading axes are batches."""
    # One sort of all channels is faster than one per site.
    x, y = (torch.cat([samples[site] for site in sites], -1) for samples in (steered, targets))
    costs = transport.wasserstein(x, y)
    return (costs * _shares([steered[site].shape[-1] for site in sites], costs)).sum(-1)


def _shares(widths: Sequence[int], like: Tensor) -> Float[Tensor, " channels"]:
    """A weight per channel of several sites, with which a sum is one of means over channels."""
    counts = torch.tensor(widths, device=like.device)
    return (1 / counts.to(like.dtype)).repeat_interleave(counts, output_size=sum(widths))


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

    def loss(
        self,
        steered: PooledActivations,
        targets: PooledActivations,
        gains: Mapping[Site, Float[Tensor, "*batch channels"]],
        *,
        unsteered: Float[Tensor, "*batch"] | float = 1.0,
    ) -> Float[Tensor, ""]:
        """The mean over concepts of their distances, and the penalty; at least 0.

        Args:
            steered: pooled activations of source prompts; leading axes, if any, are concepts.
            targets: those of target prompts, as `spread` gives them.
            gains: `w - 1` of each site's map; its sites are those of the loss.
            unsteered: distances that those of the concepts are divided by.
        """
        mean = (distance(steered, targets, tuple(gains)) / unsteered).mean()
        if not self.ridge:
            return mean
        squares = torch.cat([*gains.values()], -1).square()
        shares = _shares([gain.shape[-1] for gain in gains.values()], squares)
        penalty = (squares * shares).sum(-1).mean()
        return mean + self.ridge * penalty

    def spread(
        self, targets: PooledActivations, *, samples: int, others: int | None = None
    ) -> dict[Site, Float[Tensor, "*batch samples channels"]]:
        """`targets` as a step compares `samples` steered ones with `others` of them; None: all."""
        if not self.unshrunk:
            return dict(targets)
        if samples < 2:
            raise UsageError(
                "unshrunk needs at least 2 steered images a step, not 1",
                remedy="Raise the number of images a step, or set unshrunk = false.",
            )

        def widen(values: Tensor) -> Tensor:
            mean = values.mean(-2, keepdim=True)
            return mean + (values - mean) / shrinkage(samples, others or values.shape[-2])

        return {site: widen(values) for site, values in targets.items()}


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
    """Images with gradients in memory at once; 0: all. Fewer need less memory and one more forward
    pass, and give the same gradient."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the generator's matrix products; maps and loss are in float32.

    A processor without instructions for bfloat16 uses float32 instead.
    """
    sites: tuple[str, ...] = ("*",)
    """Glob patterns of sites, as `select_sites` takes them."""

    def optimise(
        self, model: Model, concept: Concept, *, start: Affine | None, seed: int
    ) -> Affine:
        """Fit maps that lower the loss, from `start` on, or from the identity if it is None.

        Sites are those that `sites` selects and all of `start`.
        """
        sources, targets = fitting_images(concept, self.samples, seed=seed)
        selected = {*select_sites(model, self.sites), *(start.sites if start else ())}
        sites = [site for site in model.sites if site in selected]
        with torch.no_grad(), phase("extract"):
            target_activations = activations(model, *targets)
            unsteered = (
                float(distance(activations(model, *sources), target_activations, sites))
                if self.relative
                else 1.0
            )
        layout = Layout.of({site: model.sites[site].channels for site in sites})
        maps = (start or Affine({}, {})).over(layout).detach()
        maps = maps.to(model.device, torch.float32, copy=True).requires_grad_()
        optimiser = torch.optim.Adam([maps], self.rate, self.betas)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimiser, self.steps, eta_min=self.rate * self.rate_floor
        )
        plateau = EarlyStopping(self.patience)
        steps = self._steps(concept, sources, target_activations, seed=seed)
        with phase("fit"):
            for images, step_targets in steps:
                optimiser.zero_grad()
                scale, shift = map(layout.split, maps)
                loss = self.backward(model, images, step_targets, scale, shift, unsteered=unsteered)
                optimiser.step()
                if self.sparsity:
                    amount = self.sparsity * optimiser.param_groups[0]["lr"]
                    scale, shift = map(layout.split, maps.detach())
                    proximal_step([*scale.values()], [*shift.values()], amount)
                if self.decay == "cosine":
                    schedule.step()
                if plateau.should_stop(loss):
                    break
        return Affine.from_flat(maps.detach(), layout)

    def _steps(
        self, concept: Concept, sources: PromptsAndSeeds, targets: PooledActivations, *, seed: int
    ) -> Iterator[tuple[PromptsAndSeeds, PooledActivations]]:
        """Source images and target activations of each step."""
        images = self.batch if self.fresh else min(self.batch, self.samples)
        # A few-step model gives several samples per image.
        count = images * len(next(iter(targets.values()))) // self.samples
        spread = self.spread(targets, samples=count, others=count if self.subsample else None)
        random = torch.Generator().manual_seed(seed)
        for step in range(self.steps):
            if self.fresh:
                drawn = fitting_images(concept, images, seed=seed, number=1 + step)[0]
            else:
                rows = torch.randperm(self.samples, generator=random)[:images].tolist()
                drawn = [sources[0][k] for k in rows], [sources[1][k] for k in rows]
            yield (
                drawn,
                {
                    site: values[torch.randperm(len(values), generator=random)[:count]]
                    for site, values in spread.items()
                }
                if self.subsample
                else spread,
            )

    def backward(
        self,
        model: Model,
        images: PromptsAndSeeds,
        targets: PooledActivations,
        scale: Mapping[Site, Tensor],
        shift: Mapping[Site, Tensor],
        *,
        unsteered: float = 1.0,
    ) -> float:
        """The loss on `images`; adds its gradient to that of `scale` and `shift`.

        Pooled activations are small, unlike the activations of the whole generator. With `at_once`
        they are computed without gradients, the loss is differentiated with respect to them, and
        that gradient is propagated through the generator for some images at a time.
        """
        change, sites = affine_tap(scale, shift), tuple(scale)
        parts = self.at_once or len(images[0])
        is_whole = parts >= len(images[0])

        def reach(images: PromptsAndSeeds) -> dict[Site, Tensor]:
            with autocast_bfloat16(model.device, enabled=self.precision == "bfloat16"):
                return activations(model, *images, change=change, batch=parts)

        with torch.set_grad_enabled(is_whole):
            reached = reach(images)
        if not is_whole:
            reached = {site: reached[site].requires_grad_() for site in sites}
        with torch.enable_grad():
            gains = {site: scale[site] - 1 for site in sites}
            loss = self.loss(reached, targets, gains, unsteered=unsteered)
            loss.backward()  # type: ignore[no-untyped-call]
            done = 0
            for start in range(0, 0 if is_whole else len(images[0]), parts):
                again = reach((images[0][start : start + parts], images[1][start : start + parts]))
                count = len(again[sites[0]])
                torch.autograd.backward(
                    [again[site] for site in sites],
                    [cast(Tensor, reached[site].grad)[done : done + count] for site in sites],
                )
                done += count
        return float(loss.detach())


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


@torch.no_grad()
def proximal_step(
    scales: Sequence[Float[Tensor, " channels"]],
    shifts: Sequence[Float[Tensor, " channels"]],
    amount: float,
) -> None:
    """Take the proximal step of the sparse group lasso, in place.

    Each channel moves towards the identity (scale 1, shift 0) by `amount`, then each site's vector
    as a whole by `amount` times the square root of its channels.

    References:
        Simon et al. A Sparse-Group Lasso. 2013. https://doi.org/10.1080/10618600.2012.681250
    """
    for vectors, identity in ((scales, 1.0), (shifts, 0.0)):
        for vector in vectors:
            offset = vector - identity
            soft = offset.sign() * (offset.abs() - amount).clamp_min(0)
            norm = soft.norm().clamp_min(torch.finfo(soft.dtype).tiny)
            kept = (1 - amount * len(vector) ** 0.5 / norm).clamp_min(0)
            vector.copy_(identity + kept * soft)
