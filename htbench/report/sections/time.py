"""What `htbench time` found, for people: tables for a terminal, and tables and charts for the report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from htbench.core.display import print_json, printable
from htbench.report import chart, format
from htbench.run.store import Store
from htbench.run.summary import HEADLINE, METRICS, Summary
from htbench.run.timing import figures as timing_figures
from htbench.run.timing.figures import MethodTimes, SavingComparison, Session
from htbench.stats import durations

IMAGE_COUNTS = (0, 1, 10, 100)
"""Numbers of images m that S(m) is given for."""


@dataclass(frozen=True, kw_only=True)
class RatioText:
    """A speed-up in words."""

    value: str
    interval: str
    """Its interval."""
    parts: str
    """Numerator and denominator."""


@dataclass(frozen=True, kw_only=True)
class AmortisationRow:
    """One comparison as a row."""

    method: str
    reference: str
    ratios: list[RatioText]
    break_even: RatioText


@dataclass(frozen=True, kw_only=True)
class TimeSection:
    """The report's section on time."""

    session: Session
    caveats: list[str]
    method_times: list[MethodTimes]
    rows: list[AmortisationRow]
    total_time_chart: Markup
    """Total time against the number of concepts."""
    quality_chart: Markup | None
    """Scores against the time of a concept; None where nothing is scored, or another model was."""


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
    """Print what the last session found."""
    session = timing_figures.latest(store)
    if session is None:
        return
    if as_json:
        for pace in session.method_times:
            print_json(event="pace", **asdict(pace), verdict=pace.concept.quality)
        for each in session.comparisons:
            figures = {f"s{m}": asdict(each.saving.speedup(m)) for m in IMAGE_COUNTS}
            print_json(
                event="amortisation",
                method=each.amortised.method,
                against=each.per_concept.method,
                **figures,
                break_even=asdict(each.saving.break_even),
            )
        print_json(event="end", caveats=timing_figures.caveats(session), report=page)
        return
    console = Console(width=None if Console().is_terminal else 140)
    console.print(_time_table(session.method_times))
    ends = {
        each.per_concept.method for each in (*session.comparisons[:1], *session.comparisons[-1:])
    }  # all of them are in the report
    console.print(
        _saving_table([each for each in session.comparisons if each.per_concept.method in ends])
    )
    for caveat in timing_figures.caveats(session):
        console.print(printable(caveat, max_length=400), markup=False, highlight=False)
    console.print(f"Report: {page}", markup=False, highlight=False)


def _time_table(paces: Sequence[MethodTimes]) -> Table:
    table = Table(
        title="Time of a concept: median with its 95 % interval",
        title_justify="left",
        show_edge=False,
    )
    for column in ("Method", "A concept", "Interval", "p90", "IQR/median", "n", "", "Training C"):
        table.add_column(column, justify="left" if column == "Method" else "right")
    for pace in paces:
        one = pace.concept
        around = f"{format.duration(one.low)} – {format.duration(one.high)}"
        noise, cost = f"{one.noise:.0%}", format.duration(pace.cost) if pace.amortised else ""
        table.add_row(
            Text(printable(pace.method, max_length=60)),
            format.duration(one.median),
            around,
            format.duration(one.p90),
            noise,
            str(one.n),
            one.quality,
            cost,
        )
    return table


def _saving_table(comparisons: Sequence[SavingComparison]) -> Table:
    table = Table(
        title="What learning once saves, against the slowest and the quickest fit",
        title_justify="left",
        show_edge=False,
    )
    for column in ("Method", "against", "S", "S(1)", "S(10)", "S(100)", "N*"):
        table.add_column(column, justify="left" if column in ("Method", "against") else "right")
    for each in comparisons:
        row = _row(each)
        table.add_row(
            Text(printable(row.method)),
            Text(printable(row.reference)),
            *(ratio.value for ratio in row.ratios),
            row.break_even.value,
        )
    return table


def _row(each: SavingComparison) -> AmortisationRow:
    point = each.saving.point_estimate
    ratios = []
    for images in IMAGE_COUNTS:
        found = each.saving.speedup(images)
        above, below = (
            format.duration(part + images * point.generate) for part in (point.fit, point.predict)
        )
        around = f"{format.quantity(found.low)} – {format.quantity(found.high)}"
        ratios.append(
            RatioText(
                value=f"{format.quantity(found.value)}×",
                interval=around,
                parts=f"{above} / {below}",
            )
        )
    even = each.saving.break_even
    never = math.isinf(even.value)
    break_even = RatioText(
        value="never" if never else format.quantity(even.value),
        interval=""
        if never
        else f"{format.quantity(even.low)} – {'∞' if math.isinf(even.high) else format.quantity(even.high)}",
        parts="a prediction costs no less"
        if never
        else f"{format.duration(point.training)} / {format.duration(point.fit - point.predict)}",
    )
    return AmortisationRow(
        method=each.amortised.method,
        reference=each.per_concept.method,
        ratios=ratios,
        break_even=break_even,
    )


def _total_time_chart(session: Session, tones: Mapping[str, int]) -> Markup:
    """C + n h and n c for the methods that are compared, with the crossings of the first amortised one."""
    first = session.comparisons[0].amortised.method if session.comparisons else ""
    mine = [each for each in session.comparisons if each.amortised.method == first]
    crossings = [
        (each.per_concept, each.saving.point_estimate)
        for each in mine
        if math.isfinite(each.saving.point_estimate.break_even)
        and each.saving.point_estimate.break_even >= 1
    ]
    shown = {each.amortised.method: each.amortised for each in mine} | {
        each.per_concept.method: each.per_concept for each in mine
    }
    x = chart.count_axis(
        "concepts steered",
        min(1e7, max((10 * point.break_even for _, point in crossings), default=100.0)),
    )
    steps = [x.high ** (k / 64) for k in range(65)]
    ends = [crossings[0], crossings[-1]] if len(crossings) > 1 else crossings
    marks = [
        chart.Point(
            x=point.break_even,
            y=point.break_even * point.fit,
            label=format.quantity(point.break_even),
            tooltip=f"{first} has paid against {against.method}",
        )
        for against, point in ends
    ]
    series = [
        chart.LineSeries(
            name=name,
            tone=tones.get(name, 0),
            points=[chart.Point(x=n, y=pace.cost + n * pace.concept.median) for n in steps],
            crossings=marks if name == first else [],
            hide_markers=True,
        )
        for name, pace in shown.items()
    ]
    y = chart.time_axis("total time", [point.y for one in series for point in one.points])
    return chart.line_chart(
        series, title="Total time against the number of concepts, both logarithmic", x=x, y=y
    )


def _quality_chart(summary: Summary, session: Session, tones: Mapping[str, int]) -> Markup | None:
    model = summary.facts.get("model")
    if not isinstance(model, dict) or model.get("revision") != session.conditions.get("revision"):
        return None
    scores = {line.method: line.scores[HEADLINE] for line in summary.leaderboard}
    found = [(pace, score) for pace in session.method_times if (score := scores.get(pace.method))]
    if not found:
        return None
    series = [
        chart.LineSeries(
            name=pace.method,
            tone=tones.get(pace.method, 0),
            points=[
                chart.Point(
                    x=pace.concept.median,
                    y=score.mean,
                    label=pace.method,
                    tooltip=f"{pace.method}: {format.duration(pace.concept.median)}, {METRICS[HEADLINE].lower()} {format.score(score.mean)}",
                    x_range=_interval_or_median(pace.concept),
                    y_range=(score.low, score.high),
                )
            ],
        )
        for pace, score in found
    ]
    points = [point for one in series for point in one.points]
    x = chart.time_axis(
        "time of a concept",
        [value for point in points for value in (point.x, *(point.x_range or ()))],
    )
    y = chart.linear_axis(
        METRICS[HEADLINE],
        [value for point in points for value in (point.y, *(point.y_range or ()))],
    )
    return chart.line_chart(
        series, title=f"{METRICS[HEADLINE]} against the time of a concept", x=x, y=y
    )


def _interval_or_median(one: durations.DurationSummary) -> tuple[float, float]:
    return (one.low, one.high) if math.isfinite(one.low) else (one.median, one.median)
