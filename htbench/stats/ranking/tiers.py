"""Which contenders the votes tell apart, all pairs at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from htbench.stats import durations, estimates

_MAX_TANH = 1 - 1e-12
"""Log-odds end here, at about 28."""


@dataclass(frozen=True, kw_only=True)
class PairwiseTest:
    """How far one contender is rated above another."""

    better: str
    worse: str
    gap: durations.Interval
    """Difference of ratings, with an interval that holds for all pairs together in 95 % of samples; NaN with one cluster."""
    p: float
    """Adjusted for all pairs."""

    @property
    def significant(self) -> bool:
        """Whether they are told apart at the 5 % level."""
        return self.p < 0.05


def pairwise_tests(
    names: Sequence[str],
    values: Float[np.ndarray, " contenders"],
    resamples: Float[np.ndarray, "rounds contenders"],
    *,
    clusters: int,
    log_odds: bool = False,
) -> list[PairwiseTest]:
    r"""All pairs, in the order of their values, by the largest studentised difference of a resample over all pairs (max-t).

    Values that are `log_odds` are compared by :math:`\tanh(d / 2)`, the share of wins less that of losses that a difference :math:`d` stands for: who
    nearly always wins is rated anywhere far above in resamples, and that spread would hide how sure it is.
    Few clusters widen it as they do a t interval; and since n clusters that all agree do so by chance once in :math:`2^{n-1}` times, no p is below that,
    times the number of pairs.

    References:
        Romano, Wolf. Exact and Approximate Stepdown Methods for Multiple Hypothesis Testing. 2005. https://doi.org/10.1198/016214504000000539
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
            p=float(chance),
        )
        for (one, other), (gap, low, high), chance in zip(pairs, ends.T, p, strict=True)
    ]


def tiers(
    names: Sequence[str], values: Float[np.ndarray, " contenders"], tests: Sequence[PairwiseTest]
) -> list[int]:
    """Each contender's tier, by the order of names: a new one begins with the first that is told apart from the head of the tier before."""
    apart = {(pair.better, pair.worse) for pair in tests if pair.significant}
    order = [names[k] for k in best_first(values)]
    found, head, tier = {}, order[0], 1
    for name in order:
        if (head, name) in apart:
            head, tier = name, tier + 1
        found[name] = tier
    return [found[name] for name in names]


def best_first(values: Float[np.ndarray, " contenders"]) -> list[int]:
    """Indices, the largest first; their own order between equals."""
    return [int(k) for k in np.argsort(-values, kind="stable")]


def _max_t(
    gaps: Float[np.ndarray, " pairs"], resamples: Float[np.ndarray, "rounds pairs"], n: int
) -> tuple[Float[np.ndarray, " pairs"], ...]:
    """Half the width of each interval, and each p."""
    errors = np.maximum(resamples.std(0), 1e-12)
    largest = (np.abs(resamples - gaps) / errors).max(1) * float(
        ndtri(estimates.tail_quantile(n)) / ndtri(0.025)
    )
    least = min(1.0, len(gaps) * 2.0 ** (1 - n))
    p = (1 + (largest[:, None] >= gaps / errors).sum(0)) / (1 + len(largest))
    return np.quantile(largest, 0.95) * errors, np.maximum(least, p)
