"""A leaderboard from votes: ratings with intervals, ranges of ranks, tiers, and what to say below it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from htbench.stats import durations
from htbench.stats.ranking.bootstrap import BootstrapDraws, mean_win_rate, resample_votes
from htbench.stats.ranking.bradley_terry import PRIOR, BradleyTerryFit, Limit, TieRule, fit
from htbench.stats.ranking.ranks import ContenderRank, rank_contenders
from htbench.stats.ranking.tiers import PairwiseTest
from htbench.stats.ranking.votes import Votes
from htbench.stats.ranking.win_rates import WinRates, win_rates

FEW_CLUSTERS = 20
"""Clusters below which intervals are still rough."""


@dataclass(frozen=True, kw_only=True)
class LeaderboardEntry(ContenderRank):
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

    entries: tuple[LeaderboardEntry, ...]
    """The best first."""
    rating: BradleyTerryFit
    win_rates: WinRates
    pairwise_tests: tuple[PairwiseTest, ...]
    """All pairs, in the order of the standings."""
    concepts: int
    raters: int
    """How many were resampled; 0 where raters are not known or there is one."""
    rounds: int
    seed: int
    unbounded_draws: int
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
        elif clusters < FEW_CLUSTERS:
            found.append(f"Only {clusters} {what}: intervals are widened for it, and rough.")
        held = {"above": "lost to nobody", "below": "beat nobody", "both": "met no equal"}
        found += [
            f"{one.name} {held[one.limit]}: how far it is from the others is the prior's choice."
            for one in self.entries
            if one.limit
        ]
        if self.unbounded_draws:
            found.append(
                f"In {self.unbounded_draws:,} of {self.rounds:,} resamples only the prior held a rating."
            )
        if self.missing:
            found.append(
                f"{self.missing:,} of {self.votes + self.missing:,} comparisons have no verdict."
            )
        return tuple(found)

    @property
    def caption(self) -> str:
        """How it was made, in a sentence."""
        rule = {
            "half": "ties count half",
            "drop": "ties are left out",
            "davidson": "ties are modelled (Davidson)",
        }[self.rating.ties]
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
            "standings": [
                _without_nan({**asdict(one), "ranks": one.rank_range}) for one in self.entries
            ],
            "separations": [_without_nan(asdict(pair)) for pair in self.pairwise_tests],
            "matrix": _without_nan(vars(self.win_rates)),
        }


def rank(
    votes: Votes, *, ties: TieRule = "half", prior: float = PRIOR, rounds: int = 2000, seed: int = 0
) -> Ranking:
    """Rank all contenders; intervals resample concepts, and raters where they are known.

    Raises:
        Unrankable: if there is nothing to compare, some contenders are linked to others by no votes, or there is neither prior nor maximum.
    """
    rating = fit(votes, ties=ties, prior=prior)
    draws = resample_votes(votes, rating, rounds=rounds, seed=seed)
    placed = rank_contenders(
        votes.names,
        rating.ratings,
        draws.ratings,
        clusters=draws.clusters,
        concepts=draws.concepts,
        log_odds=True,
    )
    matrix = win_rates(votes, draws)
    standings = [_entry(votes, rating, draws, matrix, one) for one in placed.ranks]
    return Ranking(
        entries=tuple(standings),
        rating=rating,
        win_rates=matrix,
        pairwise_tests=placed.pairwise_tests,
        concepts=draws.concepts,
        raters=draws.raters,
        rounds=rounds,
        seed=seed,
        unbounded_draws=draws.unbounded_draws,
        votes=int(votes.valid.sum()),
        missing=int(np.isnan(votes.outcome).sum()),
    )


def _entry(
    votes: Votes,
    rating: BradleyTerryFit,
    draws: BootstrapDraws,
    win_rates: WinRates,
    contender: ContenderRank,
) -> LeaderboardEntry:
    k = votes.names.index(contender.name)
    of = (votes.first == k) | (votes.second == k)
    cast = of & votes.valid
    return LeaderboardEntry(
        **vars(contender),
        rating=draws.interval(float(rating.ratings[k]), draws.ratings[:, k]),
        limit=rating.limits[k],
        win_rate=draws.interval(
            float(mean_win_rate(win_rates.rate)[k]), draws.mean_win_rates[:, k]
        ),
        votes=int(cast.sum()),
        concepts=len(np.unique(votes.concept[cast])),
        ties=float((votes.outcome[cast] == 0.5).mean()),
        missing=float(np.isnan(votes.outcome[of]).mean()),
    )


def _without_nan(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return _without_nan(value.tolist())
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
