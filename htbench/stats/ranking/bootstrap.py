"""The bootstrap of a ranking: votes resampled by concepts, and by raters where they are known."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from htbench.stats import durations
from htbench.stats.families import MIN_CLUSTERS, Families
from htbench.stats.ranking import influence
from htbench.stats.ranking.bradley_terry import BradleyTerryFit, solve_resamples, strongly_connected
from htbench.stats.ranking.votes import Votes, VoteTally


@dataclass(frozen=True, kw_only=True, eq=False)
class BootstrapDraws:
    """Statistics of resampled votes.

    Each concept's votes stay together, and so do concepts of a family. With raters, a vote is
    weighted by the draws of its concept times the draws of its rater, and distances from the
    statistic are corrected by `influence.Variance.correction`.
    """

    ratings: Float[np.ndarray, "rounds contenders"]
    win_rates: Float[np.ndarray, "rounds contenders contenders"]
    """Share of its votes that the row won against the column; NaN where a resample has none."""
    mean_win_rates: Float[np.ndarray, "rounds contenders"]
    """Mean of the win rates over opponents."""
    families: Families
    """Those of the concepts."""
    raters: int
    """Number of resampled raters; 0 where only concepts are resampled."""
    unbounded_draws: int
    """Number of resamples in which only the prior bounds the ratings."""

    @property
    def clusters(self) -> float:
        """Effective number of clusters of concepts, or of raters if they are fewer."""
        return min(self.families.clusters, self.raters or math.inf)

    @property
    def widening(self) -> float:
        """Standard error of a statistic over that of its resamples, but for the t quantile."""
        if self.raters and self.raters < self.families.clusters:
            return Families.independent(self.raters).widening
        return self.families.widening

    def interval(self, value: float, resamples: Float[np.ndarray, " rounds"]) -> durations.Interval:
        """95 % interval of a statistic; NaN for too few clusters or no resampled values."""
        resamples = resamples[np.isfinite(resamples)]
        if self.clusters < MIN_CLUSTERS or not len(resamples):
            return durations.Interval(value=value, low=np.nan, high=np.nan)
        tail = self.families.tail
        if self.raters:
            tail = min(tail, Families.independent(self.raters).tail)
        low, high = np.quantile(resamples, [tail, 1 - tail])
        return durations.Interval(value=value, low=float(low), high=float(high))


def resample_votes(
    votes: Votes, rating: BradleyTerryFit, *, rounds: int, seed: int
) -> BootstrapDraws:
    """Statistics of `rounds` resamples of the votes that the rating was fitted to.

    Concepts and raters without a verdict are not drawn, nor is a single rater.
    """
    cast = votes.where(votes.valid)
    concepts, concept = np.unique(cast.concept, return_inverse=True)
    raters, rater = np.unique(
        np.zeros(len(cast), int) if cast.rater is None else cast.rater, return_inverse=True
    )
    related = Families.of([cast.concepts[k] for k in concepts], cast.families)
    tally = _tally(cast, concept, rater, related, raters=len(raters), rounds=rounds, seed=seed)
    ratings = solve_resamples(tally, rating)
    rates, averages = tally.win_rates, mean_win_rate(tally.win_rates)
    if len(raters) > 1:
        observed = cast.tally().win_rates
        # one factor for all ratings keeps their correlations
        on_ratings = influence.variance(influence.on_ratings(cast, rating), concept, rater, related)
        on_rates = influence.variance(influence.on_win_rates(cast), concept, rater, related)
        on_means = influence.variance(influence.on_mean_win_rates(cast), concept, rater, related)
        ratings = rating.ratings + on_ratings.total.correction * (ratings - rating.ratings)
        rates = observed + on_rates.correction.reshape(observed.shape) * (rates - observed)
        means = mean_win_rate(observed)
        averages = means + on_means.correction * (averages - means)
    return BootstrapDraws(
        ratings=ratings,
        win_rates=rates,
        mean_win_rates=averages,
        families=related,
        raters=len(raters) if len(raters) > 1 else 0,
        unbounded_draws=int((~strongly_connected(tally, rating.ties)).sum()),
    )


def mean_win_rate(
    rates: Float[np.ndarray, "*draws contenders contenders"],
) -> Float[np.ndarray, "*draws contenders"]:
    """Mean win rate over the opponents that a contender met, equally weighted; NaN for none."""
    met = ~np.isnan(rates)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(met, rates, 0).sum(-1) / met.sum(-1))


def _tally(
    votes: Votes,
    concept: Int[np.ndarray, " votes"],
    rater: Int[np.ndarray, " votes"],
    related: Families,
    *,
    raters: int,
    rounds: int,
    seed: int,
) -> VoteTally:
    """The tally of every resample."""
    counts = related.resamples(seed=seed, rounds=rounds)
    if raters == 1:
        return votes.tally(counts, groups=concept)
    by_rater = Families.independent(raters).resamples(seed=seed + 1, rounds=rounds)
    return votes.crossed_tally(counts, by_rater, groups=concept, others=rater)
