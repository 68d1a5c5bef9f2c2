"""The rankings that the leaderboard can be switched between, each with the scores it ranks by."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from htbench.report import format
from htbench.report.sections import equal_preservation, strengths
from htbench.run.ranking import Ranking
from htbench.run.summary import HEADLINE, METRICS, Summary
from htbench.stats.durations import Interval
from htbench.stats.estimates import Estimate
from htbench.stats.ranking.ranks import rank_by_scores


@dataclass(frozen=True, kw_only=True)
class RankingTable:
    """A ranking with the score of every method."""

    ranking: Ranking
    metric: str
    """Heading of the scores."""
    scores: Mapping[str, Interval]
    """By method; methods without a score are not in it."""
    kept: Mapping[str, Interval]
    """Image preservation at the strength of the method; empty for a ranking of whole curves."""


def collect(summary: Summary) -> list[RankingTable]:
    """All rankings but the default: the rankings that the run has enough strengths for."""
    tables = [_all_gains(summary), _at_equal_preservation(summary), _hypervolumes(summary)]
    return [table for table in (*tables, _presence(summary)) if table]


def _all_gains(summary: Summary) -> RankingTable | None:
    """Gain at full strength, also of methods that destroy images; None if that is the default."""
    if not summary.tuned and not any(row.destroyed for row in summary.at_full_strength):
        return None
    return _by_score(
        summary,
        HEADLINE,
        summary.rank_by(
            HEADLINE,
            name="all-gains",
            title="Gain, all methods",
            basis=f"concept gain at strength {summary.full_strength:g}, even of destroyed images",
        ),
    )


def _presence(summary: Summary) -> RankingTable | None:
    """None where presence is the default."""
    if summary.headline == "presence":
        return None
    basis = f"presence at strength {summary.full_strength:g}"
    reasons = {row.method: row.destroyed for row in summary.at_full_strength if row.destroyed}
    ranking = summary.rank_by(
        "presence", name="presence", title="Presence", basis=basis, reasons=reasons
    )
    return _by_score(summary, "presence", ranking)


def _by_score(summary: Summary, metric: str, ranking: Ranking) -> RankingTable | None:
    rows = [summary.leaderboard_row(*item) for item in ranking.strengths.items()]
    scores, kept = (
        {row.method: _interval(score) for row in rows if (score := row.scores[name])}
        for name in (metric, "image_preservation")
    )
    return (
        RankingTable(ranking=ranking, metric=METRICS[metric], scores=scores, kept=kept)
        if scores
        else None
    )


def _at_equal_preservation(summary: Summary) -> RankingTable | None:
    found = equal_preservation.collect(summary)
    if not found.methods:
        return None
    level = format.score(found.level)
    ranking = Ranking(
        name="equal-preservation",
        title=f"Gain where {level} is kept",
        basis=f"concept gain at the strength that keeps {level} of the image",
        strengths={
            own.method: own.matched.strength if own.matched else math.nan for own in found.methods
        },
        ranks=found.ranks,
        left_out={own.method: own.note for own in found.methods if own.note},
    )
    scores = {own.method: _interval(own.matched.gain) for own in found.methods if own.matched}
    return RankingTable(ranking=ranking, metric=METRICS[HEADLINE], scores=scores, kept={})


def _hypervolumes(summary: Summary) -> RankingTable | None:
    """Hypervolume of the methods with at least two strengths above 0; None without prompting."""
    found = [
        each
        for each in strengths.collect(summary).methods
        if each.hypervolume and sum(strength > 0 for strength in each.strengths) > 1
    ]
    if not found:
        return None
    left_out = {
        each.method: reason
        for each in found
        if (reason := strengths.unranked_at(summary, each.method, each.strengths))
    }
    parts = {each.method: each.hypervolume_parts for each in found if each.method not in left_out}
    ranks = rank_by_scores(parts, summary.families)
    order = [place.name for place in ranks.ranks] if ranks else list(parts)
    ranking = Ranking(
        name="hypervolume",
        title="Hypervolume",
        basis="gain and image preservation over all strengths (hypervolume)",
        strengths=dict.fromkeys((*order, *left_out), math.nan),
        ranks=ranks,
        left_out=left_out,
    )
    scores = {each.method: each.hypervolume for each in found if each.hypervolume}
    return RankingTable(ranking=ranking, metric="Hypervolume", scores=scores, kept={})


def _interval(value: Estimate) -> Interval:
    return Interval(value=value.mean, low=value.low, high=value.high)
