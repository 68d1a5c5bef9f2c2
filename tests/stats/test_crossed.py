"""Intervals over concepts and raters: variances by hand, and limits."""

import math

import numpy as np
import pytest

from htbench.stats import crossed
from htbench.stats.proportions import Proportion


def mean_of(table: np.ndarray) -> crossed.Estimates:
    """The mean of a table of votes of shape (concepts, raters), all of them cast."""
    units = [
        (f"c{k}", {f"r{j}": float(vote) for j, vote in enumerate(row)})
        for k, row in enumerate(table)
    ]
    sums = crossed.Sums.collect(
        units, lambda counts, _: np.stack([counts[:, 0], counts.sum(1)], axis=1)
    )
    return crossed.estimate(sums, crossed.ratio)


def test_the_variance_of_a_full_table_is_that_of_two_way_anova() -> None:
    table = np.random.default_rng(1).random((9, 7)) < np.linspace(0.05, 0.95, 7)
    concepts, raters = table.shape
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    noise = (rest**2).sum() / ((concepts - 1) * (raters - 1))
    by_concept = table.mean(1).var(ddof=1) / concepts
    by_rater = table.mean(0).var(ddof=1) / raters
    found = mean_of(table)
    assert by_rater > noise / table.size
    assert found.values[0] == table.mean()
    assert found.errors[0] ** 2 == pytest.approx(by_concept + by_rater - noise / table.size)


def test_a_small_table_by_hand() -> None:
    found = mean_of(np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0]]))
    # means of concepts, and of raters, 1, 2/3, 1/3: variance 1/9, of their mean 1/27;
    # residuals are ±1/9 or ±2/9, of sum of squares 2/3: variance 1/6 with 4 df, of the mean 1/54
    assert found.errors[0] ** 2 == pytest.approx(1 / 27 + 1 / 27 - 1 / 54)


def test_raters_who_are_alike_add_nothing_to_the_error_of_concepts() -> None:
    table = np.repeat(np.array([[1], [0], [1], [1], [0], [1]]), 5, axis=1)
    found = mean_of(table)
    assert found.errors[0] ** 2 == pytest.approx(table[:, 0].var(ddof=1) / 6)
    assert found.df[0] == 5


def test_raters_alone_make_an_error_too() -> None:
    table = np.repeat(np.array([[1, 0, 1, 1, 0, 1]]), 8, axis=0)
    found = mean_of(table)
    assert found.errors[0] ** 2 == pytest.approx(table[0].var(ddof=1) / 6)
    assert found.df[0] == 5


@pytest.mark.parametrize(("concepts", "raters"), [(2, 9), (9, 2)])
def test_two_concepts_or_two_raters_have_no_interval(concepts: int, raters: int) -> None:
    table = np.random.default_rng(0).random((concepts, raters)) < 0.5
    found = mean_of(table)
    assert math.isnan(found.mean().low)
    assert np.isnan(found.share(0, count=3, of=9).interval).all()


def test_a_share_of_trials_that_agree_within_concepts_has_as_many_trials_as_concepts() -> None:
    trials = [(f"c{k}", k < 15) for k in range(20) for _ in range(50)]
    found = crossed.clustered_share(trials)
    assert (found.count, found.of) == (750, 1000)
    assert found.trials == pytest.approx(19)  # 20 concepts, with the variance's n - 1


def test_a_share_of_trials_each_in_a_cluster_of_its_own_is_nearly_wilson_s() -> None:
    found = crossed.clustered_share([(str(k), k % 4 > 0) for k in range(400)])
    plain = Proportion(count=300, of=400)
    assert found.value == plain.value
    assert found.interval == pytest.approx(plain.interval, abs=5e-4)


def test_a_share_of_one_is_judged_by_its_number_of_concepts() -> None:
    found = crossed.clustered_share([(str(k % 12), True) for k in range(600)])
    assert found.interval[1] == 1
    assert found.interval[0] == pytest.approx(12 / (12 + 2.2009851600**2))  # t with 11 df


def test_pairs_that_agree_are_counted_where_both_decide() -> None:
    votes = [{"a": 1.0, "b": 1.0, "c": 0.0}, {"a": 0.5, "b": 0.0, "c": 0.0}, {"a": 1.0}]
    found = crossed.pairwise_share([(f"c{k}", each) for k, each in enumerate(votes)])
    assert (found.count, found.of) == (2, 4)


def test_an_interval_of_agreement_stays_below_one() -> None:
    found = crossed.Estimates(
        values=np.array([0.9]), errors=np.array([0.2]), df=np.array([3.0]), clusters=4
    ).coefficient(0)
    assert -1 < found.low < 0.9 < found.high < 1


def test_full_agreement_has_no_interval() -> None:
    found = crossed.Estimates(
        values=np.array([1.0]), errors=np.array([0.0]), df=np.array([3.0]), clusters=4
    ).coefficient(0)
    assert found.value == 1
    assert math.isnan(found.low)
