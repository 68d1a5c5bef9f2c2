"""The leaderboard section: its conclusion, and the scales of its intervals."""

import math
from collections.abc import Sequence

from htbench.core.types import UNSTEERED
from htbench.report import format
from htbench.report.sections import task
from htbench.run.summary import HEADLINE, LeaderboardRow, Summary
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
    """The conclusion that the default ranking allows; empty below two methods with scores."""
    if section := task.collect(summary):
        return section.conclusion
    scored = [
        line
        for line in summary.leaderboard
        if line.method != UNSTEERED and not line.circular and line.headline
    ]
    if len(scored) < 2:
        return ""
    left_out = [
        f"{line.method} is not ranked: {line.unranked}." for line in scored if line.unranked
    ]
    if len(scored) - len(left_out) < 2:
        return " ".join(["Fewer than two methods can be ranked.", *left_out])
    return " ".join([_ranked(summary), *left_out])


def _ranked(summary: Summary) -> str:
    ranks = summary.ranks
    if ranks is None or ranks.concepts < 2:
        return "One concept gives no interval, so this run cannot say which method is better."
    if ranks.clusters < MIN_CLUSTERS:
        count = f"{ranks.clusters:.1f} of {ranks.concepts}"
        return (
            f"Too few concepts are independent ({count}) for an interval, so this run cannot say "
            "which method is better."
        )
    first, others = ranks.first_tier, len(ranks.ranks) - len(ranks.first_tier)
    gains = {
        line.method: format.score(line.headline.mean, signed=summary.headline == HEADLINE)
        for line in summary.leaderboard
        if line.headline
    }
    if len(first) == 1:
        rest = "the other method" if others == 1 else f"the other {others} methods"
        verb = "adds" if summary.headline == HEADLINE else "shows"
        lead = f"{first[0]} {verb} most of the concept ({gains[first[0]]})"
        return f"{lead}, significantly more than {rest}."
    shown = format.join_names([f"{method} ({gains[method]})" for method in first])
    scores = "concept gains" if summary.headline == HEADLINE else "presences"
    tie = f"{shown} tie for first: their {scores} do not differ significantly."
    if not others:
        return tie
    rest = "The other method scores" if others == 1 else f"The other {others} methods score"
    return f"{tie} {rest} significantly lower than {first[0]}."
