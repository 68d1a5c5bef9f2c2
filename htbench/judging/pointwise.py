"""Pointwise scores: the probability that a judge answers yes to a question about one picture.

Each picture is asked about twice, with the letter A for yes and with B for yes, so that a liking
for a letter cancels. With token probabilities this is VQAScore's probability of yes; without them
a score is 0, .5 or 1. Reading scores needs neither network nor torch.

References:
    Lin et al. Evaluating Text-to-Visual Generation with Image-to-Text Generation. 2024.
    https://arxiv.org/abs/2404.01291
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from htbench.judging import audit as audits
from htbench.judging.audit import Flag, JudgeAudit
from htbench.judging.calibration import CriterionCalibration, read_calibrations
from htbench.judging.judge import Outcome
from htbench.judging.leaderboard import read_families
from htbench.judging.ledger import Ledger
from htbench.judging.matches import MatchResult
from htbench.judging.outcome import missing_reason, preference
from htbench.judging.schedule import Design
from htbench.stats import estimates
from htbench.stats.families import FamiliesByConcept
from htbench.stats.proportions import Proportion

NOTHING = "(nothing)"
"""The other side of each match; a picture is preferred to it where the answer is yes."""
MEANING: dict[Flag, str] = {
    **audits.MEANING,
    "first slot": "answers A, whatever it stands for",
    "last slot": "answers B, whatever it stands for",
    "blind": "does not tell pictures from noise",
    "wrong concept": "finds the concept in pictures of another one",
    "inconsistent": "contradicts itself when A and B are exchanged",
    "undecided": "does not even decide about noise",
}


@dataclass(frozen=True, kw_only=True)
class PointwiseDesign(Design):
    """The settings of pointwise questions."""

    pointwise: str
    """Digest of the questions' texts."""


@dataclass(frozen=True, kw_only=True)
class PictureScore:
    """The score of one picture."""

    method: str
    concept: str
    prompt: str
    seed: int
    yes: float | None
    """The probability of yes, 0 to 1; None without an answer."""
    missing: str
    """The reason why there is none; empty if there is one."""


@dataclass(frozen=True, kw_only=True)
class MethodScores:
    """The pointwise scores of one method."""

    method: str
    score: estimates.Estimate | None
    """Mean over concepts with its interval; None without an answer."""
    pictures: int
    answered: int
    circular: bool
    """True if it reads concepts with an encoder of the judge, so that it is listed last."""


@dataclass(frozen=True, kw_only=True)
class PointwiseCriterion:
    """The pointwise scores by one criterion."""

    name: str
    methods: tuple[MethodScores, ...]
    """From the best to the worst; circular ones last."""
    pictures: tuple[PictureScore, ...]
    weighted: Proportion
    """Answers that were read from token probabilities."""
    audit: JudgeAudit
    calibration: CriterionCalibration | None
    """The judge's accuracy on known pairs; None if it was asked none by this criterion."""

    @property
    def does_count(self) -> bool:
        """True if the judge passed its calibration and no flag is raised."""
        passed = self.calibration is not None and self.calibration.status == "passed"
        return passed and not self.audit.flags

    def meaning(self, flag: Flag) -> str:
        """The meaning of a flag for questions on one picture."""
        return MEANING[flag]

    def facts(self) -> dict[str, object]:
        """The scores by method as a value for JSON."""
        return {
            "criterion": self.name,
            "methods": [asdict(each) for each in self.methods],
            "weighted": self.weighted.facts(),
            "audit": self.audit.facts(),
            "calibration": self.calibration.facts() if self.calibration else None,
            "counts": self.does_count,
        }


@dataclass(frozen=True, kw_only=True)
class PointwiseResult:
    """All pointwise scores by one judge at one strength."""

    id: str
    metadata: dict[str, Any]
    criteria: tuple[PointwiseCriterion, ...]
    calls: int
    pending: int
    outcomes: dict[Outcome, int]


def read_pointwise(ledger: Ledger, id_: str) -> PointwiseResult:
    """The pointwise scores as they stand."""
    metadata = ledger.pointwise()[id_]
    design, families = metadata["design"], read_families(ledger)
    calibrations = read_calibrations(ledger, digest=metadata["digest"], model=metadata["model"])
    by_criterion: dict[str, list[MatchResult]] = defaultdict(list)
    for result in ledger.results(id_):
        by_criterion[result.match.criterion].append(result)
    methods = [method for method in design["methods"] if method != NOTHING]
    calls, pending = ledger.count_calls(id_)
    return PointwiseResult(
        id=id_,
        metadata=metadata,
        criteria=tuple(
            _criterion(
                name,
                by_criterion[name],
                methods,
                set(metadata["circular"]),
                families,
                calibrations.get(name),
            )
            for name in design["criteria"]
            if name in by_criterion
        ),
        calls=calls,
        pending=pending,
        outcomes=ledger.outcomes(id_),
    )


def _criterion(
    name: str,
    results: Sequence[MatchResult],
    methods: Sequence[str],
    circular: set[str],
    families: FamiliesByConcept,
    calibration: CriterionCalibration | None,
) -> PointwiseCriterion:
    asked = [result for result in results if not result.match.control]
    pictures = tuple(map(_picture_score, asked))
    coverages = [
        verdict.coverage is not None
        for result in asked
        for verdict in (result.order_ab, result.order_ba)
        if verdict and verdict.choice
    ]
    rows = [_method_scores(method, pictures, circular, families) for method in methods]
    return PointwiseCriterion(
        name=name,
        methods=tuple(sorted(rows, key=_rank)),
        pictures=pictures,
        weighted=Proportion(count=sum(coverages), of=len(coverages)),
        audit=audits.audit_judge(results, {}, without={NOTHING}),
        calibration=calibration,
    )


def _picture_score(result: MatchResult) -> PictureScore:
    match = result.match
    return PictureScore(
        method=match.one,
        concept=match.concept,
        prompt=match.prompt,
        seed=match.seed,
        yes=preference(result),
        missing=missing_reason(result) or "",
    )


def _method_scores(
    method: str,
    pictures: Sequence[PictureScore],
    circular: set[str],
    families: FamiliesByConcept,
) -> MethodScores:
    own = [each for each in pictures if each.method == method]
    values: Mapping[str, list[float]] = defaultdict(list)
    for each in own:
        if each.yes is not None:
            values[each.concept].append(each.yes)
    return MethodScores(
        method=method,
        score=estimates.over_concepts(values, families, within=(0.0, 1.0)),
        pictures=len(own),
        answered=sum(map(len, values.values())),
        circular=method in circular,
    )


def _rank(row: MethodScores) -> tuple[bool, bool, float]:
    return row.circular, row.score is None, -row.score.mean if row.score else 0.0
