"""The ground of charts as SVG, which the page's style sheet colours: frames, tones and markers."""

import json
from collections.abc import Iterable, Sequence
from typing import Protocol

from markupsafe import Markup

from htbench.core import content
from htbench.report.charts.axis import Axis, linear_axis

TONES = 8
"""Colours of the style sheet, classes `t1` and up; `t0` is the neutral one."""
SHAPES = (
    "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0z",
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.5-3.5h7v7h-7z",
    "M0-4.8L4.8 0L0 4.8L-4.8 0z",
    "M0-4.6L4.5 3.4H-4.5z",
    "M0 4.6L4.5-3.4H-4.5z",
    "M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
)
WIDTH = 460.0
LETTER_WIDTH = 6.2
"""Assumed width of a letter or digit of a label."""
DIGIT_WIDTH = 7.6
"""Assumed width of a digit of a tick, whose type is larger."""
Row = Sequence[str | float | None]
Rows = Sequence[Row]
"""A chart's data as a table, its headings first."""


class Chart(Protocol):
    """A chart that draws itself, and has its data as a table."""

    @property
    def title(self) -> str:
        """A title in words, by which its files are named."""

    @property
    def rows(self) -> Rows:
        """Its data in full precision."""

    def __html__(self) -> str:
        """The chart as SVG."""


def drawing(chart: Chart, parts: Iterable[Markup], *, height: float) -> str:
    """The SVG element of a chart, which carries the chart's data for the page's script."""
    data = json.dumps(content.without_nan(chart.rows), ensure_ascii=False, allow_nan=False)
    opening = Markup(
        '<svg class="chart" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}" data-rows="{}">'
    ).format(WIDTH, height, chart.title, data)
    return str(opening + Markup("").join(parts) + Markup("</svg>"))


def tone_class(tone: int) -> str:
    """The class of a tone, which repeat beyond the colours that there are."""
    return f"t{1 + (tone - 1) % TONES if tone else 0}"


def marker(tone: int, left: float, top: float) -> Markup:
    """The shape of a tone at a point."""
    return Markup('<path class="marker" d="{}" transform="translate({:.1f} {:.1f})"/>').format(
        Markup(SHAPES[tone % len(SHAPES)]), left, top
    )


def shortened(name: str, width: float) -> str:
    """A name that fits into `width`, with an ellipsis where it was cut."""
    letters = max(2, int(width / LETTER_WIDTH))
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def text(
    kind: str, left: float, top: float, words: str, *, name: str = "", series: str = ""
) -> Markup:
    """A text of a class; `name` is shown on hover, where `words` had to be cut."""
    full = Markup("<title>{}</title>").format(name) if name and name != words else ""
    of = Markup(' data-series="{}"').format(series) if series else ""
    return Markup('<text class="{}"{} x="{:.1f}" y="{:.1f}">{}{}</text>').format(
        kind, of, left, top, words, full
    )


def swatch(tone: int) -> Markup:
    """The marker of a tone, for legends and headings."""
    shape = Markup(SHAPES[tone % len(SHAPES)])
    return Markup(
        '<svg class="swatch {}" viewBox="-6 -6 12 12" aria-hidden="true">'
        '<path class="marker" d="{}"/></svg>'
    ).format(tone_class(tone), shape)


def horizontal_axis(axis: Axis, *, left: float, right: float, top: float, floor: float) -> Markup:
    """Ticks with their lines from `top` to `floor`, and the axis' label below them."""
    parts = []
    for value, label in axis.ticks:
        place = left + axis.clip(value) * (right - left)
        parts.append(
            Markup('<path class="grid" d="M{:.1f} {:.1f}V{:.1f}"/>').format(place, top, floor)
        )
        inside = min(place, WIDTH - DIGIT_WIDTH * len(label) / 2)
        parts.append(text("tick middle", inside, floor + 16, label))
    parts.append(text("name middle", (left + right) / 2, floor + 38, axis.label))
    return Markup("").join(parts)


def interval_bar(
    mean: float, low: float, high: float, *, tone: int, scale: tuple[float, float]
) -> Markup:
    """A small bar from `low` to `high` with a dot at `mean`, on an axis that holds `scale`.

    There is no bar where its ends are not finite.
    """
    axis = linear_axis("", scale)
    parts = [Markup('<path class="track" d="M0 7H120"/>')]
    if axis.contains(0):
        parts.append(Markup('<path class="zero" d="M{:.1f} 1V13"/>').format(120 * axis.position(0)))
    if axis.contains(low) and axis.contains(high):
        left, right = 120 * axis.position(low), 120 * axis.position(high)
        parts.append(
            Markup(
                '<rect class="band" x="{:.1f}" y="3.5" width="{:.1f}" height="7" rx="3.5"/>'
            ).format(left, max(1.0, right - left))
        )
    if axis.contains(mean):
        parts.append(
            Markup('<circle class="dot" cx="{:.1f}" cy="7" r="3.2"/>').format(
                120 * axis.position(mean)
            )
        )
    return Markup(
        '<svg class="interval {}" viewBox="0 0 120 14" aria-hidden="true">{}</svg>'
    ).format(tone_class(tone), Markup("").join(parts))
