"""Tables of the report's sections on strengths, costs and kinds, as rows of files and frames."""

import math
from collections.abc import Iterator

from htbench.core.types import UNSTEERED
from htbench.report.sections import kinds, strengths
from htbench.run.summary import HEADLINE, Summary
from htbench.stats.durations import Interval
from htbench.stats.estimates import Estimate

Row = list[str | float | int | bool | None]
_SHAPES = ("spearman", "kendall", "backstep", "linearity", "largest_step", "isotonic")


def bounded(*names: str) -> list[str]:
    """Names of the columns of figures with the ends of their 95 % intervals."""
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]


POLICIES = ["method", "policy", "strength", *bounded(HEADLINE, "image_preservation"), "keeps_floor"]
"""Columns of the ways to choose a strength."""
RESPONSES = [
    "method",
    *bounded(*_SHAPES, "hypervolume", "regret"),
    *("curves", "flat", "incomplete", "start", "saturation", "collapse"),
]
"""Columns of the dose response."""
COSTS = [
    *("method", "training_seconds", "tuning_seconds"),
    *("concept_seconds", "concept_seconds_q1", "concept_seconds_q3", "fits", "together"),
]
"""Columns of the times of each method; those of a concept are a median and quartiles."""
KINDS = ["kind", "method", *bounded(HEADLINE), "concepts", "scored", "failed", "planned"]
"""Columns of the gains by kind of concept, at full strength."""


def policy_rows(summary: Summary) -> Iterator[Row]:
    """A row per method and way to choose its strength."""
    for each in strengths.collect(summary).methods:
        for policy in each.policies.values():
            yield [
                *(each.method, policy.name, policy.strength),
                *_ends(policy.gain),
                *_ends(policy.preservation),
                policy.keeps_floor,
            ]


def response_rows(summary: Summary) -> Iterator[Row]:
    """A row per method that has a dose response."""
    for each in strengths.collect(summary).methods:
        if found := each.response:
            reach = each.effective_range
            yield [
                each.method,
                *(end for name in _SHAPES for end in _ends(getattr(found, name))),
                *(end for value in (each.hypervolume, each.regret) for end in _ends(value)),
                *(found.curves, found.flat, found.incomplete),
                *((reach.start, reach.saturation, reach.collapse) if reach else [None] * 3),
            ]


def cost_rows(summary: Summary) -> Iterator[Row]:
    """A row per method but `none`."""
    for cost in summary.costs:
        if cost.method != UNSTEERED:
            own = cost.concept
            times = (own.median, own.low, own.high, own.n) if own else (math.nan,) * 3 + (0,)
            yield [cost.method, cost.training, cost.tuning, *times, cost.together]


def kind_rows(summary: Summary) -> Iterator[Row]:
    """A row per kind of concept and method."""
    for kind in kinds.collect(summary):
        for method, gain in kind.gains.items():
            counts = (kind.concepts, kind.scored, kind.failed, kind.planned)
            yield [kind.name, method, *_ends(gain), *counts]


def _ends(value: Estimate | Interval | None) -> list[float | None]:
    if value is None:
        return [None] * 3
    return [value.mean if isinstance(value, Estimate) else value.value, value.low, value.high]
