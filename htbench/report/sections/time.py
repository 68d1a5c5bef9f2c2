"""The results of `htbench time`: tables for a terminal, and tables and charts for the report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from htbench.core.display import print_json, printable
from htbench.core.tables import TextTable, print_lines, print_paragraph
from htbench.report import charts, format
from htbench.report.sections import speed
from htbench.report.speed_up import (
    COLUMNS,
    SavingCell,
    TotalTime,
    break_even_point,
    is_bounded,
    pays_off,
    saving_cells_with_intervals,
    total_time_chart,
)
from htbench.run.costs import IMAGE_COUNTS
from htbench.run.store import Store
from htbench.run.summary import HEADLINE, METRICS, Summary
from htbench.run.timing import figures as timing_figures
from htbench.run.timing.figures import MethodTimes, SavingComparison, Session
from htbench.stats import durations


@dataclass(frozen=True, kw_only=True)
class AmortisationRow:
    """A comparison as a table row."""

    method: str
    reference: str
    cells: list[SavingCell]


@dataclass(frozen=True, kw_only=True)
class TimeSection:
    """The report's section on time."""

    session: Session
    caveats: list[str]
    method_times: list[MethodTimes]
    rows: list[AmortisationRow]
    """Every method that was trained against every fit."""
    total_time_chart: charts.LineChart
    """Total time against the number of concepts."""
    quality_chart: charts.LineChart | None
    """Scores against the time per concept; None where this model has no scores."""


def timed_methods(store: Store) -> list[str]:
    """Methods that the last session timed."""
    session = timing_figures.latest(store)
    return [pace.method for pace in session.method_times] if session else []


def collect(summary: Summary, tones: Mapping[str, int]) -> TimeSection | None:
    """The section; None if nothing was timed."""
    session = timing_figures.latest(summary.store)
    if session is None or not session.method_times:
        return None
    return TimeSection(
        session=session,
        caveats=timing_figures.caveats(session),
        method_times=session.method_times,
        rows=[_row(each) for each in session.comparisons],
        total_time_chart=_total_time_chart(session, tones),
        quality_chart=_quality_chart(summary, session, tones),
    )


def show(store: Store, page: str, *, as_json: bool) -> None:
    """Print the results of the last session."""
    session, summary = timing_figures.latest(store), Summary(store)
    if session is None:
        return
    costs = [cost for cost in summary.costs if cost.comparisons]
    if as_json:
        for pace in session.method_times:
            print_json(
                event="pace",
                **asdict(pace),
                cost=asdict(pace.cost_interval),
                verdict=pace.concept.quality,
            )
        for each in session.comparisons:
            figures = {f"s{m}": asdict(each.saving.speedup(m)) for m in IMAGE_COUNTS}
            print_json(
                event="amortisation",
                method=each.amortised.method,
                against=each.per_concept.method,
                **figures,
                break_even=asdict(each.saving.break_even),
            )
        for cost in costs:
            print_json(event="speed", **cost.facts())
        print_json(event="end", caveats=timing_figures.caveats(session), report=page)
        return
    _time_table(session.method_times).print()
    print()
    _training_table(session.method_times).print()
    ends = {
        each.per_concept.method for each in (*session.comparisons[:1], *session.comparisons[-1:])
    }  # all of them are in the report
    print()
    _saving_table([each for each in session.comparisons if each.per_concept.method in ends]).print()
    print()
    for sentence in (*map(speed.verdict, costs), *timing_figures.caveats(session)):
        print_paragraph(sentence)
    print_lines([f"Report: {page}"])


def _time_table(paces: Sequence[MethodTimes]) -> TextTable:
    return TextTable(
        title="Time per concept: median with its 95 % interval",
        columns=("Method", "Median", "Interval", "p90", "IQR/median", "n", "Noise"),
        rows=[
            (
                printable(pace.method, max_length=200),
                format.duration(pace.concept.median),
                _time_interval(pace.concept),
                format.duration(pace.concept.p90),
                f"{pace.concept.noise:.0%}",
                str(pace.concept.n),
                pace.concept.quality,
            )
            for pace in paces
        ],
    )


def _training_table(paces: Sequence[MethodTimes]) -> TextTable:
    return TextTable(
        title="Training before the first concept",
        columns=("Method", "Training"),
        rows=[
            (printable(pace.method, max_length=200), _training(pace))
            for pace in paces
            if pace.amortised
        ],
    )


def _time_interval(times: durations.DurationSummary) -> str:
    if not math.isfinite(times.low):
        return "-"
    return f"{format.duration(times.low)} – {format.duration(times.high)}"


def _training(pace: MethodTimes) -> str:
    cost = pace.cost_interval
    if not is_bounded(cost):
        return format.duration(cost.value)
    return (
        f"{format.duration(cost.value)} [{format.duration(cost.low)}, {format.duration(cost.high)}]"
    )


def _saving_table(comparisons: Sequence[SavingComparison]) -> TextTable:
    rows = map(_row, comparisons)
    return TextTable(
        title="Speed-up of trained methods over the slowest and the quickest fit",
        columns=("Method", *COLUMNS),
        rows=[
            (
                printable(f"{row.method} vs {row.reference}", max_length=400),
                *(cell.value for cell in row.cells),
            )
            for row in rows
        ],
    )


def _row(comparison: SavingComparison) -> AmortisationRow:
    return AmortisationRow(
        method=comparison.amortised.method,
        reference=comparison.per_concept.method,
        cells=saving_cells_with_intervals(comparison.saving),
    )


def _total_time_chart(session: Session, tones: Mapping[str, int]) -> charts.LineChart:
    """C + n h and n c of the methods that are compared with the first amortised one.

    It marks the first and the last of that method's break-even points.
    """
    first = session.comparisons[0].amortised.method if session.comparisons else ""
    comparisons = [pair for pair in session.comparisons if pair.amortised.method == first]
    crossings = [
        break_even_point(
            saving,
            label=format.quantity(saving.break_even),
            tooltip=f"{first} has paid against {pair.per_concept.method}",
        )
        for pair in comparisons
        if pays_off(saving := pair.saving.point_estimate)
    ]
    amortised = {pair.amortised.method: pair.amortised for pair in comparisons}
    times = amortised | {pair.per_concept.method: pair.per_concept for pair in comparisons}
    return total_time_chart(
        [
            TotalTime(
                method=name,
                tone=tones.get(name, 0),
                training=pace.cost,
                concept=pace.concept.median,
                crossings=[*crossings[:1], *crossings[1:][-1:]] if name == first else [],
            )
            for name, pace in times.items()
        ]
    )


def _quality_chart(
    summary: Summary, session: Session, tones: Mapping[str, int]
) -> charts.LineChart | None:
    revision = summary.facts.model.stored.get("revision")
    if not summary.facts.model.stored or revision != session.conditions.get("revision"):
        return None
    scores = {line.method: line.scores[HEADLINE] for line in summary.at_full_strength}
    pairs = [(pace, score) for pace in session.method_times if (score := scores.get(pace.method))]
    if not pairs:
        return None
    metric = METRICS[HEADLINE].lower()
    series = [
        charts.LineSeries(
            name=pace.method,
            tone=tones.get(pace.method, 0),
            points=[
                charts.Point(
                    x=pace.concept.median,
                    y=score.mean,
                    label=pace.method,
                    tooltip=f"{pace.method}: {format.duration(pace.concept.median)}, "
                    f"{metric} {format.score(score.mean)}",
                    x_range=_interval_or_median(pace.concept),
                    y_range=(score.low, score.high),
                )
            ],
        )
        for pace, score in pairs
    ]
    points = [point for line in series for point in line.points]
    x = charts.time_axis(
        "time of a concept",
        [value for point in points for value in (point.x, *(point.x_range or ()))],
    )
    y = charts.linear_axis(
        METRICS[HEADLINE],
        [value for point in points for value in (point.y, *(point.y_range or ()))],
    )
    title = f"{METRICS[HEADLINE]} against the time of a concept"
    return charts.LineChart(title=title, x=x, y=y, series=series)


def _interval_or_median(times: durations.DurationSummary) -> tuple[float, float]:
    return (times.low, times.high) if math.isfinite(times.low) else (times.median, times.median)
