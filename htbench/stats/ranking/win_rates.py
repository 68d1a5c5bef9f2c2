"""Who wins how often against whom."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from htbench.stats.ranking.bootstrap import BootstrapDraws
from htbench.stats.ranking.votes import Votes


@dataclass(frozen=True, kw_only=True, eq=False)
class WinRates:
    """Rows against columns, in the order of `names`; NaN on the diagonal and where two never met."""

    names: tuple[str, ...]
    rate: Float[np.ndarray, "contenders contenders"]
    """A tie is half a win."""
    low: Float[np.ndarray, "contenders contenders"]
    high: Float[np.ndarray, "contenders contenders"]
    """95 % intervals, each by itself; NaN with one cluster."""
    wins: Float[np.ndarray, "contenders contenders"]
    ties: Float[np.ndarray, "contenders contenders"]
    """Weights of votes."""
    votes: Int[np.ndarray, "contenders contenders"]
    concepts: Int[np.ndarray, "contenders contenders"]
    """On how many the two met."""


def win_rates(votes: Votes, draws: BootstrapDraws) -> WinRates:
    """The matrix of win rates with their intervals.

    Where one side won all votes, resamples do not differ; then the interval is that of as many independent concepts that all agree.

    References:
        Clopper, Pearson. The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial. 1934. https://doi.org/10.1093/biomet/26.4.404
    """
    tally, size = votes.tally(), len(votes.names)
    rate, met, concepts = (
        tally.win_rates,
        _counts(votes, votes_alone=True),
        _counts(votes, votes_alone=False),
    )
    low, high = np.full((size, size), np.nan), np.full((size, size), np.nan)
    for one, other in np.argwhere(met > 0):
        found = draws.interval(float(rate[one, other]), draws.win_rates[:, one, other])
        low[one, other], high[one, other] = found.low, found.high
    alike = np.where(concepts > 1, 0.025 ** (1 / np.maximum(concepts, 1)), np.nan)
    return WinRates(
        names=votes.names,
        rate=rate,
        low=np.where(rate == 1, alike, low),
        high=np.where(rate == 0, 1 - alike, high),
        wins=tally.wins,
        ties=tally.ties,
        votes=met,
        concepts=concepts,
    )


def _counts(votes: Votes, *, votes_alone: bool) -> Int[np.ndarray, "contenders contenders"]:
    """Between each two, the votes, or the concepts that they are on."""
    size, cast = len(votes.names), votes.valid
    pairs = np.stack(
        [np.minimum(votes.first, votes.second), np.maximum(votes.first, votes.second)]
    )[:, cast]
    if not votes_alone:
        pairs = np.unique(np.stack([*pairs, votes.concept[cast]]), axis=1)[:2]
    found = np.zeros((size, size), int)
    np.add.at(found, tuple(pairs), 1)
    return found + found.T
