"""How much each vote moves a statistic, to first order, and what that says of its variance."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from htbench.stats.ranking.bradley_terry import BradleyTerryFit
from htbench.stats.ranking.votes import Votes


def on_ratings(votes: Votes, rating: BradleyTerryFit) -> Float[np.ndarray, "votes contenders"]:
    """By how much each vote, which all must have a verdict, raises each rating."""
    size, chance = len(votes.names), rating.win_probability
    met = votes.tally().totals + rating.prior / (size - 1)
    information = met * chance * (1 - chance) * ~np.eye(size, dtype=bool)
    spread = np.linalg.pinv(np.diag(information.sum(1)) - information, hermitian=True)
    counted = votes.weights * ((votes.outcome != 0.5) | (rating.ties != "drop"))
    surprise = counted * (votes.outcome - chance[votes.first, votes.second])
    return np.asarray(surprise[:, None] * (spread[votes.first] - spread[votes.second]))


def on_win_rates(votes: Votes) -> csr_array:
    """By how much each vote raises each win rate; (votes, contenders x contenders)."""
    size, tally = len(votes.names), votes.tally()
    moved = (
        votes.weights
        * (votes.outcome - tally.win_rates[votes.first, votes.second])
        / tally.totals[votes.first, votes.second]
    )
    rows = np.arange(len(votes))
    cells = np.concatenate([votes.first * size + votes.second, votes.second * size + votes.first])
    return csr_array(
        (np.concatenate([moved, -moved]), (np.tile(rows, 2), cells)),
        shape=(len(votes), size * size),
    )


def on_mean_win_rates(votes: Votes) -> csr_array:
    """By how much each vote raises each contender's mean win rate over the opponents that it met; (votes, contenders)."""
    size = len(votes.names)
    opponents = (votes.tally().totals > 0).sum(1)
    return csr_array(
        on_win_rates(votes) @ csr_array(np.kron(np.eye(size), np.ones((size, 1))) / opponents)
    )


@dataclass(frozen=True, kw_only=True)
class Variance:
    """Of statistics, if votes are independent between concepts, between raters, or between concepts and raters both, and only there."""

    concept: Float[np.ndarray, " statistics"]
    rater: Float[np.ndarray, " statistics"]
    both: Float[np.ndarray, " statistics"]

    @property
    def total(self) -> "Variance":
        """Of all statistics added up."""
        return Variance(
            concept=self.concept.sum(keepdims=True),
            rater=self.rater.sum(keepdims=True),
            both=self.both.sum(keepdims=True),
        )

    @property
    def correction(self) -> Float[np.ndarray, " statistics"]:
        """Standard error with concepts and raters drawn anew, over that of the pigeonhole bootstrap, which counts the noise of a vote three times.

        Never below what concepts alone or raters alone would give.

        References:
            Cameron, Gelbach, Miller. Robust Inference With Multiway Clustering. 2011. https://doi.org/10.1198/jbes.2010.07136
            Owen. The Pigeonhole Bootstrap. 2007. https://doi.org/10.1214/07-AOAS122
        """
        drawn = self.concept + self.rater + self.both
        wanted = np.maximum(
            self.concept + self.rater - self.both, np.maximum(self.concept, self.rater)
        )
        return np.asarray(
            np.sqrt(np.divide(wanted, drawn, out=np.ones_like(drawn), where=drawn > 0))
        )


def variance(
    influence: Float[np.ndarray, "votes statistics"] | csr_array,
    concept: Int[np.ndarray, " votes"],
    rater: Int[np.ndarray, " votes"],
) -> Variance:
    """To first order."""

    def within(group: Int[np.ndarray, " votes"]) -> Float[np.ndarray, " statistics"]:
        member = csr_array(
            (np.ones(len(group)), (np.unique(group, return_inverse=True)[1], np.arange(len(group))))
        )
        return np.array((csr_array(member @ influence) ** 2).sum(0), float)

    return Variance(
        concept=within(concept),
        rater=within(rater),
        both=within(concept * (rater.max() + 1) + rater),
    )
