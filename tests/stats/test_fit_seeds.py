"""Means over concepts and fit seeds against figures made by hand and an analysis of variance."""

import math

import numpy as np
import pytest
from scipy.stats import t

from htbench.stats import estimates
from htbench.stats.fit_seeds import over_concepts

EFFECTS = (0.0, 1.0, 2.0, 3.0)


def _values(table: np.ndarray) -> dict[str, list[float]]:
    return {f"c{k}": row.tolist() for k, row in enumerate(table)}


def test_seeds_that_move_all_concepts_alike_widen_the_interval_as_by_hand() -> None:
    found = over_concepts({f"c{a}": [a - 0.5, a + 0.5] for a in EFFECTS})
    # concepts: t(3) = 3.18245, sd 1.29099, n = 4; seeds: t(1) = 12.70620, sd 0.70711, n = 2
    reach = math.hypot(3.18245 * 1.29099 / 2, 12.70620 * 0.70711 / math.sqrt(2))
    assert (found.mean, found.low, found.high) == pytest.approx(
        (1.5, 1.5 - reach, 1.5 + reach), abs=1e-4
    )
    assert (found.fit_seeds, found.seed_sd) == (2, pytest.approx(math.sqrt(0.5)))


def test_seeds_that_differ_by_noise_alone_leave_the_interval_of_the_concepts_means() -> None:
    signs = (1, -1, 1, -1)
    values = {f"c{a}": [a + 0.2 * s, a - 0.2 * s] for a, s in zip(EFFECTS, signs, strict=True)}
    plain = estimates.over_concepts({name: [np.mean(each)] for name, each in values.items()})
    found = over_concepts(values)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))
    assert found.seed_sd == pytest.approx(0)


def test_the_variance_of_seeds_is_that_of_a_two_way_analysis_of_variance() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(0, 1, (30, 1)) + np.array([-0.6, 0.0, 0.9]) + rng.normal(0, 0.5, (30, 3))
    table = np.concatenate([table, 2 * table.mean(0) - table])  # without skewness
    n, seeds = table.shape
    rows, columns, grand = table.mean(1, keepdims=True), table.mean(0), table.mean()
    ms_seeds = n * ((columns - grand) ** 2).sum() / (seeds - 1)
    ms_rest = ((table - rows - columns + grand) ** 2).sum() / ((n - 1) * (seeds - 1))
    own = t.ppf(0.975, n - 1) * rows.std(ddof=1) / math.sqrt(n)
    common = t.ppf(0.975, seeds - 1) * math.sqrt((ms_seeds - ms_rest) / n / seeds)
    found = over_concepts(_values(table))
    assert (found.low, found.high) == pytest.approx(
        (grand - math.hypot(own, common), grand + math.hypot(own, common))
    )


def test_one_seed_gives_the_estimate_over_concepts() -> None:
    values = {f"c{k}": [float(k**2)] for k in range(6)}
    assert over_concepts(values) == estimates.over_concepts(values)


def test_noise_that_concepts_of_one_family_share_does_not_count_as_an_effect_of_seeds() -> None:
    rng = np.random.default_rng(0)
    shared = np.repeat(rng.normal(0, 1, (8, 3)), 10, axis=0)
    table = shared - shared.mean(0) + 0.2 * np.array([-1, 0, 1])
    families = {f"c{k}": (f"word{k // 10}",) for k in range(80)}
    apart, together = over_concepts(_values(table)), over_concepts(_values(table), families)
    concepts = [
        estimates.over_concepts({name: [np.mean(each)] for name, each in _values(table).items()}, f)
        for f in (None, families)
    ]
    assert apart.high > concepts[0].high + 0.2
    assert together.high == pytest.approx(concepts[1].high)


def test_too_few_clusters_give_no_interval() -> None:
    found = over_concepts({"a": [1.0, 2.0], "b": [3.0, 5.0]})
    assert math.isnan(found.low)
    assert (found.mean, found.fit_seeds) == (2.75, 2)


def test_without_values_there_is_no_estimate() -> None:
    assert over_concepts({}) is None


def test_concepts_with_different_numbers_of_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="inhomogeneous"):
        over_concepts({"a": [1.0, 2.0], "b": [3.0]})
