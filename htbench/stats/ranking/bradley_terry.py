"""Bradley–Terry and Davidson ratings from votes, fitted by evalica and checked."""

from dataclasses import dataclass
from typing import Literal

import evalica
import numpy as np
from evalica import Winner
from jaxtyping import Bool, Float, Int
from scipy.sparse.csgraph import connected_components

from htbench.stats.ranking.votes import Unrankable, Votes, VoteTally

TieRule = Literal["half", "drop", "davidson"]
"""A tie is half a win for each, is left out, or is an outcome of its own in Davidson's model."""
Limit = Literal["above", "below", "both"]
"""The sides on which the votes alone do not bound a rating."""

PRIOR = 0.5
"""Default number of pseudo-votes per contender."""
_TOLERANCE, _MAX_STEPS, _MAX_MISFIT = 1e-12, 100_000, 1e-7


class Unbounded(Unrankable):
    """Without a prior, some ratings are infinite."""


class NotConverged(Unrankable):
    """Ratings were not found within the permitted number of steps."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BradleyTerryFit:
    """The rating of each contender."""

    names: tuple[str, ...]
    ratings: Float[np.ndarray, " contenders"]
    """Log-odds of mean 0: without ties, the difference of two ratings is the logit of the win
    probability."""
    ties: TieRule
    tie_parameter: float
    """Davidson's ν: between equals, a tie is ν times as likely as a win of one of them; 0 under the
    other rules."""
    prior: float
    limits: tuple[Limit | None, ...]
    """The sides on which only the prior bounds a rating, which is then no measurement: `above` for
    a contender that beat everybody, `below` for one that beat nobody."""

    @property
    def bounded(self) -> bool:
        """True if the votes alone bound all ratings."""
        return not any(self.limits)

    @property
    def order(self) -> list[int]:
        """Indices of contenders, the best first; equals in the order of `names`."""
        return [int(k) for k in np.argsort(-self.ratings, kind="stable")]

    @property
    def win_probability(self) -> Float[np.ndarray, "contenders contenders"]:
        """Chance that the row wins against the column, a tie as half a win; diagonal: one half."""
        won, tied = _probabilities(self.ratings, self.tie_parameter)
        return np.asarray(won + tied / 2)


def fit(votes: Votes, *, ties: TieRule = "half", prior: float = PRIOR) -> BradleyTerryFit:
    r"""Ratings of maximum likelihood with a weak prior.

    .. math::
        P(i \succ j) \propto \pi_i, \quad P(i \sim j) \propto \nu \sqrt{\pi_i \pi_j},
        \quad \pi = e^{\text{rating}}

    The prior consists of pseudo-votes: each contender takes part in `prior` of them, and those of
    each pair are split evenly into wins both ways. With 0, only the votes count.

    Raises:
        NoVotes: if there is nothing to compare.
        DisconnectedVotes: if no votes link some contenders to the others.
        Unbounded: if there is no prior, and contenders can be split into two groups of which one
            never won against the other.
        NotConverged: if the solver gave up.

    References:
        Bradley, Terry. Rank Analysis of Incomplete Block Designs. 1952.
        https://doi.org/10.2307/2334029
        Davidson. On Extending the Bradley-Terry Model to Accommodate Ties. 1970.
        https://doi.org/10.1080/01621459.1970.10481082
        Ford. Solution of a Ranking Problem from Binary Comparisons. 1957.
        https://doi.org/10.1080/00029890.1957.11989117
        Newman. Efficient Computation of Rankings from Pairwise Comparisons. 2023.
        https://www.jmlr.org/papers/v24/22-1086.html
    """
    if prior < 0:
        raise ValueError(f"the prior is {prior!r} votes, which is below 0")
    votes.check()
    tally = votes.tally()
    limits = _limits(_win_graph(tally, ties))
    if any(limits) and not prior:
        names = ", ".join(name for name, limit in zip(votes.names, limits, strict=True) if limit)
        raise Unbounded(
            f"the votes put no limit to the ratings of {names}", remedy="Give a prior above 0."
        )
    ratings, tie_parameter = solve(tally, ties=ties, prior=prior)
    return BradleyTerryFit(
        names=votes.names,
        ratings=ratings,
        ties=ties,
        tie_parameter=tie_parameter,
        prior=prior,
        limits=limits,
    )


def solve(
    tally: VoteTally, *, ties: TieRule, prior: float
) -> tuple[Float[np.ndarray, " contenders"], float]:
    """Ratings and ν of one tally, whose contenders the prior or the votes must link.

    evalica reports no error where there is no maximum, where it stops early, or where ratings are
    equal so that ν is never updated; hence the prior, the start at the ν of equals, and the check
    of the likelihood's equations at the end.
    """
    size = len(tally.wins)
    xs, ys, tied_xs, tied_ys = _pair_indices(size)
    votes_won = tally.wins + 0.5 * tally.ties if ties == "half" else tally.wins
    wins = votes_won + prior / (2 * (size - 1)) * ~np.eye(size, dtype=bool)
    draws = tally.ties if ties == "davidson" else np.zeros_like(wins)
    weights, winners = wins[xs, ys], [Winner.X] * len(xs)
    if draws.any():
        weights = np.concatenate([weights, draws[tied_xs, tied_ys]])
        winners += [Winner.Draw] * len(tied_xs)
        xs, ys = np.concatenate([xs, tied_xs]), np.concatenate([ys, tied_ys])
        start = draws.sum() / (2 * wins.sum())
        davidson = evalica.newman(
            xs, ys, winners, v_init=start, weights=weights, tolerance=_TOLERANCE, limit=_MAX_STEPS
        )
        scores, steps, tie_parameter = davidson.scores, davidson.iterations, 2 * float(davidson.v)
    else:
        plain = evalica.bradley_terry(
            xs, ys, winners, weights=weights, tolerance=_TOLERANCE, limit=_MAX_STEPS
        )
        scores, steps, tie_parameter = plain.scores, plain.iterations, 0.0
    ratings = np.log(scores.sort_index().to_numpy())
    ratings = ratings - ratings.mean()
    if not _misfit(wins, draws, ratings, tie_parameter) < _MAX_MISFIT:
        raise NotConverged(
            f"evalica found no ratings within {steps:,} steps", remedy="Give a larger prior."
        )
    return ratings, tie_parameter


def strongly_connected(tally: VoteTally, ties: TieRule) -> bool:
    """True if the votes alone have a maximum of likelihood: wins lead from each to every other."""
    graph = _win_graph(tally, ties)
    count, _ = connected_components(graph, directed=True, connection="strong")
    return int(count) == 1


def _pair_indices(size: int) -> tuple[Int[np.ndarray, " cells"], ...]:
    xs, ys = np.nonzero(~np.eye(size, dtype=bool))
    tied_xs, tied_ys = np.triu_indices(size, 1)
    return xs, ys, tied_xs, tied_ys


def _probabilities(
    ratings: Float[np.ndarray, " contenders"], tie_parameter: float
) -> tuple[Float[np.ndarray, "contenders contenders"], ...]:
    """Probabilities that the row wins against the column, and that they tie."""
    half = np.exp((ratings[:, None] - ratings) / 2)
    total = half + half.T + tie_parameter
    return half / total, tie_parameter / total


def _misfit(
    wins: Float[np.ndarray, "contenders contenders"],
    draws: Float[np.ndarray, "contenders contenders"],
    ratings: Float[np.ndarray, " contenders"],
    tie_parameter: float,
) -> float:
    """Difference of points and ties from the model's expectation, as a share of all votes.

    0 at the maximum of likelihood.
    """
    met = wins + wins.T + draws
    won, tied = _probabilities(ratings, tie_parameter)
    points = (wins + draws / 2 - met * (won + tied / 2)).sum(1)
    return float((np.abs(points).max() + abs((draws - met * tied).sum())) / met.sum())


def _win_graph(tally: VoteTally, ties: TieRule) -> Bool[np.ndarray, "contenders contenders"]:
    """True if the row won against the column, or tied if ties count."""
    return np.asarray((tally.wins > 0) | ((tally.ties > 0) & (ties != "drop")))


def _limits(win_graph: Bool[np.ndarray, "contenders contenders"]) -> tuple[Limit | None, ...]:
    """The sides on which the votes do not bound each rating.

    Bounded are the contenders of the largest group whose members all reach each other by wins; none
    if that group has one member.
    """
    reaches = win_graph | np.eye(len(win_graph), dtype=bool)
    for k in range(len(win_graph)):
        reaches |= reaches[:, [k]] & reaches[[k]]
    both = reaches & reaches.T
    if both.all():
        return (None,) * len(win_graph)
    core = both[np.argmax(both.sum(1))]
    inside = core if core.sum() > 1 else np.zeros_like(core)
    others = core if core.sum() > 1 else np.ones_like(core)
    limits: list[Limit | None] = []
    for k in range(len(win_graph)):
        over = bool((reaches[k] & others & ~both[k]).any())
        under = bool((reaches[:, k] & others & ~both[k]).any())
        if inside[k]:
            limits.append(None)
        else:
            limits.append("both" if over == under else "above" if over else "below")
    return tuple(limits)
