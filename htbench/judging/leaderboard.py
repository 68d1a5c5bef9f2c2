"""What a tournament found, as values: the judged leaderboard of each criterion with its audit. Needs neither network nor torch."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from htbench.judging import audit as audits
from htbench.judging.audit import JudgeAudit
from htbench.judging.judge import Outcome
from htbench.judging.ledger import Ledger, MatchResult
from htbench.judging.outcome import MatchOutcome, match_outcome, preference, votes
from htbench.stats.durations import Interval
from htbench.stats.ranking.leaderboard import Ranking, rank
from htbench.stats.ranking.votes import Unrankable, Votes

Pairing = tuple[str, str, str, str, int]
"""Two methods in alphabetical order, concept, prompt and seed."""


@dataclass(frozen=True, kw_only=True)
class CriterionLeaderboard:
    """The leaderboard by one criterion."""

    name: str
    ranking: Ranking | None
    """Of the methods that the judge can judge and has judged; None where nothing can be ranked."""
    unranked: str
    """Why all or some methods are not ranked; empty if all are, but for `circular` ones."""
    circular: dict[str, float]
    """Win rates of methods that read concepts with the judge's own encoder: listed and not ranked."""
    match_outcomes: dict[MatchOutcome, int]
    """Matches by how they ended."""
    audit: JudgeAudit
    votes: Votes
    preferences: dict[Pairing, float]
    """For the first method of each pairing that has a verdict."""

    def preference_rate(self, one: str, two: str) -> Interval | None:
        """How often one method is preferred to another, a tie as half; None if they never met, or are not both ranked."""
        names = self.ranking.win_rates.names if self.ranking else ()
        if self.ranking is None or one == two or not {one, two} <= set(names):
            return None
        matrix, at = self.ranking.win_rates, (names.index(one), names.index(two))
        if not matrix.votes[at]:
            return None
        return Interval(
            value=float(matrix.rate[at]), low=float(matrix.low[at]), high=float(matrix.high[at])
        )

    def facts(self) -> dict[str, object]:
        """For JSON."""
        return {
            "criterion": self.name,
            "ranking": self.ranking.facts() if self.ranking else None,
            "unranked": self.unranked,
            "circular": self.circular,
            "endings": self.match_outcomes,
            "audit": self.audit.facts(),
        }


@dataclass(frozen=True, kw_only=True)
class TournamentResult:
    """One tournament: what the judge is, what it was asked, and a leaderboard a criterion."""

    tournament: str
    metadata: dict[str, Any]
    """Judge, model, label, design: what `Tournament.about` gives."""
    criteria: tuple[CriterionLeaderboard, ...]
    calls: int
    pending: int
    """Calls without a verdict."""
    outcomes: dict[Outcome, int]

    @property
    def methods(self) -> tuple[str, ...]:
        """All that took part."""
        return tuple(self.metadata["design"]["methods"])

    def facts(self) -> dict[str, object]:
        """For JSON."""
        return {
            "tournament": self.tournament,
            **self.metadata,
            "calls": self.calls,
            "pending": self.pending,
            "outcomes": self.outcomes,
            "criteria": [criterion.facts() for criterion in self.criteria],
        }


def read_result(ledger: Ledger, tournament: str, *, rounds: int = 2000) -> TournamentResult:
    """The leaderboards of a tournament as it stands."""
    about = ledger.tournaments()[tournament]
    by_criterion: dict[str, list[MatchResult]] = defaultdict(list)
    for result in ledger.results(tournament):
        by_criterion[result.match.criterion].append(result)
    calls, pending = ledger.count_calls(tournament)
    seed, names, circular = (
        about["design"]["seed"],
        tuple(about["design"]["methods"]),
        set(about["circular"]),
    )
    return TournamentResult(
        tournament=tournament,
        metadata=about,
        criteria=tuple(
            _criterion_leaderboard(
                name, by_criterion[name], names, circular, seed=seed, rounds=rounds
            )
            for name in about["design"]["criteria"]
            if name in by_criterion
        ),
        calls=calls,
        pending=pending,
        outcomes=ledger.outcomes(tournament),
    )


def other_judges(ledger: Ledger, result: TournamentResult) -> list[TournamentResult]:
    """The latest tournament of each other judge or model of the run, to compare verdicts with; its intervals are rough."""
    latest = {(about["judge"], about["model"]): id_ for id_, about in ledger.tournaments().items()}
    mine = result.metadata["judge"], result.metadata["model"]
    return [read_result(ledger, id_, rounds=2) for judge, id_ in latest.items() if judge != mine]


def ratings(ledger: Ledger, tournament: str) -> dict[str, float]:
    """Mean rating of each method over criteria, as far as it can be rated: what a mixed tournament looks at between rounds."""
    from htbench.stats.ranking.bradley_terry import fit

    about = ledger.tournaments()[tournament]
    played = [result for result in ledger.results(tournament) if not result.match.control]
    try:
        found = fit(votes(played, about["design"]["methods"]))
    except Unrankable:
        return {}
    return dict(zip(found.names, map(float, found.ratings), strict=True))


def _criterion_leaderboard(
    name: str,
    results: Sequence[MatchResult],
    methods: Sequence[str],
    circular: set[str],
    *,
    seed: int,
    rounds: int,
) -> CriterionLeaderboard:
    played = [result for result in results if not result.match.control]
    cast = votes(played, methods)
    judged = {
        method
        for result, _ in _with_preference(played)
        for method in (result.match.one, result.match.two)
    }
    able = [method for method in methods if method not in circular and method in judged]
    silent = [method for method in methods if method not in judged]
    ranking, unranked = None, f"no verdict on any picture of {', '.join(silent)}" if silent else ""
    try:
        ranking = rank(cast.among(able), rounds=rounds, seed=seed)
    except Unrankable as error:
        unranked = str(error)
    rated = (
        dict(zip(ranking.rating.names, map(float, ranking.rating.ratings), strict=True))
        if ranking
        else {}
    )
    endings = Counter(match_outcome(result) for result in played)
    return CriterionLeaderboard(
        name=name,
        ranking=ranking,
        unranked=unranked,
        circular={method: _win_rate(played, method) for method in methods if method in circular},
        match_outcomes=dict(endings),
        audit=audits.audit_judge(results, rated),
        votes=cast,
        preferences=_preferences(played),
    )


def _win_rate(played: Sequence[MatchResult], method: str) -> float:
    values = [
        value if result.match.one == method else 1 - value
        for result, value in _with_preference(played)
        if method in (result.match.one, result.match.two)
    ]
    return sum(values) / len(values) if values else float("nan")


def _with_preference(played: Sequence[MatchResult]) -> list[tuple[MatchResult, float]]:
    return [(result, value) for result in played if (value := preference(result)) is not None]


def _preferences(played: Sequence[MatchResult]) -> dict[Pairing, float]:
    found: dict[Pairing, float] = {}
    for result, value in _with_preference(played):
        match = result.match
        swapped = match.two < match.one
        one, two = (match.two, match.one) if swapped else (match.one, match.two)
        found[one, two, match.concept, match.prompt, match.seed] = 1 - value if swapped else value
    return found
