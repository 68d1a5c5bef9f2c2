"""Algebra of affine maps: composition, inverse and average."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from htbench.core.errors import Refused, UsageError
from htbench.core.types import Site
from htbench.steering.intervention import Affine, Intervention

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
    scale: dict[Site, Tensor] = {}
    shift: dict[Site, Tensor] = {}
    for change in changes:
        for site, gain in change.scale.items():
            before = scale.get(site), shift.get(site)
            scale[site] = gain if before[0] is None else gain * before[0]
            shift[site] = (
                change.shift[site] if before[1] is None else gain * before[1] + change.shift[site]
            )
    return Affine(scale, shift)


def invert(change: Affine) -> Affine:
    """The map that undoes `change` at strength 1: `(z - shift) / scale`.

    Raises:
        Refused: if the absolute scale of a channel is below `MIN_SCALE`, with its site and number.
        UsageError: if `change` has a support.
    """
    _refuse_supports([change])
    for site, gain in change.scale.items():
        if channels := (gain.abs() < MIN_SCALE).nonzero().flatten().tolist():
            value = float(gain[channels[0]])
            raise Refused(
                f"channel {channels[0]} of site {site!r} is scaled by {value:g} "
                f"and cannot be inverted, like {len(channels) - 1} more there"
            )
    return Affine(
        {site: 1 / gain for site, gain in change.scale.items()},
        {site: -shift / change.scale[site] for site, shift in change.shift.items()},
    )


def average(changes: Sequence[Affine]) -> Affine:
    """The mean of the scales and of the shifts of `changes`, per site and channel.

    A map that lacks a site counts as the identity there, with scale 1 and shift 0.

    Raises:
        UsageError: if `changes` is empty, or one has a support.
    """
    if not changes:
        raise UsageError("there are no maps to average")
    _refuse_supports(changes)
    example = {site: gain for change in changes for site, gain in change.scale.items()}
    scale = {
        site: torch.stack(
            [change.scale.get(site, torch.ones_like(like)) for change in changes]
        ).mean(0)
        for site, like in example.items()
    }
    shift = {
        site: torch.stack(
            [change.shift.get(site, torch.zeros_like(like)) for change in changes]
        ).mean(0)
        for site, like in example.items()
    }
    return Affine(scale, shift)


def join(parts: Sequence[AnyIntervention]) -> AnyIntervention:
    """One intervention made of several of the same class on disjoint sites."""
    states = [part.state() for part in parts]
    return type(parts[0]).restore(
        {name: tensor for tensors, _ in states for name, tensor in tensors.items()}, states[0][1]
    )


def _refuse_supports(changes: Sequence[Affine]) -> None:
    if any(change.low for change in changes):
        raise UsageError(
            "a map with a support is not affine outside of it, and cannot be calculated with"
        )
