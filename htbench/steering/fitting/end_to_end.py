r"""Learning affine maps of all sites together, through the frozen generator, on an optimal-transport loss.

The loss sums over sites the mean over channels of the squared 1-D Wasserstein distance between pooled activations of source
prompts, all maps active, and of target prompts in the unsteered model, computed once.

References:
    Rodriguez et al. LinEAS: End-to-end Learning of Activation Steering with a Distributional Loss. 2025. https://arxiv.org/abs/2503.10679
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

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
    """`scale * z + shift` with gradients, in float32 or wider; scale and shift of a site are for all images, or a row an image."""

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
    """LinEAS' loss between pooled activations; leading axes are batches. One sort of all channels is faster than one a site."""
    x, y = (torch.cat([samples[site] for site in sites], -1) for samples in (steered, targets))
    costs = torch.split(
        transport.wasserstein(x, y), [steered[site].shape[-1] for site in sites], dim=-1
    )
    return torch.stack([cost.mean(-1) for cost in costs]).sum(0)


@dataclass(frozen=True, kw_only=True)
class EndToEnd:
    """How maps are learnt by gradient descent."""

    steps: int = 60
    batch: int = 16
    """Source images a step, of the `samples` there are."""
    rate: float = 0.05
    """Adam's learning rate."""
    decay: Literal["cosine", "none"] = "cosine"
    """Whether the rate falls to 0 along half a cosine."""
    samples: int = 32
    """Source images, and as many target images."""
    sparsity: float = 0.0
    r"""Weight `g` of the sparse group lasso `g (|w-1|_1 + |b|_1 + sqrt(d) (|w-1|_2 + |b|_2))`, summed over sites, a proximal step after each step."""
    patience: int = 0
    """Steps without a new lowest loss, smoothed, after which learning stops; 0: never."""
    at_once: int = 0
    """Images that gradients are held of at once; fewer need less memory and one more forward pass, and give the same gradient. 0: all."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the generator; maps and loss are in float32."""
    sites: tuple[str, ...] = ("*",)

    def optimise(
        self, model: Model, concept: Concept, *, start: Affine | None, seed: int
    ) -> Affine:
        """Maps that lower the loss, from `start` on, whose sites are all learnt; None: from the identity."""
        (sources, seeds), targets = fitting_images(concept, self.samples, seed=seed)
        selected = {*select_sites(model, self.sites), *(start.sites if start else ())}
        chosen = tuple(site for site in model.sites if site in selected)
        with torch.no_grad(), phase("extract"):
            wanted = activations(model, *targets)
        scale, shift = _parameters(model, chosen, start)
        optimiser = torch.optim.Adam([*scale.values(), *shift.values()], self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        order = torch.Generator().manual_seed(seed)
        plateau = EarlyStopping(self.patience)
        with phase("fit"):
            for _ in range(self.steps):
                rows = torch.randperm(self.samples, generator=order)[: self.batch].tolist()
                optimiser.zero_grad()
                loss = self.backward(
                    model,
                    ([sources[k] for k in rows], [seeds[k] for k in rows]),
                    wanted,
                    scale,
                    shift,
                )
                optimiser.step()
                if self.sparsity:
                    proximal_step(
                        [*scale.values()],
                        [*shift.values()],
                        self.sparsity * optimiser.param_groups[0]["lr"],
                    )
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

        Pooled activations are small even where what made them is not: with `at_once`, they are made without gradients, the loss is
        differentiated by them, and that gradient is taken on through the generator part by part.
        """
        change, sites, parts = (
            affine_tap(scale, shift),
            tuple(scale),
            self.at_once or len(images[0]),
        )

        def reach(images: PromptsAndSeeds) -> dict[Site, Tensor]:
            with torch.autocast(
                torch.device(model.device).type,
                torch.bfloat16,
                enabled=self.precision == "bfloat16",
            ):
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
            gradients = dict(
                zip(
                    sites, torch.autograd.grad(loss, [reached[site] for site in sites]), strict=True
                )
            )
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
    """Whether a loss, smoothed over about ten steps, has stopped falling for `patience` steps."""

    def __init__(self, patience: int) -> None:
        self.patience, self.smooth, self.lowest, self.since = patience, 0.0, float("inf"), 0
        self._weight = 0.0

    def should_stop(self, loss: float) -> bool:
        """Take in the next loss."""
        self.smooth, self._weight = 0.9 * self.smooth + 0.1 * loss, 0.9 * self._weight + 0.1
        falls = self.smooth / self._weight < self.lowest
        self.lowest, self.since = (
            (self.smooth / self._weight, 0) if falls else (self.lowest, self.since + 1)
        )
        return 0 < self.patience <= self.since


@torch.no_grad()
def proximal_step(
    scales: Sequence[Float[Tensor, " channels"]],
    shifts: Sequence[Float[Tensor, " channels"]],
    amount: float,
) -> None:
    """The proximal step of the sparse group lasso, in place: each channel towards 1 or 0 by `amount`, then each site as a whole."""
    for vectors, rest in ((scales, 1.0), (shifts, 0.0)):
        for vector in vectors:
            away = vector - rest
            soft = away.sign() * (away.abs() - amount).clamp_min(0)
            kept = (
                1
                - amount * len(vector) ** 0.5 / soft.norm().clamp_min(torch.finfo(soft.dtype).tiny)
            ).clamp_min(0)
            vector.copy_(rest + kept * soft)


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
