r"""Patterns of positions: the principal ones of the changes that concepts make.

At a site, a concept's change is the difference :math:`D_p` between mean activations of images with
and without it at each position `p`, from the same noise, less the mean over positions. The patterns
are the first eigenvectors of the sum of :math:`D D^T / |D|^2` over concepts, and over all sites of
as many positions, so that every concept and site counts as much.
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from htbench.core import distributed
from htbench.core.types import Site
from htbench.steering.concept import Concept
from htbench.steering.layout import Layout
from htbench.steering.method import fitting_images, full_batches
from htbench.steering.model import Model
from htbench.steering.spatial import SpatialLayout


def arrange(
    model: Model,
    concepts: Sequence[Concept],
    layout: Layout,
    *,
    patterns: int,
    images: int,
    seed: int,
) -> SpatialLayout:
    """`layout` with the principal patterns of the changes that `concepts` make.

    Args:
        model: the unsteered model.
        concepts: at least one.
        layout: sites, whose numbers of positions may differ.
        patterns: the number of patterns at each site.
        images: images without a concept, and as many with it.
        seed: seed of these images.
    """
    groups = full_batches(concepts, 2 * images)
    parts = distributed.map_sharded(
        lambda group: _products(model, group, layout, images=images, seed=seed), groups
    )
    totals: dict[int, Tensor] = {}
    positions: dict[Site, int] = {}
    for part in parts:
        for site, own in part.items():
            count = positions[site] = len(own)
            totals[count] = totals[count] + own if count in totals else own
    tables = {
        count: _principal(total, patterns).to(model.device) for count, total in totals.items()
    }
    by_site = {site: tables[positions[site]] for site in layout.sites}
    return SpatialLayout(layout.sites, layout.widths, by_site)


@torch.no_grad()
def _products(
    model: Model, concepts: Sequence[Concept], layout: Layout, *, images: int, seed: int
) -> dict[Site, Float[Tensor, "positions positions"]]:
    """The sum over `concepts` of the products of their changes at each site, on the CPU."""
    pairs = [fitting_images(concept, images, seed=seed)[0] for concept in concepts]
    without = [prompt for prompts, _ in pairs for prompt in prompts]
    with_it = [
        concept.target(prompt)
        for concept, (prompts, _) in zip(concepts, pairs, strict=True)
        for prompt in prompts
    ]
    seeds = [seed for _, seeds in pairs for seed in seeds]
    sums: defaultdict[Site, list[Tensor]] = defaultdict(list)

    def tap(
        site: Site, z: Float[Tensor, "images positions channels"]
    ) -> Float[Tensor, "images positions channels"]:
        if site in layout.spans:
            means = z.float().view(2, len(concepts), images, *z.shape[1:]).mean(2)
            change = means[1] - means[0]
            change = change - change.mean(1, keepdim=True)
            size = change.square().sum((1, 2), keepdim=True)
            change = change / size.sqrt().clamp_min(torch.finfo(size.dtype).tiny)
            sums[site].append((change @ change.mT).sum(0).cpu())
        return z

    model.trace([*without, *with_it], [*seeds, *seeds], tap)
    return {site: torch.stack(steps).sum(0) for site, steps in sums.items()}


def _principal(
    products: Float[Tensor, "positions positions"], count: int
) -> Float[Tensor, "positions patterns"]:
    """The first eigenvectors, scaled to mean squares of 1; zeros where no change is left."""
    values, vectors = torch.linalg.eigh(products.double())
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    has_change = values > 1e-6 * values[0]
    table = vectors * has_change * len(products) ** 0.5
    return pad(table, (0, count - table.shape[1])).float().contiguous()
