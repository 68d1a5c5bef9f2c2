"""Mean activations of a generator under trainable affine maps, and gradients of the maps.

The maps and the means of all sites are flat tensors, in the order of a `Layout`. A site costs two
operators forward and four backward; all else is done once, on the flat tensors.

Maps of a `SpatialLayout` shift each of its patterns of positions as well. Then there is a mean for
each pattern `u` beside the plain one, of `u z` over positions. As the patterns are orthogonal, a
map acts on the mean of each pattern by the scale and by that pattern's shift alone.
"""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from htbench.core.device import send
from htbench.core.types import Site
from htbench.steering.hooks import BATCH, activations
from htbench.steering.layout import Layout
from htbench.steering.method import PromptsAndSeeds
from htbench.steering.model import Model
from htbench.steering.spatial import SpatialLayout

Maps = Float[Tensor, "rows numbers channels"]
"""Scale `w` and shift `b` of every channel of all sites, and a shift for each pattern."""
Means = Float[Tensor, "images steps channels"]
"""Means over positions, in float32 or wider, by step of a few-step model; with patterns, the means
of all patterns of the first step come first, then those of the second."""


def arriving_means(
    model: Model, images: PromptsAndSeeds, maps: Maps, layout: Layout, *, with_values: bool = True
) -> Means:
    """Means of what arrives at each site, before its own map and after those of earlier sites.

    Means after the maps follow from these: see `steer_means`. Gradients of the maps are recorded
    unless PyTorch's gradient mode is off, from the first site on.

    Args:
        model: the model to run.
        images: prompts and seeds, all in one batch.
        maps: a row per image, or one for all of them.
        layout: the sites of the maps, those at which means are taken.
        with_values: false for a backward pass alone: the result then holds no values.
    """
    gains, offsets = (layout.split(part) for part in torch.split(maps, [1, maps.shape[1] - 1], 1))
    bases = (
        {site: layout.basis(site) for site in layout.sites}
        if isinstance(layout, SpatialLayout)
        else {}
    )
    sums: dict[Site, list[Tensor]] = {site: [] for site in layout.sites}
    positions: dict[Site, int] = {}
    complete = False

    def tap(
        site: Site, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "images positions channels"]:
        if site not in sums:
            return z
        # Sums of blocks that are computed again for gradients are not needed.
        is_summed = with_values and not complete
        pair = (
            _map_and_sums(z, gains[site], offsets[site], bases[site])
            if bases
            else _MapAndSum.apply(z, gains[site], offsets[site], is_summed)
        )
        moved, total = cast(tuple[Tensor, Tensor], pair)
        if not complete:
            sums[site].append(total)
            positions[site] = z.shape[1]
        return moved

    model.trace(*images, tap)
    complete = True
    steps = [torch.cat(step, -1) for step in zip(*sums.values(), strict=True)]
    totals = steps[0] if len(steps) == 1 else torch.cat(steps, 1)
    return totals * one_over([positions[site] for site in layout.sites], layout, totals)


def steer_means(
    means: Float[Tensor, "concepts means channels"],
    maps: Float[Tensor, "concepts numbers channels"],
) -> Float[Tensor, "concepts samples values"]:
    """Means of activations after each site's map, from the means of what arrives there.

    A sample of the result has its plain mean first, then those of all patterns.
    """
    gain, offsets = torch.split(maps[:, None], [1, maps.shape[1] - 1], 2)
    samples = means.reshape(len(means), -1, *offsets.shape[2:])
    return torch.addcmul(offsets, gain, samples).flatten(2)


@torch.no_grad()
def unsteered_means(
    model: Model, images: PromptsAndSeeds, layout: Layout
) -> Float[Tensor, "samples values"]:
    """Means over positions in the unsteered model, with rows as of `hooks.activations`.

    Columns are as of `steer_means`.
    """
    if not isinstance(layout, SpatialLayout):
        return layout.join(activations(model, *images))
    identity = send(layout.identity, torch.device(model.device))
    maps = identity.expand(1, -1, layout.channels)
    samples = []
    for start in range(0, len(images[0]), BATCH):
        batch = images[0][start : start + BATCH], images[1][start : start + BATCH]
        means = arriving_means(model, batch, maps, layout)
        by_step = means.view(len(means), -1, len(identity) - 1, layout.channels).transpose(0, 1)
        samples.append(by_step.flatten(0, 1).flatten(1))
    return torch.cat(samples)


def one_over(counts: Sequence[int], layout: Layout, like: Tensor) -> Float[Tensor, " channels"]:
    """One over the count of each site, at each of its channels; it makes means of sums.

    Where `like` has several values per channel, it is repeated for each.
    """
    values = 1 / torch.tensor(counts, dtype=torch.float64)
    repeats = send(torch.tensor(layout.widths), like.device)
    own = send(values.to(like.dtype), like.device).repeat_interleave(
        repeats, output_size=layout.channels
    )
    times = like.shape[-1] // layout.channels
    return own if times == 1 else own.repeat(times)


def _map_and_sums(
    z: Float[Tensor, "images positions channels"],
    gain: Float[Tensor, "rows 1 channels"],
    offsets: Float[Tensor, "rows patterns channels"],
    basis: Float[Tensor, "positions patterns"],
) -> tuple[Float[Tensor, "images positions channels"], Float[Tensor, "images patterns channels"]]:
    """`gain * z` with the shifts of all patterns, and sums of `z` over positions for each."""
    with torch.autocast(z.device.type, enabled=False):
        wide = z.to(torch.promote_types(z.dtype, torch.float32))
        basis = basis.to(wide.dtype)
        moved = torch.addcmul(basis @ offsets.to(wide.dtype), gain, wide)
        return moved.to(z.dtype), basis.T @ wide


class _MapAndSum(torch.autograd.Function):
    """`gain * z + offset`, rounded once to the format of `z`, and sums of `z` over positions.

    Gain and offset are of shape (images, 1, channels), or (1, 1, channels) for all images, and
    sums of shape (images, 1, channels). Gradients of gain and offset are summed over positions in
    their own format. As `z` is summed before the map, its gradient is one product and sum.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, z: Tensor, gain: Tensor, offset: Tensor, is_summed: bool
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(z)
        ctx.gain = gain  # type: ignore[attr-defined]
        ctx.set_materialize_grads(False)
        wide = z.dtype if z.dtype == torch.float64 else torch.float32
        moved = torch.addcmul(offset, gain, z, out=torch.empty_like(z))
        if is_summed:
            return moved, z.sum(1, keepdim=True, dtype=wide)
        return moved, z.new_empty(len(z), 1, z.shape[-1], dtype=wide)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, moved: Tensor | None, total: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (z,), gain = ctx.saved_tensors, ctx.gain  # type: ignore[attr-defined]
        needs_z, needs_gain, needs_offset, _ = ctx.needs_input_grad  # type: ignore[attr-defined]
        of_z = of_gain = of_offset = None
        over = (0, 1) if len(gain) == 1 else (1,)
        if moved is not None and needs_gain:
            of_gain = (moved * z).sum(over, keepdim=True, dtype=gain.dtype)
        if moved is not None and needs_offset:
            of_offset = moved.sum(over, keepdim=True, dtype=gain.dtype)
        if needs_z:
            before = torch.zeros_like(gain) if total is None else total
            of_z = torch.empty_like(z)
            if moved is None:
                of_z.copy_(before.expand_as(z))
            else:
                torch.addcmul(before, moved, gain, out=of_z)
        return of_z, of_gain, of_offset, None
