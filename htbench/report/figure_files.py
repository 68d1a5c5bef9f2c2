"""The charts of a run as figures for papers: vector PDF and SVG, one column wide, by matplotlib."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htbench.core.errors import Missing
from htbench.report import figures
from htbench.report.charts import (
    TONES,
    Axis,
    Chart,
    ForestPlot,
    Funnel,
    HeatMap,
    LineChart,
    LineSeries,
)
from htbench.run.export import new_folder
from htbench.run.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMN = 3.3
"""Width of one column in inches."""
_COLOURS = (
    "#7b828d",
    *("#0072b2", "#d55e00", "#00875f", "#b5478a", "#a87900", "#3f9bd6", "#7a5cc0", "#4d4d4d"),
)
_MARKERS = "oosD^vP"
_ABOVE, _BELOW = "#0072b2", "#d55e00"
_MAX_NAME = 42
"""Largest number of letters of a name in a heat map."""
_STYLE: dict[Any, Any] = {
    "font.family": ["STIXGeneral", "DejaVu Serif"],  # both come with matplotlib
    "mathtext.fontset": "stix",
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "#e2e3de",
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,
    "svg.hashsalt": "htbench",
}


def write(summary: Summary, folder: Path) -> list[Path]:
    """Write every chart as PDF and SVG to the new or empty `folder`; return the files.

    Raises:
        UsageError: if the folder holds something or cannot be written.
        Missing: if matplotlib is not installed, or the disk is full.
    """
    _require_matplotlib()
    names = []
    with new_folder(folder) as fresh:
        for name, chart in figures.collect(summary).items():
            with _figure(height(chart)) as (figure, axes):
                draw(chart, axes)
                for kind, metadata in (("pdf", "CreationDate"), ("svg", "Date")):
                    names.append(f"{name}.{kind}")
                    figure.savefig(fresh / names[-1], metadata={metadata: None})
    return [folder / name for name in names]


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise Missing(
            "matplotlib is not installed", remedy="pip install 'htbench[figures]'"
        ) from None


@contextmanager
def _figure(tall: float) -> Iterator[tuple[Any, "Axes"]]:
    """A figure of one column without any of pyplot's state."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_COLUMN, tall), layout="constrained")
        yield figure, figure.add_subplot()


@singledispatch
def height(chart: Chart) -> float:
    """The height of a chart's figure in inches."""
    return 2.6


@height.register
def _(chart: ForestPlot) -> float:
    return 0.6 + 0.19 * len(chart.estimates)


@height.register
def _(chart: HeatMap) -> float:
    return 0.9 + 0.19 * len(chart.row_names)


@height.register
def _(chart: Funnel) -> float:
    return 0.4 + 0.22 * len(chart.stages)


@singledispatch
def draw(chart: Chart, axes: "Axes") -> None:
    """Draw a chart; each kind has its own way, registered below.

    Raises:
        TypeError: for a kind of chart without one.
    """
    raise TypeError(f"no figure is drawn of {type(chart).__name__}")


@draw.register(LineChart)
def _(chart: LineChart, axes: "Axes") -> None:
    for series in chart.series:
        _draw_series(series, axes)
    _scale(chart.x, axes, "x")
    _scale(chart.y, axes, "y")
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, handlelength=1.4
    )


def _draw_series(series: LineSeries, axes: "Axes") -> None:
    points = [point for point in series.points if math.isfinite(point.x) and math.isfinite(point.y)]
    x, y = [point.x for point in points], [point.y for point in points]
    colour, marker = _colour(series.tone), _MARKERS[series.tone % len(_MARKERS)]
    shape = "" if series.hide_markers else marker
    axes.plot(x, y, color=colour, marker=shape, label=series.name, zorder=3)
    for point in points:
        if point.x_range and all(map(math.isfinite, point.x_range)):
            axes.hlines(point.y, *point.x_range, color=colour, linewidth=0.5, alpha=0.5)
        if point.y_range and all(map(math.isfinite, point.y_range)):
            axes.vlines(point.x, *point.y_range, color=colour, linewidth=0.5, alpha=0.5)
    for point in series.crossings:
        axes.plot(point.x, point.y, marker="o", fillstyle="none", color="black", zorder=4)
        axes.annotate(point.label, (point.x, point.y), (3, -9), textcoords="offset points", size=6)


def _scale(axis: Axis, axes: "Axes", which: str) -> None:
    """Put a chart's axis on the figure, with its label, ends and ticks."""
    if axis.log:
        axes.set(**{f"{which}scale": "log"})
    axes.set(**{f"{which}lim": (axis.low, axis.high), f"{which}label": axis.label})
    ticks = getattr(axes, f"{which}axis")
    ticks.set_ticks([value for value, _ in axis.ticks], [label for _, label in axis.ticks])
    ticks.set_ticks([], minor=True)


@draw.register(ForestPlot)
def _(chart: ForestPlot, axes: "Axes") -> None:
    places = range(len(chart.estimates))
    for place, row in zip(places, chart.estimates, strict=True):
        colour = _colour(row.tone)
        if math.isfinite(row.low) and math.isfinite(row.high):
            axes.hlines(place, row.low, row.high, color=colour, linewidth=1.2)
        if math.isfinite(row.value):
            axes.plot(row.value, place, color=colour, marker=_MARKERS[row.tone % len(_MARKERS)])
        elif row.note:
            axes.annotate(row.note, (0.5, place), xycoords=("axes fraction", "data"), va="center")
    if chart.reference is not None:
        axes.axvline(chart.reference, color="#5b6472", linewidth=0.6, linestyle="--")
    _scale(chart.axis, axes, "x")
    axes.set_yticks(places, [row.name for row in chart.estimates])
    axes.set_ylim(len(chart.estimates) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


@draw.register(HeatMap)
def _(chart: HeatMap, axes: "Axes") -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("two sides", [_BELOW, "white", _ABOVE])
    shares = [[chart.share(value) * 0.7 for value in row] for row in chart.values]
    axes.imshow(shares, cmap=colours, vmin=-1, vmax=1, aspect="auto")
    for down, row in enumerate(chart.values):
        for across, value in enumerate(row):
            if math.isfinite(value):
                label = f"{value:.2f}".replace("-", "−").replace("0.", ".", 1)
                axes.text(across, down, label, ha="center", va="center", size=6)
    axes.set_xticks(range(len(chart.column_names)), chart.column_names, rotation=38, ha="left")
    axes.set_yticks(range(len(chart.row_names)), [_shortened(name) for name in chart.row_names])
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


@draw.register(Funnel)
def _(chart: Funnel, axes: "Axes") -> None:
    places = range(len(chart.stages))
    kept = [stage.answers for stage in chart.stages]
    axes.barh(places, kept, color=_ABOVE, alpha=0.75)
    axes.barh(places, [s.answers_lost for s in chart.stages], left=kept, color=_BELOW, alpha=0.45)
    for place, stage in zip(places, chart.stages, strict=True):
        end = (stage.answers + stage.answers_lost, place)
        axes.annotate(stage.figures, end, (3, 0), textcoords="offset points", va="center", size=6)
    axes.set_yticks(places, [stage.name for stage in chart.stages])
    axes.set_ylim(len(chart.stages) - 0.5, -0.5)
    axes.margins(x=0.7)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _shortened(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"


def _colour(tone: int) -> str:
    return _COLOURS[1 + (tone - 1) % TONES if tone else 0]
