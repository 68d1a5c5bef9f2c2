"""Choice of a strength for each method, by a run on dev concepts that is charged to the method."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from htbench.core.errors import UsageError
from htbench.run.plan import Plan
from htbench.run.strength_scale import (
    MethodScale,
    learn_scales,
    scale_strengths,
    seconds_on_dev,
)
from htbench.run.summary import HEADLINE, Summary
from htbench.stats.tradeoff import choose_strength
from htbench.steering.wording import CANONICAL

PRESERVATION = "image_preservation"


@dataclass(frozen=True, kw_only=True)
class TunedStrength:
    """The strength chosen for a method."""

    strength: float
    seconds: float
    """Seconds of fitting the dev concepts and of generating their images."""
    concepts: int
    floor: float
    curve: list[tuple[float, float | None, float | None]]
    """Each strength tried, with its mean concept gain and image preservation."""

    def facts(self) -> dict[str, object]:
        """All fields, as JSON-like values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class DevChoices:
    """All that a run on dev concepts decides, by method."""

    tuned: Mapping[str, TunedStrength] = field(default_factory=dict)
    scales: Mapping[str, MethodScale] = field(default_factory=dict)

    def only(self, methods: Collection[str]) -> "DevChoices":
        """The choices for these methods."""
        return DevChoices(
            tuned={name: choice for name, choice in self.tuned.items() if name in methods},
            scales={name: scale for name, scale in self.scales.items() if name in methods},
        )


def dev_plan(plan: Plan) -> Plan:
    """The plan of the run on dev concepts by which strengths are chosen, and scales learnt."""
    strengths = scale_strengths(plan) if plan.is_perceptual else plan.steering_strengths
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
            "strength_scale": "plain",
            "fit_seeds": 1,
            "wording": (CANONICAL,),
        }
    )


def choose(summary: Summary, plan: Plan) -> DevChoices:
    """All that a `plan` asks for, from the run on dev concepts."""
    return DevChoices(
        tuned=choose_strengths(summary, floor=plan.tune_floor) if plan.tune_strength else {},
        scales=learn_scales(summary, plan) if plan.is_perceptual else {},
    )


def choose_strengths(summary: Summary, *, floor: float) -> dict[str, TunedStrength]:
    """The best strength of each method, without those that have no scores.

    It is the strength of the highest mean concept gain among those whose image preservation is at
    least `floor`; where there is none, the strength of the highest image preservation. Cells that
    failed have the worst gain and preservation, so that a strength at which a method breaks down
    does not win by it.
    """
    choices = (
        (method, _choose_strength(summary, method, floor=floor)) for method in summary.methods
    )
    return {method: choice for method, choice in choices if choice}


def _choose_strength(summary: Summary, method: str, *, floor: float) -> TunedStrength | None:
    rows = [
        row
        for strength in summary.strengths
        if strength > 0 and (row := summary.leaderboard_row(method, strength)).planned
    ]
    points = [(row.strength, row.scores[HEADLINE], row.scores[PRESERVATION]) for row in rows]
    complete = [
        (strength, gain.mean, preservation.mean)
        for strength, gain, preservation in points
        if gain and preservation
    ]
    if not complete:
        return None
    strengths, gains, preservations = (np.array(column) for column in zip(*complete, strict=True))
    return TunedStrength(
        strength=float(strengths[choose_strength(gains, preservations, floor=floor)]),
        seconds=seconds_on_dev(summary, method),
        concepts=max((gain.n for _, gain, _ in points if gain), default=0),
        floor=floor,
        curve=[
            (strength, gain.mean if gain else None, preservation.mean if preservation else None)
            for strength, gain, preservation in points
        ],
    )
