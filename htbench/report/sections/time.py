"""The results of `htbench time`: tables for a terminal, and tables and charts for the report."""

import math
from collections.abc import Iterator, Mapping, Sequence
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
class ModelTimes:
    """The times of one model, by its last session."""

    session: Session
    caveats: list[str]
    method_times: list[MethodTimes]
    rows: list[AmortisationRow]
    """Every method that was trained against every fit."""
    total_time_chart: charts.LineChart
    """Total time against the number of concepts."""
    quality_chart: charts.LineChart | None
    """Scores against the time per concept; None where this model has no scores."""

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.session.conditions.get("model") or "a model")


@dataclass(frozen=True, kw_only=True)
class PaperCell:
    """A speed-up over one fit."""

    fit: str
    cell: SavingCell


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """The speed-up that a paper reports beside those over long, short and quick fits here."""

    model: str
    method: str
    reported: str
    cells: tuple[PaperCell | None, ...]
    """One per column of `PAPER_COLUMNS`; None where no such fit was timed."""


PAPER_STEPS = (1000, 50)
"""Steps of the fits that the speed-up of a paper may be over: those of LinEAS' text and code."""
PAPER_COLUMNS = (
    *(f"S, {steps:,} steps" for steps in PAPER_STEPS),
    f"S, {PAPER_STEPS[0]:,} steps side by side",
    "S, quickest fit",
)


@dataclass(frozen=True, kw_only=True)
class TimeSection:
    """The report's section on time."""

    models: list[ModelTimes]
    paper: list[PaperRow]

    @property
    def methods(self) -> list[str]:
        """Methods that were timed on any model."""
        return list(
            dict.fromkeys(pace.method for times in self.models for pace in times.method_times)
        )


def timed_methods(store: Store) -> list[str]:
    """Methods that the last session of any model timed."""
    sessions = timing_figures.latest_of_models(store)
    return [pace.method for session in sessions for pace in session.method_times]


def collect(summary: Summary, tones: Mapping[str, int]) -> TimeSection | None:
    """The section; None if nothing was timed."""
    sessions = timing_figures.latest_of_models(summary.store)
    if not sessions:
        return None
    models = [
        ModelTimes(
            session=session,
            caveats=timing_figures.caveats(session),
            method_times=session.method_times,
            rows=[_row(each) for each in (*session.comparisons, *session.comparisons_together)],
            total_time_chart=_total_time_chart(session, tones),
            quality_chart=_quality_chart(summary, session, tones),
        )
        for session in sessions
    ]
    return TimeSection(models=models, paper=paper_rows(sessions))


def paper_rows(sessions: Sequence[Session]) -> list[PaperRow]:
    """A row per model and method whose card quotes a speed-up from its paper."""
    rows = []
    for session in sessions:
        quoted = {
            each.amortised.method: each.amortised.published_speed_up
            for each in session.comparisons
            if each.amortised.published_speed_up
        }
        for method, reported in quoted.items():
            own = [each for each in session.comparisons if each.amortised.method == method]
            fits = [
                next((each for each in own if each.per_concept.steps == steps), None)
                for steps in PAPER_STEPS
            ]
            together = (
                each
                for each in session.comparisons_together
                if each.amortised.method == method and each.per_concept.steps == PAPER_STEPS[0]
            )
            cells = tuple(
                PaperCell(fit=each.fit, cell=_row(each).cells[0]) if each else None
                for each in (*fits, next(together, None), own[-1])
            )
            model = str(session.conditions.get("model"))
            rows.append(PaperRow(model=model, method=method, reported=reported, cells=cells))
    return rows


def show(store: Store, page: str, *, models: Sequence[str], as_json: bool) -> None:
    """Print the results of the last session of each of `models`."""
    sessions = [
        session
        for session in timing_figures.latest_of_models(store)
        if session.conditions.get("model") in models
    ]
    rows = paper_rows(sessions)
    costs = [cost for cost in Summary(store).costs if cost.comparisons]
    if as_json:
        for session in sessions:
            _print_json(session)
        for row in rows:
            print_json(event="paper", **asdict(row))
        for cost in costs:
            print_json(event="speed", **cost.facts())
        caveats = [text for session in sessions for text in timing_figures.caveats(session)]
        print_json(event="end", caveats=caveats, report=page)
        return
    for session in sessions:
        _print_tables(session, heading=len(sessions) > 1)
        for sentence in (*map(speed.verdict, costs), *timing_figures.caveats(session)):
            print_paragraph(sentence)
        costs = []  # of the run's model, which was timed first
        print()
    if rows:
        _paper_table(rows).print()
        print()
    print_lines([f"Report: {page}"])


def _print_json(session: Session) -> None:
    model = session.conditions.get("model")
    for pace in session.method_times:
        print_json(
            event="pace",
            model=model,
            **asdict(pace),
            cost=asdict(pace.cost_interval),
            verdict=pace.concept.quality,
        )
    for each in (*session.comparisons, *session.comparisons_together):
        figures = {f"s{m}": asdict(each.saving.speedup(m)) for m in IMAGE_COUNTS}
        print_json(
            event="amortisation",
            model=model,
            method=each.amortised.method,
            against=each.per_concept.method,
            together=each.together,
            **figures,
            break_even=asdict(each.saving.break_even),
        )


def _print_tables(session: Session, *, heading: bool) -> None:
    if heading:
        print_lines([str(session.conditions.get("model"))], style="bold")
    _time_table(session.method_times).print()
    print()
    _training_table(session.method_times).print()
    ends = {
        each.per_concept.method for each in (*session.comparisons[:1], *session.comparisons[-1:])
    }  # all of them are in the report
    print()
    every = [*session.comparisons, *session.comparisons_together]
    _saving_table([each for each in every if each.per_concept.method in ends]).print()
    print()


def _paper_table(rows: Sequence[PaperRow]) -> TextTable:
    return TextTable(
        title="Speed-up S beside the paper's",
        columns=("Model", "Paper", *PAPER_COLUMNS),
        rows=[
            (
                printable(f"{row.model}, {row.method}", max_length=400),
                printable(row.reported, max_length=200),
                *(
                    f"{each.cell.value} [{each.cell.interval}]"
                    if each and each.cell.interval
                    else each.cell.value
                    if each
                    else "-"
                    for each in row.cells
                ),
            )
            for row in rows
        ],
    )


def _time_table(paces: Sequence[MethodTimes]) -> TextTable:
    return TextTable(
        title="Time per concept: median with its 95 % interval",
        columns=("Method", "Median", "Interval", "p90", "IQR/median", "n", "Noise"),
        rows=[row for pace in paces for row in _time_rows(pace)],
    )


def _time_rows(pace: MethodTimes) -> Iterator[tuple[str, ...]]:
    """The times of a method's fits or predictions, and of its fits side by side."""
    series = {pace.method: pace.concept}
    if pace.together:
        series[f"{pace.method}, {pace.together.concepts} side by side"] = pace.together.concept
    for name, times in series.items():
        yield (
            printable(name, max_length=200),
            format.duration(times.median),
            _time_interval(times),
            format.duration(times.p90),
            f"{times.noise:.0%}",
            str(times.n),
            times.quality,
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
        reference=comparison.fit,
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
