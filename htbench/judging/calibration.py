"""Calibration of a judge: its accuracy on pairs of pictures of which one is known to be right.

Reading it needs neither network nor torch.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from htbench.judging.judge import FINAL_OUTCOMES, Verdict
from htbench.judging.ledger import Ledger
from htbench.judging.matches import MatchResult
from htbench.judging.outcome import match_outcome
from htbench.judging.records import read_calibration_record
from htbench.judging.schedule import Design
from htbench.stats.proportions import Proportion

RIGHT, WRONG = "right", "wrong"
"""Names of the two sides of a known pair, in place of methods."""
FLOOR = 0.5
"""Accuracy that a judge has to exceed with all of its 95 % interval: that of tossing a coin."""
Status = Literal["passed", "failed", "incomplete"]
"""`incomplete`: answers that are still missing could decide it either way."""


@dataclass(frozen=True, kw_only=True)
class CalibrationDesign(Design):
    """The settings of a calibration, in which the two sides of known pairs meet."""

    calibration: str
    """Digest of the set of pairs."""
    version: str
    """Version of the set of pairs."""
    difficulties: tuple[str, ...]
    """The difficulty of each pair, by the number that stands for its seed."""


@dataclass(frozen=True, kw_only=True)
class CriterionCalibration:
    """The accuracy of a judge by one criterion."""

    criterion: str
    version: str
    """Version of the set of pairs."""
    by_difficulty: dict[str, Proportion]
    """Pairs that were answered right of those answered, from easy to hard."""
    planned: int
    """Number of pairs, answered or not."""

    @property
    def accuracy(self) -> Proportion:
        """Pairs that were answered right, of those answered.

        A tie, an answer that changes with the order and `cannot_judge` are not right.
        """
        shares = self.by_difficulty.values()
        return Proportion(
            count=sum(share.count for share in shares), of=sum(share.of for share in shares)
        )

    @property
    def pending(self) -> int:
        """Number of pairs without an answer so far."""
        return self.planned - self.accuracy.of

    @property
    def status(self) -> Status:
        """`passed` if the accuracy exceeds `FLOOR` with all of its interval."""
        right = self.accuracy.count
        if Proportion(count=right, of=self.planned).interval[0] > FLOOR:
            return "passed"
        at_best = Proportion(count=right + self.pending, of=self.planned)
        return "incomplete" if at_best.interval[0] > FLOOR else "failed"

    def __str__(self) -> str:
        """The accuracy as a phrase."""
        share = self.accuracy
        if not share.of:
            return "no known pair answered"
        low, high = share.interval
        pending = f", {self.pending} not answered" if self.pending else ""
        return (
            f"right in {share.count} of {share.of} known pairs, {share.value:.2f} "
            f"[{low:.2f}, {high:.2f}]{pending}"
        )

    def facts(self) -> dict[str, object]:
        """The calibration as a value for JSON."""
        return {
            "status": self.status,
            "floor": FLOOR,
            "version": self.version,
            "pending": self.pending,
            "accuracy": self.accuracy.facts(),
            "by_difficulty": {name: share.facts() for name, share in self.by_difficulty.items()},
        }


def read_calibrations(
    ledger: Ledger, *, digest: str, model: str
) -> dict[str, CriterionCalibration]:
    """The latest calibration of a judge by criterion; its card has this digest."""
    return {
        calibration.criterion: calibration
        for id_, metadata in ledger.calibrations().items()
        if (metadata["digest"], metadata["model"]) == (digest, model)
        for calibration in read_calibration(ledger, id_)
    }


def read_calibration(ledger: Ledger, tournament: str) -> list[CriterionCalibration]:
    """The calibrations of one tournament of known pairs, in the order of its criteria."""
    design = ledger.calibrations()[tournament]["design"]
    record = ledger.damage.read("calibration", tournament, read_calibration_record, design)
    if record is None:
        ledger.damage.tell()
        return []
    right: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    planned: dict[str, int] = defaultdict(int)
    for result in ledger.results(tournament):
        match = result.match
        if not 0 <= match.seed < len(record.difficulties):
            continue
        answers = right[match.criterion][record.difficulties[match.seed]]
        planned[match.criterion] += 1
        if _is_answered(result):
            answers.append(match_outcome(result) == ("won" if match.one == RIGHT else "lost"))
    return [
        CriterionCalibration(
            criterion=name,
            version=record.version,
            by_difficulty={
                difficulty: Proportion(count=sum(answers), of=len(answers))
                for difficulty, answers in right[name].items()
            },
            planned=planned[name],
        )
        for name in design["criteria"]
        if planned[name]
    ]


def _is_answered(result: MatchResult) -> bool:
    """True if the verdict in both orders is final."""
    return all(map(_is_final, (result.order_ab, result.order_ba)))


def _is_final(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.outcome in FINAL_OUTCOMES
