"""The headline of gain at equal image preservation: all methods where they keep equally much.

Gain is interpolated between strengths above 0 that were run. Strength 0 is left out: a method may
jump from the untouched image to its full effect, as prompting does, and then has no strength that
gives what lies between.
"""

from dataclasses import dataclass

from htbench.core.types import UNSTEERED
from htbench.report import commands, format
from htbench.report.once import once
from htbench.report.sections import strengths
from htbench.run.summary import Summary
from htbench.stats.ranking.ranks import ContenderRank, Ranks, rank_by_scores
from htbench.stats.tradeoff import MatchedGain, TradeOff

MIN_REACHED = 0.99
"""Share of resamples in which a ranked method reaches the level; below it, the tail of its interval
would hold resamples in which it has no such gain."""


@dataclass(frozen=True, kw_only=True)
class MethodAtLevel:
    """A method's gain at the level."""

    method: str
    matched: MatchedGain | None
    """None where the method never keeps as much, or never as little."""
    rank: ContenderRank | None
    note: str
    """The reason in words why there is no gain, or no rank; empty if there are both."""


@dataclass(frozen=True, kw_only=True)
class EqualPreservation:
    """Gain at equal image preservation."""

    level: float
    """Image preservation."""
    methods: list[MethodAtLevel]
    """Ranked ones first, then those that reach the level, then the others."""
    ranks: Ranks | None
    """None where fewer than two methods may be ranked."""
    advice: str
    """The command that adds strengths, where there are not two above 0; empty where there are."""

    def get(self, method: str) -> MethodAtLevel | None:
        """The gain of `method`; None if it is not listed."""
        return next((each for each in self.methods if each.method == method), None)


@once
def collect(summary: Summary) -> EqualPreservation:
    """The gain of every method but `none`, on its concepts that have all strengths above 0."""
    level = strengths.preservation_floor(summary)
    at = {
        method: [strength for strength in strengths.strengths(summary, method) if strength > 0]
        for method in summary.methods
        if method != UNSTEERED
    }
    at = {method: run_at for method, run_at in at.items() if len(run_at) > 1}
    if not at:
        can_be_run = summary.methods and not summary.facts.is_imported
        advice = commands.with_strengths(summary, 0.25, 0.5, 0.75, 1) if can_be_run else ""
        return EqualPreservation(level=level, methods=[], ranks=None, advice=advice)
    concepts = {
        method: complete
        for method, run_at in at.items()
        if (complete := strengths.complete_concepts(summary, method, run_at))
    }
    curves = {
        method: strengths.trade_off(summary, method, at[method], complete)
        for method, complete in concepts.items()
    }
    matched = {method: curve.matched_gain(level) for method, curve in curves.items()}
    notes = {
        method: _note(summary, curve, method, matched[method], level)
        for method, curve in curves.items()
    }
    ranks = rank_by_scores(
        {
            method: dict(zip(concepts[method], own.contributions.tolist(), strict=True))
            for method, own in matched.items()
            if own and not notes[method]
        },
        summary.families,
    )
    methods = [
        MethodAtLevel(
            method=method,
            matched=matched[method],
            rank=ranks.get(method) if ranks else None,
            note=notes[method],
        )
        for method in curves
    ]
    return EqualPreservation(
        level=level, methods=sorted(methods, key=_place), ranks=ranks, advice=""
    )


def _place(each: MethodAtLevel) -> tuple[bool, bool, float]:
    gain = each.matched.gain.mean if each.matched else 0.0
    return each.matched is None, bool(each.note), -gain


def _note(
    summary: Summary, curve: TradeOff, method: str, matched: MatchedGain | None, level: float
) -> str:
    """The reason why a method has no gain at the level, or no rank."""
    if matched is None:
        return _beside_level(curve, level)
    if matched.reached_share < MIN_REACHED:
        share = format.percent(matched.reached_share)
        return f"keeps {format.score(level)} in only {share} of resamples, so it is not ranked"
    reason = strengths.unranked_at(summary, method, curve.strengths)
    return f"not ranked: {reason}" if reason else ""


def _beside_level(curve: TradeOff, level: float) -> str:
    """The gain at the strength that comes nearest to a level that is never reached."""
    kept = curve.preservation.mean(0)
    more = bool(kept.max() > level)
    k = int(kept.argmin() if more else kept.argmax())
    gain = curve.gain_at(curve.strengths[k])
    return (
        f"always keeps {'more' if more else 'less'}: at strength {curve.strengths[k]:g} it keeps "
        f"{format.score(kept[k])} and gains {format.estimate(gain, format.score)}"
    )
