"""Estimates with their intervals as text."""

import math

from htbench.report import format
from htbench.stats.estimates import Estimate


def test_an_estimate_is_written_with_its_interval() -> None:
    value = Estimate(mean=0.5, low=0.25, high=1.0, n=3)
    assert format.estimate(value, format.score) == "0.500 [0.250, 1.000]"


def test_an_estimate_without_an_interval_stands_alone() -> None:
    alone = Estimate(mean=0.5, low=math.nan, high=math.nan, n=1)
    assert format.estimate(alone, "{:.1f}".format) == "0.5"


def test_a_missing_estimate_is_a_dash_or_what_is_given() -> None:
    assert format.estimate(None, format.score) == "-"
    assert format.estimate(None, format.score, missing="") == ""
