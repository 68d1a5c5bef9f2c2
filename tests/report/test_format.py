"""Estimates with their intervals as text."""

import math

from htbench.report import format
from htbench.stats.estimates import Estimate


def test_an_estimate_is_written_with_its_interval() -> None:
    value = Estimate(mean=0.5, low=0.25, high=1.0, n=3)
    assert format.estimate(value, format.score) == ".50 [.25, 1.00]"


def test_an_estimate_without_an_interval_stands_alone() -> None:
    alone = Estimate(mean=0.5, low=math.nan, high=math.nan, n=1)
    assert format.estimate(alone, "{:.1f}".format) == "0.5"


def test_a_missing_estimate_is_a_dash_or_what_is_given() -> None:
    assert format.estimate(None, format.score) == "-"
    assert format.estimate(None, format.score, missing="") == ""


def over(n: int, clusters: float) -> Estimate:
    return Estimate(mean=0.5, low=0.25, high=1.0, n=n, clusters=clusters)


def test_concepts_are_counted_with_those_that_are_independent() -> None:
    assert format.concept_count(over(167, 18.52)) == "167 concepts, 18.5 independent of each other"
    assert format.concept_count(over(12, 12)) == "12 concepts"
    assert format.sample_size(over(59, 9.2)) == "n = 59 (9.2 independent)"


def test_why_there_is_no_interval_is_told() -> None:
    assert format.interval_basis([over(30, 2.04), over(12, 12)]) == (
        "No interval: too few independent concepts (30 concepts, 2.0 independent of each other)."
    )


def test_what_independent_means_is_told_where_it_matters() -> None:
    assert format.interval_basis([over(12, 12)]) == "Intervals are over 12 concepts."
    assert "concepts that share a word are not" in format.interval_basis([over(30, 9)])
