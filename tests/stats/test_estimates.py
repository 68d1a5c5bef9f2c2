"""Estimates against SciPy and figures computed by hand."""

import math

import numpy as np
import pytest
from scipy.stats import bootstrap, permutation_test, t, ttest_1samp, ttest_ind
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from htbench.stats.estimates import (
    contrast,
    equivalence,
    holm,
    over_concepts,
    sign_flip,
)


def _concepts(count: int = 30, each: int = 4) -> dict[str, list[float]]:
    rng = np.random.default_rng(0)
    return {f"c{k}": rng.normal(rng.normal(), 0.3, each).tolist() for k in range(count)}


def _symmetric(n: int = 20) -> np.ndarray:
    """Values without skewness."""
    half = np.random.default_rng(0).normal(0, 1, n // 2)
    return np.concatenate([0.3 + half, 0.3 - half])


def _named(values: np.ndarray | list[float], prefix: str = "c") -> dict[str, float]:
    return {f"{prefix}{k}": float(value) for k, value in enumerate(values)}


def _each(values: np.ndarray | list[float]) -> dict[str, list[float]]:
    return {name: [value] for name, value in _named(values).items()}


def test_the_interval_is_that_of_a_t_test_where_nothing_is_skewed() -> None:
    values = _symmetric()
    estimate, expected = over_concepts(_each(values)), ttest_1samp(values, 0)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert estimate.p == pytest.approx(expected.pvalue)


def test_the_interval_of_skewed_values_reaches_further_to_their_long_side() -> None:
    estimate = over_concepts(_each(np.random.default_rng(1).exponential(size=20)))
    assert estimate.high - estimate.mean > 1.2 * (estimate.mean - estimate.low)


def test_an_interval_of_shares_ends_at_one() -> None:
    values = _each([0.9, 1.0, 0.5, 1.0])
    assert over_concepts(values).high > 1
    assert over_concepts(values, within=(0, 1)).high == 1


def test_the_interval_of_many_is_about_that_of_scipys_bootstrap() -> None:
    concepts = _concepts(200)
    estimate = over_concepts(concepts)
    means = np.array([np.mean(group) for group in concepts.values()])
    expected = bootstrap(
        (means,), np.mean, method="bca", n_resamples=10_000, rng=1
    ).confidence_interval
    np.testing.assert_allclose(
        (estimate.low, estimate.high), (expected.low, expected.high), atol=0.05 * np.ptp(expected)
    )


def test_concepts_of_one_family_make_the_interval_wider() -> None:
    values = _each([0.1, 0.2, 0.1, 0.7, 0.9, 0.8, 0.4, 0.5, 0.4])
    families = {name: (str(k // 3),) for k, name in enumerate(values)}
    apart, together = over_concepts(values), over_concepts(values, families)
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert (apart.clusters, together.clusters) == (9, pytest.approx(3))


def test_equal_families_have_the_interval_of_their_means() -> None:
    values = np.random.default_rng(2).normal(size=(12, 4))
    families = {f"c{k}": (str(k // 4),) for k in range(48)}
    found = over_concepts(_each(values.ravel()), families)
    means = values.mean(1)
    error = np.sqrt(((means - means.mean()) ** 2).sum() / 12 / 11)
    assert (found.high - found.low) / 2 == pytest.approx(error * t.ppf(0.975, 11), rel=0.02)


def test_the_mean_is_that_of_the_concepts_means() -> None:
    estimate = over_concepts({"a": [1.0, 1.0, 1.0], "b": [4.0]})
    assert (estimate.mean, estimate.n) == (2.5, 2)


def test_two_clusters_have_no_interval() -> None:
    found = over_concepts({"a": [1.0], "b": [4.0]})
    assert np.isnan([found.low, found.high, found.p]).all()
    values = _each([1, 2, 3, 4, 5, 6])
    assert math.isnan(
        over_concepts(values, {name: ("x" if k < 3 else "y",) for k, name in enumerate(values)}).low
    )


def test_prompts_of_a_concept_stay_together() -> None:
    once, often = (
        over_concepts({"a": [1.0], "b": [4.0], "c": [5.0]}),
        over_concepts({"a": [1.0] * 9, "b": [4.0] * 9, "c": [5.0] * 9}),
    )
    assert once == often


def test_equal_concepts_have_an_interval_of_no_width() -> None:
    estimate = over_concepts({"a": [0.5], "b": [0.5], "c": [0.5]})
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
        contrast(_named(first, "a"), _named(second, "b")),
        ttest_ind(first, second, equal_var=False).confidence_interval(),
    )
    assert found is not None
    assert found.mean == pytest.approx(first.mean() - second.mean())
    assert (found.low, found.high) == pytest.approx((welch.low, welch.high), abs=0.005)
    assert found.n == 150


def test_groups_of_one_concept_cannot_be_contrasted() -> None:
    two = {"a": 0.1, "b": 0.2}
    assert contrast({"c": 0.1}, two) is contrast(two, {}) is None


@pytest.mark.parametrize("values", [{}, {"a": []}])
def test_without_values_there_is_no_estimate(values: dict[str, list[float]]) -> None:
    assert over_concepts(values) is None


def test_a_concept_without_values_is_not_counted() -> None:
    assert over_concepts({"a": [], "b": [1.0], "c": [2.0]}).n == 2


def test_a_contrast_within_families_is_surer_than_between_them() -> None:
    dice = np.random.default_rng(4)
    effects = np.repeat(dice.normal(0, 1, 10), 2)
    values = effects + dice.normal(0, 0.1, 20)
    first = {f"a{k}": value for k, value in enumerate(values[::2])}
    second = {f"b{k}": value for k, value in enumerate(values[1::2])}
    families = {f"{group}{k}": (str(k),) for group in "ab" for k in range(10)}
    within, between = contrast(first, second, families), contrast(first, second)
    assert within.high - within.low < between.high - between.low


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
    differences = _symmetric(26) - shift
    found = equivalence(_named(differences), margin=0.5)
    expected = ttost_paired(differences, np.zeros(26), -0.5, 0.5)[0]
    assert found.p == pytest.approx(expected, abs=1e-12)
    assert found.holds == (found.low > -0.5 and found.high < 0.5)


def test_differences_that_do_not_vary_are_equivalent_within_the_margin_alone() -> None:
    assert [equivalence(_named([0.2] * 5), margin=margin).holds for margin in (0.1, 0.3)] == [
        False,
        True,
    ]


def test_two_differences_have_no_equivalence() -> None:
    assert equivalence(_named([0.1, 0.2]), margin=1) is None


def test_a_difference_that_is_not_a_number_proves_nothing() -> None:
    assert math.isnan(sign_flip([0.4, math.nan, 0.5]))
    adjusted = holm([0.01, math.nan, 0.04])
    assert (adjusted[0], math.isnan(adjusted[1]), adjusted[2]) == (0.02, True, 0.04)
