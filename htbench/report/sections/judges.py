"""Results of the judges of a run, by judge and criterion, from the ledger beside the run."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from htbench.core.errors import HtbenchError
from htbench.judging.agreement import HumanVote, JudgeAgreement, agreement_with_judge
from htbench.judging.audit import MEANING, ControlResult, Flag, JudgeAudit
from htbench.judging.leaderboard import CriterionLeaderboard, TournamentResult, read_result
from htbench.judging.ledger import LEDGER_FILE, Ledger
from htbench.judging.panel import Panel, panels
from htbench.judging.pointwise import PointwiseResult, read_pointwise
from htbench.judging.run_votes import votes_at
from htbench.judging.strengths import StrengthResult, read_strengths
from htbench.report import format, judgements
from htbench.report.charts import ForestPlot, HeatMap
from htbench.report.judgements import JudgedTournament, Judgements
from htbench.report.sections import people
from htbench.report.sections.vote_charts import Tone, rating_plot, win_matrix
from htbench.run import study_result
from htbench.run.study_result import NoticedRecord, StudyRecord
from htbench.run.summary import Summary
from htbench.stats.durations import Interval
from htbench.stats.proportions import Proportion
from htbench.stats.ranking.robustness import RankingVariant, Robustness, robustness, sensitivity
from htbench.stats.ranking.votes import Unrankable


@dataclass(frozen=True, kw_only=True)
class JudgedCriterion:
    """The result of one judge by one criterion."""

    id: str
    """The HTML id of its heading."""
    criterion: CriterionLeaderboard
    preference_rates: dict[str, Interval]
    """The rate at which each method is preferred to prompting."""
    robustness: Robustness | None
    variants: list[RankingVariant]

    @property
    def audit(self) -> JudgeAudit:
        """The audit of the criterion."""
        return self.criterion.audit

    @property
    def checks(self) -> list["FlagCheck"]:
        """The flags that the tournament tests, raised or not, with their evidence."""
        evidence, flags = _evidence(self.audit), self.audit.flags
        return [
            FlagCheck(flag=flag, meaning=meaning, evidence=evidence[flag], raised=flag in flags)
            for flag, meaning in MEANING.items()
            if evidence[flag]
        ]

    @property
    def untested(self) -> list[Flag]:
        """The flags for which the tournament has no questions."""
        evidence = _evidence(self.audit)
        return [flag for flag in MEANING if not evidence[flag]]

    def rating_plot(self, judge: str, tone: Tone) -> ForestPlot | None:
        """The ratings by a judge of this name, struck through where the audit raised a flag."""
        if not self.criterion.ranking:
            return None
        return rating_plot(
            f"{judge}: {self.criterion.name}",
            self.criterion.ranking.entries,
            tone,
            struck=bool(self.audit.flags),
        )

    def win_matrix(self, judge: str) -> HeatMap | None:
        """Win rates of each against each by a judge of this name, in the order of ranks."""
        if not self.criterion.ranking:
            return None
        names = [entry.name for entry in self.criterion.ranking.entries]
        rates = {
            (one, other): rate
            for one in names
            for other in names
            if (rate := self.criterion.preference_rate(one, other))
        }
        return win_matrix(f"{judge}: {self.criterion.name}", names, rates)


@dataclass(frozen=True, kw_only=True)
class FlagCheck:
    """One flag of an audit."""

    flag: Flag
    meaning: str
    evidence: str
    raised: bool


@dataclass(frozen=True, kw_only=True)
class JudgeResult:
    """The result of one judge's tournament."""

    leaderboard: TournamentResult
    criteria: list[JudgedCriterion]
    agreements: dict[str, list[JudgeAgreement]]
    """Agreement with each other judge of the run, by its name."""

    @property
    def name(self) -> str:
        """The name of the judge with its model."""
        return judge_name(self.leaderboard)

    @property
    def is_vlm(self) -> bool:
        """True if the judge is a vision-language model."""
        return self.leaderboard.metadata.get("kind") != "clip"

    @property
    def design(self) -> dict[str, Any]:
        """The design of the tournament."""
        return dict(self.leaderboard.metadata["design"])


@dataclass(frozen=True, kw_only=True)
class JudgesSection:
    """The section on judges."""

    results: list[JudgeResult]
    problem: str
    """The reason why the ledger cannot be read; empty if it can, or if there is none."""
    pointwise: list[PointwiseResult] = field(default_factory=list)
    """The scores of single pictures, the latest of each judge and model at each strength."""
    strengths: list[StrengthResult] = field(default_factory=list)
    """Comparisons of strengths, the latest of each judge and model."""
    noticed: dict[str, list[tuple[str, NoticedRecord]]] = field(default_factory=dict)
    """The differences of strength that people notice, with the name of the study, by method."""
    panels: list[Panel] = field(default_factory=list)
    """Several judges pooled, by strength and criterion, with the votes of the run's studies."""
    judgements: Judgements | None = None
    """Verdicts beside their pictures; None without a tournament."""


def judge_name(leaderboard: TournamentResult) -> str:
    """The name of a judge with its model, once if they are the same."""
    judge, model = str(leaderboard.metadata["judge"]), str(leaderboard.metadata["model"])
    return judge if judge == model else f"{judge} {model}"


def collect(summary: Summary, *, rounds: int = 1000) -> JudgesSection:
    """The latest tournament of each judge and model at each strength.

    A ledger is read again only if it, or a study of the run, has changed.
    """
    folder = summary.store.folder
    if not (folder / LEDGER_FILE).is_file():
        return JudgesSection(results=[], problem="")
    studies = sorted((folder / study_result.FOLDER).glob("*.json"))
    files = (folder / LEDGER_FILE, folder / f"{LEDGER_FILE}-wal", *studies)
    stats = ((path.name, path.stat()) for path in files if path.is_file())
    state = tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
    return _read(folder, rounds, summary.full_strength, state)


@lru_cache(maxsize=4)
def _read(
    folder: Path, rounds: int, full_strength: float, state: tuple[tuple[str, int, int], ...]
) -> JudgesSection:
    """The section for a state of the ledger's and the studies' files, by which it is cached.

    So a report that is rendered again during a run does not rank all verdicts anew.
    """
    studies = people.read_studies(folder).studies
    try:
        with Ledger.read(folder) as ledger:
            latest = _latest(ledger.tournaments())
            tournaments = [read_result(ledger, id_, rounds=rounds) for id_ in latest]
            pointwise = [read_pointwise(ledger, id_) for id_ in _latest(ledger.pointwise())]
            compared = [read_strengths(ledger, id_) for id_ in _latest(ledger.strengths())]
            strengths = {each.metadata["design"]["strength"] for each in tournaments}
            votes = {
                strength: votes_at(studies, strength, full_strength=full_strength)
                for strength in strengths
            }
            shown = judgements.collect(ledger, map(_judged_tournament, tournaments), votes)
    except HtbenchError as error:
        return JudgesSection(results=[], problem=str(error))
    results = [_judge_result(each, tournaments) for each in tournaments if each.criteria]
    return JudgesSection(
        results=results,
        problem="",
        pointwise=pointwise,
        strengths=compared,
        noticed=_noticed(studies),
        panels=_panels(tournaments, votes, rounds=rounds),
        judgements=shown if shown.shown else None,
    )


def _noticed(studies: Sequence[StudyRecord]) -> dict[str, list[tuple[str, NoticedRecord]]]:
    noticed: dict[str, list[tuple[str, NoticedRecord]]] = {}
    for study in studies:
        for each in study.noticed:
            noticed.setdefault(each.method, []).append((study.study, each))
    return noticed


def _judged_tournament(result: TournamentResult) -> JudgedTournament:
    return JudgedTournament(
        id=result.tournament,
        judge=judge_name(result),
        strength=result.metadata["design"]["strength"],
    )


def _panels(
    tournaments: Sequence[TournamentResult],
    votes: Mapping[float | None, Sequence[HumanVote]],
    *,
    rounds: int,
) -> list[Panel]:
    """The panels of the judges at each strength, weighted by agreement with people's votes."""
    by_strength: dict[float | None, dict[str, TournamentResult]] = {}
    for each in tournaments:
        by_strength.setdefault(each.metadata["design"]["strength"], {})[judge_name(each)] = each
    return [
        panel
        for strength, named in by_strength.items()
        for panel in panels(named, votes[strength], rounds=rounds)
    ]


def _latest(tournaments: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Ids of the latest of each judge and model at each strength."""
    latest = {
        (metadata["judge"], metadata["model"], metadata["design"]["strength"]): id_
        for id_, metadata in tournaments.items()
    }
    return list(latest.values())


def _judge_result(own: TournamentResult, tournaments: Sequence[TournamentResult]) -> JudgeResult:
    others = [each for each in tournaments if judge_name(each) != judge_name(own)]
    return JudgeResult(
        leaderboard=own,
        criteria=[_judged_criterion(own, criterion) for criterion in own.criteria],
        agreements={
            judge_name(other): agreements
            for other in others
            if (agreements := agreement_with_judge(own, other))
        },
    )


def _judged_criterion(own: TournamentResult, criterion: CriterionLeaderboard) -> JudgedCriterion:
    ranked = [entry.name for entry in criterion.ranking.entries] if criterion.ranking else []
    shows = str(own.metadata["design"]["shows"])
    return JudgedCriterion(
        id=f"judge-{own.tournament[:8]}-{criterion.name}",
        criterion=criterion,
        preference_rates={
            method: rate for method in ranked if (rate := criterion.preference_rate(method, shows))
        },
        **_robustness(criterion, ranked),
    )


def _robustness(criterion: CriterionLeaderboard, ranked: Sequence[str]) -> dict[str, Any]:
    """The robustness of the ranking and its variants; None and no variants without a ranking."""
    with suppress(Unrankable):
        votes = criterion.votes.among(ranked)
        if ranked:
            return {"robustness": robustness(votes), "variants": sensitivity(votes)}
    return {"robustness": None, "variants": []}


def _evidence(audit: JudgeAudit) -> dict[Flag, str]:
    """The figures that each flag depends on; empty where the tournament has none."""
    p = format.p_value(audit.position_bias_p)
    bias = _share_text(audit.position_bias, "pairs with contradictory answers")
    slot = _sentence(f"the first picture won {{}} (p {p})", bias)
    expected = format.percent(audit.cycles_expected) if audit.cycles.of else ""
    uneven = format.p_value(audit.missing_p) if not math.isnan(audit.missing_p) else ""
    equal = _sentence("; equal rates of all methods: p {}", uneven)
    missing = Proportion(
        count=sum(share.count for share in audit.missing_by_method.values()),
        of=sum(audit.planned.values()),
    )
    again, noise = "questions asked again", "questions with noise"
    orders = "pairs asked in both orders"
    return {
        "first slot": slot,
        "last slot": slot,
        "unstable": _sentence("the same answer to {}", _share_text(audit.stable, again)),
        "undecided": _sentence("undecided in {}", _share_text(audit.undecided, noise)),
        "text": _sentence("not misled by words in {}", _trial_text(audit.text)),
        "blind": _sentence("the picture won in {}", _trial_text(audit.noise)),
        "wrong concept": _sentence("the right one won in {}", _trial_text(audit.wrong_concept)),
        "imagines": _sentence(
            "a difference was seen in {}", _share_text(audit.identical, "identical pairs")
        ),
        "inconsistent": _sentence("the same choice in {}", _share_text(audit.consistent, orders)),
        "cycles": _sentence(
            f"cycles in {{}} ({expected} expected by chance)", _share_text(audit.cycles, "triples")
        ),
        "missing": _sentence(f"no answer in {{}}{equal}", _share_text(missing, "matches")),
    }


def _sentence(words: str, figures: str) -> str:
    """`words` with the figures put in; empty without figures."""
    return words.format(figures) if figures else ""


def _share_text(share: Proportion, of: str) -> str:
    """A share with its interval, such as `95 % [76 %, 99 %] of 20 pairs`; empty for none."""
    if not share.of:
        return ""
    low, high = (format.percent(end) for end in share.interval)
    return f"{format.percent(share.value)} [{low}, {high}] of {share.of:,} {of}"


def _trial_text(trial: ControlResult) -> str:
    total = trial.right + trial.wrong + trial.other
    return f"{trial.right:,} of {total:,} controls and lost in {trial.wrong:,}" if total else ""
