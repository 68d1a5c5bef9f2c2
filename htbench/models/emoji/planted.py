"""The agreement of a scorer with what was planted into scenes, and its table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

MIN_AUC = MIN_CORRELATION = 0.95
"""Least figures of a scorer that can be trusted."""


@dataclass(frozen=True, kw_only=True)
class LossCalibration:
    """The agreement of a scorer with what was planted."""

    scorer: str
    planted: str
    """The planted loss or attribute, in words."""
    auc: float
    """Chance that a flawed picture, or a set that lost half of its pictures, is told from one as it
    was drawn, or a planted attribute from what other concepts do to it; NaN where there are no such
    pairs."""
    correlation: float
    """Spearman's correlation with what was planted: the mean over pictures, or that of sets or of
    all pictures together."""

    @property
    def is_trusted(self) -> bool:
        """True if both figures are high enough."""
        return self.correlation >= MIN_CORRELATION and not self.auc < MIN_AUC


def block(title: str, found: Sequence[LossCalibration]) -> list[str]:
    """The lines of a table with a title, and of the scorers that cannot be trusted."""
    poor = [f"{each.scorer} on {each.planted}" for each in found if not each.is_trusted]
    below = f"{title} below {MIN_AUC:g}: {'; '.join(poor) or 'none'}"
    return [f"{title}:", "", *table(found), "", below]


def table(found: Sequence[LossCalibration]) -> list[str]:
    """The lines of a table alone."""
    rows = [
        f"| {each.scorer} | {each.planted} | "
        f"{'-' if math.isnan(each.auc) else f'{each.auc:.3f}'} | {each.correlation:.3f} |"
        for each in found
    ]
    return ["| scorer | planted | AUC | correlation with strength |", "|" + "---|" * 4, *rows]
