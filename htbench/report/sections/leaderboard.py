"""The leaderboard section: its conclusion, and the scales of its intervals."""

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
    """The conclusion that the ranking allows, in a sentence; empty below two ranked methods."""
    ranked = [
        score.n
        for line in summary.leaderboard
        if line.method != UNSTEERED and not line.circular and (score := line.scores[HEADLINE])
    ]
    if len(ranked) < 2:
        return ""
    if len(set(ranked)) > 1:
        return (
            "The methods are not scored on the same number of concepts yet, "
            "so nothing can be said about which is better."
        )
    ranks = summary.ranks
    if ranks is None or ranks.concepts < 2:
        return "One concept gives no interval, so nothing can be said about which method is better."
    first, others = ranks.first_tier, len(ranks.ranks) - len(ranks.first_tier)
    if len(first) == 1:
        rest = "the other method" if others == 1 else "every other method"
        return f"{first[0]} has the highest concept gain, and is told apart from {rest}."
    tie = "this run does not tell " + ("the two apart" if len(first) == 2 else "them apart")
    shared = f"{format.join_names(first)} share the first tier of concept gain: {tie}."
    if not others:
        return shared
    verb = "s are" if others > 1 else " is"
    return f"{shared} {others} other{verb} told apart from {first[0]}, the highest."
