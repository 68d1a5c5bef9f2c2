"""Counts of dispatched operators on the embedded model may only fall."""

import json
import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from htbench.core.types import Site, SiteInfo
from htbench.steering.fitting.map_network import Hypernetwork
from htbench.steering.hooks import SteeredModules, steer
from htbench.steering.intervention import Affine

LAUNCHES = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "launches.py"))


def test_no_kind_of_work_dispatches_more_operators_than_recorded() -> None:
    recorded = json.loads(LAUNCHES["TABLE"].read_text())
    assert LAUNCHES["grown"](LAUNCHES["count_models"](["emoji"]), recorded) == []


def test_operators_and_views_are_counted_apart() -> None:
    x = torch.zeros(2, 3)

    def work() -> torch.Tensor:
        return (x.T + 1).exp()

    assert LAUNCHES["count"](work) == [2, 1]


def test_a_count_above_the_recorded_one_is_named() -> None:
    before, after = {"toy": {"predict": [5, 2]}}, {"toy": {"predict": [6, 2]}}
    assert LAUNCHES["grown"](after, before) == ["toy, predict: operators 5 -> 6"]
    assert LAUNCHES["grown"](before, after) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("axis", "shape"), [(-1, (2, 4, 3)), (1, (2, 3, 4, 5))])
def test_steering_a_site_is_one_operator_once_maps_are_installed(
    dtype: torch.dtype, axis: int, shape: tuple[int, ...]
) -> None:
    site, change = Site("x"), Affine({Site("x"): torch.ones(3)}, {Site("x"): torch.ones(3)})
    module, z = nn.Identity(), torch.zeros(shape, dtype=dtype)
    modules = SteeredModules({site: module}, {site: SiteInfo(channels=3, channel_axis=axis)})
    with torch.no_grad(), modules.attach(steer([change] * 2, [1.0] * 2)):
        assert LAUNCHES["count"](lambda: module(z)) == [1, 0]


def test_predicting_maps_of_256_sites_dispatches_at_most_60_operators() -> None:
    sites = {Site(f"site {k}"): 3 + k % 5 for k in range(256)}
    network = Hypernetwork(6, sites, width=16, rank=5).freeze()
    embeddings = torch.randn(2, 6)
    operators, _views = LAUNCHES["count"](lambda: network(embeddings))
    assert operators <= 60
