"""Affine maps whose shift also depends on the position, by a table of low rank per site."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.core.errors import UsageError
from htbench.core.types import Site
from htbench.steering import algebra
from htbench.steering.intervention import (
    Affine,
    Intervention,
    as_in_file,
    at_strength,
    scale_and_shift,
)
from htbench.steering.layout import Layout


@dataclass(frozen=True, eq=False)
class SpatialLayout(Layout):
    """A layout of maps with shifts per position: below scale and shift, a row per pattern."""

    patterns: Mapping[Site, Float[Tensor, "positions patterns"]]
    """Patterns of positions at each site, as many at all of them. Their means are 0, their mean
    squares 1, and their mean products 0; one that is not needed is 0."""

    @property
    def identity(self) -> Float[Tensor, "rows 1"]:
        count = next(iter(self.patterns.values())).shape[1]
        return torch.tensor([[1.0], *[[0.0]] * (1 + count)])

    def basis(self, site: Site) -> Float[Tensor, "positions moments"]:
        """The patterns of a site beside the constant one, which shifts all positions alike."""
        own = self.patterns[site]
        return torch.cat([own.new_ones(len(own), 1), own], 1)


class Spatial(Intervention):
    r"""One affine map per site and channel, with a shift of its own at each position.

    .. math:: T_s(z)_p = z_p + s (w z_p + b + \sum_r u_{pr} v_r - z_p)

    at strength `s` and position `p`, with scale `w`, shift `b`, and a table of shifts of low rank.
    An affine map acts on all positions alike; this one can say where. It is calculated in float32,
    or in float64 for `z` of float64, and rounded once.

    Args:
        maps: `w` and `b`, without limits; its sites are those of the intervention.
        where: `u`, of shape (positions, rank), for some or all of these sites.
        added: `v`, of shape (rank, channels), for the same sites as `where`.
    """

    kind = "spatial"

    def __init__(
        self,
        maps: Affine,
        where: Mapping[Site, Float[Tensor, "positions rank"]],
        added: Mapping[Site, Float[Tensor, "rank channels"]],
    ) -> None:
        self.maps, self.where, self.added = maps, as_in_file(where), as_in_file(added)
        self.sites = maps.sites

    def apply(
        self, site: Site, z: Float[Tensor, "images positions channels"], *, strength: float
    ) -> Float[Tensor, "images positions channels"]:
        """The output of `site` that replaces `z`.

        Raises:
            UsageError: if `z` has another number of positions than the maps were made for.
        """
        if site not in self.where or strength == 0:
            return self.maps.apply(site, z, strength=strength)
        where, added = self.where[site].to(z.device), self.added[site].to(z.device)
        if len(where) != z.shape[1]:
            raise UsageError(
                f"maps with a shift per position are for {len(where)} positions at site {site!r}, "
                f"this image has {z.shape[1]}",
                remedy="Make images of the size that the maps were fitted on.",
            )
        scale, shift = self.maps.maps[:, self.maps.layout.spans[site]].to(z.device)
        gain, offset = at_strength(scale, shift + where @ added, strength)
        return scale_and_shift(z, gain, offset)

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        own = {f"where/{site}": each for site, each in self.where.items()}
        own |= {f"added/{site}": each for site, each in self.added.items()}
        return self.maps.state()[0] | own, {}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, str]) -> Self:
        parts: dict[str, dict[Site, Tensor]] = {"where": {}, "added": {}}
        rest: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            part, _, site = name.partition("/")
            if part in parts:
                parts[part][Site(site)] = tensor
            else:
                rest[name] = tensor
        maps, where, added = Affine.restore(rest, {}), parts["where"], parts["added"]
        if (
            maps.has_support
            or where.keys() != added.keys()
            or not where.keys() <= maps.sites
            or any(each.ndim != 2 for each in (*where.values(), *added.values()))
            or any(
                (each.shape[1], *maps.scale[site].shape) != added[site].shape
                for site, each in where.items()
            )
        ):
            raise ValueError("its parts do not match")
        return cls(maps, where, added)


def from_flat(maps: Float[Tensor, "rows channels"], layout: Layout) -> "Affine | Spatial":
    """The intervention with these maps, of a row each of scales, shifts and patterns' shifts."""
    if not isinstance(layout, SpatialLayout):
        return Affine.from_flat(maps, layout)
    added = {site: own.contiguous() for site, own in layout.split(maps[2:]).items()}
    plain = Layout(layout.sites, layout.widths)
    return Spatial(Affine.from_flat(maps[:2], plain), layout.patterns, added)


def invert(change: Spatial) -> Spatial:
    """The maps that undo `change` at strength 1, exactly but for rounding.

    With scales `1 / w`, the shift of a position is `-(b + u v) / w`: the rank stays as it is.

    Raises:
        Refused: if the absolute scale of a channel is below `algebra.MIN_SCALE`.
    """
    maps = algebra.invert(change.maps)
    added = {site: -each * maps.scale[site] for site, each in change.added.items()}
    return Spatial(maps, change.where, added)
