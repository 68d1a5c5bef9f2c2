"""Patterns of positions, against a change that is planted in known places."""

from dataclasses import replace

import numpy as np
import torch
from kit.toy import MAPS, SIDE, TOKENS, Toy

from htbench.core.types import Site, SiteInfo
from htbench.steering.concept import Concept
from htbench.steering.fitting import position_patterns
from htbench.steering.layout import Layout
from htbench.steering.model import Tap
from htbench.steering.spatial import SpatialLayout

BOTH = WIDE, NARROW = Site("wide"), Site("narrow")


class Planted:
    """A model whose concept adds a vector at the first positions of both sites, and no more."""

    device = "cpu"

    def trace(self, prompts: list[str], seeds: list[int], tap: Tap) -> None:
        for site, positions in ((WIDE, 6), (NARROW, 2)):
            z = torch.stack(
                [
                    torch.randn(positions, 3, generator=torch.Generator().manual_seed(seed))
                    for seed in seeds
                ]
            )
            for row, prompt in zip(z, prompts, strict=True):
                row[: positions // 2] += prompt.endswith("with lemon") * torch.tensor([1.0, 2, 3])
            tap(site, z)


def _arrange(model: Planted | Toy, concepts: list[Concept], patterns: int) -> SpatialLayout:
    sites = getattr(model, "sites", {site: SiteInfo(channels=3, channel_axis=-1) for site in BOTH})
    layout = Layout.of({site: info.channels for site, info in sites.items()})
    return position_patterns.arrange(model, concepts, layout, patterns=patterns, images=2, seed=0)


def test_the_first_pattern_is_where_the_concept_is(lemon: Concept) -> None:
    first = _arrange(Planted(), [lemon], 1).patterns[WIDE][:, 0]
    np.testing.assert_allclose((first * first[0]).numpy(), [1, 1, 1, -1, -1, -1], atol=1e-5)


def test_a_pattern_without_a_change_is_zero(lemon: Concept) -> None:
    layout = _arrange(Planted(), [lemon], 4)
    assert [bool(each.any()) for each in layout.patterns[WIDE].T] == [True, False, False, False]
    assert layout.patterns[NARROW].shape == (2, 4)


def test_patterns_are_orthogonal_and_shared_by_sites_of_as_many_positions(lemon: Concept) -> None:
    others = [replace(lemon, id=f"style/{k}", text=f"style {k}") for k in range(3)]
    layout = _arrange(Toy(), [lemon, *others], 5)
    basis = layout.basis(TOKENS).double()
    torch.testing.assert_close(basis.T @ basis / SIDE**2, torch.eye(6).double(), rtol=0, atol=1e-5)
    assert layout.patterns[TOKENS] is layout.patterns[MAPS]
    assert layout.identity.shape == (7, 1)
