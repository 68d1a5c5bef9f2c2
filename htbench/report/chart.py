"""Charts as SVG that the page's style sheet colours: lines over two axes, and bars of intervals."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from htbench.report.format import _UNITS

TONES = 8
"""Colours of the style sheet, classes `t1` and up; `t0` is the neutral one."""
_SHAPES = (
    "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0z",
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.5-3.5h7v7h-7z",
    "M0-4.8L4.8 0L0 4.8L-4.8 0z",
    "M0-4.6L4.5 3.4H-4.5z",
    "M0 4.6L4.5-3.4H-4.5z",
    "M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
)
_WIDTH, _HEIGHT = 460.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 68.0, 18.0, 14.0, 46.0
_LETTER_WIDTH = 6.2
"""Assumed width of a letter or digit of a label."""
_DIGIT_WIDTH = 7.6
"""Assumed width of a digit of a tick, whose type is larger."""
_MAX_LABELLED = 4
"""Largest number of crossings that are labelled together."""
_TIME_TICKS = (
    *(10.0**k for k in range(-6, 2)),
    60.0,
    600.0,
    3600.0,
    36_000.0,
    360_000.0,
    *(86_400.0 * 10**k for k in range(2, 8)),
)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A marker of a line; not drawn where a coordinate is not finite."""

    x: float
    y: float
    label: str = ""
    """Written beside it, if there is room."""
    tooltip: str = ""
    """Text shown on hover."""
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    """Intervals, drawn as whiskers."""


@dataclass(frozen=True, kw_only=True)
class LineSeries:
    """A line through points in one tone; 0 is neutral."""

    name: str
    tone: int
    points: Sequence[Point]
    crossings: Sequence[Point] = ()
    """Labelled points of the line, each with a line down to the axis."""
    hide_markers: bool = False


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A scale with its ticks."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def position(self, value: float) -> float:
        """The position of `value`: 0 at the low end, 1 at the high end."""
        scale = math.log10 if self.log else float
        low, high = scale(self.low), scale(self.high)
        return (scale(value) - low) / (high - low)

    def contains(self, value: float) -> bool:
        """True if `value` can be drawn."""
        return math.isfinite(value) and self.low <= value <= self.high


def linear_axis(label: str, values: Iterable[float]) -> Axis:
    """An axis that holds all finite `values` with some room, ticks at round numbers."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    room = 0.06 * (high - low) or max(0.1, 0.1 * abs(low))
    low, high = low - room, high + room
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= raw * 0.999)
    decimals = max(0, -math.floor(math.log10(step)))
    marks = [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Axis(
        label=label,
        low=low,
        high=high,
        ticks=[(mark, f"{mark + 0.0:.{decimals}f}".replace("-", "−")) for mark in marks],
    )


def time_axis(label: str, values: Iterable[float]) -> Axis:
    """A logarithmic axis of seconds that holds all `values` above zero, ticks at round times."""
    positive = [value for value in values if math.isfinite(value) and value > 0] or [1.0]
    low, high = min(positive) / 1.5, max(positive) * 1.5
    ticks = [(mark, _time_label(mark)) for mark in _TIME_TICKS if low <= mark <= high]
    return Axis(label=label, low=low, high=high, ticks=ticks[:: 1 + len(ticks) // 9], log=True)


def count_axis(label: str, highest: float) -> Axis:
    """A logarithmic axis from 1 to a power of ten not below `highest`, at least 100."""
    decades = max(2, math.ceil(math.log10(max(1.0, highest)) - 1e-9))
    ticks = [(10.0**k, f"{10**k:,}") for k in range(decades + 1)]
    return Axis(
        label=label, low=1, high=10.0**decades, ticks=ticks[:: 1 + len(ticks) // 9], log=True
    )


def line_chart(series: Sequence[LineSeries], *, title: str, x: Axis, y: Axis) -> Markup:
    """A chart of `series`, whose elements carry the series' name as `data-series`.

    Class `more` marks elements that have room only while their series is shown alone.
    """

    def inside(points: Sequence[Point]) -> list[Point]:
        return [point for point in points if x.contains(point.x) and y.contains(point.y)]

    marked = [
        (line, point) for line in series if not line.hide_markers for point in inside(line.points)
    ]
    crossings = [(line, point) for line in series for point in inside(line.crossings)]
    parts = [_frame(x, y)]
    parts += [_line(line, inside(line.points), x, y) for line in series]
    parts.append(_crossings(crossings, x, y))
    parts += [_marker(line, point, x, y) for line, point in marked]
    parts.append(_labels(marked, x, y))
    opening = Markup(
        '<svg class="chart" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">'
    ).format(_WIDTH, _HEIGHT, title)
    return opening + Markup("").join(parts) + Markup("</svg>")


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
    ).format(_tone(tone), Markup("").join(parts))


def swatch(tone: int) -> Markup:
    """The marker of a tone, for legends and headings."""
    shape = Markup(_SHAPES[tone % len(_SHAPES)])
    return Markup(
        '<svg class="swatch {}" viewBox="-6 -6 12 12" aria-hidden="true">'
        '<path class="marker" d="{}"/></svg>'
    ).format(_tone(tone), shape)


def _tone(tone: int) -> str:
    return f"t{1 + (tone - 1) % TONES if tone else 0}"


def _time_label(seconds: float) -> str:
    size, unit = next(((size, unit) for size, _, unit in _UNITS if seconds >= size), (1e-6, "µs"))
    return f"{round(seconds / size):,} {unit}"


def _pixel(point: Point, x: Axis, y: Axis) -> tuple[float, float]:
    return _pixel_x(x, point.x), _pixel_y(y, point.y)


def _pixel_x(axis: Axis, value: float) -> float:
    return _LEFT + min(1.0, max(0.0, axis.position(value))) * (_WIDTH - _LEFT - _RIGHT)


def _pixel_y(axis: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - min(1.0, max(0.0, axis.position(value))) * (_HEIGHT - _TOP - _BOTTOM)


def _frame(x: Axis, y: Axis) -> Markup:
    right, floor = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for value, text in y.ticks:
        level = _pixel_y(y, value)
        parts.append(
            Markup('<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/>').format(_LEFT, level, right)
        )
        parts.append(
            Markup('<text class="tick end" x="{:.1f}" y="{:.1f}">{}</text>').format(
                _LEFT - 7, level + 3.8, text
            )
        )
    for value, text in x.ticks:
        place = _pixel_x(x, value)
        parts.append(
            Markup('<path class="grid" d="M{:.1f} {:.1f}V{:.1f}"/>').format(place, _TOP, floor)
        )
        inside = min(place, _WIDTH - _DIGIT_WIDTH * len(text) / 2)
        parts.append(
            Markup('<text class="tick middle" x="{:.1f}" y="{:.1f}">{}</text>').format(
                inside, floor + 16, text
            )
        )
    parts.append(
        Markup('<path class="axis" d="M{:.1f} {:.1f}V{:.1f}H{:.1f}"/>').format(
            _LEFT, _TOP, floor, right
        )
    )
    parts.append(
        Markup('<text class="name middle" x="{:.1f}" y="{:.1f}">{}</text>').format(
            (_LEFT + right) / 2, _HEIGHT - 8, x.label
        )
    )
    middle = (_TOP + floor) / 2
    parts.append(
        Markup(
            '<text class="name middle" x="11" y="{0:.1f}" '
            'transform="rotate(-90 11 {0:.1f})">{1}</text>'
        ).format(middle, y.label)
    )
    return Markup("").join(parts)


def _line(series: LineSeries, points: Sequence[Point], x: Axis, y: Axis) -> Markup:
    if len(points) < 2:
        return Markup("")
    path = "L".join("{:.1f} {:.1f}".format(*_pixel(point, x, y)) for point in points)
    return Markup(
        '<path class="line {0}" data-series="{2}" d="M{1}"><title>{2}</title></path>'
    ).format(_tone(series.tone), path, series.name)


def _marker(series: LineSeries, point: Point, x: Axis, y: Axis) -> Markup:
    left, top = _pixel(point, x, y)
    whiskers = ""
    if point.x_range and all(map(math.isfinite, point.x_range)):
        whiskers += (
            f"M{_pixel_x(x, point.x_range[0]):.1f} {top:.1f}H{_pixel_x(x, point.x_range[1]):.1f}"
        )
    if point.y_range and all(map(math.isfinite, point.y_range)):
        whiskers += (
            f"M{left:.1f} {_pixel_y(y, point.y_range[0]):.1f}V{_pixel_y(y, point.y_range[1]):.1f}"
        )
    drawn = Markup('<path class="whisker" d="{}"/>').format(whiskers) if whiskers else ""
    shape = Markup('<path class="marker" d="{}" transform="translate({:.1f} {:.1f})"/>').format(
        Markup(_SHAPES[series.tone % len(_SHAPES)]), left, top
    )
    return Markup('<g class="{}" data-series="{}">{}{}<title>{}</title></g>').format(
        _tone(series.tone), series.name, drawn, shape, point.tooltip
    )


def _labels(marked: Sequence[tuple[LineSeries, Point]], x: Axis, y: Axis) -> Markup:
    """Labels of points, each at the first of four places around it that is free.

    A label waits until its series is shown alone where all four are taken, where a neighbour has
    the same label, or where more lines are labelled than there are colours.
    """
    spots = [_pixel(point, x, y) for _, point in marked]
    taken = [(left - 5, top - 5, left + 5, top + 5) for left, top in spots]
    own: dict[str, list[tuple[float, float, float, float]]] = {}
    for (line, _), spot in zip(marked, taken, strict=True):
        own.setdefault(line.name, []).append(spot)
    labelled = {line.name for line, point in marked if point.label and len(line.points) > 1}
    is_crowded = len(labelled) > TONES
    parts, drawn = [], set[tuple[str, int, int]]()
    for (line, point), (left, top) in zip(marked, spots, strict=True):
        if not point.label:
            continue
        near = (point.label, round(left / 12), round(top / 12))
        width = _LETTER_WIDTH * len(point.label)
        around = ((8 + width / 2, 4.0), (-8 - width / 2, 4.0), (0.0, -9.0), (0.0, 17.0))
        boxes = [
            (left + across - width / 2, top + down - 9, left + across + width / 2, top + down + 1)
            for across, down in around
        ]
        inside = [box for box in boxes if box[0] > _LEFT and box[2] < _WIDTH - 2]
        free = (
            []
            if is_crowded or near in drawn
            else [box for box in inside if not any(_overlap(box, other) for other in taken)]
        )
        drawn.add(near)
        alone = [box for box in inside if not any(_overlap(box, other) for other in own[line.name])]
        for box in (free or alone)[:1]:
            own[line.name].append(box)
            taken += free[:1]
            kind = "" if free else "more "
            words = Markup(
                '<text class="{}mark middle" data-series="{}" x="{:.1f}" y="{:.1f}">{}</text>'
            )
            parts.append(
                words.format(kind, line.name, (box[0] + box[2]) / 2, box[1] + 9, point.label)
            )
    return Markup("").join(parts)


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _crossings(marks: Sequence[tuple[LineSeries, Point]], x: Axis, y: Axis) -> Markup:
    """Rings with a line down to the axis, and labels one above the other where they would meet.

    Where there are many, labels wait until one series is shown alone.
    """
    floor, parts, ends = _HEIGHT - _BOTTOM, [], list[float]()
    kind = "more " if len(marks) > _MAX_LABELLED else ""
    for line, mark in sorted(marks, key=lambda pair: pair[1].x):
        left, top = _pixel(mark, x, y)
        width, late = _LETTER_WIDTH * len(mark.label), left > _WIDTH * 0.72
        start = left - 6 - width if late else left + 6
        row = next((k for k, end in enumerate(ends) if end < start), len(ends))
        ends[row : row + 1] = [start + width]
        inside = (
            Markup('<path class="crossing" d="M{:.1f} {:.1f}V{:.1f}"/>').format(left, top, floor),
            Markup(
                '<circle class="ring" cx="{:.1f}" cy="{:.1f}" r="6"><title>{}</title></circle>'
            ).format(left, top, mark.tooltip),
            Markup(
                '<text class="{}mark {}" data-series="{}" x="{:.1f}" y="{:.1f}">{}</text>'
            ).format(
                kind,
                "end" if late else "start",
                line.name,
                left + (-6 if late else 6),
                floor - 8 - 13 * row,
                mark.label,
            ),
        )
        parts.append(
            Markup('<g data-series="{}">{}</g>').format(line.name, Markup("").join(inside))
        )
    return Markup("").join(parts)
