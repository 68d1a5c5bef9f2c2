"""Estimates against SciPy and figures computed by hand."""

import math

import numpy as np
import pytest
from scipy.stats import bootstrap, permutation_test, ttest_ind
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from htbench.stats.estimates import (
    contrast,
    equivalence,
    holm,
    over_concepts,
    resamples,
    sign_flip,
    tail_quantile,
)


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
