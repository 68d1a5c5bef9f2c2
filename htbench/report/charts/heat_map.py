"""A matrix of numbers as colours, each number written into its cell."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from htbench.report.charts.svg import WIDTH, Row, Rows, drawing, shortened, text

_LEFT, _RIGHT, _HEAD, _BOTTOM = 140.0, 62.0, 74.0, 24.0
_MAX_CELL, _MIN_LABELLED = 54.0, 26.0
_DEPTH = 0.62
"""Opacity of the colour of the value that is furthest from the middle."""


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """A matrix whose values are blue above the middle and orange below it; NaN is an empty cell."""

    title: str
    row_names: Sequence[str]
    column_names: Sequence[str]
    values: Sequence[Sequence[float]]
    middle: float
    """The value without a colour."""
    reach: float
    """The distance from the middle at which the colour is deepest."""
    note: str = ""
    """Written below it."""
    tooltips: Sequence[Sequence[str]] = ()
    """Shown on hover, by row and column."""

    @property
    def rows(self) -> Rows:
        """The matrix with its headings."""
        rows: list[Row] = [["", *self.column_names]]
        rows += [[name, *row] for name, row in zip(self.row_names, self.values, strict=True)]
        return rows

    def share(self, value: float) -> float:
        """The depth of a colour: 1 is the deepest, negative below the middle; NaN for NaN."""
        if math.isnan(value):
            return math.nan
        return max(-1.0, min(1.0, (value - self.middle) / self.reach))

    def __html__(self) -> str:
        side = min(_MAX_CELL, (WIDTH - _LEFT - _RIGHT) / max(1, len(self.column_names)))
        height = min(side, 30.0)
        parts = [*self._heads(side), *self._cells(side, height)]
        floor = _HEAD + height * len(self.row_names)
        parts.append(text("tick", _LEFT, floor + 17, self.note))
        return drawing(self, parts, height=floor + _BOTTOM)

    def _heads(self, side: float) -> Iterator[Markup]:
        for k, name in enumerate(self.column_names):
            words = shortened(name, (_HEAD - 12) * 1.6)
            left, top = _LEFT + side * (k + 0.5), _HEAD - 7
            yield Markup(
                '<text class="name start" transform="translate({:.1f} {:.1f}) rotate(-38)">{}'
                "<title>{}</title></text>"
            ).format(left - 3, top, words, name)

    def _cells(self, side: float, height: float) -> Iterator[Markup]:
        is_labelled = side >= _MIN_LABELLED
        for k, (name, values) in enumerate(zip(self.row_names, self.values, strict=True)):
            top = _HEAD + height * k
            words = shortened(name, _LEFT - 12)
            yield text("name end", _LEFT - 8, top + height / 2 + 4, words, name=name)
            for column, value in enumerate(values):
                if math.isnan(value):
                    continue
                share, left = self.share(value), _LEFT + side * column
                hint = self.tooltips[k][column] if self.tooltips else ""
                number = f"{value:.2f}".replace("-", "−") if is_labelled else ""
                cell = Markup(
                    '<rect class="heat-cell {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" '
                    'height="{:.1f}" fill-opacity="{:.3f}"/>'
                ).format(
                    "below" if share < 0 else "above",
                    *(left + 1, top + 1, side - 2, height - 2, _DEPTH * abs(share)),
                )
                figure = text("figure middle", left + side / 2, top + height / 2 + 4, number)
                yield Markup("<g>{}{}<title>{}</title></g>").format(cell, figure, hint)
