"""Pointwise scores of a run's pictures as scores beside those of its scorers, never its headline.

They are read from the ledger, so that a flag, a calibration or an answer that comes later counts.
"""

import math
import re
from dataclasses import dataclass

from htbench.core.types import UNSTEERED
from htbench.judging.ledger import LEDGER_FILE, Ledger
from htbench.judging.pointwise import PointwiseCriterion, PointwiseResult, read_pointwise
from htbench.run.summary import Summary

PREFIX = "yes"
"""Beginning of the names of these scores: they are probabilities of yes."""
_NO_NAME = re.compile(r"[^\w.-]+")
ScoreKey = tuple[str, float, str, str, int]
"""Method, strength, concept, prompt and seed."""


@dataclass(frozen=True, kw_only=True)
class PointwiseScores:
    """The scores by one judge, model and criterion at one strength."""

    name: str
    """Name of the score, such as `yes-presence-local-qwen3-vl`; the same at all strengths."""
    judge: str
    """The judge with its model."""
    strength: float | None
    """None: each method at its tuned strength."""
    version: str
    model: str
    criterion: PointwiseCriterion

    @property
    def problem(self) -> str:
        """The reason why these scores are not to be relied on; empty if they are."""
        if self.criterion.audit.flags:
            return f"the judge is flagged: {', '.join(self.criterion.audit.flags)}"
        calibration = self.criterion.calibration
        if calibration is None:
            return "the judge was not calibrated"
        return "" if self.criterion.does_count else f"its calibration {calibration.status}"


def read_scores(summary: Summary) -> list[PointwiseScores]:
    """The pointwise scores of a run, the latest of each judge and model at each strength.

    Raises:
        Refused: if the ledger is damaged, or of another version.
    """
    folder = summary.store.folder
    if not (folder / LEDGER_FILE).is_file():
        return []
    with Ledger.read_quietly(folder) as ledger:
        latest = {
            (about["judge"], about["model"], about["design"]["strength"]): id_
            for id_, about in ledger.pointwise().items()
        }
        results = [read_pointwise(ledger, id_) for id_ in latest.values()]
    return [_scores(result, criterion) for result in results for criterion in result.criteria]


def values(summary: Summary, scores: PointwiseScores) -> dict[ScoreKey, float]:
    """The probability of yes of each picture that has one."""
    return {
        (each.method, at, each.concept, each.prompt, each.seed): each.yes
        for each in scores.criterion.pictures
        if each.yes is not None
        and (at := strength_of_method(summary, each.method, scores.strength)) is not None
    }


def strength_of_method(summary: Summary, method: str, strength: float | None) -> float | None:
    """The strength of a method's pictures; None if it was tuned and the run no longer says so."""
    if method == UNSTEERED:
        return 0.0
    if strength is not None:
        return strength
    tuned = summary.facts.tuned.get(method)
    return tuned.strength if tuned and math.isfinite(tuned.strength) else None


def _scores(result: PointwiseResult, criterion: PointwiseCriterion) -> PointwiseScores:
    judge, model = str(result.metadata["judge"]), str(result.metadata["model"])
    both = judge if judge == model else f"{judge} {model}"
    return PointwiseScores(
        name=_NO_NAME.sub("-", f"{PREFIX}-{criterion.name}-{both}").strip("-")[:80],
        judge=both,
        strength=result.metadata["design"]["strength"],
        version=str(result.metadata["version"]),
        model=model,
        criterion=criterion,
    )
