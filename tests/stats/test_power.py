"""Sample sizes: the votes that an effect needs."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from htbench.stats.power import (
    binomial_power,
    decisive_votes,
    detectable_effect,
    sample_size,
    smallest_effect,
)


@pytest.mark.parametrize("n", [9, 35, 92])
def test_power_is_the_chance_of_the_exact_tests_rejections(n: int) -> None:
    chance = 0.65
    rejected = [k for k in range(n + 1) if binomtest(k, n).pvalue <= 0.05]
    wanted = sum(math.comb(n, k) * chance**k * (1 - chance) ** (n - k) for k in rejected)
    assert binomial_power(n, chance) == pytest.approx(wanted)


@pytest.mark.parametrize("preference", [0.6, 0.65, 2 / 3, 0.7, 0.75, 0.9])
def test_any_number_from_the_one_that_is_needed_on_reaches_the_power(preference: float) -> None:
    n = decisive_votes(preference)
    assert binomial_power(n - 1, preference) < 0.8
    assert all(binomial_power(m, preference) >= 0.8 for m in range(n, 3 * n))


@pytest.mark.parametrize(("preference", "votes"), [(0.6, 210), (2 / 3, 77), (0.7, 54), (0.75, 35)])
def test_known_sample_sizes_are_found(preference: float, votes: int) -> None:
    assert decisive_votes(preference) == votes


def test_votes_on_the_same_concept_count_less() -> None:
    found = sample_size(2 / 3, per_concept=10, icc=0.2)
    assert found.design_effect == pytest.approx(2.8)
    assert found.votes == math.ceil(2.8 * found.independent)


def test_ties_both_orders_and_more_comparisons_cost_calls() -> None:
    plain, dear = sample_size(0.7), sample_size(0.7, undecided=0.5, comparisons=5)
    assert plain.calls == 2 * plain.pairs
    assert dear.pairs == 2 * dear.votes
    assert dear.votes > plain.votes
    assert dear.calls == 2 * 5 * dear.pairs


def test_a_preference_below_a_half_needs_as_many() -> None:
    assert sample_size(0.3).votes == sample_size(0.7).votes


def test_one_half_is_no_effect() -> None:
    with pytest.raises(ValueError, match="no effect"):
        sample_size(0.5)


def test_the_smallest_effect_that_votes_show_is_found_with_the_power() -> None:
    assert binomial_power(100, smallest_effect(100)) == pytest.approx(0.8, abs=1e-6)
    assert math.isnan(smallest_effect(3))


def test_what_a_run_can_show_is_found_in_four_of_five_such_runs() -> None:
    dice = np.random.default_rng(0)

    def concepts(rate: float) -> dict[str, list[float]]:
        chances = np.clip(rate + 0.15 * dice.standard_normal(60), 0, 1)
        return {
            str(k): list((dice.random(8) < chance).astype(float))
            for k, chance in enumerate(chances)
        }

    found = detectable_effect("a", "b", concepts(0.5))
    assert 0.03 < found.icc < 0.25
    means = [[np.mean(group) for group in concepts(found.least).values()] for _ in range(300)]
    shown = np.mean(
        [abs(np.mean(run) - 0.5) > 1.96 * np.std(run, ddof=1) / math.sqrt(60) for run in means]
    )
    assert 0.7 < shown < 0.9


def test_one_concept_shows_nothing() -> None:
    assert math.isnan(detectable_effect("a", "b", {"x": [1.0, 0.0]}).least)
