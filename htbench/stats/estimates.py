"""Estimates over concepts with their intervals, tests, and corrections for several tests."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from htbench.stats.families import (
    MIN_CLUSTERS,
    Contrast,
    Families,
    FamiliesByConcept,
    corrected_t,
    uncorrected_t,
    upper_tail,
)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over concepts, or a difference of two, with its 95 % interval."""

    mean: float
    low: float
    high: float
    """NaN, as `low`, for fewer than `families.MIN_CLUSTERS` clusters."""
    n: int
    """Number of concepts."""
    clusters: float = math.nan
    """Effective number of independent clusters of concepts; `n` where no two share a family."""
    p: float = math.nan
    """p of a true value of 0, two-sided; NaN where there is no interval, or several fit seeds."""
    fit_seeds: int = 1
    """Number of fit seeds that each concept's value is a mean of."""
    seed_sd: float = math.nan
    """Standard deviation of the means at the fit seeds; NaN for one."""


def over_concepts(
    values: Mapping[str, Sequence[float]],
    families: FamiliesByConcept | None = None,
    *,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate | None:
    """Mean of the concepts' means, with its 95 % interval `within` the range of the values.

    None without values.

    The interval is that of a t test whose standard error lets concepts of one family vary together
    (`families.Contrast`), corrected for skewness. All of a concept's prompts and seeds stay
    together, since they are not independent.
    """
    means = {
        concept: float(np.mean(list(group))) for concept, group in values.items() if len(group)
    }
    if not means:
        return None
    mean = estimate(list(means.values()), Families.of(list(means), families).mean)
    return kept_within(mean, within)


def kept_within(mean: Estimate, within: tuple[float, float]) -> Estimate:
    """The estimate with its interval cut off at the ends of a range."""
    low, high = np.clip([mean.low, mean.high], *within)
    return replace(mean, low=float(low), high=float(high))


def contrast(
    first: Mapping[str, float],
    second: Mapping[str, float],
    families: FamiliesByConcept | None = None,
) -> Estimate | None:
    """Mean of one group of concepts minus that of another, with its 95 % interval.

    None if either has fewer than two concepts. `n` counts both groups. A family may have members in
    both.
    """
    sizes = (len(first), len(second))
    if min(sizes) < 2:
        return None
    weights = np.repeat([1 / sizes[0], -1 / sizes[1]], sizes)
    difference = Contrast(
        families=Families.of([*first, *second], families),
        weights=weights,
        groups=np.repeat([0, 1], sizes),
    )
    return estimate([*first.values(), *second.values()], difference)


def estimate(values: ArrayLike, contrast: Contrast) -> Estimate:
    """The weighted sum of concepts' `values` with its 95 % interval and p."""
    sample = np.asarray(values, float)
    value, clusters = float(sample @ contrast.weights), contrast.clusters
    low = high = p = math.nan
    if clusters >= MIN_CLUSTERS:
        error, skewness = float(contrast.error(sample)), float(contrast.skewness(sample))
        reach = float(stdtrit(contrast.degrees_of_freedom, 0.975))
        low = value - error * uncorrected_t(reach, skewness)
        high = value - error * uncorrected_t(-reach, skewness)
        p = _two_sided(value, error, skewness, contrast)
    return Estimate(mean=value, low=low, high=high, n=len(sample), clusters=clusters, p=p)


def _two_sided(value: float, error: float, skewness: float, contrast: Contrast) -> float:
    """p of a true value of 0."""
    if error == 0:
        # equal values: n clusters all fall on one side by chance once in 2 ** (n - 1) times
        return 1.0 if value == 0 else 2 ** (1 - contrast.clusters)
    return 2 * _chance(abs(value) / error, math.copysign(1, value) * skewness, contrast)


def _chance(t: float, skewness: float, contrast: Contrast) -> float:
    """The chance of a larger t if there is no effect: the larger of those with and without the
    correction for skewness, which is too bold far from 0 with few concepts.
    """
    corrected = float(corrected_t(np.asarray(t), np.asarray(skewness)))
    return max(upper_tail(each, contrast.degrees_of_freedom) for each in (t, corrected))


MAX_EXACT = 20
"""Number of differences up to which all signs are tried."""


def sign_flip(
    differences: ArrayLike, *, greater: bool = False, seed: int = 0, rounds: int = 10_000
) -> float:
    """p of a sign-flip test: the chance of a mean as far from 0 if each sign were random.

    With `greater`, one-sided: as far above 0. 1 for no differences, NaN where one is not a number.
    Up to 20 differences all signs are tried, else `rounds` random ones; the observed signs count
    among them. The differences are taken to be independent and, where there is no effect,
    symmetric.

    References:
        Phipson, Smyth. Permutation P-values Should Never Be Zero. 2010.
        https://doi.org/10.2202/1544-6115.1585
    """
    values = np.asarray(differences, float)
    if not np.isfinite(values).all():
        return math.nan
    if len(values) <= MAX_EXACT:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (rounds, len(values)))
        sums = np.append(signs @ values, values.sum())
    reached = sums if greater else np.abs(sums)
    observed = values.sum() if greater else abs(values.sum())
    return float((reached >= observed - 1e-12 * np.abs(values).sum()).mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p adjusted for all, so that some p is below 0.05 by chance in at most 5 % of families.

    A p of NaN, a test that could not be made, stays NaN and is not counted.

    References:
        Holm. A Simple Sequentially Rejective Multiple Test Procedure. 1979.
    """
    values = np.asarray(p_values, float)
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(len(values), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(p) for p in adjusted]


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """A test whether a mean difference lies within a margin around 0."""

    difference: float
    low: float
    high: float
    """90 % interval: two one-sided tests at 5 %; not adjusted for other tests."""
    margin: float
    p: float
    n: int
    clusters: float
    """Effective number of independent clusters of concepts."""

    @property
    def holds(self) -> bool:
        """True if the difference is shown to lie within the margin; False does not show that it
        lies outside.
        """
        return self.p < 0.05


def equivalence(
    differences: Mapping[str, float],
    families: FamiliesByConcept | None = None,
    *,
    margin: float,
) -> Equivalence | None:
    """Two one-sided t tests of concepts' differences against a pre-stated margin.

    None for fewer than `families.MIN_CLUSTERS` clusters of concepts.

    References:
        Schuirmann. A Comparison of the Two One-Sided Tests Procedure and the Power Approach. 1987.
        https://doi.org/10.1007/BF01068419
    """
    if not margin > 0:
        raise ValueError(f"the margin is {margin!r}, which is not above 0")
    mean = Families.of(list(differences), families).mean
    if mean.clusters < MIN_CLUSTERS:
        return None
    sample = np.array(list(differences.values()), float)
    value = float(sample.mean())
    error, skewness = float(mean.error(sample)), float(mean.skewness(sample))
    if error:
        p = max(
            _chance((margin + value) / error, skewness, mean),
            _chance((margin - value) / error, -skewness, mean),
        )
    else:
        p = float(abs(value) >= margin)
    reach = float(stdtrit(mean.degrees_of_freedom, 0.95))
    return Equivalence(
        difference=value,
        low=value - error * uncorrected_t(reach, skewness),
        high=value - error * uncorrected_t(-reach, skewness),
        margin=margin,
        p=p,
        n=len(sample),
        clusters=mean.clusters,
    )
