r"""End-to-end training of affine maps of all sites together, on an optimal-transport loss.

The loss is a sum over sites of means over channels of squared 1-D 2-Wasserstein distances. They are
between pooled activations of source prompts, with all maps active in the frozen generator, and of
target prompts in the unsteered model, which are computed once.

References:
    Rodriguez et al. LinEAS: End-to-end Learning of Activation Steering with a Distributional Loss.
    2025. https://arxiv.org/abs/2503.10679
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.core.device import autocast_bfloat16
from htbench.core.phase import phase
from htbench.core.types import Site
from htbench.steering.concept import Concept
from htbench.steering.fitting import transport
from htbench.steering.hooks import activations
from htbench.steering.intervention import Affine
from htbench.steering.method import PromptsAndSeeds, fitting_images
from htbench.steering.model import Model, Tap, select_sites

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
    widths = [steered[site].shape[-1] for site in sites]
    costs = torch.split(transport.wasserstein(x, y), widths, dim=-1)
    return torch.stack([cost.mean(-1) for cost in costs]).sum(0)


@dataclass(frozen=True, kw_only=True)
class EndToEnd:
    """Settings of the gradient descent on the maps of one concept."""

    steps: int = 60
    batch: int = 16
    """Source images per step, drawn from `samples`."""
    rate: float = 0.05
    """Adam's learning rate."""
    decay: Literal["cosine", "none"] = "cosine"
    """Schedule of the learning rate; `cosine` falls to 0 along half a cosine."""
    samples: int = 32
    """Number of source images, and of target images."""
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
        (sources, seeds), targets = fitting_images(concept, self.samples, seed=seed)
        selected = {*select_sites(model, self.sites), *(start.sites if start else ())}
        with torch.no_grad(), phase("extract"):
            target_activations = activations(model, *targets)
        sites = [site for site in model.sites if site in selected]
        scale, shift = _parameters(model, sites, start)
        optimiser = torch.optim.Adam([*scale.values(), *shift.values()], self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        order = torch.Generator().manual_seed(seed)
        plateau = EarlyStopping(self.patience)
        with phase("fit"):
            for _ in range(self.steps):
                rows = torch.randperm(self.samples, generator=order)[: self.batch].tolist()
                images = [sources[k] for k in rows], [seeds[k] for k in rows]
                optimiser.zero_grad()
                loss = self.backward(model, images, target_activations, scale, shift)
                optimiser.step()
                if self.sparsity:
                    amount = self.sparsity * optimiser.param_groups[0]["lr"]
                    proximal_step([*scale.values()], [*shift.values()], amount)
                if self.decay == "cosine":
                    schedule.step()
                if plateau.should_stop(loss):
                    break
        return Affine(
            {site: w.detach() for site, w in scale.items()},
            {site: b.detach() for site, b in shift.items()},
        )

    def backward(
        self,
        model: Model,
        images: PromptsAndSeeds,
        targets: PooledActivations,
        scale: Mapping[Site, Tensor],
        shift: Mapping[Site, Tensor],
    ) -> float:
        """The loss on `images`; adds its gradient to that of `scale` and `shift`.

        Pooled activations are small, unlike the activations of the whole generator. With `at_once`
        they are computed without gradients, the loss is differentiated with respect to them, and
        that gradient is propagated through the generator for some images at a time.
        """
        change, sites = affine_tap(scale, shift), tuple(scale)
        parts = self.at_once or len(images[0])

        def reach(images: PromptsAndSeeds) -> dict[Site, Tensor]:
            with autocast_bfloat16(model.device, enabled=self.precision == "bfloat16"):
                return activations(model, *images, change=change, batch=parts)

        if parts >= len(images[0]):
            with torch.enable_grad():
                loss = distance(reach(images), targets, sites)
                loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())
        with torch.no_grad():
            reached = {
                site: values.requires_grad_()
                for site, values in reach(images).items()
                if site in scale
            }
        with torch.enable_grad():
            loss = distance(reached, targets, sites)
            by_site = torch.autograd.grad(loss, [reached[site] for site in sites])
            gradients = dict(zip(sites, by_site, strict=True))
            done = 0
            for start in range(0, len(images[0]), parts):
                again = reach((images[0][start : start + parts], images[1][start : start + parts]))
                count = len(again[sites[0]])
                torch.autograd.backward(
                    [again[site] for site in sites],
                    [gradients[site][done : done + count] for site in sites],
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


def _parameters(
    model: Model, sites: Sequence[Site], start: Affine | None
) -> tuple[dict[Site, Tensor], dict[Site, Tensor]]:
    begin = start or Affine({}, {})
    scale = {site: begin.scale.get(site, torch.ones(model.sites[site].channels)) for site in sites}
    shift = {site: begin.shift.get(site, torch.zeros(model.sites[site].channels)) for site in sites}
    fresh = [
        {
            site: part[site].detach().to(model.device, torch.float32, copy=True).requires_grad_()
            for site in sites
        }
        for part in (scale, shift)
    ]
    return fresh[0], fresh[1]
