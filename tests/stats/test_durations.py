"""Durations and what amortisation saves, against figures computed by hand."""

import math

import numpy as np
import pytest
from scipy.stats import t

from htbench.stats.durations import (
    UNKNOWN_COST,
    Amortisation,
    Saving,
    ScaledCost,
    ScaledPart,
    probe_cache,
    quartiles,
    summarise_durations,
)

PAPER = Amortisation(training=36_000, fit=360, predict=0.1, generate=0.5)
SAMPLES = Saving(
    training=1000, fit=(9.0, 10.0, 11.0), predict=(0.05, 0.1, 0.2), generate=(0.4, 0.5, 0.5)
)


def test_a_spread_is_median_and_quartiles() -> None:
    found = quartiles([5, 1, 4, 2, 3])
    assert (found.low, found.median, found.high, found.n) == (2, 3, 4, 5)


def test_an_empty_sample_has_no_spread() -> None:
    assert quartiles([]) is None


def test_the_speedup_is_fit_over_prediction() -> None:
    assert PAPER.speedup() == pytest.approx(3600)


@pytest.mark.parametrize(
    ("images", "speedup"), [(1, 360.5 / 0.6), (10, 365 / 5.1), (100, 410 / 50.1)]
)
def test_images_dilute_the_speedup(images: int, speedup: float) -> None:
    assert PAPER.speedup(images) == pytest.approx(speedup)


def test_training_pays_after_its_cost_over_the_saving() -> None:
    assert PAPER.break_even == pytest.approx(36_000 / 359.9)


@pytest.mark.parametrize("predict", [360, 400])
def test_training_never_pays_where_prediction_saves_nothing(predict: float) -> None:
    assert Amortisation(training=1, fit=360, predict=predict, generate=0.5).break_even == math.inf


def test_a_duration_is_what_order_statistics_say() -> None:
    found = summarise_durations([10, 2, 3, 4, 5, 6, 7, 8, 9, 1])
    assert (found.median, found.n, found.p90) == (5.5, 10, pytest.approx(9.1))
    assert (found.low, found.high) == (2, 9)  # P(2nd <= median <= 9th) = 97.9 %


def test_five_samples_have_no_interval_and_are_few() -> None:
    found = summarise_durations([1.0, 1.0, 1.0, 1.0, 1.0])
    assert (math.isnan(found.low), found.quality) == (True, "few")


@pytest.mark.parametrize(
    ("spread_by", "verdict"), [(0.09, "steady"), (0.11, "noisy"), (0.26, "invalid")]
)
def test_noise_is_the_interquartile_range_over_the_median(spread_by: float, verdict: str) -> None:
    found = summarise_durations([1 - spread_by / 2] * 5 + [1.0] * 5 + [1 + spread_by / 2] * 5)
    assert (found.noise, found.quality) == (pytest.approx(spread_by), verdict)


@pytest.mark.parametrize(
    ("images", "speedup"), [(0, 100), (1, 10.5 / 0.6), (10, 15 / 5.1), (100, 60 / 50.1)]
)
def test_the_speedup_of_raw_samples_is_that_of_their_medians(images: int, speedup: float) -> None:
    found = SAMPLES.speedup(images)
    assert found.value == pytest.approx(speedup)
    assert found.low < found.value < found.high


def test_the_break_even_of_raw_samples_is_that_of_their_medians() -> None:
    found = SAMPLES.break_even
    assert (found.value, found.low, found.high) == tuple(
        map(pytest.approx, (1000 / 9.9, 1000 / 10.95, 1000 / 8.8))
    )


STEPS = ScaledCost(
    parts=(
        ScaledPart(factor=10.0, seconds=(3.0,) * 3),
        ScaledPart(factor=500.0, seconds=(0.2, 0.3, 0.4, 0.3)),
    )
)


def test_a_cost_is_scaled_from_its_pieces_with_the_interval_of_students_t() -> None:
    found = STEPS.interval(rounds=100_000)
    error = 500 * np.std([0.2, 0.3, 0.4, 0.3], ddof=1) / 2
    assert found.value == pytest.approx(10 * 3 + 500 * 0.3)
    assert (found.low, found.high) == (
        pytest.approx(180 - t.ppf(0.975, 3) * error, rel=0.02),
        pytest.approx(180 + t.ppf(0.975, 3) * error, rel=0.02),
    )


def test_the_break_even_has_the_uncertainty_of_its_training() -> None:
    found = Saving(
        training=STEPS, fit=(11.0,) * 10, predict=(1.0,) * 10, generate=(1.0,) * 10, rounds=100_000
    ).break_even
    cost = STEPS.interval(rounds=100_000)
    assert found.value == pytest.approx(18)
    assert (found.low, found.high) == pytest.approx((cost.low / 10, cost.high / 10), rel=0.02)


def test_two_pieces_give_no_interval_of_a_cost() -> None:
    found = ScaledCost(parts=(ScaledPart(factor=10.0, seconds=(3.0, 4.0)),)).interval()
    assert (found.value, math.isnan(found.low)) == (35, True)


def test_a_training_that_was_not_measured_has_no_break_even_but_a_speedup() -> None:
    found = Saving(
        training=UNKNOWN_COST, fit=(8.0,) * 10, predict=(2.0,) * 10, generate=(1.0,) * 10
    )
    assert math.isnan(found.break_even.value)
    assert found.speedup().value == 4


def test_samples_that_do_not_vary_have_intervals_of_no_width() -> None:
    found = Saving(training=0, fit=(8.0,) * 10, predict=(2.0,) * 10, generate=(1.0,) * 10).speedup(
        2
    )
    assert (found.low, found.value, found.high) == (2.5, 2.5, 2.5)


def test_two_samples_of_anything_give_no_interval() -> None:
    found = Saving(training=1, fit=(8.0, 9.0), predict=(2.0,) * 10, generate=(1.0,) * 10)
    ends = (found.speedup().low, found.speedup(1).high, found.break_even.low, found.break_even.high)
    assert all(map(math.isnan, ends))


def test_answers_that_are_kept_give_themselves_away() -> None:
    found = probe_cache([1.0, 1.1, 0.9, 1.0, 1.2, 1.0, 0.8, 1.0], [0.01] * 8)
    assert (found.caches, found.p, found.n) == (True, 1 / 256, 8)


def test_costs_that_vary_by_concept_are_not_caching() -> None:
    costs = [0.1, 5.0, 0.3, 2.0, 0.7, 9.0, 0.2, 4.0]
    assert not probe_cache(
        costs, [cost * (1.02 if k % 2 else 0.98) for k, cost in enumerate(costs)]
    ).caches


def test_a_caching_method_whose_costs_vary_is_found_too() -> None:
    random = np.random.default_rng(0)
    costs = random.lognormal(0, 2, 40)
    assert probe_cache(costs, costs / 2 * random.lognormal(0, 0.1, 40)).caches


def test_without_pairs_nothing_is_said() -> None:
    assert probe_cache([], []) is None
