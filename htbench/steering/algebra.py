"""Algebra of affine maps: composition, inverse and average."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from htbench.core.errors import Refused, UsageError
from htbench.steering.gates import ImageGated, TokensGated
from htbench.steering.intervention import Affine, Intervention, OnMeans
from htbench.steering.layout import union

MIN_SCALE = 1e-3
"""Least absolute scale of a channel that can be inverted."""

AnyIntervention = TypeVar("AnyIntervention", bound=Intervention)


def compose(*changes: Affine) -> Affine:
    """The map that applies `changes` in their order, the first one first.

    At each site, scales `w` and shifts `b` compose as `w2 (w1 z + b1) + b2`; a map that lacks a
    site is the identity there. The result equals one map after the other at strength 1 alone.

    Raises:
        UsageError: if one has a support (`low` and `high`), outside which it is not affine.
    """
    _refuse_supports(changes)
    if not changes:
        return Affine({}, {})
    layout = union(*(change.layout for change in changes))
    scale, shift = changes[0].over(layout)
    for change in changes[1:]:
        gain, offset = change.over(layout)
        scale, shift = gain * scale, gain * shift + offset
    return Affine.from_flat(torch.stack([scale, shift]), layout)


def invert(change: Affine) -> Affine:
    """The map that undoes `change` at strength 1: `(z - shift) / scale`.

    Raises:
        Refused: if the absolute scale of a channel is below `MIN_SCALE`, with its site and number.
        UsageError: if `change` has a support.
    """
    _refuse_supports([change])
    scale, shift = change.maps
    if (scale.abs() < MIN_SCALE).any():
        raise _not_invertible(change)
    return Affine.from_flat(torch.stack([1 / scale, -shift / scale]), change.layout)


def reflect(change: Affine) -> Affine:
    """The map that does at strength -s exactly what `change` does at s, and the reverse.

    Its scale is `2 - scale` and its shift `-shift`, per site and channel. A support stays.
    """
    scale, shift = change.maps
    reflected = Affine.from_flat(torch.stack([2 - scale, -shift]), change.layout)
    reflected.limits = change.limits
    return reflected


def transform(change: Intervention, function: Callable[[Affine], Affine]) -> Intervention:
    """An affine map with a function of it in its place, also one on means or behind a gate.

    Raises:
        UsageError: for an intervention of another class.
    """
    if isinstance(change, OnMeans):
        return OnMeans(transform(change.change, function), sites=change.on_means)
    if isinstance(change, ImageGated):
        return ImageGated(transform(change.change, function), gates=change.gates)
    if isinstance(change, TokensGated):
        return TokensGated(transform(change.change, function), gates=change.gates)
    if type(change) is not Affine:
        raise UsageError(
            f"{type(change).__name__} is not an affine map per channel, and has no opposite",
            remedy="Use the method itself, at negative strength.",
        )
    return function(change)


def average(changes: Sequence[Affine]) -> Affine:
    """The mean of the scales and of the shifts of `changes`, per site and channel.

    A map that lacks a site counts as the identity there, with scale 1 and shift 0.

    Raises:
        UsageError: if `changes` is empty, or one has a support.
    """
    if not changes:
        raise UsageError("there are no maps to average")
    _refuse_supports(changes)
    layout = union(*(change.layout for change in changes))
    return Affine.from_flat(
        torch.stack([change.over(layout) for change in changes]).mean(0), layout
    )


def join(parts: Sequence[AnyIntervention]) -> AnyIntervention:
    """One intervention made of several of the same class on disjoint sites."""
    states = [part.state() for part in parts]
    return type(parts[0]).restore(
        {name: tensor for tensors, _ in states for name, tensor in tensors.items()}, states[0][1]
    )


def _not_invertible(change: Affine) -> Refused:
    """The refusal of a map, with the first site where a channel is lost."""
    lost = {
        site: (gain.abs() < MIN_SCALE).nonzero().flatten() for site, gain in change.scale.items()
    }
    site, channels = next((site, found.tolist()) for site, found in lost.items() if len(found))
    return Refused(
        f"channel {channels[0]} of site {site!r} is scaled by "
        f"{float(change.scale[site][channels[0]]):g} and cannot be inverted, "
        f"like {len(channels) - 1} more there"
    )


def _refuse_supports(changes: Sequence[Affine]) -> None:
    if any(change.has_support for change in changes):
        raise UsageError(
            "a map with a support is not affine outside of it, and cannot be calculated with"
        )
