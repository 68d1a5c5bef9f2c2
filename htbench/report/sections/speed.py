"""The section on speed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from htbench.core.types import UNSTEERED
from htbench.report import charts, format
from htbench.report.speed_up import (
    RULES,
    SavingCell,
    TotalTime,
    break_even_point,
    is_bounded,
    pays_off,
    saving_cells_with_intervals,
    total_time_chart,
)
from htbench.run.costs import FitComparison, FitRule, MethodCost
from htbench.run.summary import Summary
from htbench.stats import durations
from htbench.stats.estimates import Estimate


@dataclass(frozen=True, kw_only=True)
class SpeedRow:
    """A trained method beside one of the fits that it is compared with."""

    cost: MethodCost
    comparison: FitComparison
    rule: str
    """The rules by which the fit was chosen."""
    fit: durations.DurationSummary | None
    """c, seconds per concept of the fit."""
    predict: durations.DurationSummary | None
    """h, seconds per concept of the method."""
    training: durations.Interval
    """C; NaN where it was not measured together with c and h."""
    cells: list[SavingCell]
    """S, S(1), S(10), S(100) and N*."""


@dataclass(frozen=True, kw_only=True)
class SpeedSection:
    """The section on speed."""

    costs: list[MethodCost]
    rows: list[SpeedRow]
    """A row per trained method and fit: that of equal quality, and that of the paper's setting."""
    verdicts: list[str]
    by_protocol: bool
    """True for times of `htbench time`, False for those of the run itself."""
    generate: durations.Quartiles | None
    chart: charts.LineChart | None
    """Total time; None without a fit to compare with."""
    drawn: list[str]
    """Methods in the chart."""


def collect(summary: Summary, tones: Mapping[str, int]) -> SpeedSection:
    """The section, by the run's last session of `htbench time`, else by the times of the run."""
    costs = [cost for cost in summary.costs if cost.method != UNSTEERED]
    rows = [row for cost in costs for row in _rows(cost)]
    session, lines = summary.timed_session, _total_times(rows, tones)
    return SpeedSection(
        costs=costs,
        rows=rows,
        verdicts=[verdict(cost) for cost in costs if cost.comparisons],
        by_protocol=bool(session and session.protocol),
        generate=durations.quartiles(
            session.generate if session else summary.store.image_seconds()
        ),
        chart=total_time_chart(lines) if lines else None,
        drawn=[line.method for line in lines],
    )


def verdict(cost: MethodCost) -> str:
    """The speed-up of a trained method over each fit, with the gains of both, in words."""
    predict = format.duration(cost.comparisons[0].saving.point_estimate.predict)
    sentences = []
    for fit, rules in _rules(cost).items():
        comparison = next(each for each in cost.comparisons if each.fit == fit)
        saving = comparison.saving
        once, ten = (_with_interval(saving.speedup(images), "×") for images in (0, 10))
        sentences.append(
            f"{cost.method}{_gain(cost.gain)} needs {predict} for a new concept, "
            f"{fit}{_gain(comparison.gain)} {format.duration(saving.point_estimate.fit)}"
            f"{fitted_together(comparison.together)}: "
            f"{once} faster (S). If you also make ten images of each concept, it is {ten} faster. "
            f"{_break_even(saving)} {fit} is {format.join_names([RULES[rule] for rule in rules])}."
        )
    return " ".join(sentences)


def fitted_together(concepts: int) -> str:
    """Words for the number of concepts that were fitted side by side; none for 1."""
    return f", fitted {concepts} at a time" if concepts > 1 else ""


def _rules(cost: MethodCost) -> dict[str, list[FitRule]]:
    """The rules by which each fit was chosen, by fit."""
    rules: dict[str, list[FitRule]] = {}
    for comparison in cost.comparisons:
        rules.setdefault(comparison.fit, []).append(comparison.rule)
    return rules


def _gain(gain: Estimate | None) -> str:
    return f" (gain {format.score(gain.mean)})" if gain else ""


def _break_even(saving: durations.Saving) -> str:
    point = saving.break_even
    if math.isnan(point.value):
        return "When its training pays off was not measured in this run."
    if math.isinf(point.value):
        return "Its training never pays off."
    training = format.duration(saving.point_estimate.training)
    return f"Its {training} of training pay off after {_with_interval(point)} concepts."


def _with_interval(value: durations.Interval, unit: str = "") -> str:
    ends = format.interval(value.low, value.high, format.quantity)
    return f"{format.quantity(value.value)}{unit}" + (f" {ends}" if is_bounded(value) else "")


def _rows(cost: MethodCost) -> list[SpeedRow]:
    comparisons = {comparison.fit: comparison for comparison in cost.comparisons}
    return [_row(cost, comparisons[fit], rules) for fit, rules in _rules(cost).items()]


def _row(cost: MethodCost, comparison: FitComparison, rules: Sequence[FitRule]) -> SpeedRow:
    saving = comparison.saving
    return SpeedRow(
        cost=cost,
        comparison=comparison,
        rule=", ".join(rules),
        fit=durations.summarise_durations(saving.fit),
        predict=durations.summarise_durations(saving.predict),
        training=saving.cost,
        cells=saving_cells_with_intervals(saving),
    )


def _total_times(rows: list[SpeedRow], tones: Mapping[str, int]) -> list[TotalTime]:
    """Total times of the fits, and of trained methods whose training was measured with them."""
    lines: dict[str, TotalTime] = {}
    for row in rows:
        saving, name = row.comparison.saving.point_estimate, row.cost.method
        fit = row.comparison.fit
        lines[fit] = TotalTime(method=fit, tone=tones.get(fit, 0), training=0.0, concept=saving.fit)
        if math.isfinite(saving.training):
            crossings = [
                *(lines[name].crossings if name in lines else ()),
                *_crossing(name, saving),
            ]
            lines[name] = TotalTime(
                method=name,
                tone=tones.get(name, 0),
                training=saving.training,
                concept=saving.predict,
                crossings=crossings,
            )
    return list(lines.values())


def _crossing(method: str, saving: durations.Amortisation) -> list[charts.Point]:
    if not pays_off(saving):
        return []
    label = f"N* = {format.quantity(saving.break_even)}"
    return [break_even_point(saving, label=label, tooltip=f"{method} has paid")]
