"""The network from concept embeddings to affine maps of all sites."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Self, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htbench.core.types import Site
from htbench.steering.layout import Layout
from htbench.steering.spatial import SpatialLayout

Maps = Float[Tensor, "concepts rows channels"]
"""Scale minus one, shift, and a shift per pattern of positions if there are any, of all sites in
the order of `Hypernetwork.layout`."""


class Hypernetwork(nn.Module):
    """A network from concept embeddings to maps of all sites, small even for 256 sites.

    A trunk shared by all sites reads the embedding. With a learnt vector per site, it gives the
    mixture of `rank` learnt directions that is the site's map.
    """

    def __init__(self, features: int, sites: dict[Site, int], *, width: int, rank: int) -> None:
        super().__init__()
        self.site_names = tuple(sites)
        for modality in ("text", "image"):
            self.register_buffer(f"{modality}_mean", torch.zeros(features))
            self.register_buffer(f"{modality}_deviation", torch.ones(()))
        self.trunk = nn.Sequential(
            nn.Linear(features, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
        )
        self.site = nn.Parameter(torch.randn(len(sites), width) * 0.5)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, rank)
        )
        self.directions = nn.ParameterList(
            nn.Parameter(torch.zeros(rank, 2 * channels)) for channels in sites.values()
        )
        groups: dict[int, list[int]] = defaultdict(list)
        for k, channels in enumerate(sites.values()):
            groups[channels].append(k)
        self.groups = dict(groups)
        """Indices of the sites of each width, whose maps are calculated in one product."""
        self.rows = 2
        """Numbers per channel of a map."""
        self._layout = Layout.of(
            {self.site_names[k]: sites[self.site_names[k]] for k in self.order}
        )
        self._stacks: list[Tensor] | None = None

    def add_patterns(self, patterns: Sequence[Float[Tensor, "positions patterns"]]) -> None:
        """Predict also a shift per pattern of positions, as many at each of the sites, in order.

        The directions are made anew, all zero.
        """
        self.rows = 2 + patterns[0].shape[1]
        for k, (own, before) in enumerate(zip(patterns, self.directions, strict=True)):
            self.register_buffer(f"patterns_{k}", own)
            shape = len(before), self.rows * (before.shape[1] // 2)
            self.directions[k] = nn.Parameter(before.new_zeros(shape))

    @property
    def layout(self) -> Layout:
        """The sites and channels of the maps, with the patterns of positions if there are any."""
        if self.rows == 2:
            return self._layout
        patterns = {self.site_names[k]: self.get_buffer(f"patterns_{k}") for k in self.order}
        return SpatialLayout(self._layout.sites, self._layout.widths, patterns)

    @property
    def order(self) -> list[int]:
        """Indices of all sites, group after group."""
        return [k for members in self.groups.values() for k in members]

    @property
    def multiplications(self) -> int:
        """Multiplications per concept, about: of all directions and of the mixtures."""
        (sites, width), rank = self.site.shape, len(self.directions[0])
        return rank * (self.rows * self._layout.channels + width * sites)

    def freeze(self) -> Self:
        """Make the network constant: predictions then read stacked directions, made once here.

        A site's directions become a view of them, so that nothing is kept twice.
        """
        self.eval().requires_grad_(False)
        self._stacks = self._stack()
        for members, stack in zip(self.groups.values(), self._stacks, strict=True):
            for k, own in zip(members, stack, strict=True):
                self.directions[k].data = own
        return self

    def centre(
        self, modality: str, vectors: Float[Tensor, "*many features"]
    ) -> Float[Tensor, "*many features"]:
        """Embeddings normalised by the training mean and standard deviation of their modality.

        This narrows the gap between texts and images.
        """
        mean, deviation = (self.get_buffer(f"{modality}_{part}") for part in ("mean", "deviation"))
        centred: Tensor = (vectors - mean) / deviation
        return centred

    def forward(self, embedding: Float[Tensor, "concepts features"]) -> Maps:
        """Maps for centred embeddings; all zero before training, which is the identity.

        Each site's mixture is `mix(trunk(embedding) + site)`. The first matrix of `mix` multiplies
        concepts and sites separately, a tenth of the work, before their sum and its norm. The
        mixtures of all sites are calculated at once, and their maps in a product per width.
        """
        norm, first = cast(nn.LayerNorm, self.mix[0]), cast(nn.Linear, self.mix[1])
        concept, site = (
            part - part.mean(-1, keepdim=True)
            for part in (self.trunk(embedding), self.site[self.order])
        )
        variance = (
            concept.square().mean(-1)[:, None]
            + site.square().mean(-1)
            + 2 * concept @ site.T / concept.shape[-1]
        )
        size, weight = (variance + norm.eps).rsqrt(), first.weight * norm.weight
        of_concept, of_site = concept @ weight.T, site @ weight.T
        offset = first.weight @ norm.bias + first.bias
        hidden = torch.addcmul(offset, of_concept + of_site[:, None], size.T[..., None])
        mixtures: Tensor = self.mix[2:](hidden)
        maps, start = embedding.new_empty(len(embedding), self.rows, self._layout.channels), 0
        parts = torch.split(mixtures, [len(members) for members in self.groups.values()])
        stacks = self._stacks or self._stack()
        for width, part, stack in zip(self.groups, parts, stacks, strict=True):
            # from (sites, concepts, rows width) to (concepts, rows, sites, width)
            own = (part @ stack).view(*part.shape[:2], self.rows, width).permute(1, 2, 0, 3)
            end = start + len(part) * width
            maps[..., start:end].view(own.shape).copy_(own)
            start = end
        return maps

    def _stack(self) -> list[Float[Tensor, "sites rank channels"]]:
        """The directions of each group."""
        return [
            torch.stack([self.directions[k] for k in members]) for members in self.groups.values()
        ]
