"""Significant differences of contenders, by a test of all pairs at once, and tiers from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from htbench.stats import durations
from htbench.stats.families import MIN_CLUSTERS, Families

_MAX_TANH = 1 - 1e-12
"""Bound of log-odds, at about 28."""
_CHUNK = 4_000_000
"""Number of differences that are held in memory at once."""


@dataclass(frozen=True, kw_only=True)
class PairwiseTest:
    """The difference of two contenders' ratings, with its test."""

    better: str
    worse: str
    gap: durations.Interval
    """Difference of ratings, with an interval that covers those of all pairs together in 95 % of
    samples; NaN for too few clusters."""
    p: float
    """p, adjusted for all pairs."""

    @property
    def significant(self) -> bool:
        """True if the difference is significant at the 5 % level."""
        return self.p < 0.05


def vote_tests(
    names: Sequence[str],
    ratings: Float[np.ndarray, " contenders"],
    resamples: Float[np.ndarray, "rounds contenders"],
    *,
    degrees_of_freedom: float,
    widening: float,
) -> list[PairwiseTest]:
    r"""Test all pairs of ratings in log-odds at once, in the order of the ratings, by a max-t test.

    Its statistic is the largest studentised difference of a resample over all pairs. Differences
    :math:`d` are compared by :math:`\tanh(d / 2)`, the share of wins less that of losses: resampled
    ratings of a contender that nearly always wins are spread widely, and that spread would hide how
    certain its lead is. Few clusters widen the intervals as those of a t test, at the level of the
    largest of all pairs. Since n clusters all agree by chance once in :math:`2^{n-1}` times, no p
    is below that chance times the number of pairs.

    `widening` is the standard error of a statistic over that of its resamples.

    References:
        Romano, Wolf. Exact and Approximate Stepdown Methods for Multiple Hypothesis Testing. 2005.
        https://doi.org/10.1198/016214504000000539
    """
    better, worse = _pairs(ratings)
    gaps = np.tanh((ratings[better] - ratings[worse]) / 2)
    reach, p = np.full(len(gaps), np.nan), np.ones(len(gaps))
    if len(gaps) and degrees_of_freedom + 1 >= MIN_CLUSTERS:
        shifted = np.tanh((resamples[:, better] - resamples[:, worse]) / 2)
        spread = np.maximum(shifted.std(0), 1e-12)
        largest = (np.abs(shifted - gaps) / spread).max(1)
        # a t of the same chance as the largest normal value, and the other way
        critical = stdtrit(degrees_of_freedom, ndtr(np.quantile(largest, 0.95)))
        reach = critical * widening * spread
        reached = ndtri(stdtr(degrees_of_freedom, gaps / (widening * spread)))
        p = (1 + (largest[:, None] >= reached).sum(0)) / (1 + len(largest))
        p = np.maximum(p, min(1.0, len(gaps) * 2.0**-degrees_of_freedom))
    ends = np.stack([gaps, gaps - reach, gaps + reach]).clip(-_MAX_TANH, _MAX_TANH)
    return _tests(names, better, worse, 2 * np.arctanh(ends), p)


def score_tests(
    names: Sequence[str],
    scores: Float[np.ndarray, "contenders concepts"],
    families: Families,
    *,
    log_odds: bool = False,
    rounds: int = 2000,
    seed: int = 0,
) -> list[PairwiseTest]:
    """Test all pairs of mean scores at once, in the order of the means, by a max-t test.

    Its statistic is the largest studentised difference over all pairs; its distribution is that
    under random permutations of the contenders' labels within concepts. Concepts that are counted
    to the same family, as in `Families.resamples`, are permuted alike. Means that are `log_odds`
    are compared as in `vote_tests`.

    References:
        Westfall, Young. Resampling-Based Multiple Testing. 1993. Chapter 3.
    """
    means = scores.mean(1)
    better, worse = _pairs(means)
    differences = scores[better] - scores[worse]
    gaps = _bounded(differences.mean(1), log_odds)
    reach, p = np.full(len(gaps), np.nan), np.ones(len(gaps))
    if len(gaps) and families.clusters >= MIN_CLUSTERS:
        largest = _permuted_largest(
            scores, families, (better, worse), log_odds, rounds=rounds, seed=seed
        )
        observed, errors = _studentised(differences, families, log_odds)
        reach = np.quantile(largest, 0.95) * errors
        p = (1 + (largest[:, None] >= observed * (1 - 1e-9)).sum(0)) / (1 + len(largest))
    ends = np.stack([gaps, gaps - reach, gaps + reach])
    if log_odds:
        ends = 2 * np.arctanh(ends.clip(-_MAX_TANH, _MAX_TANH))
    return _tests(names, better, worse, ends, p)


def _permuted_largest(
    scores: Float[np.ndarray, "contenders concepts"],
    families: Families,
    pairs: tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]],
    log_odds: bool,
    *,
    rounds: int,
    seed: int,
) -> Float[np.ndarray, " rounds"]:
    """The largest studentised difference over all pairs, for each permutation of labels."""
    rng, (better, worse) = np.random.default_rng(seed), pairs
    count, n = scores.shape
    step = max(1, _CHUNK // (len(better) * n))
    largest = []
    for start in range(0, rounds, step):
        size = min(step, rounds - start)
        chosen = families.clusterings(rng, size)
        orders = rng.random((size, int(chosen.max()) + 1, count)).argsort(2)
        labels = np.take_along_axis(orders, chosen[:, :, None], 1).transpose(0, 2, 1)
        permuted = np.take_along_axis(np.broadcast_to(scores, (size, count, n)), labels, 1)
        gaps = permuted.mean(-1)[:, better] - permuted.mean(-1)[:, worse]
        errors = families.mean.difference_errors(permuted, better, worse)
        t, _ = _ratios(gaps, errors, log_odds)
        largest.append(np.abs(t).max(1))
    return np.concatenate(largest)


def _studentised(
    differences: Float[np.ndarray, "*draws pairs concepts"], families: Families, log_odds: bool
) -> tuple[Float[np.ndarray, "*draws pairs"], Float[np.ndarray, "*draws pairs"]]:
    """Mean differences over their errors, and the errors; infinite for a gap without error."""
    return _ratios(differences.mean(-1), families.mean.error(differences), log_odds)


def _ratios(
    gaps: Float[np.ndarray, "*draws pairs"],
    errors: Float[np.ndarray, "*draws pairs"],
    log_odds: bool,
) -> tuple[Float[np.ndarray, "*draws pairs"], Float[np.ndarray, "*draws pairs"]]:
    if log_odds:
        gaps = _bounded(gaps, log_odds)
        errors = errors * (1 - gaps**2) / 2
    return np.where(np.abs(gaps) > 1e-12, gaps / np.maximum(errors, 1e-300), 0), errors


def _bounded(gaps: Float[np.ndarray, "*draws pairs"], log_odds: bool) -> np.ndarray:
    r"""The gaps, or for log-odds :math:`\tanh(d / 2)`."""
    return np.asarray(np.tanh(gaps / 2).clip(-_MAX_TANH, _MAX_TANH) if log_odds else gaps)


def _pairs(
    values: Float[np.ndarray, " contenders"],
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Indices of the better and of the worse of all pairs, in the order of the values."""
    order = np.array(best_first(values))
    better, worse = np.triu_indices(len(order), 1)
    return order[better], order[worse]


def _tests(
    names: Sequence[str],
    better: Int[np.ndarray, " pairs"],
    worse: Int[np.ndarray, " pairs"],
    ends: Float[np.ndarray, "3 pairs"],
    p: Float[np.ndarray, " pairs"],
) -> list[PairwiseTest]:
    return [
        PairwiseTest(
            better=names[one],
            worse=names[other],
            gap=durations.Interval(value=float(gap), low=float(low), high=float(high)),
            p=float(p_value),
        )
        for one, other, (gap, low, high), p_value in zip(better, worse, ends.T, p, strict=True)
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
