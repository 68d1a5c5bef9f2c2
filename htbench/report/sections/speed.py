"""The section on speed."""

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from htbench.core.types import UNSTEERED
from htbench.report import chart, format
from htbench.report.speed_up import (
    SavingCell,
    TotalTime,
    break_even_point,
    pays_off,
    saving_cells,
    total_time_chart,
)
from htbench.run.summary import MethodCost, Summary
from htbench.stats import durations


@dataclass(frozen=True, kw_only=True)
class SpeedSection:
    """The section on speed."""

    reference: str | None
    fit: durations.Quartiles | None
    """c: seconds per concept of the reference."""
    generate: durations.Quartiles | None
    rows: list[tuple[MethodCost, list[SavingCell]]]
    """Each method with S, S(1), S(10), S(100) and N*; no cells where there is no reference."""
    chart: Markup
    trained: list[tuple[MethodCost, durations.Amortisation]]


def collect(summary: Summary, tones: Mapping[str, int]) -> SpeedSection:
    """The section, from the times of the run itself."""
    costs = [cost for cost in summary.costs if cost.method != UNSTEERED]
    savings = [(cost, cost.amortisation) for cost in costs if cost.amortisation]
    return SpeedSection(
        reference=summary.slowest,
        fit=next((cost.concept for cost in costs if cost.method == summary.slowest), None),
        generate=durations.quartiles(summary.store.image_seconds()),
        rows=[
            (cost, saving_cells(cost.amortisation) if cost.amortisation else []) for cost in costs
        ],
        chart=total_time_chart(
            [
                TotalTime(
                    method=cost.method,
                    tone=tones[cost.method],
                    training=cost.training,
                    concept=cost.concept.median,
                    crossings=_crossings(cost),
                )
                for cost in costs
                if cost.concept
            ]
        ),
        trained=[
            (cost, saving) for cost, saving in savings if saving.training > 0 and saving.predict > 0
        ],
    )


def _crossings(cost: MethodCost) -> list[chart.Point]:
    """The break-even point of a method that was trained: choosing a strength is no training."""
    saving = cost.amortisation
    if saving is None or cost.training <= cost.tuning or not pays_off(saving):
        return []
    label = f"N* = {format.quantity(saving.break_even)}"
    return [break_even_point(saving, label=label, tooltip=f"{cost.method} has paid")]
