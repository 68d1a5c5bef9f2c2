"""What the leaderboard allows to be said."""

import math
from collections.abc import Sequence

from htbench.leaderboard import HEADLINE, Line

_NONE = "none"


def ends(board: Sequence[Line], metric: str) -> tuple[float, float]:
    """The scale that a column's intervals share."""
    values = [value for line in board if (score := line.scores[metric]) for value in (score.mean, score.low, score.high) if math.isfinite(value)]
    return min(values, default=0.0), max(values, default=1.0)


def verdict(board: Sequence[Line]) -> str:
    """What the intervals of the headline allow to be said."""
    ranked = [(line.method, score) for line in board if line.method != _NONE and not line.circular and (score := line.scores[HEADLINE])]
    if len(ranked) < 2:
        return ""
    if len({score.n for _, score in ranked}) > 1:
        return "The methods are not scored on the same number of concepts yet, so nothing can be said about which is better."
    (first, best), *others = ranked
    if any(not math.isfinite(score.low) for _, score in ranked):
        return "One concept gives no interval, so nothing can be said about which method is better."
    close = [method for method, score in others if score.high >= best.low]
    if close:
        names, both = ", ".join(close), "them" if len(close) > 1 else "the two"
        return f"{first} has the highest mean concept gain, but its interval overlaps that of {names}: this run does not tell {both} apart."
    return f"{first} has the highest concept gain, and its interval lies above every other method’s."
