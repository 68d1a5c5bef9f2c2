"""Intervals hold the truth, and tests are wrong, as often as they say: planted simulations."""

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COVERAGE = runpy.run_path(str(ROOT / "benchmarks" / "coverage.py"))
Check = Callable[[int], Iterator[Any]]


@pytest.mark.slow
@pytest.mark.parametrize("check", COVERAGE["CHECKS"], ids=lambda check: check.__name__)
def test_every_rate_is_within_its_bounds(check: Check) -> None:
    outside = [(rate.what, rate.value) for rate in check(600) if not rate.holds]
    assert outside == []


@pytest.mark.parametrize(("n", "share"), [(12, None), (12, 0.5), (167, 0.5)])
def test_an_interval_of_a_mean_holds_the_truth_in_about_95_percent(
    n: int, share: float | None
) -> None:
    covered = COVERAGE["covered"](COVERAGE["World"](n, share), COVERAGE["normal"], 400)
    assert 0.91 <= covered <= 0.985
