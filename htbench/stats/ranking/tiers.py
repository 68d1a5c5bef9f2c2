"""Significant differences of contenders, by a test of all pairs at once, and tiers from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from htbench.stats import durations, estimates

_MAX_TANH = 1 - 1e-12
"""Bound of log-odds, at about 28."""


@dataclass(frozen=True, kw_only=True)
class PairwiseTest:
    """The difference of two contenders' ratings, with its test."""

    better: str
    worse: str
    gap: durations.Interval
    """Difference of ratings, with an interval that covers those of all pairs together in 95 % of
    samples; NaN with one cluster."""
    p: float
    """p, adjusted for all pairs."""

    @property
    def significant(self) -> bool:
        """True if the difference is significant at the 5 % level."""
        return self.p < 0.05


def pairwise_tests(
    names: Sequence[str],
    values: Float[np.ndarray, " contenders"],
    resamples: Float[np.ndarray, "rounds contenders"],
    *,
    clusters: int,
    log_odds: bool = False,
) -> list[PairwiseTest]:
    r"""Test all pairs at once, in the order of their values, by a max-t test.

    Its statistic is the largest studentised difference of a resample over all pairs. Values that
    are `log_odds` are compared by :math:`\tanh(d / 2)`, the share of wins less that of losses for
    a difference :math:`d`: resampled ratings of a contender that nearly always wins are spread
    widely, and that spread would hide how certain its lead is. Few clusters widen the intervals as
    those of a t test. Since n clusters all agree by chance once in :math:`2^{n-1}` times, no p is
    below that chance times the number of pairs.

    References:
        Romano, Wolf. Exact and Approximate Stepdown Methods for Multiple Hypothesis Testing. 2005.
        https://doi.org/10.1198/016214504000000539
    """
    order = best_first(values)
    pairs = [(one, other) for k, one in enumerate(order) for other in order[k + 1 :]]
    if not pairs:
        return []
    better, worse = np.array(pairs).T
    gaps, shifted = values[better] - values[worse], resamples[:, better] - resamples[:, worse]
    if log_odds:
        gaps, shifted = np.tanh(gaps / 2), np.tanh(shifted / 2)
    reach, p = (
        _max_t(gaps, shifted, clusters)
        if clusters > 1
        else (np.full(len(pairs), np.nan), np.ones(len(pairs)))
    )
    ends = np.stack([gaps, gaps - reach, gaps + reach])
    if log_odds:
        ends = 2 * np.arctanh(ends.clip(-_MAX_TANH, _MAX_TANH))
    return [
        PairwiseTest(
            better=names[one],
            worse=names[other],
            gap=durations.Interval(value=float(gap), low=float(low), high=float(high)),
            p=float(p_value),
        )
        for (one, other), (gap, low, high), p_value in zip(pairs, ends.T, p, strict=True)
    ]


def tiers(
    names: Sequence[str], values: Float[np.ndarray, " contenders"], tests: Sequence[PairwiseTest]
) -> list[int]:
    """Each contender's tier, in the order of `names`.

    A tier begins with the first contender that differs significantly from the first of the tier
    before.
    """
    significant = {(pair.better, pair.worse) for pair in tests if pair.significant}
    order = [names[k] for k in best_first(values)]
    by_name, head, tier = {}, order[0], 1
    for name in order:
        if (head, name) in significant:
            head, tier = name, tier + 1
        by_name[name] = tier
    return [by_name[name] for name in names]


def best_first(values: Float[np.ndarray, " contenders"]) -> list[int]:
    """Indices of values, the largest first; equals in their own order."""
    return [int(k) for k in np.argsort(-values, kind="stable")]


def _max_t(
    gaps: Float[np.ndarray, " pairs"], resamples: Float[np.ndarray, "rounds pairs"], n: int
) -> tuple[Float[np.ndarray, " pairs"], ...]:
    """Half the width of each interval, and each p."""
    errors = np.maximum(resamples.std(0), 1e-12)
    widening = float(ndtri(estimates.tail_quantile(n)) / ndtri(0.025))
    largest = (np.abs(resamples - gaps) / errors).max(1) * widening
    least = min(1.0, len(gaps) * 2.0 ** (1 - n))
    p = (1 + (largest[:, None] >= gaps / errors).sum(0)) / (1 + len(largest))
    return np.quantile(largest, 0.95) * errors, np.maximum(least, p)
