"""The saving of a method that learns once: the cells of a table row, and total time as a chart."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from htbench.report import charts, format
from htbench.run.costs import IMAGE_COUNTS, FitRule
from htbench.stats.durations import Amortisation, Interval, Saving

COLUMNS = ("S", "S(1)", "S(10)", "S(100)", "N*")
RULES: dict[FitRule, str] = {
    "equal quality": "the quickest per-concept method that is as good here",
    "best quality": "the best per-concept method; none is as good here",
    "paper's setting": "the slowest per-concept method with published figures",
}
"""Words for the rules by which fits are chosen."""
_STEPS = 64


@dataclass(frozen=True, kw_only=True)
class SavingCell:
    """One figure of a saving as text."""

    value: str
    parts: str
    """Numerator and denominator; the reason where N* is infinite or not known."""
    interval: str = ""


def _times(ratio: float) -> str:
    return f"{format.quantity(ratio)}×"


def _count(concepts: float) -> str:
    return format.quantity(concepts) if concepts else "at once"


def saving_cells(
    saving: Amortisation,
    *,
    ratio: Callable[[float], str] = _times,
    count: Callable[[float], str] = _count,
) -> list[SavingCell]:
    """The cells of `COLUMNS`: speed-ups written by `ratio`, and N* written by `count`."""
    cells = []
    for images in IMAGE_COUNTS:
        fit, predict = (part + images * saving.generate for part in (saving.fit, saving.predict))
        cells.append(
            SavingCell(
                value=ratio(saving.speedup(images)) if predict else "—",
                parts=f"{format.duration(fit)} / {format.duration(predict)}",
            )
        )
    if math.isnan(saving.break_even):
        return [*cells, SavingCell(value="—", parts="training was not measured here")]
    if math.isinf(saving.break_even):
        return [*cells, SavingCell(value="never", parts="a prediction costs no less than a fit")]
    saved = format.duration(saving.fit - saving.predict)
    parts = f"{format.duration(saving.training)} / {saved}"
    return [*cells, SavingCell(value=count(saving.break_even), parts=parts)]


def saving_cells_with_intervals(saving: Saving) -> list[SavingCell]:
    """The cells of `COLUMNS` by medians, with intervals where they are finite."""
    intervals = [*(saving.speedup(images) for images in IMAGE_COUNTS), saving.break_even]
    cells = saving_cells(saving.point_estimate)
    return [
        replace(cell, interval=_range(interval) if is_bounded(interval) else "")
        for cell, interval in zip(cells, intervals, strict=True)
    ]


def is_bounded(interval: Interval) -> bool:
    """True if a value has an interval that can be told."""
    return math.isfinite(interval.value) and math.isfinite(interval.low)


def _range(interval: Interval) -> str:
    high = "∞" if math.isinf(interval.high) else format.quantity(interval.high)
    return f"{format.quantity(interval.low)} – {high}"


@dataclass(frozen=True, kw_only=True)
class TotalTime:
    """A method's total time: training, then the same time for every concept, in seconds."""

    method: str
    tone: int
    training: float
    concept: float
    crossings: Sequence[charts.Point] = ()
    """Break-even points of its training."""


def pays_off(saving: Amortisation) -> bool:
    """True if training pays off, and not before the first concept."""
    return math.isfinite(saving.break_even) and saving.break_even >= 1


def break_even_point(saving: Amortisation, *, label: str, tooltip: str) -> charts.Point:
    """The point at which both methods have taken the same total time."""
    x = saving.break_even
    return charts.Point(x=x, y=x * saving.fit, label=label, tooltip=tooltip)


def total_time_chart(lines: Sequence[TotalTime]) -> charts.LineChart:
    """Total time against the number of concepts, to ten times the last crossing."""
    last = max((point.x for line in lines for point in line.crossings), default=10.0)
    x = charts.count_axis("concepts steered", min(1e7, 10 * last))
    counts = [x.high ** (k / _STEPS) for k in range(_STEPS + 1)]
    series = [
        charts.LineSeries(
            name=line.method,
            tone=line.tone,
            points=[charts.Point(x=n, y=line.training + n * line.concept) for n in counts],
            crossings=line.crossings,
            hide_markers=True,
        )
        for line in lines
    ]
    y = charts.time_axis("total time", [point.y for line in series for point in line.points])
    title = "Total time against the number of concepts, both logarithmic"
    return charts.LineChart(title=title, x=x, y=y, series=series)
