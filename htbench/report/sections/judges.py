"""What judges said of a run: a block for each judge and criterion, from the ledger beside the run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from htbench.core.errors import HtbenchError
from htbench.judging.agreement import JudgeAgreement, agreement_with_judge
from htbench.judging.audit import MEANING, ControlResult, Flag, JudgeAudit
from htbench.judging.leaderboard import CriterionLeaderboard, TournamentResult, read_result
from htbench.judging.ledger import LEDGER_FILE, Ledger
from htbench.report import format
from htbench.run.summary import Summary
from htbench.stats.durations import Interval
from htbench.stats.proportions import Proportion
from htbench.stats.ranking.robustness import RankingVariant, Robustness, robustness, sensitivity
from htbench.stats.ranking.votes import Unrankable


@dataclass(frozen=True, kw_only=True)
class JudgedCriterion:
    """One judge by one criterion."""

    id: str
    """Of its heading."""
    criterion: CriterionLeaderboard
    preference_rates: dict[str, Interval]
    """How often each method is preferred to prompting."""
    robustness: Robustness | None
    variants: list[RankingVariant]

    @property
    def audit(self) -> JudgeAudit:
        """Of the criterion."""
        return self.criterion.audit

    @property
    def checks(self) -> list["FlagCheck"]:
        """Every flag that there is, with what it rests on."""
        audit, lost = (
            self.audit,
            sum(share.count for share in self.audit.missing_by_method.values()),
        )
        slot = f"the first won {_share_text(audit.position_bias, 'contradictions')}; p {format.p_value(audit.position_bias_p)}"
        expected = (
            ""
            if math.isnan(audit.cycles_expected)
            else f"; {format.percent(audit.cycles_expected, 1)} expected"
        )
        uneven = (
            ""
            if math.isnan(audit.missing_p)
            else f"; the same for all methods: p {format.p_value(audit.missing_p)}"
        )
        asked = Proportion(count=lost, of=sum(audit.planned.values()))
        figures: dict[Flag, str] = {
            "first slot": slot,
            "last slot": slot,
            "unstable": f"alike in {_share_text(audit.stable, 'questions asked again')}",
            "undecided": f"undecided in {_share_text(audit.undecided, 'questions with noise')}",
            "text": f"not fooled in {_trial_text(audit.text)}",
            "blind": f"the picture won {_trial_text(audit.noise)}",
            "wrong concept": f"the right concept won {_trial_text(audit.wrong_concept)}",
            "imagines": f"a difference in {_share_text(audit.identical, 'identical pairs')}",
            "inconsistent": f"alike in {_share_text(audit.consistent, 'pairs asked in both orders')}",
            "cycles": f"a circle in {_share_text(audit.cycles, 'triples')}{expected}",
            "missing": f"asked in vain: {_share_text(asked, 'matches of methods')}{uneven}",
        }
        return [
            FlagCheck(
                flag=flag, meaning=meaning, evidence=figures[flag], raised=flag in audit.flags
            )
            for flag, meaning in MEANING.items()
        ]


@dataclass(frozen=True, kw_only=True)
class FlagCheck:
    """One flag of an audit."""

    flag: Flag
    meaning: str
    evidence: str
    raised: bool


@dataclass(frozen=True, kw_only=True)
class JudgeResult:
    """One judge's tournament."""

    leaderboard: TournamentResult
    criteria: list[JudgedCriterion]
    agreements: dict[str, list[JudgeAgreement]]
    """With each other judge of the run, by its name."""

    @property
    def name(self) -> str:
        """Of the judge, with its model."""
        return judge_name(self.leaderboard)

    @property
    def is_vlm(self) -> bool:
        """Whether it is a vision-language model."""
        return self.leaderboard.metadata.get("kind") != "clip"

    @property
    def design(self) -> dict[str, Any]:
        """What was compared."""
        return dict(self.leaderboard.metadata["design"])


@dataclass(frozen=True, kw_only=True)
class JudgesSection:
    """The section."""

    results: list[JudgeResult]
    problem: str
    """Why the ledger cannot be read; empty if it can, or is not there."""


def judge_name(leaderboard: TournamentResult) -> str:
    """A judge with its model, once where they are the same."""
    judge, model = str(leaderboard.metadata["judge"]), str(leaderboard.metadata["model"])
    return judge if judge == model else f"{judge} {model}"


def collect(summary: Summary, *, rounds: int = 1000) -> JudgesSection:
    """Of each judge and model the latest tournament at each strength; one ledger is read once as long as nothing is added to it."""
    folder = summary.store.folder
    if not (folder / LEDGER_FILE).is_file():
        return JudgesSection(results=[], problem="")
    files = [
        path for path in (folder / LEDGER_FILE, folder / f"{LEDGER_FILE}-wal") if path.is_file()
    ]
    return _read(
        folder, rounds, tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    )


@lru_cache(maxsize=4)
def _read(folder: Path, rounds: int, state: tuple[tuple[int, int], ...]) -> JudgesSection:
    """As the ledger was in that state of its files: a page that is drawn anew while a run goes on does not rank hundreds of thousands of verdicts again."""
    try:
        with Ledger.read(folder) as ledger:
            known = {
                (about["judge"], about["model"], about["design"]["strength"]): id_
                for id_, about in ledger.tournaments().items()
            }
            boards = [read_result(ledger, id_, rounds=rounds) for id_ in known.values()]
    except HtbenchError as error:
        return JudgesSection(results=[], problem=str(error))
    return JudgesSection(
        results=[_judge_result(each, boards) for each in boards if each.criteria], problem=""
    )


def _judge_result(own: TournamentResult, boards: Sequence[TournamentResult]) -> JudgeResult:
    others = [each for each in boards if judge_name(each) != judge_name(own)]
    return JudgeResult(
        leaderboard=own,
        criteria=[_judged_criterion(own, criterion) for criterion in own.criteria],
        agreements={
            judge_name(other): found
            for other in others
            if (found := agreement_with_judge(own, other))
        },
    )


def _judged_criterion(own: TournamentResult, criterion: CriterionLeaderboard) -> JudgedCriterion:
    ranked = [one.name for one in criterion.ranking.entries] if criterion.ranking else []
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
    """How much the ranking hangs on; nothing where there is none."""
    try:
        votes = criterion.votes.among(ranked)
        return (
            {"robustness": robustness(votes), "variants": sensitivity(votes)}
            if ranked
            else {"robustness": None, "variants": []}
        )
    except Unrankable:
        return {"robustness": None, "variants": []}


def _share_text(share: Proportion, of: str) -> str:
    """Such as `95 % [76 %, 99 %] of 20 pairs`."""
    low, high = (format.percent(end) for end in share.interval)
    return (
        f"{format.percent(share.value)} [{low}, {high}] of {share.of:,} {of}"
        if share.of
        else f"no {of}"
    )


def _trial_text(trial: ControlResult) -> str:
    total = trial.right + trial.wrong + trial.other
    return (
        f"{trial.right:,} of {total:,}, {trial.wrong:,} went the other way"
        if total
        else "no controls"
    )
