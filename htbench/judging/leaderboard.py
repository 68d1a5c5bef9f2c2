"""The result of a tournament: the judged leaderboard of each criterion with its audit.

Reading it needs neither network nor torch.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from htbench.core.errors import Missing, Refused
from htbench.judging import audit as audits
from htbench.judging.audit import JudgeAudit
from htbench.judging.calibration import CriterionCalibration, read_calibrations
from htbench.judging.judge import Outcome
from htbench.judging.ledger import Ledger
from htbench.judging.matches import MatchResult
from htbench.judging.outcome import MatchOutcome, match_outcome, preference, votes
from htbench.run.fact_table import Facts
from htbench.run.store import Store
from htbench.stats.durations import Interval
from htbench.stats.families import FamiliesByConcept
from htbench.stats.ranking.bradley_terry import BradleyTerryFit, fit
from htbench.stats.ranking.leaderboard import Ranking, rank
from htbench.stats.ranking.votes import Unrankable, Votes

Pairing = tuple[str, str, str, str, int]
"""Two methods in alphabetical order, concept, prompt and seed."""


@dataclass(frozen=True, kw_only=True)
class CriterionLeaderboard:
    """The leaderboard of one criterion."""

    name: str
    ranking: Ranking | None
    """Ranks the methods that the judge can judge and has judged; None if that is impossible."""
    unranked: str
    """The reason why methods are not ranked; empty if all are, except for `circular` ones."""
    circular: dict[str, float]
    """Win rates of methods that use the judge's own encoder: listed, but not ranked."""
    match_outcomes: dict[MatchOutcome, int]
    audit: JudgeAudit
    calibration: CriterionCalibration | None
    """The judge's accuracy on known pairs; None if it was asked none by this criterion."""
    uncounted: dict[str, float]
    """Win rates of all methods where the calibration failed: listed, but not ranked."""
    votes: Votes
    preferences: dict[Pairing, float]
    """The preference for the first method of each pairing that has a verdict."""

    def preference_rate(self, one: str, two: str) -> Interval | None:
        """The rate at which `one` is preferred to `two`, with ties as half.

        None if they never met, or are not both ranked.
        """
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
        """The result as a value for JSON."""
        return {
            "criterion": self.name,
            "ranking": self.ranking.facts() if self.ranking else None,
            "unranked": self.unranked,
            "circular": self.circular,
            "endings": self.match_outcomes,
            "audit": self.audit.facts(),
            "calibration": self.calibration.facts() if self.calibration else None,
            "uncounted": self.uncounted,
        }


@dataclass(frozen=True, kw_only=True)
class TournamentResult:
    """One tournament: its judge, its design and a leaderboard per criterion."""

    tournament: str
    metadata: dict[str, Any]
    """Judge, model, label and design: `Tournament.metadata`."""
    criteria: tuple[CriterionLeaderboard, ...]
    calls: int
    pending: int
    """Calls without a verdict."""
    outcomes: dict[Outcome, int]

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods that took part."""
        return tuple(self.metadata["design"]["methods"])

    def facts(self) -> dict[str, object]:
        """The result as a value for JSON."""
        return {
            "tournament": self.tournament,
            **self.metadata,
            "calls": self.calls,
            "pending": self.pending,
            "outcomes": self.outcomes,
            "criteria": [criterion.facts() for criterion in self.criteria],
        }


def read_result(ledger: Ledger, tournament: str, *, rounds: int = 2000) -> TournamentResult:
    """The leaderboards of a tournament as it stands; families of concepts are those of its run.

    Raises:
        Refused: if the ledger has no such tournament, or a damaged one.
    """
    metadata = ledger.tournaments().get(tournament)
    if metadata is None:
        raise Refused(
            f"ledger {str(ledger.folder)!r} has no tournament {tournament!r} that can be read",
            remedy="Judge it again.",
        )
    families = read_families(ledger)
    design = metadata["design"]
    by_criterion: dict[str, list[MatchResult]] = defaultdict(list)
    for result in ledger.results(tournament):
        by_criterion[result.match.criterion].append(result)
    calls, pending = ledger.count_calls(tournament)
    calibrations = read_calibrations(ledger, digest=metadata["digest"], model=metadata["model"])
    leaderboards = (
        _criterion_leaderboard(
            name,
            by_criterion[name],
            tuple(design["methods"]),
            set(metadata["circular"]),
            families,
            calibrations.get(name),
            seed=design["seed"],
            rounds=rounds,
        )
        for name in design["criteria"]
        if name in by_criterion
    )
    return TournamentResult(
        tournament=tournament,
        metadata=metadata,
        criteria=tuple(leaderboards),
        calls=calls,
        pending=pending,
        outcomes=ledger.outcomes(tournament),
    )


def other_judges(ledger: Ledger, result: TournamentResult) -> list[TournamentResult]:
    """The latest tournament of each other judge or model of the run; its intervals are rough."""
    latest = {(about["judge"], about["model"]): id_ for id_, about in ledger.tournaments().items()}
    mine = result.metadata["judge"], result.metadata["model"]
    return [read_result(ledger, id_, rounds=2) for judge, id_ in latest.items() if judge != mine]


def ratings(ledger: Ledger, tournament: str) -> dict[str, float]:
    """Ratings of methods by all votes so far, which pair neighbours in Swiss rounds.

    Empty where the votes do not rank the methods.
    """
    about = ledger.tournaments()[tournament]
    played = [result for result in ledger.results(tournament) if not result.match.control]
    try:
        rating = fit(votes(played, about["design"]["methods"]))
    except Unrankable:
        return {}
    return _rating_by_name(rating)


def _criterion_leaderboard(
    name: str,
    results: Sequence[MatchResult],
    methods: Sequence[str],
    circular: set[str],
    families: FamiliesByConcept,
    calibration: CriterionCalibration | None,
    *,
    seed: int,
    rounds: int,
) -> CriterionLeaderboard:
    played = [result for result in results if not result.match.control]
    cast = votes(played, methods, families)
    judged = {
        method
        for result, _ in _with_preference(played)
        for method in (result.match.one, result.match.two)
    }
    rankable = [method for method in methods if method not in circular and method in judged]
    unjudged = ", ".join(method for method in methods if method not in judged)
    ranking, unranked = None, f"no verdict on any picture of {unjudged}" if unjudged else ""
    has_failed = calibration is not None and calibration.status == "failed"
    if has_failed:
        unranked = f"the judge failed its calibration, {calibration}"
    else:
        try:
            ranking = rank(cast.among(rankable), rounds=rounds, seed=seed)
        except Unrankable as error:
            unranked = str(error)
    rated = _rating_by_name(ranking.rating) if ranking else {}
    return CriterionLeaderboard(
        name=name,
        ranking=ranking,
        unranked=unranked,
        circular={
            method: _win_rate(played, method)
            for method in methods
            if method in circular and not has_failed
        },
        match_outcomes=dict(Counter(match_outcome(result) for result in played)),
        audit=audits.audit_judge(results, rated),
        calibration=calibration,
        uncounted={
            method: _win_rate(played, method)
            for method in methods
            if method in judged and has_failed
        },
        votes=cast,
        preferences=_preferences(played),
    )


def read_families(ledger: Ledger) -> FamiliesByConcept:
    """Families of the concepts of a ledger's run; none for a ledger without a run."""
    with suppress(Missing), Store.read(ledger.folder) as store:
        return Facts.read(store).families
    return {}


def _rating_by_name(rating: BradleyTerryFit) -> dict[str, float]:
    return dict(zip(rating.names, map(float, rating.ratings), strict=True))


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
    preferences: dict[Pairing, float] = {}
    for result, value in _with_preference(played):
        match = result.match
        swapped = match.two < match.one
        one, two = (match.two, match.one) if swapped else (match.one, match.two)
        pairing = (one, two, match.concept, match.prompt, match.seed)
        preferences[pairing] = 1 - value if swapped else value
    return preferences
