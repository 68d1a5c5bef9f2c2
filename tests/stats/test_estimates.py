"""Estimates against SciPy and figures computed by hand."""

import math

import numpy as np
import pytest
from scipy.stats import bootstrap, permutation_test, ttest_ind
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from htbench.stats.durations import (
    Amortisation,
    Saving,
    probe_cache,
    quartiles,
    summarise_durations,
)
from htbench.stats.estimates import (
    contrast,
    equivalence,
    holm,
    over_concepts,
    resamples,
    sign_flip,
    tail_quantile,
)

PAPER = Amortisation(training=36_000, fit=360, predict=0.1, generate=0.5)


def _concepts(count: int = 30, each: int = 4) -> dict[str, list[float]]:
    rng = np.random.default_rng(0)
    return {f"c{k}": rng.normal(rng.normal(), 0.3, each).tolist() for k in range(count)}


def test_the_interval_is_about_that_of_scipy() -> None:
    concepts = _concepts()
    estimate = over_concepts(concepts)
    means = np.array([np.mean(group) for group in concepts.values()])
    expected = bootstrap(
        (means,), np.mean, method="percentile", n_resamples=10_000, rng=1
    ).confidence_interval
    np.testing.assert_allclose(
        (estimate.low, estimate.high), (expected.low, expected.high), atol=0.05 * np.ptp(expected)
    )


def test_the_mean_is_that_of_the_concepts_means() -> None:
    estimate = over_concepts({"a": [1.0, 1.0, 1.0], "b": [4.0]})
    assert (estimate.mean, estimate.n) == (2.5, 2)


def test_two_concepts_reach_from_one_to_the_other() -> None:
    estimate = over_concepts({"a": [1.0], "b": [4.0]})
    assert (estimate.low, estimate.high) == (1, 4)


def test_prompts_of_a_concept_stay_together() -> None:
    once, often = (
        over_concepts({"a": [1.0], "b": [4.0], "c": [5.0]}),
        over_concepts({"a": [1.0] * 9, "b": [4.0] * 9, "c": [5.0] * 9}),
    )
    assert once == often


def test_equal_concepts_have_an_interval_of_no_width() -> None:
    estimate = over_concepts({"a": [0.5], "b": [0.5]})
    assert (estimate.low, estimate.mean, estimate.high) == (0.5, 0.5, 0.5)


def test_one_concept_has_no_interval() -> None:
    estimate = over_concepts({"a": [1.0, 3.0]})
    assert (estimate.mean, estimate.n, math.isnan(estimate.low), math.isnan(estimate.high)) == (
        2,
        1,
        True,
        True,
    )


def test_the_contrast_of_two_groups_is_about_that_of_welch() -> None:
    dice = np.random.default_rng(3)
    first, second = dice.normal(0.3, 0.1, 60), dice.normal(0.2, 0.2, 90)
    found, welch = (
        contrast(list(first), list(second)),
        ttest_ind(first, second, equal_var=False).confidence_interval(),
    )
    assert found is not None
    assert found.mean == pytest.approx(first.mean() - second.mean())
    assert (found.low, found.high) == pytest.approx((welch.low, welch.high), abs=0.005)
    assert found.n == 150


def test_groups_of_one_concept_cannot_be_contrasted() -> None:
    assert contrast([0.1], [0.1, 0.2]) is contrast([0.1, 0.2], []) is None


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
    assert (found.median, found.low, found.high, found.p90, found.n) == (
        5.5,
        2,
        9,
        pytest.approx(9.1),
        10,
    )  # P(2nd <= median <= 9th) = 97.9 %


def test_five_samples_have_no_interval_and_are_few() -> None:
    found = summarise_durations([1.0, 1.0, 1.0, 1.0, 1.0])
    assert (math.isnan(found.low), found.quality) == (True, "few")


@pytest.mark.parametrize(
    ("spread_by", "verdict"), [(0.09, "steady"), (0.11, "noisy"), (0.26, "invalid")]
)
def test_noise_is_the_interquartile_range_over_the_median(spread_by: float, verdict: str) -> None:
    found = summarise_durations([1 - spread_by / 2] * 5 + [1.0] * 5 + [1 + spread_by / 2] * 5)
    assert (found.noise, found.quality) == (pytest.approx(spread_by), verdict)


FIXTURE = Saving(
    training=1000, fit=(9.0, 10.0, 11.0), predict=(0.05, 0.1, 0.2), generate=(0.4, 0.5, 0.5)
)


@pytest.mark.parametrize(
    ("images", "speedup"), [(0, 100), (1, 10.5 / 0.6), (10, 15 / 5.1), (100, 60 / 50.1)]
)
def test_the_speedup_of_raw_samples_is_that_of_their_medians(images: int, speedup: float) -> None:
    found = FIXTURE.speedup(images)
    assert found.value == pytest.approx(speedup)
    assert found.low < found.value < found.high


def test_the_break_even_of_raw_samples_is_that_of_their_medians() -> None:
    found = FIXTURE.break_even
    assert (found.value, found.low, found.high) == tuple(
        map(pytest.approx, (1000 / 9.9, 1000 / 10.95, 1000 / 8.8))
    )


def test_samples_that_do_not_vary_have_intervals_of_no_width() -> None:
    found = Saving(training=0, fit=(8.0,) * 10, predict=(2.0,) * 10, generate=(1.0,) * 10).speedup(
        2
    )
    assert (found.low, found.value, found.high) == (2.5, 2.5, 2.5)


def test_two_samples_of_anything_give_no_interval() -> None:
    found = Saving(training=1, fit=(8.0, 9.0), predict=(2.0,) * 10, generate=(1.0,) * 10)
    assert all(
        map(
            math.isnan,
            (
                found.speedup().low,
                found.speedup(1).high,
                found.break_even.low,
                found.break_even.high,
            ),
        )
    )


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


@pytest.mark.parametrize(("greater", "alternative"), [(True, "greater"), (False, "two-sided")])
def test_a_sign_flip_test_of_few_is_that_of_scipy(greater: bool, alternative: str) -> None:
    differences = np.random.default_rng(0).normal(0.4, 1, 11)
    expected = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        alternative=alternative,
        n_resamples=np.inf,
    ).pvalue
    assert sign_flip(differences, greater=greater) == pytest.approx(expected, abs=1e-12)


def test_a_sign_flip_test_of_many_is_about_that_of_scipy() -> None:
    differences = np.random.default_rng(1).normal(0.3, 1, 60)
    expected = permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=2
    ).pvalue
    assert sign_flip(differences) == pytest.approx(expected, abs=0.006)


def test_a_sign_flip_test_of_many_never_says_zero() -> None:
    assert sign_flip([1.0] * 40, rounds=999) == pytest.approx(1 / 1000)


def test_no_differences_prove_nothing() -> None:
    assert (sign_flip([]), sign_flip([0.0, 0.0])) == (1, 1)


def test_holm_is_that_of_statsmodels() -> None:
    ps = [0.01, 0.04, 0.03, 0.2, 0.005, 0.03]
    np.testing.assert_allclose(holm(ps), multipletests(ps, method="holm")[1])


@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.1, 0.6])
def test_equivalence_is_that_of_statsmodels(shift: float) -> None:
    random = np.random.default_rng(4)
    first, second = random.normal(0, 1, 25), random.normal(shift, 1, 25)
    found = equivalence(first - second, margin=0.5)
    assert found.p == pytest.approx(ttost_paired(first, second, -0.5, 0.5)[0], abs=1e-12)
    assert found.holds == (found.low > -0.5 and found.high < 0.5)


def test_differences_that_do_not_vary_are_equivalent_within_the_margin_alone() -> None:
    assert [equivalence([0.2] * 5, margin=margin).holds for margin in (0.1, 0.3)] == [False, True]


def test_one_difference_has_no_equivalence() -> None:
    assert equivalence([0.1], margin=1) is None


def test_resamples_are_the_draws_of_the_mean() -> None:
    values = np.array([1.0, 5.0, 2.0, 7.0])
    found = over_concepts({str(k): [value] for k, value in enumerate(values)}, seed=3)
    np.testing.assert_allclose(
        np.quantile(resamples(4, seed=3) @ values / 4, [0.025, 0.975]), (found.low, found.high)
    )


def test_few_clusters_end_their_intervals_further_out() -> None:
    assert (
        tail_quantile(5)
        < tail_quantile(20)
        < tail_quantile(1000)
        < 0.025
        < 1.01 * tail_quantile(1000)
    )
