"""Intervals of statistics of votes in which concepts and raters are both samples.

A statistic is a smooth function of sums over units, each of which belongs to a concept and has the
votes of some raters. Standard errors follow from leaving out each concept, each rater, and each
rater's votes on one concept.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtrit

from htbench.stats.durations import Interval
from htbench.stats.families import MIN_CLUSTERS
from htbench.stats.proportions import Proportion

Unit = tuple[str, Mapping[str, float]]
"""A concept, and votes by rater."""
Contribution = Callable[
    [Float[np.ndarray, "units outcomes"], Int[np.ndarray, " units"]],
    Float[np.ndarray, "units sums"],
]
"""The sums of units, from the counts of their votes by outcome and their numbers."""
Statistic = Callable[[Float[np.ndarray, "draws sums"]], Float[np.ndarray, "draws statistics"]]
OUTCOMES = (1.0, 0.5, 0.0)
"""Won, tied, lost."""
NO_INTERVAL = f"no interval: fewer than {MIN_CLUSTERS} concepts or raters, or all alike"


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Sums by concept, and what they lose without each rater's votes; None for one rater or none.

    One rater's votes are not a sample of raters: what they are compared with is taken as it is.
    """

    by_concept: Float[np.ndarray, "concepts sums"]
    lost: Float[np.ndarray, "concepts raters sums"] | None = None

    @classmethod
    def collect(
        cls,
        units: Sequence[Unit],
        contribution: Contribution,
        *,
        outcomes: Sequence[float] = OUTCOMES,
    ) -> "Sums":
        """The sums of units, whose votes are among `outcomes`."""
        concepts = _numbers(concept for concept, _ in units)
        raters = _numbers(rater for _, votes in units for rater in votes)
        place = {outcome: k for k, outcome in enumerate(outcomes)}
        concept = np.array([concepts[each] for each, _ in units], int)
        cast = [
            (unit, raters[rater], place[vote])
            for unit, (_, votes) in enumerate(units)
            for rater, vote in votes.items()
        ]
        unit, rater, outcome = np.array(cast, int).reshape(-1, 3).T
        counts = np.zeros((len(units), len(place)))
        np.add.at(counts, (unit, outcome), 1)
        whole = contribution(counts, np.arange(len(units)))
        by_concept = np.zeros((len(concepts), whole.shape[1]))
        np.add.at(by_concept, concept, whole)
        if len(raters) < 2:
            return cls(by_concept=by_concept)
        rest = counts[unit] - np.eye(len(place))[outcome]
        lost = np.zeros((len(concepts), len(raters), whole.shape[1]))
        np.add.at(lost, (concept[unit], rater), whole[unit] - contribution(rest, unit))
        return cls(by_concept=by_concept, lost=lost)


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """Values of statistics with their standard errors; NaN below three concepts or raters."""

    values: Float[np.ndarray, " statistics"]
    errors: Float[np.ndarray, " statistics"]
    df: Float[np.ndarray, " statistics"]
    """Degrees of freedom of t intervals."""
    clusters: int
    """Number of concepts, or of raters where they are fewer."""

    def mean(self, k: int = 0) -> Interval:
        """Statistic `k` with its t interval."""
        value, reach = float(self.values[k]), float(self._t[k] * self.errors[k])
        return Interval(value=value, low=value - reach, high=value + reach)

    def share(self, k: int, *, count: int, of: int) -> Proportion:
        """Statistic `k`, which is the share `count` out of `of`.

        A share that is the same everywhere is taken to rest on one trial per cluster.
        """
        share = Proportion(count=count, of=of)
        spread, value = float(self.errors[k]) ** 2, share.value
        trials = value * (1 - value) / spread if spread else float(self.clusters)
        return Proportion(count=count, of=of, trials=trials, df=float(self.df[k]))

    def coefficient(self, k: int, *, raters: float = 2) -> Interval:
        r"""Statistic `k`, an agreement beyond chance of `raters` votes on each unit; 1 is its most.

        The interval is symmetric on the scale of :math:`\log\frac{1 + (m - 1) r}{1 - r}`, on which
        the error of an intraclass correlation of m raters hardly depends on its value. NaN at 1,
        where the sample has no disagreement to tell an error from.

        References:
            Fisher. Statistical Methods for Research Workers. 1925. Section 39.
        """
        value, most = float(self.values[k]), raters - 1
        if not -1 / most < value < 1:
            return Interval(value=value, low=np.nan, high=np.nan)
        centre = np.log((1 + most * value) / (1 - value))
        slope = raters / ((1 + most * value) * (1 - value))
        reach = self._t[k] * self.errors[k] * slope
        low, high = (1 - raters / (np.exp(end) + most) for end in (centre - reach, centre + reach))
        return Interval(value=value, low=float(low), high=float(high))

    @property
    def _t(self) -> Float[np.ndarray, " statistics"]:
        return np.asarray(stdtrit(self.df, 0.975))


def estimate(sums: Sums, statistic: Statistic, *, clusters: int | None = None) -> Estimates:
    r"""Statistics of all votes, with errors for new concepts and new raters.

    .. math:: V = V_c + \max(0, V_r - V_{cr})

    V_c and V_r are the jackknife's variances over concepts and raters. V_cr is the part of V_r that
    comes from the votes on these concepts, which V_c holds too: it is seen in the spread, over
    concepts, of each rater's influence. So noise is counted once, and the error is never below that
    of concepts alone. Degrees of freedom are Satterthwaite's, at least those of the fewer of
    concepts and raters. `clusters` is the number of concepts that a statistic rests on, if it is
    not all.

    References:
        Efron, Stein. The Jackknife Estimate of Variance. 1981.
        Cameron, Gelbach, Miller. Robust Inference With Multiway Clustering. 2011.
        https://doi.org/10.1198/jbes.2010.07136
        Satterthwaite. An Approximate Distribution of Estimates of Variance Components. 1946.
    """
    total = sums.by_concept.sum(0)
    values, concepts = statistic(total[None])[0], len(sums.by_concept)
    informative = concepts if clusters is None else clusters
    fewest = informative if sums.lost is None else min(informative, sums.lost.shape[1])
    if fewest < MIN_CLUSTERS:
        unknown = np.full(len(values), np.nan)
        return Estimates(values=values, errors=unknown, df=unknown, clusters=fewest)
    variance = _jackknife(statistic(total - sums.by_concept))
    uncertainty, most = variance**2 / (informative - 1), informative - 1
    if sums.lost is not None:
        raters = sums.lost.shape[1]
        alone, shared = _rater_variance(sums.lost, total, values, statistic)
        between = np.maximum(alone - shared, 0)
        variance = variance + between
        doubt = alone**2 / (raters - 1) + shared**2 / ((raters - 1) * (informative - 1))
        uncertainty = uncertainty + np.where(between > 0, doubt, 0)
        most = max(most, raters - 1)
    satterthwaite = np.divide(
        variance**2, uncertainty, out=np.full(len(values), float(most)), where=uncertainty > 0
    )
    df = np.where(np.isnan(variance), np.nan, np.clip(satterthwaite, fewest - 1, most))
    return Estimates(values=values, errors=np.sqrt(variance), df=df, clusters=fewest)


def share(trials: Sequence[tuple[str, str, float]]) -> Proportion:
    """The share of successes, 1, among trials, each with its concept and its rater.

    A trial of .5 is half a success; the count of successes is rounded.
    """
    units = [(concept, {rater: float(success)}) for concept, rater, success in trials]
    return _share(units, round(sum(success for _, _, success in trials)))


def clustered_share(trials: Sequence[tuple[str, bool]]) -> Proportion:
    """The share of successes among trials that are independent only between clusters."""
    units = [(cluster, {"": float(success)}) for cluster, success in trials]
    return _share(units, sum(success for _, success in trials))


def pairwise_share(units: Sequence[Unit]) -> Proportion:
    """Pairs of raters who agree, of those who vote on the same unit and both decide.

    Votes are 1, 0 or, undecided, 0.5.
    """

    def pairs(counts: Float[np.ndarray, "units outcomes"], _: np.ndarray) -> np.ndarray:
        alike = (counts[:, ::2] * (counts[:, ::2] - 1)).sum(1) / 2
        decided = counts[:, ::2].sum(1)
        return np.stack([alike, decided * (decided - 1) / 2], axis=1)

    units = [unit for unit in units if len(unit[1]) > 1]
    if not units:
        return Proportion(count=0, of=0)
    sums = Sums.collect(units, pairs)
    alike, decided = sums.by_concept.sum(0)
    return estimate(sums, ratio).share(0, count=int(alike), of=int(decided))


def _share(units: Sequence[Unit], successes: int) -> Proportion:
    if not units:
        return Proportion(count=0, of=0)
    sums = Sums.collect(
        units, lambda counts, _: np.stack([counts[:, 0] + counts[:, 1] / 2, counts.sum(1)], 1)
    )
    return estimate(sums, ratio).share(0, count=successes, of=len(units))


def ratio(sums: Float[np.ndarray, "draws sums"]) -> Float[np.ndarray, "draws one"]:
    """The first sum over the second; NaN over 0."""
    above, below = sums[:, :1], sums[:, 1:2]
    return np.asarray(np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0))


def _rater_variance(
    lost: Float[np.ndarray, "concepts raters sums"],
    total: Float[np.ndarray, " sums"],
    values: Float[np.ndarray, " statistics"],
    statistic: Statistic,
) -> tuple[Float[np.ndarray, " statistics"], Float[np.ndarray, " statistics"]]:
    """The jackknife's variance over raters, and the part that is due to these concepts."""
    concepts, raters, size = lost.shape
    variance = _jackknife(statistic(total - lost.sum(0)))
    influence = values - statistic(total - lost.reshape(-1, size))
    relative = influence.reshape(concepts, raters, -1)
    relative = relative - relative.mean(1, keepdims=True)
    spread = ((relative - relative.mean(0)) ** 2).sum((0, 1)) * concepts / (concepts - 1)
    between = (relative.sum(0) ** 2).sum(0)
    part = np.divide(spread, between, out=np.zeros_like(spread), where=between > 0)
    return variance, variance * part


def _jackknife(
    without: Float[np.ndarray, "clusters statistics"],
) -> Float[np.ndarray, " statistics"]:
    n = len(without)
    return np.asarray((n - 1) / n * ((without - without.mean(0)) ** 2).sum(0))


def _numbers(names: Iterable[str]) -> dict[str, int]:
    return {name: k for k, name in enumerate(sorted(set(names)))}
