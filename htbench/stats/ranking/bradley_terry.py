"""Bradley–Terry and Davidson ratings from votes, by Newton's method, and checked."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from htbench.stats.ranking.votes import Unrankable, Votes, VoteTally

TieRule = Literal["half", "drop", "davidson"]
"""A tie is half a win for each, is left out, or is an outcome of its own in Davidson's model."""
Limit = Literal["above", "below", "both"]
"""The sides on which the votes alone do not bound a rating."""

PRIOR = 0.5
"""Default number of pseudo-votes per contender."""
_TOLERANCE, _MAX_MISFIT, _MAX_LAST_STEP = 1e-12, 1e-7, 1e-6
_MAX_STEPS, _MAX_STEP = 100, 2.0
_MAX_CELLS = 1_000_000
"""Pairs of contenders over all rounds that are solved at once."""


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
    a contender whom no other ever beat or drew with, `below` for one that never beat the others."""
    beaten: Bool[np.ndarray, "contenders contenders"]
    """True where the row beat the column, or beat one who did, and so on; ties count if they do."""

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
    """
    if prior < 0:
        raise ValueError(f"the prior is {prior!r} votes, which is below 0")
    votes.check()
    tally = votes.tally()
    beaten = _chains_of_wins(_win_graph(tally, ties))
    limits = _limits(beaten)
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
        beaten=beaten,
    )


def solve(
    tally: VoteTally, *, ties: TieRule, prior: float
) -> tuple[Float[np.ndarray, " contenders"], float]:
    """Ratings and ν of one tally, whose contenders the prior or the votes must link.

    Raises:
        NotConverged: if the likelihood has no maximum, or none was found.
    """
    wins, draws = _outcomes(tally, ties=ties, prior=prior)
    start = draws.sum() / wins.sum()  # ν if all are equal
    ratings, tie_parameters = _newton(
        wins[None], draws[None], ratings=np.zeros(len(wins)), tie_parameter=start
    )
    if np.isnan(ratings).any():
        raise NotConverged(
            f"no ratings were found within {_MAX_STEPS} steps", remedy="Give a larger prior."
        )
    return ratings[0], float(tie_parameters[0])


def solve_resamples(
    tallies: VoteTally, rating: BradleyTerryFit
) -> Float[np.ndarray, "rounds contenders"]:
    """Ratings of many tallies that resample the votes of `rating`, as `solve` gives them.

    All at once, from `rating`. Tallies for which the check at its end fails are left to `solve`.
    """
    size, ties = len(rating.names), rating.ties
    wins, draws = _outcomes(tallies, ties=ties, prior=rating.prior)
    has_draws = draws.any((1, 2))
    ratings = np.empty((len(wins), size))
    step = max(1, _MAX_CELLS // size**2)
    for alike in (np.flatnonzero(has_draws), np.flatnonzero(~has_draws)):
        for at in range(0, len(alike), step):
            chosen = alike[at : at + step]
            ratings[chosen], _ = _newton(
                wins[chosen],
                draws[chosen],
                ratings=rating.ratings,
                tie_parameter=rating.tie_parameter,
            )
    for k in np.flatnonzero(np.isnan(ratings).any(1)):
        tally = VoteTally(wins=tallies.wins[k], ties=tallies.ties[k])
        ratings[k], _ = solve(tally, ties=ties, prior=rating.prior)
    return ratings


def _outcomes(
    tally: VoteTally, *, ties: TieRule, prior: float
) -> tuple[Float[np.ndarray, "*draws contenders contenders"], ...]:
    """Votes of the row against the column with those of the prior, and ties, by the rule."""
    size = tally.wins.shape[-1]
    votes_won = tally.wins + 0.5 * tally.ties if ties == "half" else tally.wins
    wins = votes_won + prior / (2 * (size - 1)) * ~np.eye(size, dtype=bool)
    return wins, tally.ties if ties == "davidson" else np.zeros_like(wins)


def _newton(
    wins: Float[np.ndarray, "rounds contenders contenders"],
    draws: Float[np.ndarray, "rounds contenders contenders"],
    *,
    ratings: Float[np.ndarray, " contenders"],
    tie_parameter: float,
) -> tuple[Float[np.ndarray, "rounds contenders"], Float[np.ndarray, " rounds"]]:
    """Ratings and ν of all rounds, which all have draws or all have none, from those given.

    The likelihood is concave in the ratings and log ν. NaN where it has no maximum, or none was
    found.
    """
    rounds, size = len(wins), wins.shape[1]
    met = wins + wins.transpose(0, 2, 1) + draws
    with_draws = bool(draws.any())
    ratings = np.tile(ratings, (rounds, 1))
    log_tie = np.full(rounds, np.log(tie_parameter or 1.0))
    diagonal = np.arange(size)
    hessian = np.zeros((rounds, size + 1, size + 1))
    gradient = np.zeros((rounds, size + 1))
    for _ in range(_MAX_STEPS):
        tie = np.exp(log_tie) if with_draws else np.zeros(rounds)
        won, tied = _probabilities(ratings, tie)
        gap = won - won.transpose(0, 2, 1)
        # the slope of expected points by the difference of two ratings
        slope = met * (1 - tied - gap**2) / 4
        hessian[:, :size, :size] = -slope
        hessian[:, diagonal, diagonal] = slope.sum(2)
        hessian[:, :size, :size] += met.sum((1, 2))[:, None, None] / size**2  # fixes the mean
        hessian[:, size, :size] = hessian[:, :size, size] = -(met * gap * tied).sum(2) / 2
        hessian[:, size, size] = (met * tied * (1 - tied)).sum((1, 2)) / 2 if with_draws else 1.0
        points = wins + draws / 2 - met * (won + tied / 2)
        gradient[:, :size] = points.sum(2)
        gradient[:, size] = (draws - met * tied).sum((1, 2)) / 2
        try:
            step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        except np.linalg.LinAlgError:
            return np.full((rounds, size), np.nan), np.full(rounds, np.nan)
        largest = np.abs(step).max(1, keepdims=True)
        step *= np.minimum(1.0, _MAX_STEP / np.maximum(largest, _TOLERANCE))
        ratings += step[:, :size]
        log_tie += step[:, size]
        if largest.max() < _TOLERANCE:
            break
    ratings -= ratings.mean(1, keepdims=True)
    tie = np.exp(log_tie) if with_draws else np.zeros(rounds)
    found = (_misfit(wins, draws, ratings, tie) < _MAX_MISFIT) & (largest[:, 0] < _MAX_LAST_STEP)
    return np.where(found[:, None], ratings, np.nan), np.where(found, tie, np.nan)


def strongly_connected(tally: VoteTally, ties: TieRule) -> Bool[np.ndarray, " *draws"]:
    """True if the votes alone have a maximum of likelihood: wins lead from each to every other."""
    graph = _win_graph(tally, ties)
    reaches = (graph | np.eye(graph.shape[-1], dtype=bool)).astype(np.float32)
    for _ in range(max(1, (graph.shape[-1] - 1).bit_length())):
        reaches = np.minimum(reaches @ reaches, 1)
    return np.asarray(reaches.all((-2, -1)))


def _probabilities(
    ratings: Float[np.ndarray, "*draws contenders"], tie_parameter: Float[ArrayLike, "*draws"]
) -> tuple[Float[np.ndarray, "*draws contenders contenders"], ...]:
    """Probabilities that the row wins against the column, and that they tie."""
    half = np.exp((ratings[..., :, None] - ratings[..., None, :]) / 2)
    tie = np.asarray(tie_parameter)[..., None, None]
    total = half + half.swapaxes(-1, -2) + tie
    return half / total, tie / total


def _misfit(
    wins: Float[np.ndarray, "*draws contenders contenders"],
    draws: Float[np.ndarray, "*draws contenders contenders"],
    ratings: Float[np.ndarray, "*draws contenders"],
    tie_parameter: Float[ArrayLike, "*draws"],
) -> Float[np.ndarray, "*draws"]:
    """Difference of points and ties from the model's expectation, as a share of all votes.

    0 at the maximum of likelihood.
    """
    met = wins + wins.swapaxes(-1, -2) + draws
    won, tied = _probabilities(ratings, tie_parameter)
    points = (wins + draws / 2 - met * (won + tied / 2)).sum(-1)
    excess_ties = np.abs((draws - met * tied).sum((-2, -1)))
    return np.asarray((np.abs(points).max(-1) + excess_ties) / met.sum((-2, -1)))


def _win_graph(tally: VoteTally, ties: TieRule) -> Bool[np.ndarray, "*draws contenders contenders"]:
    """True if the row won against the column, or tied if ties count."""
    return np.asarray((tally.wins > 0) | ((tally.ties > 0) & (ties != "drop")))


def _chains_of_wins(
    win_graph: Bool[np.ndarray, "contenders contenders"],
) -> Bool[np.ndarray, "contenders contenders"]:
    """True where wins lead from the row to the column; each contender reaches itself."""
    reaches = win_graph | np.eye(len(win_graph), dtype=bool)
    for k in range(len(win_graph)):
        reaches |= reaches[:, [k]] & reaches[[k]]
    return reaches


def _limits(beaten: Bool[np.ndarray, "contenders contenders"]) -> tuple[Limit | None, ...]:
    """The sides on which the votes do not bound each rating.

    Bounded are the contenders of the largest group whose members all reach each other by wins; none
    if that group has one member, or another group is as large.
    """
    both = beaten & beaten.T
    if both.all():
        return (None,) * len(beaten)
    sizes = both.sum(1)
    core = both[np.argmax(sizes)]
    if (sizes == sizes.max()).sum() > core.sum() or core.sum() == 1:
        inside, others = np.zeros_like(core), np.ones_like(core)
    else:
        inside, others = core, core
    limits: list[Limit | None] = []
    for k in range(len(beaten)):
        over = bool((beaten[k] & others & ~both[k]).any())
        under = bool((beaten[:, k] & others & ~both[k]).any())
        if inside[k]:
            limits.append(None)
        else:
            limits.append("both" if over == under else "above" if over else "below")
    return tuple(limits)
