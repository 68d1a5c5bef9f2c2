"""First-order influence of each vote on a statistic, and the variance that follows from it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from htbench.stats.families import Families
from htbench.stats.ranking.bradley_terry import BradleyTerryFit
from htbench.stats.ranking.votes import Votes


def on_ratings(votes: Votes, rating: BradleyTerryFit) -> Float[np.ndarray, "votes contenders"]:
    """The amount by which each vote raises each rating; all votes must have a verdict."""
    size, chance = len(votes.names), rating.win_probability
    met = votes.tally().totals + rating.prior / (size - 1)
    information = met * chance * (1 - chance) * ~np.eye(size, dtype=bool)
    spread = np.linalg.pinv(np.diag(information.sum(1)) - information, hermitian=True)
    counted = votes.weights * ((votes.outcome != 0.5) | (rating.ties != "drop"))
    surprise = counted * (votes.outcome - chance[votes.first, votes.second])
    return np.asarray(surprise[:, None] * (spread[votes.first] - spread[votes.second]))


def on_win_rates(votes: Votes) -> csr_array:
    """The amount by which each vote raises each win rate; (votes, contenders x contenders)."""
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
    """The amount by which each vote raises each contender's mean win rate; (votes, contenders)."""
    size = len(votes.names)
    opponents = (votes.tally().totals > 0).sum(1)
    means = csr_array(np.kron(np.eye(size), np.ones((size, 1))) / opponents)
    return csr_array(on_win_rates(votes) @ means)


@dataclass(frozen=True, kw_only=True)
class Variance:
    """Variances of statistics under three assumptions.

    Votes are independent only between concepts, only between raters, or only between votes that
    share neither (`both`).
    """

    concept: Float[np.ndarray, " statistics"]
    rater: Float[np.ndarray, " statistics"]
    both: Float[np.ndarray, " statistics"]

    @property
    def total(self) -> "Variance":
        """The variances summed over all statistics."""
        return Variance(
            concept=self.concept.sum(keepdims=True),
            rater=self.rater.sum(keepdims=True),
            both=self.both.sum(keepdims=True),
        )

    @property
    def correction(self) -> Float[np.ndarray, " statistics"]:
        """Standard error for new concepts and raters, over that of the pigeonhole bootstrap.

        The bootstrap counts the noise of a vote three times. The error is never below that with
        concepts alone or raters alone.

        References:
            Cameron, Gelbach, Miller. Robust Inference With Multiway Clustering. 2011.
            https://doi.org/10.1198/jbes.2010.07136
            Owen. The Pigeonhole Bootstrap. 2007. https://doi.org/10.1214/07-AOAS122
        """
        pigeonhole = self.concept + self.rater + self.both
        two_way = self.concept + self.rater - self.both
        variance = np.maximum(two_way, np.maximum(self.concept, self.rater))
        ratio = np.divide(variance, pigeonhole, out=np.ones_like(pigeonhole), where=pigeonhole > 0)
        return np.asarray(np.sqrt(ratio))


def variance(
    influence: Float[np.ndarray, "votes statistics"] | csr_array,
    concept: Int[np.ndarray, " votes"],
    rater: Int[np.ndarray, " votes"],
    families: Families,
) -> Variance:
    """Variances of statistics to first order, from the influence of each vote.

    `concept` indexes the concepts of `families`; those that share one are not independent.
    """

    def sums(group: Int[np.ndarray, " votes"]) -> csr_array:
        rows = np.unique(group, return_inverse=True)[1]
        members = csr_array((np.ones(len(group)), (rows, np.arange(len(group)))))
        return csr_array(members @ influence)

    def clustered(group: Int[np.ndarray, " votes"]) -> Float[np.ndarray, " statistics"]:
        return np.array((sums(group) ** 2).sum(0), float)

    by_concept = sums(concept)
    related = np.asarray(by_concept.multiply(csr_array(families.kernel) @ by_concept).sum(0), float)
    return Variance(
        concept=np.maximum(clustered(concept), related),
        rater=clustered(rater),
        both=clustered(concept * (rater.max() + 1) + rater),
    )
