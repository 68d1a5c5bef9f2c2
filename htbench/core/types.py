"""Names for the plain values that everything else is built from."""

from dataclasses import dataclass
from typing import NewType

Site = NewType("Site", str)
"""Dotted path of a module whose output is steered."""

Digest = NewType("Digest", str)
"""First 16 hexadecimal digits of a SHA-256."""


@dataclass(frozen=True, kw_only=True)
class SiteInfo:
    """What a site puts out."""

    channels: int
    channel_axis: int
    """1 for maps (images, channels, rows, columns), -1 for tokens (images, tokens, channels)."""
