"""The section on speed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from htbench.core.types import UNSTEERED
from htbench.report import chart, format
from htbench.run.summary import MethodCost, Summary
from htbench.stats import durations


@dataclass(frozen=True, kw_only=True)
class SpeedSection:
    """The section on speed."""

    reference: str | None
    fit: durations.Quartiles | None
    """c: seconds a concept of the reference."""
    generate: durations.Quartiles | None
    rows: list[tuple[MethodCost, list[tuple[str, str]]]]
    """Each method with S, S(1), S(10) and S(100): the ratio, and its numerator and denominator."""
    chart: Markup
    trained: list[tuple[MethodCost, durations.Amortisation]]


def collect(summary: Summary, tones: Mapping[str, int]) -> SpeedSection:
    costs = [cost for cost in summary.costs if cost.method != UNSTEERED]
    timed = [(cost, cost.concept) for cost in costs if cost.concept]
    savings = [(cost, cost.amortisation) for cost in costs if cost.amortisation]
    learns = [
        (cost.method, saving) for cost, saving in savings if cost.training > cost.tuning
    ]  # choosing a strength alone is no training
    paid = {
        method: saving
        for method, saving in learns
        if math.isfinite(saving.break_even) and saving.break_even >= 1
    }
    x = chart.count_axis(
        "concepts steered",
        min(1e7, max((10 * saving.break_even for saving in paid.values()), default=100.0)),
    )
    steps = [x.high ** (k / 64) for k in range(65)]
    series = [
        chart.LineSeries(
            name=cost.method,
            tone=tones[cost.method],
            points=[chart.Point(x=step, y=cost.training + step * concept.median) for step in steps],
            crossings=[_crossing(cost.method, paid[cost.method])] if cost.method in paid else [],
            hide_markers=True,
        )
        for cost, concept in timed
    ]
    y = chart.time_axis("total time", [point.y for one in series for point in one.points])
    return SpeedSection(
        reference=summary.slowest,
        fit=next((cost.concept for cost in costs if cost.method == summary.slowest), None),
        generate=durations.quartiles(summary.store.image_seconds()),
        rows=[(cost, _ratios(cost.amortisation) if cost.amortisation else []) for cost in costs],
        chart=chart.line_chart(
            series, title="Total time against the number of concepts, both logarithmic", x=x, y=y
        ),
        trained=[
            (cost, saving) for cost, saving in savings if saving.training > 0 and saving.predict > 0
        ],
    )


def _crossing(method: str, saving: durations.Amortisation) -> chart.Point:
    label = f"N* = {format.quantity(saving.break_even)}"
    return chart.Point(
        x=saving.break_even,
        y=saving.break_even * saving.fit,
        label=label,
        tooltip=f"{method} has paid",
    )


def _ratios(saving: durations.Amortisation) -> list[tuple[str, str]]:
    found = []
    for images in (0, 1, 10, 100):
        above, below = (
            saving.fit + images * saving.generate,
            saving.predict + images * saving.generate,
        )
        ratio = f"{format.quantity(saving.speedup(images))}×" if below else "—"
        found.append((ratio, f"{format.duration(above)} / {format.duration(below)}"))
    return found
