"""Estimates against SciPy and figures computed by hand."""

import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from htbench.stats import Amortisation, over_concepts, spread

PAPER = Amortisation(training=36_000, fit=360, predict=0.1, generate=0.5)


def _concepts(count: int = 30, each: int = 4) -> dict[str, list[float]]:
    rng = np.random.default_rng(0)
    return {f"c{k}": rng.normal(rng.normal(), 0.3, each).tolist() for k in range(count)}


def test_the_interval_is_about_that_of_scipy() -> None:
    concepts = _concepts()
    estimate = over_concepts(concepts)
    means = np.array([np.mean(group) for group in concepts.values()])
    expected = bootstrap((means,), np.mean, method="percentile", n_resamples=10_000, rng=1).confidence_interval
    np.testing.assert_allclose((estimate.low, estimate.high), (expected.low, expected.high), atol=0.05 * np.ptp(expected))


def test_the_mean_is_that_of_the_concepts_means() -> None:
    estimate = over_concepts({"a": [1.0, 1.0, 1.0], "b": [4.0]})
    assert (estimate.mean, estimate.n) == (2.5, 2)


def test_two_concepts_reach_from_one_to_the_other() -> None:
    estimate = over_concepts({"a": [1.0], "b": [4.0]})
    assert (estimate.low, estimate.high) == (1, 4)


def test_prompts_of_a_concept_stay_together() -> None:
    once, often = over_concepts({"a": [1.0], "b": [4.0], "c": [5.0]}), over_concepts({"a": [1.0] * 9, "b": [4.0] * 9, "c": [5.0] * 9})
    assert once == often


def test_equal_concepts_have_an_interval_of_no_width() -> None:
    estimate = over_concepts({"a": [0.5], "b": [0.5]})
    assert (estimate.low, estimate.mean, estimate.high) == (0.5, 0.5, 0.5)


def test_one_concept_has_no_interval() -> None:
    estimate = over_concepts({"a": [1.0, 3.0]})
    assert (estimate.mean, estimate.n, math.isnan(estimate.low), math.isnan(estimate.high)) == (2, 1, True, True)


@pytest.mark.parametrize("values", [{}, {"a": []}])
def test_without_values_there_is_no_estimate(values: dict[str, list[float]]) -> None:
    assert over_concepts(values) is None


def test_a_concept_without_values_is_not_counted() -> None:
    assert over_concepts({"a": [], "b": [1.0], "c": [2.0]}).n == 2


def test_the_same_seed_gives_the_same_interval() -> None:
    assert over_concepts(_concepts(), seed=3) == over_concepts(_concepts(), seed=3)


def test_another_seed_gives_another_interval() -> None:
    assert over_concepts(_concepts(), seed=3).low != over_concepts(_concepts(), seed=4).low


def test_a_spread_is_median_and_quartiles() -> None:
    found = spread([5, 1, 4, 2, 3])
    assert (found.low, found.median, found.high, found.n) == (2, 3, 4, 5)


def test_an_empty_sample_has_no_spread() -> None:
    assert spread([]) is None


def test_the_speedup_is_fit_over_prediction() -> None:
    assert PAPER.speedup() == pytest.approx(3600)


@pytest.mark.parametrize(("images", "speedup"), [(1, 360.5 / 0.6), (10, 365 / 5.1), (100, 410 / 50.1)])
def test_images_dilute_the_speedup(images: int, speedup: float) -> None:
    assert PAPER.speedup(images) == pytest.approx(speedup)


def test_training_pays_after_its_cost_over_the_saving() -> None:
    assert PAPER.break_even == pytest.approx(36_000 / 359.9)


@pytest.mark.parametrize("predict", [360, 400])
def test_training_never_pays_where_prediction_saves_nothing(predict: float) -> None:
    assert Amortisation(training=1, fit=360, predict=predict, generate=0.5).break_even == math.inf
