"""How much a ranking's first place, and its order, hang on a few votes or on a choice of ours."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from jaxtyping import Int
from scipy.stats import kendalltau

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
    """The fewest votes found whose removal puts somebody else first; fewer may do."""

    votes: int
    share: float
    """Of all votes."""
    challenger: str
    """Who is then first."""


def robustness(votes: Votes, *, ties: TieRule = "half", prior: float = PRIOR) -> Robustness | None:
    """How few votes decide who is first; None where none that could be left out do.

    For each challenger, votes are left out in the order of their influence on its distance from the first, and the ranking is fitted again to see.

    References:
        Broderick, Giordano, Meager. An Automatic Finite-Sample Robustness Metric. 2020. https://arxiv.org/abs/2011.14999
        Huang et al. Dropping Just a Handful of Preferences Can Change Top Large Language Model Rankings. 2025. https://arxiv.org/abs/2508.11847
    """
    rating, cast = fit(votes, ties=ties, prior=prior), votes.where(votes.valid)
    top = rating.order[0]
    found = [
        (fewest, other)
        for other in rating.order[1:]
        if (fewest := _votes_to_overtake(cast, rating, top, other))
    ]
    if not found:
        return None
    fewest, challenger = min(found, key=lambda one: one[0])
    return Robustness(votes=fewest, share=fewest / len(cast), challenger=votes.names[challenger])


@dataclass(frozen=True, kw_only=True)
class RankingVariant:
    """The ranking made in another way."""

    name: str
    """Such as `ties: drop`, `prior: 0.1` or `without concept style/neon`."""
    leader: str
    tau: float
    """Kendall's tau-b of its ratings with those of the ranking; NaN where all are rated equal."""
    mover: str
    """Who changes most places."""
    rank_change: int
    """By how many."""
    bounded: bool
    """Whether the votes alone determine its ratings."""


def sensitivity(
    votes: Votes, *, ties: TieRule = "half", prior: float = PRIOR
) -> list[RankingVariant]:
    """Other tie rules, other priors, and of all rankings without one concept, rater or judge the one that differs most."""
    rating, tally = fit(votes, ties=ties, prior=prior), votes.tally()
    found = [
        _variant(f"ties: {rule}", rating, tally, rule, prior)
        for rule in get_args(TieRule)
        if rule != ties
    ]
    found += [
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
            found.append(
                min(
                    without,
                    key=lambda one: (
                        one.leader == votes.names[rating.order[0]],
                        -one.rank_change,
                        one.tau,
                    ),
                )
            )
    return found


def _votes_to_overtake(votes: Votes, rating: BradleyTerryFit, top: int, other: int) -> int | None:
    """How many of the votes with most influence must go until `other` is rated above `top`; None if all that favour it do not suffice."""
    raised = on_ratings(votes, rating)
    influence = raised[:, top] - raised[:, other]
    order = np.argsort(-influence, kind="stable")
    order = order[influence[order] > 0]

    def overtaken(count: int) -> bool:
        keep = np.ones(len(votes), bool)
        keep[order[:count]] = False
        found = solve(votes.where(keep).tally(), ties=rating.ties, prior=rating.prior)[0]
        return bool(found[other] > found[top] + 1e-9)

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
    ratings = solve(tally, ties=ties, prior=prior)[0]
    varied = replace(rating, ratings=ratings)
    places = np.argsort(varied.order) - np.argsort(rating.order)
    mover = int(np.argmax(np.abs(places)))
    return RankingVariant(
        name=name,
        leader=rating.names[varied.order[0]],
        tau=float(kendalltau(rating.ratings, ratings).statistic),
        mover=rating.names[mover],
        rank_change=int(abs(places[mover])),
        bounded=strongly_connected(tally, ties),
    )
