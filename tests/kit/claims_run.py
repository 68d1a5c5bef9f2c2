"""Made-up runs with planted gains, judges and studies, and the claims that a report decides."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from pathlib import Path

import numpy as np

from htbench.judging.audit import audit_judge
from htbench.judging.calibration import CriterionCalibration
from htbench.judging.leaderboard import CriterionLeaderboard, TournamentResult
from htbench.report.roles import find_roles
from htbench.report.sections import claims, judges, novelty, people
from htbench.report.sections.claims import Claim
from htbench.report.sections.judges import JudgedCriterion, JudgeResult, JudgesSection
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.stats.durations import Interval
from htbench.stats.proportions import Proportion
from htbench.stats.ranking.votes import Votes
from kit import report_run
from kit.posted_study import study

METHODS = ("none", "prompt", "linear-act", "lineas", "hypertransport", "hypertransport-image")
FIVE = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Strengths of a curve from 0 to 1."""
Rate = tuple[float, float, float]
"""A rate with the ends of its interval."""


def build(
    folder: Path,
    gains: Mapping[str, float] | None = None,
    *,
    strengths: Sequence[float] = (0.0, 1.0),
    noise: float = 0.01,
    bend: float = 1.0,
    concepts: int = 12,
) -> Path:
    """A run whose methods have these gains at strength 1, or 0.2.

    Gain rises as the strength to the power `bend`; noise does as the strength.
    """
    report_run.build(
        folder,
        methods=METHODS,
        concepts=concepts,
        prompts=report_run.PROMPTS[:1],
        strengths=strengths,
        size=8,
    )
    dice = np.random.default_rng(0)
    planted = gains or {}
    with Store.open(folder) as store:
        store.add_scores(
            (
                row.id,
                "concept_gain",
                "emoji-clip-b@1",
                planted.get(row.method, 0.2) * row.strength**bend
                + noise * dice.normal() * row.strength,
            )
            for row in store.rows()
        )
    return folder


def decide(folder: Path, *judged: JudgeResult) -> dict[str, Claim]:
    """The claims of a run as these judges, or its own, see it; by the names of their rules."""
    with Store.read(folder) as store:
        summary = Summary(store)
        roles = find_roles(summary, claims.load_claims()["paper"])
        section = claims.collect(
            summary,
            roles,
            judged=JudgesSection(results=list(judged), problem="")
            if judged
            else judges.collect(summary),
            people=people.collect(summary),
            novelty=novelty.collect(summary, roles),
        )
    return {claim.name: claim for claim in section.claims}


def add_study(
    folder: Path,
    rate: Rate,
    *,
    pair: tuple[str, str] = ("hypertransport", "prompt"),
    name: str = "made-up",
    **changes: object,
) -> None:
    """Put a study into the run, in which people prefer the first of the pair at this rate."""
    record = study(*pair, rate) | {"study": name} | changes
    (folder / "studies").mkdir(exist_ok=True)
    (folder / "studies" / f"{name}.json").write_text(json.dumps(record))


@dataclass(frozen=True, kw_only=True)
class _PlantedCriterion(CriterionLeaderboard):
    """A criterion by which one method is preferred to another at a planted rate."""

    rate: Interval

    def preference_rate(self, one: str, two: str) -> Interval | None:
        return self.rate


def calibration(right: int | None, *, criterion: str = "overall") -> CriterionCalibration | None:
    """A calibration with 30 known pairs, `right` of them answered right; None for none."""
    if right is None:
        return None
    return CriterionCalibration(
        criterion=criterion,
        version="1",
        by_difficulty={"easy": Proportion(count=right, of=30)},
        planned=30,
    )


def judge(
    rate: Rate,
    *,
    name: str = "made-up",
    kind: str = "openai",
    criterion: str = "overall",
    strength: float | None = 1.0,
    stable: int = 20,
    known_right: int | None = 30,
) -> JudgeResult:
    """A judge with one criterion, by which it prefers hypertransport to prompting at a rate.

    `stable` of 20 questions are answered the same when asked again; few raise a flag. It is right
    on `known_right` of 30 known pairs; None: it was not calibrated.
    """
    value, low, high = rate
    board = _PlantedCriterion(
        name=criterion,
        ranking=None,
        unranked="",
        circular={},
        calibration=calibration(known_right, criterion=criterion),
        uncounted={},
        match_outcomes={},
        preferences={},
        audit=replace(audit_judge([], {}), stable=Proportion(count=stable, of=20)),
        votes=Votes.collect(first=["a"], second=["b"], outcome=[1], concept=["c"]),
        rate=Interval(value=value, low=low, high=high),
    )
    metadata = {
        "judge": name,
        "model": "m",
        "kind": kind,
        "design": {"methods": [], "strength": strength},
    }
    result = TournamentResult(
        tournament="t", metadata=metadata, criteria=(board,), calls=1, pending=0, outcomes={}
    )
    block = JudgedCriterion(
        id="b", criterion=board, preference_rates={}, robustness=None, variants=[]
    )
    return JudgeResult(leaderboard=result, criteria=[block], agreements={})


def without_ratings(result: JudgeResult) -> JudgeResult:
    """The judge with no preferences, as one whose verdicts give no rating."""
    (block,) = result.criteria
    fields = {
        field.name: getattr(block.criterion, field.name)
        for field in fields_of(CriterionLeaderboard)
    }
    return replace(result, criteria=[replace(block, criterion=CriterionLeaderboard(**fields))])


def rate(ratio: float, low: float, high: float) -> Rate:
    """The rate of being preferred whose odds are these."""
    return ratio / (1 + ratio), low / (1 + low), high / (1 + high)
