"""Counts of dispatched operators on the embedded model may only fall."""

import json
import runpy
from pathlib import Path

import torch

from htbench.core.types import Site
from htbench.steering.fitting.map_network import Hypernetwork

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


def test_predicting_maps_of_256_sites_dispatches_at_most_60_operators() -> None:
    sites = {Site(f"site {k}"): 3 + k % 5 for k in range(256)}
    network = Hypernetwork(6, sites, width=16, rank=5).freeze()
    embeddings = torch.randn(2, 6)
    operators, _views = LAUNCHES["count"](lambda: network(embeddings))
    assert operators <= 60
