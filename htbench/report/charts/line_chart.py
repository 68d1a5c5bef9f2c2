"""Lines over two axes, each with its name at its end."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from htbench.report.charts.axis import Axis
from htbench.report.charts.label_room import Box, LabelRoom, Spot, along
from htbench.report.charts.svg import (
    LETTER_WIDTH,
    TONES,
    WIDTH,
    Rows,
    drawing,
    horizontal_axis,
    marker,
    shortened,
    text,
    tone_class,
)

_HEIGHT = 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 68.0, 18.0, 14.0, 46.0
_NAME_WIDTH = 138.0
"""Largest width of a name at the end of a line."""
_MAX_LABELLED = 4
"""Largest number of crossings that are labelled together."""


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
class LineChart:
    """A chart of `series`, whose elements carry the series' name as `data-series`.

    Class `more` marks elements that have room only while their series is shown alone.
    """

    title: str
    x: Axis
    y: Axis
    series: Sequence[LineSeries]

    @property
    def rows(self) -> Rows:
        """A row per point, with the ends of its intervals."""
        ends = [f"{axis.label}{end}" for axis in (self.x, self.y) for end in ("", " low", " high")]
        head = ["series", "point", *ends]
        return [head, *(_row(line, point) for line in self.series for point in _all_points(line))]

    def __html__(self) -> str:
        crossings = [
            (line, point) for line in self.series for point in self._inside(line.crossings)
        ]
        room = LabelRoom(
            bounds=(_LEFT + 2, 2, WIDTH - 2, self._floor - 2),
            lines=[along(self._spots(line)) for line in self.series],
        )
        room.take(*(box for line, spot in self._markers for box in _marker_boxes(spot)))
        crossing_marks = self._crossings(crossings, room)
        names = list(self._names(room))
        room.take(*(box for line, point in self._marked for box in self._whisker_boxes(point)))
        parts = [
            self._frame(),
            *(self._line(line) for line in self.series),
            crossing_marks,
            *(self._marker(line, point) for line, point in self._marked),
            *names,
            self._labels(room),
        ]
        return drawing(self, parts, height=_HEIGHT)

    @cached_property
    def _right(self) -> float:
        """The right end of the frame, which leaves room for names where lines end there."""
        ends = [
            self.x.position(points[-1].x)
            for line in self.series
            if len(points := self._inside(line.points)) > 1
        ]
        if max(ends, default=0.0) < 0.75:
            return WIDTH - _RIGHT
        longest = max(LETTER_WIDTH * len(line.name) for line in self.series)
        return WIDTH - max(_RIGHT, min(_NAME_WIDTH, longest) + 12)

    @property
    def _floor(self) -> float:
        return _HEIGHT - _BOTTOM

    @cached_property
    def _marked(self) -> list[tuple[LineSeries, Point]]:
        return [
            (line, point)
            for line in self.series
            if not line.hide_markers
            for point in self._inside(line.points)
        ]

    @cached_property
    def _markers(self) -> list[tuple[LineSeries, Spot]]:
        return [(line, self._spot(point)) for line, point in self._marked]

    @property
    def _is_crowded(self) -> bool:
        """True if more lines are named than there are colours."""
        return sum(len(line.points) > 1 for line in self.series) > TONES

    def _inside(self, points: Sequence[Point]) -> list[Point]:
        return [point for point in points if self.x.contains(point.x) and self.y.contains(point.y)]

    def _spot(self, point: Point) -> Spot:
        return self._pixel_x(point.x), self._pixel_y(point.y)

    def _spots(self, line: LineSeries) -> list[Spot]:
        return [self._spot(point) for point in self._inside(line.points)]

    def _pixel_x(self, value: float) -> float:
        return _LEFT + self.x.clip(value) * (self._right - _LEFT)

    def _pixel_y(self, value: float) -> float:
        return self._floor - self.y.clip(value) * (self._floor - _TOP)

    def _frame(self) -> Markup:
        parts = []
        for value, label in self.y.ticks:
            level = self._pixel_y(value)
            parts.append(
                Markup('<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/>').format(
                    _LEFT, level, self._right
                )
            )
            parts.append(text("tick end", _LEFT - 7, level + 3.8, label))
        parts.append(
            horizontal_axis(self.x, left=_LEFT, right=self._right, top=_TOP, floor=self._floor)
        )
        parts.append(
            Markup('<path class="axis" d="M{:.1f} {:.1f}V{:.1f}H{:.1f}"/>').format(
                _LEFT, _TOP, self._floor, self._right
            )
        )
        parts.append(
            Markup(
                '<text class="name middle" x="11" y="{0:.1f}" '
                'transform="rotate(-90 11 {0:.1f})">{1}</text>'
            ).format((_TOP + self._floor) / 2, self.y.label)
        )
        return Markup("").join(parts)

    def _line(self, line: LineSeries) -> Markup:
        spots = self._spots(line)
        if len(spots) < 2:
            return Markup("")
        path = "L".join(f"{left:.1f} {top:.1f}" for left, top in spots)
        return Markup(
            '<path class="line {0}" data-series="{2}" d="M{1}"><title>{2}</title></path>'
        ).format(tone_class(line.tone), path, line.name)

    def _marker(self, line: LineSeries, point: Point) -> Markup:
        whiskers = "".join(
            f"M{box[0]:.1f} {box[1]:.1f}L{box[2]:.1f} {box[3]:.1f}" for box in self._whiskers(point)
        )
        drawn = Markup('<path class="whisker" d="{}"/>').format(whiskers) if whiskers else ""
        shape = marker(line.tone, *self._spot(point))
        return Markup('<g class="{}" data-series="{}">{}{}<title>{}</title></g>').format(
            tone_class(line.tone), line.name, drawn, shape, point.tooltip
        )

    def _whiskers(self, point: Point) -> Iterator[Box]:
        """The two lines of a point's intervals, each from its low to its high end."""
        left, top = self._spot(point)
        if point.x_range and all(map(math.isfinite, point.x_range)):
            yield self._pixel_x(point.x_range[0]), top, self._pixel_x(point.x_range[1]), top
        if point.y_range and all(map(math.isfinite, point.y_range)):
            yield left, self._pixel_y(point.y_range[0]), left, self._pixel_y(point.y_range[1])

    def _whisker_boxes(self, point: Point) -> Iterator[Box]:
        for left, low, right, high in self._whiskers(point):
            yield left - 1, high - 1, right + 1, low + 1

    def _names(self, room: LabelRoom) -> Iterator[Markup]:
        """Names at the ends of lines, moved up or down to where there is room."""
        for line in self.series:
            points = self._inside(line.points)
            if not points or (len(points) == 1 and points[0].label == line.name):
                continue
            words = shortened(line.name, _NAME_WIDTH)
            end = self._spot(points[-1])
            boxes = list(_boxes_at_end(end, LETTER_WIDTH * len(words)))
            if self._right < WIDTH - _RIGHT:  # the margin is for names
                boxes.sort(key=lambda box: box[0] < end[0])
            free = None if self._is_crowded else room.clearest(boxes)
            for box in [free] if free else room.inside(boxes)[:1]:
                if free:
                    room.take(box)
                side, place = ("start", box[0]) if box[0] > end[0] else ("end", box[2])
                kind = f"{'' if free else 'more '}series {side} {tone_class(line.tone)}"
                yield text(kind, place, box[1] + 10, words, name=line.name, series=line.name)

    def _labels(self, room: LabelRoom) -> Markup:
        """Labels of points, each at the first place around it that is free.

        A label waits until its series is shown alone where all places are taken, where a neighbour
        has the same label, or where more lines are named than there are colours.
        """
        own: dict[str, LabelRoom] = {}
        for line, spot in self._markers:
            alone = own.setdefault(line.name, LabelRoom(bounds=room.bounds))
            alone.take(*_marker_boxes(spot))
        parts, drawn = [], set[tuple[str, int, int]]()
        for (line, point), (_, (left, top)) in zip(self._marked, self._markers, strict=True):
            if not point.label:
                continue
            near = (point.label, round(left / 12), round(top / 12))
            boxes = list(_boxes_around(left, top, LETTER_WIDTH * len(point.label)))
            waits = self._is_crowded or near in drawn
            drawn.add(near)
            free = None if waits else room.first_free(boxes)
            box = free or own[line.name].first_free(boxes)
            if box:
                own[line.name].take(box)
                if free:
                    room.take(box)
                kind, middle = f"{'' if free else 'more '}mark middle", (box[0] + box[2]) / 2
                parts.append(text(kind, middle, box[1] + 9, point.label, series=line.name))
        return Markup("").join(parts)

    def _crossings(self, marks: Sequence[tuple[LineSeries, Point]], room: LabelRoom) -> Markup:
        """Rings with a line down to the axis, and labels one above the other where they would meet.

        Where there are many, labels wait until one series is shown alone.
        """
        parts, ends = [], list[float]()
        waits = "more " if len(marks) > _MAX_LABELLED else ""
        for line, mark in sorted(marks, key=lambda pair: pair[1].x):
            left, top = self._spot(mark)
            width, late = LETTER_WIDTH * len(mark.label), left > WIDTH * 0.72
            start = left - 6 - width if late else left + 6
            row = next((k for k, end in enumerate(ends) if end < start), len(ends))
            ends[row : row + 1] = [start + width]
            level = self._floor - 8 - 13 * row
            room.take((left - 7, top - 7, left + 7, top + 7))
            if not waits:
                room.take((start, level - 9, start + width, level + 2))
            drop = Markup('<path class="crossing" d="M{:.1f} {:.1f}V{:.1f}"/>').format(
                left, top, self._floor
            )
            ring = Markup(
                '<circle class="ring" cx="{:.1f}" cy="{:.1f}" r="6"><title>{}</title></circle>'
            ).format(left, top, mark.tooltip)
            place, kind = (
                (left - 6, f"{waits}mark end") if late else (left + 6, f"{waits}mark start")
            )
            label = text(kind, place, level, mark.label, series=line.name)
            parts.append(
                Markup('<g data-series="{}">{}{}{}</g>').format(line.name, drop, ring, label)
            )
        return Markup("").join(parts)


def _all_points(line: LineSeries) -> list[Point]:
    return [*line.points, *line.crossings]


def _row(line: LineSeries, point: Point) -> list[str | float | None]:
    x_low, x_high = point.x_range or (None, None)
    y_low, y_high = point.y_range or (None, None)
    return [line.name, point.label, point.x, x_low, x_high, point.y, y_low, y_high]


def _marker_boxes(spot: Spot) -> Iterator[Box]:
    left, top = spot
    yield left - 5, top - 5, left + 5, top + 5


def _boxes_around(left: float, top: float, width: float) -> Iterator[Box]:
    """Places of a label of a point, beside whiskers before places on them."""
    right, side = 7 + width / 2, 9 + width / 2
    for across, down in (
        *((right, -5.0), (-right, -5.0), (right, 13.0), (-right, 13.0)),
        *((0.0, -9.0), (0.0, 17.0), (side, 4.0), (-side, 4.0)),
    ):
        middle, base = left + across, top + down
        yield middle - width / 2, base - 9, middle + width / 2, base + 1


def _boxes_at_end(end: Spot, width: float) -> Iterator[Box]:
    """Places of a line's name: to the right of its end, to the left, then further up and down."""
    left, top = end
    for down in (0, -12, 12, -24, 24, -36, 36, -48, 48):
        for start in (left + 9, left - 9 - width):
            yield start, top + down - 6, start + width, top + down + 6
