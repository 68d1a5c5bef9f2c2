"""Pairwise win rates with their intervals."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from htbench.stats.families import Families
from htbench.stats.ranking.bootstrap import BootstrapDraws
from htbench.stats.ranking.votes import Votes


@dataclass(frozen=True, kw_only=True, eq=False)
class WinRates:
    """Win rates of rows against columns, in the order of `names`.

    NaN on the diagonal and where two contenders never met.
    """

    names: tuple[str, ...]
    rate: Float[np.ndarray, "contenders contenders"]
    """Share of votes that the row won, a tie as half a win."""
    low: Float[np.ndarray, "contenders contenders"]
    high: Float[np.ndarray, "contenders contenders"]
    """95 % intervals, not adjusted for the number of pairs; NaN for too few clusters."""
    wins: Float[np.ndarray, "contenders contenders"]
    ties: Float[np.ndarray, "contenders contenders"]
    """Sums of weights of votes."""
    votes: Int[np.ndarray, "contenders contenders"]
    concepts: Int[np.ndarray, "contenders contenders"]
    """Number of concepts on which the two met."""


def win_rates(votes: Votes, draws: BootstrapDraws) -> WinRates:
    """The matrix of win rates with their intervals.

    Where one side won all votes, resamples do not differ; the interval is then that of the same
    number of independent clusters of concepts that all agree.

    References:
        Clopper, Pearson. The Use of Confidence or Fiducial Limits Illustrated in the Case of the
        Binomial. 1934. https://doi.org/10.1093/biomet/26.4.404
    """
    tally, size = votes.tally(), len(votes.names)
    rate, (met, concepts) = tally.win_rates, _counts(votes)
    low, high = np.full((size, size), np.nan), np.full((size, size), np.nan)
    for row, column in np.argwhere(met > 0):
        interval = draws.interval(float(rate[row, column]), draws.win_rates[:, row, column])
        low[row, column], high[row, column] = interval.low, interval.high
    enough = np.isfinite(low) & (concepts > 1)
    unanimous = np.where(enough, 0.025 ** (1 / np.maximum(_clusters(votes, rate), 1)), np.nan)
    return WinRates(
        names=votes.names,
        rate=rate,
        low=np.where(rate == 1, unanimous, low),
        high=np.where(rate == 0, 1 - unanimous, high),
        wins=tally.wins,
        ties=tally.ties,
        votes=met,
        concepts=concepts,
    )


def _clusters(
    votes: Votes, rate: Float[np.ndarray, "contenders contenders"]
) -> Float[np.ndarray, "contenders contenders"]:
    """Effective number of clusters of the concepts on which two met, where one won all votes."""
    cast, clusters = votes.where(votes.valid), np.ones(rate.shape)
    for row, column in np.argwhere(rate == 1):
        met = (np.minimum(cast.first, cast.second) == min(row, column)) & (
            np.maximum(cast.first, cast.second) == max(row, column)
        )
        concepts = [votes.concepts[k] for k in np.unique(cast.concept[met])]
        clusters[row, column] = Families.of(concepts, votes.families).clusters
        clusters[column, row] = clusters[row, column]
    return clusters


def _counts(votes: Votes) -> tuple[Int[np.ndarray, "contenders contenders"], ...]:
    """Numbers of votes between each two contenders, and of the concepts of these votes."""
    size, cast = len(votes.names), votes.where(votes.valid)
    pairs = np.sort(np.stack([cast.first, cast.second]), axis=0)
    on_concepts = np.unique(np.stack([*pairs, cast.concept]), axis=1)[:2]
    counts = []
    for cells in (pairs, on_concepts):
        count = np.zeros((size, size), int)
        np.add.at(count, tuple(cells), 1)
        counts.append(count + count.T)
    return tuple(counts)
