"""Chooses a strength for each method on dev concepts: a run of its own, whose time the method is charged."""

from dataclasses import asdict, dataclass

import numpy as np

from htbench.core.errors import UsageError
from htbench.run.plan import Plan
from htbench.run.summary import HEADLINE, Summary
from htbench.stats.tradeoff import choose_strength

PRESERVATION = "image_preservation"


@dataclass(frozen=True, kw_only=True)
class TunedStrength:
    """The strength chosen for a method."""

    strength: float
    seconds: float
    """Of learning the dev concepts and of generating their images."""
    concepts: int
    floor: float
    curve: list[tuple[float, float | None, float | None]]
    """Each strength tried, with its mean concept gain and image preservation."""

    def facts(self) -> dict[str, object]:
        """For the store."""
        return asdict(self)


def dev_plan(plan: Plan) -> Plan:
    """The run that strengths are chosen by."""
    strengths = tuple(strength for strength in plan.strengths if strength > 0)
    if not strengths:
        raise UsageError(
            "no strength above 0 to choose from", remedy="Give some: --strength 0.5,1,1.5"
        )
    return plan.model_copy(
        update={
            "concepts": "dev",
            "limit": plan.tune_concepts,
            "strengths": strengths,
            "tune_strength": False,
        }
    )


def choose_strengths(summary: Summary, *, floor: float) -> dict[str, TunedStrength]:
    """For each method the strength of the highest mean concept gain among those that keep images at least as well as `floor`.

    Where none does, it is the one that keeps them best.
    """
    found = {}
    for method in summary.methods:
        lines = [
            line
            for strength in summary.strengths
            if strength > 0 and (line := summary.leaderboard_row(method, strength)).planned
        ]
        points = [
            (line.strength, line.scores[HEADLINE], line.scores[PRESERVATION]) for line in lines
        ]
        whole = [
            (strength, gain.mean, kept.mean) for strength, gain, kept in points if gain and kept
        ]
        if not whole:
            continue
        strengths, gains, kept = (np.array(values) for values in zip(*whole, strict=True))
        best = float(strengths[choose_strength(gains, kept, floor=floor)])
        curve = [
            (strength, gain.mean if gain else None, kept.mean if kept else None)
            for strength, gain, kept in points
        ]
        concepts = max((gain.n for _, gain, _ in points if gain), default=0)
        found[method] = TunedStrength(
            strength=best,
            seconds=_seconds(summary, method),
            concepts=concepts,
            floor=floor,
            curve=curve,
        )
    return found


def _seconds(summary: Summary, method: str) -> float:
    learning = sum(
        seconds
        for phase, name, _, seconds, _ in summary.store.timings()
        if phase == "towards" and name == method
    )
    query = "SELECT coalesce(sum(seconds), 0) FROM images WHERE key IN (SELECT image FROM cells WHERE method = ? AND strength != 0)"
    ((images,),) = summary.store.select(query, method)
    return float(learning + images)
