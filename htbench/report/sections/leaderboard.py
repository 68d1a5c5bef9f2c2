"""What the leaderboard allows to be said."""

import math
from collections.abc import Sequence

from htbench.core.types import UNSTEERED
from htbench.report import format
from htbench.run.summary import HEADLINE, LeaderboardRow, Summary


def shared_scale(board: Sequence[LeaderboardRow], metric: str) -> tuple[float, float]:
    """The scale that a column's intervals share."""
    values = [
        value
        for line in board
        if (score := line.scores[metric])
        for value in (score.mean, score.low, score.high)
        if math.isfinite(value)
    ]
    return min(values, default=0.0), max(values, default=1.0)


def conclusion(summary: Summary) -> str:
    """What the ranking allows to be said."""
    ranked = [
        score.n
        for line in summary.leaderboard
        if line.method != UNSTEERED and not line.circular and (score := line.scores[HEADLINE])
    ]
    if len(ranked) < 2:
        return ""
    if len(set(ranked)) > 1:
        return "The methods are not scored on the same number of concepts yet, so nothing can be said about which is better."
    places = summary.ranks
    if places is None or places.concepts < 2:
        return "One concept gives no interval, so nothing can be said about which method is better."
    first, others = places.first_tier, len(places.ranks) - len(places.first_tier)
    if len(first) == 1:
        return f"{first[0]} has the highest concept gain, and is told apart from {'the other method' if others == 1 else 'every other method'}."
    both = "the two" if len(first) == 2 else "them"
    rest = (
        f" {others} other{'s are' if others > 1 else ' is'} told apart from {first[0]}, the highest."
        if others
        else ""
    )
    return f"{format.join_names(first)} share the first tier of concept gain: this run does not tell {both} apart.{rest}"
