"""The leaderboard section: its conclusion, and the scales of its intervals."""

import math
from collections.abc import Sequence

from htbench.core.types import UNSTEERED
from htbench.report import format
from htbench.run.summary import LeaderboardRow, Summary
from htbench.stats.families import MIN_CLUSTERS


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
    scored = [
        line
        for line in summary.leaderboard
        if line.method != UNSTEERED and not line.circular and line.headline
    ]
    if len(scored) < 2:
        return ""
    missing = [f"{line.method}: {line.unranked}" for line in scored if line.unranked]
    if len(scored) - len(missing) < 2:
        return (
            "More than 2 % of the cells of a method are missing or failed, so that there are not "
            f"two methods to rank ({'; '.join(missing)})."
        )
    return " ".join([_ranked(summary), *(f"Not ranked is {line}." for line in missing)])


def _ranked(summary: Summary) -> str:
    ranks = summary.ranks
    if ranks is None or ranks.concepts < 2:
        return "One concept gives no interval, so nothing can be said about which method is better."
    if ranks.clusters < MIN_CLUSTERS:
        count = f"{ranks.clusters:.1f} of {ranks.concepts}"
        return (
            f"No interval: too few independent concepts ({count}), so nothing can be said about "
            "which method is better."
        )
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
