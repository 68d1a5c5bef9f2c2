"""Estimates with their intervals, one below the other on a common axis."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from htbench.report import format
from htbench.report.charts.axis import Axis, linear_axis
from htbench.report.charts.svg import (
    WIDTH,
    Row,
    Rows,
    drawing,
    horizontal_axis,
    marker,
    shortened,
    text,
    tone_class,
)

_ROW, _TOP, _BOTTOM = 24.0, 8.0, 46.0
_LEFT, _RIGHT = 146.0, 122.0


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """One estimate; NaN where the value or an end of its interval is not known."""

    name: str
    tone: int
    value: float
    low: float
    high: float
    note: str = ""
    """Written in place of the numbers."""


@dataclass(frozen=True, kw_only=True)
class ForestPlot:
    """A forest plot, the first row at the top."""

    title: str
    label: str
    """Name of the estimated quantity, below the axis."""
    estimates: Sequence[ForestRow]
    reference: float | None = None
    """Value with a line of its own, such as that of no difference."""
    struck: bool = False
    """Strike the names through, where the estimates are not to be trusted."""

    @property
    def axis(self) -> Axis:
        """The common axis, which holds all intervals and the reference."""
        ends = [end for row in self.estimates for end in (row.value, row.low, row.high)]
        return linear_axis(
            self.label, [*ends, *([self.reference] if ends and self.reference is not None else [])]
        )

    @property
    def rows(self) -> Rows:
        """A row per estimate."""
        rows: list[Row] = [["name", self.label, f"{self.label} low", f"{self.label} high", "note"]]
        rows += [[row.name, row.value, row.low, row.high, row.note] for row in self.estimates]
        return rows

    def __html__(self) -> str:
        floor = _TOP + _ROW * len(self.estimates)
        return drawing(self, self._parts(floor), height=floor + _BOTTOM)

    def _parts(self, floor: float) -> Iterator[Markup]:
        axis, right = self.axis, WIDTH - _RIGHT
        yield horizontal_axis(axis, left=_LEFT, right=right, top=_TOP, floor=floor)
        yield Markup('<path class="axis" d="M{:.1f} {:.1f}H{:.1f}"/>').format(_LEFT, floor, right)
        if self.reference is not None:
            place = _LEFT + axis.clip(self.reference) * (right - _LEFT)
            yield Markup('<path class="reference" d="M{:.1f} {:.1f}V{:.1f}"/>').format(
                place, _TOP, floor
            )
        for k, row in enumerate(self.estimates):
            yield self._row(row, axis, _TOP + _ROW * (k + 0.5))

    def _row(self, row: ForestRow, axis: Axis, level: float) -> Markup:
        def place(value: float) -> float:
            return _LEFT + axis.clip(value) * (WIDTH - _RIGHT - _LEFT)

        name = "name end struck" if self.struck else "name end"
        parts = [text(name, _LEFT - 8, level + 4, shortened(row.name, _LEFT - 12), name=row.name)]
        if math.isfinite(row.low) and math.isfinite(row.high):
            parts.append(
                Markup('<path class="interval-line" d="M{:.1f} {:.1f}H{:.1f}"/>').format(
                    place(row.low), level, place(row.high)
                )
            )
        if math.isfinite(row.value):
            parts.append(marker(row.tone, place(row.value), level))
        figures = row.note or format.estimate_text(row.value, row.low, row.high)
        parts.append(text("figure end", WIDTH - 2, level + 4, figures))
        return Markup('<g class="{}" data-series="{}">{}</g>').format(
            tone_class(row.tone), row.name, Markup("").join(parts)
        )
