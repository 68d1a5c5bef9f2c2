"""A leaderboard from votes: ratings with intervals, ranges of ranks, tiers, and warnings."""

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool

from htbench.core.content import without_nan
from htbench.stats import durations
from htbench.stats.families import MIN_CLUSTERS
from htbench.stats.ranking.bootstrap import BootstrapDraws, mean_win_rate, resample_votes
from htbench.stats.ranking.bradley_terry import PRIOR, BradleyTerryFit, Limit, TieRule, fit
from htbench.stats.ranking.influence import on_ratings
from htbench.stats.ranking.ranks import ContenderRank, rank_contenders
from htbench.stats.ranking.tiers import PairwiseTest, score_tests, vote_tests
from htbench.stats.ranking.votes import Votes
from htbench.stats.ranking.win_rates import WinRates, win_rates

FEW_CLUSTERS = 20
"""Number of clusters below which intervals are rough."""
_MAX_NAMES = 8
"""The most contenders that a warning names."""


@dataclass(frozen=True, kw_only=True)
class LeaderboardEntry(ContenderRank):
    """One contender's line."""

    rating: durations.Interval
    """Log-odds of mean 0 over the contenders."""
    limit: Limit | None
    """The side on which only the prior bounds the rating, which then should not be quoted."""
    win_rate: durations.Interval
    """Mean over opponents, equally weighted; a tie is half a win."""
    votes: int
    concepts: int
    ties: float
    """Share of its votes that are ties."""
    missing: float
    """Share of its rows without a verdict."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranking:
    """A ranking of the contenders of votes."""

    entries: tuple[LeaderboardEntry, ...]
    """The contenders, the best first."""
    rating: BradleyTerryFit
    win_rates: WinRates
    pairwise_tests: tuple[PairwiseTest, ...]
    """All pairs, in the order of the entries."""
    concepts: int
    clusters: float
    """Effective number of independent clusters of concepts, or of raters if they are fewer."""
    raters: int
    """Number of resampled raters; 0 where raters are not known or there is one."""
    rounds: int
    seed: int
    unbounded_draws: int
    """Number of resamples in which only the prior bounds a rating."""
    votes: int
    missing: int
    """Number of rows without a verdict."""

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Caveats for readers; none is best."""
        clusters = f"{self.clusters:.3g}"
        what = "raters" if self.raters == self.clusters else "independent clusters of concepts"
        warnings = []
        if self.clusters < MIN_CLUSTERS:
            warnings.append(f"Only {clusters} {what}: no intervals, and nothing is told apart.")
        elif self.clusters < FEW_CLUSTERS:
            warnings.append(f"Only {clusters} {what}: intervals are widened for it, and rough.")
        warnings += dict.fromkeys(
            self._unbounded(entry.name, entry.limit) for entry in self.entries if entry.limit
        )
        if self.unbounded_draws:
            share = f"{self.unbounded_draws:,} of {self.rounds:,} resamples"
            warnings.append(f"In {share} only the prior held a rating.")
        if self.missing:
            share = f"{self.missing:,} of {self.votes + self.missing:,} comparisons"
            warnings.append(f"{share} have no verdict.")
        return tuple(warnings)

    def _unbounded(self, name: str, limit: Limit) -> str:
        """The reason why only the prior bounds the rating of a contender and its equals."""
        beaten, k = self.rating.beaten, self.rating.names.index(name)
        equals = beaten[k] & beaten[:, k]
        below, above = beaten[k] & ~equals, beaten[:, k] & ~equals
        alone = {(True, False): "lost to nobody", (False, True): "beat nobody"}
        if equals.sum() == 1:
            reason = alone.get((bool(below.any()), bool(above.any())), "met no equal")
            return f"{name} {reason}: how far it is from the others is the prior's choice."
        winners, losers = (equals, below) if limit == "above" else (above, equals)
        return (
            f"nobody of {self._names(losers)} ever beat one of {self._names(winners)}: "
            "the distance between the two groups is the prior's choice."
        )

    def _names(self, chosen: Bool[np.ndarray, " contenders"]) -> str:
        names = [
            entry.name for entry in self.entries if chosen[self.rating.names.index(entry.name)]
        ]
        more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
        return ", ".join(names[:_MAX_NAMES]) + more

    @property
    def caption(self) -> str:
        """The method of the ranking, in a sentence."""
        rule = {
            "half": "ties count half",
            "drop": "ties are left out",
            "davidson": "ties are modelled (Davidson)",
        }[self.rating.ties]
        unit = f"{self.concepts} concepts" + (f" and {self.raters} raters" if self.raters else "")
        return (
            f"Bradley–Terry ratings in log-odds of {self.votes:,} votes; {rule}; "
            f"prior of {self.rating.prior:g} pseudo-votes a contender; "
            f"95 % intervals from {self.rounds:,} resamples of {unit} (seed {self.seed}); "
            "tiers by a max-t test of all pairs."
        )

    def facts(self) -> dict[str, object]:
        """The ranking as JSON-like values; unknown numbers are None."""
        return {
            "caption": self.caption,
            "warnings": list(self.warnings),
            "standings": [
                without_nan({**asdict(entry), "ranks": entry.rank_range}) for entry in self.entries
            ],
            "separations": [without_nan(asdict(pair)) for pair in self.pairwise_tests],
            "matrix": without_nan(
                {name: np.asarray(part).tolist() for name, part in vars(self.win_rates).items()}
            ),
        }


def rank(
    votes: Votes, *, ties: TieRule = "half", prior: float = PRIOR, rounds: int = 2000, seed: int = 0
) -> Ranking:
    """Rank all contenders; intervals resample concepts, and raters where they are known.

    Raises:
        Unrankable: if there is nothing to compare, no votes link some contenders to the others, or
            there is neither a prior nor a maximum of likelihood.
    """
    rating = fit(votes, ties=ties, prior=prior)
    draws = resample_votes(votes, rating, rounds=rounds, seed=seed)
    tests = _pairwise_tests(votes, rating, draws, seed=seed)
    ranks = rank_contenders(
        votes.names,
        rating.ratings,
        draws.ratings,
        tests,
        concepts=draws.families.n,
        clusters=draws.clusters,
    )
    matrix = win_rates(votes, draws)
    entries = [_entry(votes, rating, draws, matrix, contender) for contender in ranks.ranks]
    return Ranking(
        entries=tuple(entries),
        rating=rating,
        win_rates=matrix,
        pairwise_tests=ranks.pairwise_tests,
        concepts=draws.families.n,
        clusters=draws.clusters,
        raters=draws.raters,
        rounds=rounds,
        seed=seed,
        unbounded_draws=draws.unbounded_draws,
        votes=int(votes.valid.sum()),
        missing=int(np.isnan(votes.outcome).sum()),
    )


def _pairwise_tests(
    votes: Votes, rating: BradleyTerryFit, draws: BootstrapDraws, *, seed: int
) -> list[PairwiseTest]:
    """Tests of all pairs: where raters are resampled, by the resampled ratings; else by the pull of
    each concept on the ratings, which permutations can exchange.
    """
    if draws.raters:
        return vote_tests(
            votes.names,
            rating.ratings,
            draws.ratings,
            degrees_of_freedom=draws.clusters - 1,
            widening=draws.widening,
        )
    cast = votes.where(votes.valid)
    pulls = np.zeros((draws.families.n, len(votes.names)))
    np.add.at(pulls, np.unique(cast.concept, return_inverse=True)[1], on_ratings(cast, rating))
    pseudo_values = rating.ratings[:, None] + len(pulls) * (pulls - pulls.mean(0)).T
    return score_tests(votes.names, pseudo_values, draws.families, log_odds=True, seed=seed)


def _entry(
    votes: Votes,
    rating: BradleyTerryFit,
    draws: BootstrapDraws,
    win_rates: WinRates,
    contender: ContenderRank,
) -> LeaderboardEntry:
    k = votes.names.index(contender.name)
    rows = (votes.first == k) | (votes.second == k)
    cast = rows & votes.valid
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
        missing=float(np.isnan(votes.outcome[rows]).mean()),
    )
