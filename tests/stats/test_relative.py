"""Shares of a rival's mean against simulations and SciPy."""

import numpy as np
import pytest

from htbench.stats.relative import relative_match


def scores(own: np.ndarray, rival: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    first, second = (
        {str(k): float(value) for k, value in enumerate(each)} for each in (own, rival)
    )
    return first, second


def test_the_limits_are_shares_of_the_rival_on_the_concepts_that_both_have() -> None:
    found = relative_match({"a": 2.0, "b": 4.0, "c": 9.0}, {"a": 1.0, "b": 3.0}, margin=0.1)
    assert found is not None
    assert found.ratio == pytest.approx(6 / 4)
    assert found.above_lower.mean == pytest.approx((2 - 0.9 + 4 - 2.7) / 2)
    assert found.below_upper.mean == pytest.approx((1.1 - 2 + 3.3 - 4) / 2)
    assert relative_match({"a": 1.0}, {"b": 1.0}, margin=0.1) is None


def test_at_the_limit_the_method_is_seldom_called_better_though_the_limit_is_estimated() -> None:
    dice = np.random.default_rng(0)
    called = 0
    for _ in range(400):
        rival = 1 + 0.5 * dice.normal(size=60)
        own = 0.9 + 0.5 * dice.normal(size=60)
        found = relative_match(*scores(own, rival), margin=0.1)
        called += found is not None and found.above_lower.low > 0
    assert 0.005 < called / 400 < 0.055  # nominal 0.025


def test_the_power_is_that_of_simulated_methods_short_by_twice_the_margin() -> None:
    dice = np.random.default_rng(1)
    stated, found_lower = [], []
    for _ in range(300):
        rival = 1 + 0.2 * dice.normal(size=40)
        own = rival * 0.8 + 0.25 * dice.normal(size=40)
        found = relative_match(*scores(own, rival), margin=0.1)
        assert found is not None
        stated.append(found.power)
        found_lower.append(found.above_lower.high < 0)
    assert float(np.median(stated)) == pytest.approx(np.mean(found_lower), abs=0.08)


def test_equivalence_needs_both_sides_and_a_rival_above_0() -> None:
    level = np.linspace(0.9, 1.1, 20)
    pairs = ((level, level), (1.3 * level, level), (0 * level, 0 * level))
    found = [relative_match(*scores(own, rival), margin=0.1) for own, rival in pairs]
    assert [match is not None and match.equivalent for match in found] == [True, False, False]
