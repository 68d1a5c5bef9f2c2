"""Which contenders the votes tell apart, all pairs at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from htbench import stats


@dataclass(frozen=True, kw_only=True)
class Separation:
    """How far one contender is rated above another."""

    better: str
    worse: str
    gap: stats.Interval
    """Difference of ratings, with an interval that holds for all pairs together in 95 % of samples; NaN with one cluster."""
    p: float
    """Adjusted for all pairs."""

    @property
    def apart(self) -> bool:
        """Whether they are told apart at the 5 % level."""
        return self.p < 0.05


def separations(
    names: Sequence[str], values: Float[np.ndarray, " contenders"], drawn: Float[np.ndarray, "rounds contenders"], *, clusters: int
) -> list[Separation]:
    r"""All pairs, in the order of their values, by the largest studentised difference of a resample over all pairs (max-t).

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
    gaps = values[better] - values[worse]
    if clusters < 2:
        reach, p = np.full(len(pairs), np.nan), np.ones(len(pairs))
    else:
        reach, p = _tests(gaps, drawn[:, better] - drawn[:, worse], clusters)
    return [
        Separation(
            better=names[one],
            worse=names[other],
            gap=stats.Interval(value=float(gap), low=float(gap - wide), high=float(gap + wide)),
            p=float(chance),
        )
        for (one, other), gap, wide, chance in zip(pairs, gaps, reach, p, strict=True)
    ]


def tiers(names: Sequence[str], values: Float[np.ndarray, " contenders"], pairs: Sequence[Separation]) -> list[int]:
    """Each contender's tier, by the order of names: a new one begins with the first that is told apart from the head of the tier before."""
    apart = {(pair.better, pair.worse) for pair in pairs if pair.apart}
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


def _tests(gaps: Float[np.ndarray, " pairs"], drawn: Float[np.ndarray, "rounds pairs"], n: int) -> tuple[Float[np.ndarray, " pairs"], ...]:
    """Half the width of each interval, and each p."""
    errors = np.maximum(drawn.std(0), 1e-12)
    largest = (np.abs(drawn - gaps) / errors).max(1) * float(ndtri(stats.tail(n)) / ndtri(0.025))
    least = min(1.0, len(gaps) * 2.0 ** (1 - n))
    p = (1 + (largest[:, None] >= gaps / errors).sum(0)) / (1 + len(largest))
    return np.quantile(largest, 0.95) * errors, np.maximum(least, p)
