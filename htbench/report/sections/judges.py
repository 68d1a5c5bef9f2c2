"""What judges said of a run: a block for each judge and criterion, from the ledger beside the run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from htbench.core.errors import HtbenchError
from htbench.judging.agreement import Agreement, with_judge
from htbench.judging.audit import MEANING, Audit, Flag, Trial
from htbench.judging.leaderboard import Board, Criterion, board
from htbench.judging.ledger import FILE, Ledger
from htbench.report import format
from htbench.run.summary import Summary
from htbench.stats.durations import Interval
from htbench.stats.proportions import Share
from htbench.stats.ranking.robustness import Fragility, Variant, fragility, sensitivity
from htbench.stats.ranking.votes import Unrankable


@dataclass(frozen=True, kw_only=True)
class Block:
    """One judge by one criterion."""

    id: str
    """Of its heading."""
    criterion: Criterion
    preferred: dict[str, Interval]
    """How often each method is preferred to prompting."""
    fragility: Fragility | None
    variants: list[Variant]

    @property
    def audit(self) -> Audit:
        """Of the criterion."""
        return self.criterion.audit

    @property
    def checks(self) -> list["Check"]:
        """Every flag that there is, with what it rests on."""
        audit, lost = self.audit, sum(share.count for share in self.audit.missing_by_method.values())
        slot = f"the first won {_share(audit.slot, 'contradictions')}; p {format.chance(audit.slot_p)}"
        expected = "" if math.isnan(audit.cycles_expected) else f"; {format.percent(audit.cycles_expected, 1)} expected"
        uneven = "" if math.isnan(audit.missing_p) else f"; the same for all methods: p {format.chance(audit.missing_p)}"
        asked = Share(count=lost, of=sum(audit.planned.values()))
        figures: dict[Flag, str] = {
            "first slot": slot,
            "last slot": slot,
            "unstable": f"alike in {_share(audit.stable, 'questions asked again')}",
            "undecided": f"undecided in {_share(audit.idle, 'questions with noise')}",
            "text": f"not fooled in {_trial(audit.text)}",
            "blind": f"the picture won {_trial(audit.noise)}",
            "wrong concept": f"the right concept won {_trial(audit.decoy)}",
            "imagines": f"a difference in {_share(audit.identical, 'identical pairs')}",
            "inconsistent": f"alike in {_share(audit.consistent, 'pairs asked in both orders')}",
            "cycles": f"a circle in {_share(audit.cycles, 'triples')}{expected}",
            "missing": f"asked in vain: {_share(asked, 'matches of methods')}{uneven}",
        }
        return [Check(flag=flag, meaning=meaning, figure=figures[flag], raised=flag in audit.flags) for flag, meaning in MEANING.items()]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One flag of an audit."""

    flag: Flag
    meaning: str
    figure: str
    raised: bool


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One judge's tournament."""

    board: Board
    blocks: list[Block]
    agreements: dict[str, list[Agreement]]
    """With each other judge of the run, by its name."""

    @property
    def name(self) -> str:
        """Of the judge, with its model."""
        return name(self.board)

    @property
    def sees_language(self) -> bool:
        """Whether it is a vision-language model."""
        return self.board.about.get("kind") != "clip"

    @property
    def design(self) -> dict[str, Any]:
        """What was compared."""
        return dict(self.board.about["design"])


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The section."""

    judgements: list[Judgement]
    problem: str
    """Why the ledger cannot be read; empty if it can, or is not there."""


def name(of: Board) -> str:
    """A judge with its model, once where they are the same."""
    judge, model = str(of.about["judge"]), str(of.about["model"])
    return judge if judge == model else f"{judge} {model}"


def collect(summary: Summary, *, rounds: int = 1000) -> Judged:
    """Of each judge and model the latest tournament at each strength; one ledger is read once as long as nothing is added to it."""
    folder = summary.store.folder
    if not (folder / FILE).is_file():
        return Judged(judgements=[], problem="")
    files = [path for path in (folder / FILE, folder / f"{FILE}-wal") if path.is_file()]
    return _read(folder, rounds, tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in files))


@lru_cache(maxsize=4)
def _read(folder: Path, rounds: int, state: tuple[tuple[int, int], ...]) -> Judged:
    """As the ledger was in that state of its files: a page that is drawn anew while a run goes on does not rank hundreds of thousands of verdicts again."""
    try:
        with Ledger.read(folder) as ledger:
            known = {(about["judge"], about["model"], about["design"]["strength"]): id_ for id_, about in ledger.tournaments().items()}
            boards = [board(ledger, id_, rounds=rounds) for id_ in known.values()]
    except HtbenchError as error:
        return Judged(judgements=[], problem=str(error))
    return Judged(judgements=[_judgement(each, boards) for each in boards if each.criteria], problem="")


def _judgement(own: Board, boards: Sequence[Board]) -> Judgement:
    others = [each for each in boards if name(each) != name(own)]
    return Judgement(
        board=own,
        blocks=[_block(own, criterion) for criterion in own.criteria],
        agreements={name(other): found for other in others if (found := with_judge(own, other))},
    )


def _block(own: Board, criterion: Criterion) -> Block:
    ranked = [one.name for one in criterion.ranking.standings] if criterion.ranking else []
    shows = str(own.about["design"]["shows"])
    return Block(
        id=f"judge-{own.tournament[:8]}-{criterion.name}",
        criterion=criterion,
        preferred={method: rate for method in ranked if (rate := criterion.preferred(method, shows))},
        **_doubts(criterion, ranked),
    )


def _doubts(criterion: Criterion, ranked: Sequence[str]) -> dict[str, Any]:
    """How much the ranking hangs on; nothing where there is none."""
    try:
        votes = criterion.votes.among(ranked)
        return {"fragility": fragility(votes), "variants": sensitivity(votes)} if ranked else {"fragility": None, "variants": []}
    except Unrankable:
        return {"fragility": None, "variants": []}


def _share(share: Share, of: str) -> str:
    """Such as `95 % [76 %, 99 %] of 20 pairs`."""
    low, high = (format.percent(end) for end in share.interval)
    return f"{format.percent(share.value)} [{low}, {high}] of {share.of:,} {of}" if share.of else f"no {of}"


def _trial(trial: Trial) -> str:
    total = trial.right + trial.wrong + trial.other
    return f"{trial.right:,} of {total:,}, {trial.wrong:,} went the other way" if total else "no controls"
