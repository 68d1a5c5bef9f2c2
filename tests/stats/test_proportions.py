"""Shares of trials that are not independent."""

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from htbench.stats.proportions import share_over_concepts


def test_a_concept_that_is_all_or_nothing_is_one_trial() -> None:
    counts = {f"c{k}": (50 if k < 10 else 0, 50) for k in range(40)}
    share = share_over_concepts(counts)
    assert (share.count, share.of) == (500, 2000)
    assert share.trials == pytest.approx(40, abs=1.5)
    low, high = share.interval
    wilson = proportion_confint(10, 40, method="wilson")
    assert (low, high) == pytest.approx(wilson, abs=0.01)


def test_independent_trials_count_each() -> None:
    random = np.random.default_rng(4)
    counts = {f"c{k}": (int(random.binomial(50, 0.3)), 50) for k in range(200)}
    share = share_over_concepts(counts)
    wilson = proportion_confint(share.count, share.of, method="wilson")
    assert share.interval == pytest.approx(wilson, abs=0.004)


def test_a_share_of_none_has_the_width_of_one_trial_for_each_concept() -> None:
    share = share_over_concepts({f"c{k}": (0, 100) for k in range(20)})
    assert share.trials == 20
    assert share.interval[0] == pytest.approx(0, abs=1e-12)
    assert 0.1 < share.interval[1] < 0.25


def test_concepts_of_one_family_are_one_trial() -> None:
    counts = {f"c{k}": (10 if k % 8 < 4 else 0, 10) for k in range(32)}
    families = {f"c{k}": [f"family {k // 4}"] for k in range(32)}
    assert share_over_concepts(counts, families).trials == pytest.approx(8, abs=1.5)
    assert share_over_concepts(counts).trials == pytest.approx(32, abs=1.5)


def test_two_concepts_have_no_interval_and_none_no_share() -> None:
    assert math.isnan(share_over_concepts({"a": (1, 2), "b": (0, 2)}).interval[0])
    assert math.isnan(share_over_concepts({}).value)
    assert math.isnan(share_over_concepts({"a": (0, 0)}).value)


def test_intervals_cover_the_truth_where_concepts_differ() -> None:
    random = np.random.default_rng(0)
    chances = random.beta(0.3, 5.7, (300, 40))  # mean .05
    covered = 0
    for row in chances:
        counts = {f"c{k}": (int(random.binomial(8, chance)), 8) for k, chance in enumerate(row)}
        low, high = share_over_concepts(counts).interval
        covered += low <= 0.05 <= high
    assert 0.9 < covered / 300 <= 0.99
