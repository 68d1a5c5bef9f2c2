"""A leaderboard from votes: ratings with intervals, ranges of ranks, tiers, and what to say below it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from htbench.stats import durations
from htbench.stats.ranking.bootstrap import Draws, average, draw
from htbench.stats.ranking.bradley_terry import PRIOR, Limit, Rating, TieRule, fit
from htbench.stats.ranking.ranks import Place, place
from htbench.stats.ranking.tiers import Separation
from htbench.stats.ranking.votes import Votes
from htbench.stats.ranking.win_rates import WinRates, win_rates

FEW = 20
"""Clusters below which intervals are still rough."""


@dataclass(frozen=True, kw_only=True)
class Standing(Place):
    """One contender's line."""

    rating: durations.Interval
    """In log-odds, mean 0 over the contenders."""
    limit: Limit | None
    """Where the votes put no limit to the rating, so that its value is the prior's: not to be quoted."""
    win_rate: durations.Interval
    """Mean over opponents, each alike; a tie is half a win."""
    votes: int
    concepts: int
    ties: float
    """Share of its votes."""
    missing: float
    """Share of its rows without a verdict."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranking:
    """What votes say of their contenders."""

    standings: tuple[Standing, ...]
    """The best first."""
    rating: Rating
    matrix: WinRates
    separations: tuple[Separation, ...]
    """All pairs, in the order of the standings."""
    concepts: int
    raters: int
    """How many were resampled; 0 where raters are not known or there is one."""
    rounds: int
    seed: int
    guarded: int
    """Resamples in which only the prior held a rating."""
    votes: int
    missing: int
    """Rows without a verdict."""

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before believing it; none is best."""
        clusters = min(self.concepts, self.raters or self.concepts)
        what = "raters" if self.raters == clusters else "concepts"
        found = []
        if clusters < 2:
            found.append("One concept: no intervals, and nothing is told apart.")
        elif clusters < FEW:
            found.append(f"Only {clusters} {what}: intervals are widened for it, and rough.")
        held = {"above": "lost to nobody", "below": "beat nobody", "both": "met no equal"}
        found += [f"{one.name} {held[one.limit]}: how far it is from the others is the prior's choice." for one in self.standings if one.limit]
        if self.guarded:
            found.append(f"In {self.guarded:,} of {self.rounds:,} resamples only the prior held a rating.")
        if self.missing:
            found.append(f"{self.missing:,} of {self.votes + self.missing:,} comparisons have no verdict.")
        return tuple(found)

    @property
    def caption(self) -> str:
        """How it was made, in a sentence."""
        rule = {"half": "ties count half", "drop": "ties are left out", "davidson": "ties are modelled (Davidson)"}[self.rating.ties]
        unit = f"{self.concepts} concepts" + (f" and {self.raters} raters" if self.raters else "")
        return (
            f"Bradley–Terry ratings in log-odds of {self.votes:,} votes; {rule}; prior of {self.rating.prior:g} pseudo-votes a contender; "
            f"95 % intervals from {self.rounds:,} resamples of {unit} (seed {self.seed}); tiers by a max-t test of all pairs."
        )

    def facts(self) -> dict[str, object]:
        """For JSON: what is not known is null."""
        return {
            "caption": self.caption,
            "warnings": list(self.warnings),
            "standings": [_plain({**asdict(one), "ranks": one.ranks}) for one in self.standings],
            "separations": [_plain(asdict(pair)) for pair in self.separations],
            "matrix": _plain(vars(self.matrix)),
        }


def rank(votes: Votes, *, ties: TieRule = "half", prior: float = PRIOR, rounds: int = 2000, seed: int = 0) -> Ranking:
    """Rank all contenders; intervals resample concepts, and raters where they are known.

    Raises:
        Unrankable: if there is nothing to compare, some contenders are linked to others by no votes, or there is neither prior nor maximum.
    """
    rating = fit(votes, ties=ties, prior=prior)
    draws = draw(votes, rating, rounds=rounds, seed=seed)
    placed = place(votes.names, rating.ratings, draws.ratings, clusters=draws.clusters, concepts=draws.concepts, log_odds=True)
    matrix = win_rates(votes, draws)
    standings = [_standing(votes, rating, draws, matrix, one) for one in placed.places]
    return Ranking(
        standings=tuple(standings),
        rating=rating,
        matrix=matrix,
        separations=placed.separations,
        concepts=draws.concepts,
        raters=draws.raters,
        rounds=rounds,
        seed=seed,
        guarded=draws.guarded,
        votes=int(votes.cast.sum()),
        missing=int(np.isnan(votes.outcome).sum()),
    )


def _standing(votes: Votes, rating: Rating, draws: Draws, matrix: WinRates, place: Place) -> Standing:
    k = votes.names.index(place.name)
    of = (votes.first == k) | (votes.second == k)
    cast = of & votes.cast
    return Standing(
        **vars(place),
        rating=draws.interval(float(rating.ratings[k]), draws.ratings[:, k]),
        limit=rating.limits[k],
        win_rate=draws.interval(float(average(matrix.rate)[k]), draws.averages[:, k]),
        votes=int(cast.sum()),
        concepts=len(np.unique(votes.concept[cast])),
        ties=float((votes.outcome[cast] == 0.5).mean()),
        missing=float(np.isnan(votes.outcome[of]).mean()),
    )


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
