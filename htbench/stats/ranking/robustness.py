"""Robustness of a ranking to the removal of a few votes, and to choices of the analysis."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from jaxtyping import Int

from htbench.stats.ranking.bradley_terry import (
    PRIOR,
    BradleyTerryFit,
    TieRule,
    fit,
    solve,
    strongly_connected,
)
from htbench.stats.ranking.influence import on_ratings
from htbench.stats.ranking.votes import Column, Votes, VoteTally

PRIORS = (0.1, 0.5, 1.5)


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """An upper bound of the number of votes whose removal puts another contender first."""

    votes: int
    share: float
    """Share of these votes in all votes."""
    challenger: str
    """The contender that is then first."""


def robustness(votes: Votes, *, ties: TieRule = "half", prior: float = PRIOR) -> Robustness | None:
    """The smallest removal of votes found that changes the first place; None where none does.

    For each challenger, votes are removed in the order of their influence on its distance from the
    first, and the ranking is fitted again.

    References:
        Broderick, Giordano, Meager. An Automatic Finite-Sample Robustness Metric. 2020.
        https://arxiv.org/abs/2011.14999
        Huang et al. Dropping Just a Handful of Preferences Can Change Top Large Language Model
        Rankings. 2025. https://arxiv.org/abs/2508.11847
    """
    rating, cast = fit(votes, ties=ties, prior=prior), votes.where(votes.valid)
    first, *challengers = rating.order
    removals = [
        (count, challenger)
        for challenger in challengers
        if (count := _votes_to_overtake(cast, rating, first, challenger))
    ]
    if not removals:
        return None
    fewest, challenger = min(removals, key=lambda removal: removal[0])
    return Robustness(votes=fewest, share=fewest / len(cast), challenger=votes.names[challenger])


@dataclass(frozen=True, kw_only=True)
class RankingVariant:
    """The ranking under another choice of the analysis."""

    name: str
    """Such as `ties: drop`, `prior: 0.1` or `without concept style/neon`."""
    leader: str
    tau: float
    """Kendall's tau-b of its ratings with those of the ranking; NaN where all are rated equal."""
    mover: str
    """The contender whose rank changes most."""
    rank_change: int
    """Number of ranks by which it moves."""
    bounded: bool
    """True if the votes alone bound its ratings."""


def sensitivity(
    votes: Votes, *, ties: TieRule = "half", prior: float = PRIOR
) -> list[RankingVariant]:
    """The ranking under other tie rules and priors, and without a concept, rater or judge.

    Of the rankings without one concept, only the one that differs most; likewise for raters and
    judges.
    """
    rating, tally = fit(votes, ties=ties, prior=prior), votes.tally()
    leader = votes.names[rating.order[0]]
    variants = [
        _variant(f"ties: {rule}", rating, tally, rule, prior)
        for rule in get_args(TieRule)
        if rule != ties
    ]
    variants += [
        _variant(f"prior: {other:g}", rating, tally, ties, other)
        for other in PRIORS
        if other != prior
    ]
    for column in get_args(Column):
        without = [
            _variant(f"without {column} {label}", rating, left, ties, prior)
            for label, left in _leave_one_out(votes, column)
        ]
        if len(without) > 1:
            variants.append(
                min(without, key=lambda row: (row.leader == leader, -row.rank_change, row.tau))
            )
    return variants


def _votes_to_overtake(votes: Votes, rating: BradleyTerryFit, top: int, other: int) -> int | None:
    """The number of most influential votes whose removal rates `other` above `top`.

    None if the removal of all votes in favour of `top` is not enough.
    """
    raised = on_ratings(votes, rating)
    influence = raised[:, top] - raised[:, other]
    order = np.argsort(-influence, kind="stable")
    order = order[influence[order] > 0]

    def overtaken(count: int) -> bool:
        keep = np.ones(len(votes), bool)
        keep[order[:count]] = False
        ratings = solve(votes.where(keep).tally(), ties=rating.ties, prior=rating.prior)[0]
        return bool(ratings[other] > ratings[top] + 1e-9)

    low, high = 0, len(order)
    if not overtaken(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if overtaken(middle) else (middle, high)
    return high


def _leave_one_out(votes: Votes, column: Column) -> Iterator[tuple[str, VoteTally]]:
    labels = votes.labels(column)
    member: Int[np.ndarray, " votes"] | None = getattr(votes, column)
    if member is None:
        return
    for k in np.unique(member[votes.valid]):
        yield labels[k], votes.where(member != k).tally()


def _variant(
    name: str, rating: BradleyTerryFit, tally: VoteTally, ties: TieRule, prior: float
) -> RankingVariant:
    from scipy.stats import kendalltau  # takes half a second to import

    ratings = solve(tally, ties=ties, prior=prior)[0]
    varied = replace(rating, ratings=ratings)
    changes = np.argsort(varied.order) - np.argsort(rating.order)
    mover = int(np.argmax(np.abs(changes)))
    return RankingVariant(
        name=name,
        leader=rating.names[varied.order[0]],
        tau=float(kendalltau(rating.ratings, ratings).statistic),
        mover=rating.names[mover],
        rank_change=int(abs(changes[mover])),
        bounded=bool(strongly_connected(tally, ties)),
    )
