"""Layouts: the places of sites in one flat tensor that holds the channels of all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.core.types import Site


@dataclass(frozen=True)
class Layout:
    """Sites with their numbers of channels, in the order in which a flat tensor has them."""

    sites: tuple[Site, ...]
    widths: tuple[int, ...]
    """Channels of each site."""

    @classmethod
    def of(cls, widths: Mapping[Site, int]) -> Self:
        """The layout of these sites and channels, in this order."""
        return cls(tuple(widths), tuple(widths.values()))

    @cached_property
    def spans(self) -> dict[Site, slice]:
        """The channels of each site in a flat tensor."""
        ends = [*accumulate(self.widths)]
        return {
            site: slice(end - width, end)
            for site, width, end in zip(self.sites, self.widths, ends, strict=True)
        }

    @property
    def identity(self) -> Float[Tensor, "rows 1"]:
        """Maps that change nothing: a scale of 1 and a shift of 0, at every channel."""
        return torch.tensor([[1.0], [0.0]])

    @property
    def channels(self) -> int:
        """Channels of all sites together."""
        return sum(self.widths)

    def split(self, flat: Float[Tensor, "*rows channels"]) -> dict[Site, Tensor]:
        """Views of each site's channels, the last axis of `flat`."""
        return dict(zip(self.sites, torch.split(flat, list(self.widths), -1), strict=True))

    def join(self, parts: Mapping[Site, Tensor]) -> Float[Tensor, "*rows channels"]:
        """The flat tensor of which `split` gives `parts`."""
        return torch.cat([parts[site] for site in self.sites], -1)


def union(*layouts: Layout) -> Layout:
    """The layout of all sites of several layouts, each at its first place."""
    if len(set(layouts)) == 1:
        return layouts[0]
    return Layout.of(
        {
            site: width
            for layout in layouts
            for site, width in zip(layout.sites, layout.widths, strict=True)
        }
    )
