"""Names for the plain values that everything else is built from."""

from dataclasses import dataclass
from typing import NewType

Site = NewType("Site", str)
"""Dotted path of a module whose output is steered."""

Digest = NewType("Digest", str)
"""First 16 hexadecimal digits of a SHA-256."""

UNSTEERED = "none"
"""Name of the method that leaves images as they are, the reference of all others; its only strength
is 0."""


def strength_of(method: str, strength: float) -> float:
    """The strength of `method` beside others at `strength`: 0 for the unsteered method."""
    return 0.0 if method == UNSTEERED else strength


def encoder_name(encoder_id: str) -> str:
    """The name in an encoder's id, which is `NAME@REVISION`."""
    return encoder_id.partition("@")[0]


@dataclass(frozen=True, kw_only=True)
class SiteInfo:
    """The shape of a site's output."""

    channels: int
    channel_axis: int
    """1 for maps (images, channels, rows, columns), -1 for tokens (images, tokens, channels)."""


def label_of(method: str, strength: float) -> str:
    """The name of a method's picture at a strength, where strengths are compared."""
    return f"{method}@{strength:g}"


def method_and_strength(label: str) -> tuple[str, float]:
    """The method and the strength of a name that `label_of` gave.

    Raises:
        ValueError: if it is no such name.
    """
    method, _, strength = label.rpartition("@")
    if not method:
        raise ValueError(f"{label[:80]!r} names no method and strength")
    return method, float(strength)
