"""Estimates over concepts with their intervals, tests, and corrections for several tests."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtr, stdtrit


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over concepts with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int
    """Number of concepts."""


def over_concepts(
    values: Mapping[str, Sequence[float]], *, seed: int = 0, rounds: int = 10_000
) -> Estimate | None:
    """Mean of the concepts' means, with the 95 % percentile interval of a bootstrap over concepts.

    None without values. All of a concept's prompts and seeds stay together, since they are not
    independent. One concept has no interval (NaN).

    References:
        Efron, Tibshirani. An Introduction to the Bootstrap. 1993.
    """
    means = np.array([np.mean(list(group)) for group in values.values() if len(group)])
    if not len(means):
        return None
    if len(means) == 1:
        return Estimate(mean=float(means[0]), low=math.nan, high=math.nan, n=1)
    resampled = resamples(len(means), seed=seed, rounds=rounds) @ means / len(means)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(mean=float(means.mean()), low=float(low), high=float(high), n=len(means))


def contrast(
    first: Sequence[float], second: Sequence[float], *, rounds: int = 10_000
) -> Estimate | None:
    """Mean of one group of concepts minus that of another, with its 95 % bootstrap interval.

    Both groups are resampled; None if either has fewer than two concepts. `n` counts both groups.
    """
    if min(len(first), len(second)) < 2:
        return None
    means = [
        resamples(len(group), seed=seed, rounds=rounds) @ np.array(group) / len(group)
        for seed, group in enumerate((first, second))
    ]
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return Estimate(
        mean=float(np.mean(first) - np.mean(second)),
        low=float(low),
        high=float(high),
        n=len(first) + len(second),
    )


@lru_cache(maxsize=4)
def resamples(n: int, *, seed: int = 0, rounds: int = 10_000) -> NDArray[np.float64]:
    """Bootstrap counts: how often each of `n` concepts, or raters, is in each resample.

    Shape (rounds, n), read-only. These are the resamples of `over_concepts`, for other statistics.
    """
    picks = np.random.default_rng(seed).integers(0, n, (rounds, n))
    counts = (
        np.bincount((picks + n * np.arange(rounds)[:, None]).ravel(), minlength=n * rounds)
        .reshape(rounds, n)
        .astype(float)
    )
    counts.flags.writeable = False
    return counts


def tail_quantile(n: int) -> float:
    """The quantile of resampled statistics of `n` clusters at which a 95 % interval ends.

    Below 0.025, since percentile intervals of few clusters are too narrow.

    References:
        Hesterberg. What Teachers Should Know About the Bootstrap. 2015.
        https://doi.org/10.1080/00031305.2015.1089789
    """
    return float(ndtr(-math.sqrt(n / (n - 1)) * stdtrit(n - 1, 0.975))) if n > 1 else math.nan


MAX_EXACT = 20
"""Number of differences up to which all signs are tried."""


def sign_flip(
    differences: ArrayLike, *, greater: bool = False, seed: int = 0, rounds: int = 10_000
) -> float:
    """p of a sign-flip test: the chance of a mean as far from 0 if each sign were random.

    With `greater`, one-sided: as far above 0. 1 for no differences. Up to 20 differences all signs
    are tried, else `rounds` random ones; the observed signs count among them.

    References:
        Phipson, Smyth. Permutation P-values Should Never Be Zero. 2010.
        https://doi.org/10.2202/1544-6115.1585
    """
    values = np.asarray(differences, float)
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

    References:
        Holm. A Simple Sequentially Rejective Multiple Test Procedure. 1979.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, float)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(p) for p in adjusted]


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """A test whether a mean difference lies within a margin around 0."""

    difference: float
    low: float
    high: float
    """90 % interval: two one-sided tests at 5 %."""
    margin: float
    p: float
    n: int

    @property
    def holds(self) -> bool:
        """True if the difference is shown to lie within the margin; False does not show that it
        lies outside.
        """
        return self.p < 0.05


def equivalence(differences: ArrayLike, *, margin: float) -> Equivalence | None:
    """Two one-sided t tests of concepts' differences against a pre-stated margin.

    None for fewer than two differences.

    References:
        Schuirmann. A Comparison of the Two One-Sided Tests Procedure and the Power Approach. 1987.
        https://doi.org/10.1007/BF01068419
    """
    if not margin > 0:
        raise ValueError(f"the margin is {margin!r}, which is not above 0")
    values = np.asarray(differences, float)
    n = len(values)
    if n < 2:
        return None
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    gap = margin - abs(mean)
    p = float(stdtr(n - 1, -gap / error)) if error else float(gap <= 0)
    reach = float(stdtrit(n - 1, 0.95)) * error
    low, high = mean - reach, mean + reach
    return Equivalence(difference=mean, low=low, high=high, margin=margin, p=p, n=n)
