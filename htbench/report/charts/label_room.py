"""Room for the labels of a chart, so that none covers another one or a marker."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""
Spot = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class LabelRoom:
    """The part of a chart where labels may stand, and what is taken of it."""

    bounds: Box
    lines: Sequence[Sequence[Spot]] = ()
    """Points along each line, which labels avoid where they can."""
    taken: list[Box] = field(default_factory=list)

    def take(self, *boxes: Box) -> None:
        """Keep other labels out of `boxes`."""
        self.taken.extend(boxes)

    def inside(self, boxes: Iterable[Box]) -> list[Box]:
        """Those of `boxes` that are wholly inside the bounds."""
        left, top, right, bottom = self.bounds
        return [
            box
            for box in boxes
            if box[0] >= left and box[1] >= top and box[2] <= right and box[3] <= bottom
        ]

    def first_free(self, boxes: Iterable[Box]) -> Box | None:
        """The first of `boxes` that covers nothing; None if there is none."""
        return next((box for box in self.inside(boxes) if self._is_free(box)), None)

    def clearest(self, boxes: Iterable[Box]) -> Box | None:
        """The first box that covers fewest lines, of those that cover no label and no marker."""
        free = [box for box in self.inside(boxes) if self._is_free(box)]
        return min(free, key=self._covered_lines, default=None)

    def _is_free(self, box: Box) -> bool:
        return not any(overlap(box, other) for other in self.taken)

    def _covered_lines(self, box: Box) -> int:
        return sum(
            any(box[0] < x < box[2] and box[1] < y < box[3] for x, y in line) for line in self.lines
        )


def overlap(one: Box, other: Box) -> bool:
    """True if two boxes have an area in common."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def along(points: Sequence[Spot], *, step: float = 5.0) -> list[Spot]:
    """Points on the straight lines between `points`, not further apart than `step`."""
    dense = list(points[:1])
    for (x, y), (next_x, next_y) in pairwise(points):
        count = int(max(abs(next_x - x), abs(next_y - y)) / step) + 1
        dense += [
            (x + (next_x - x) * k / count, y + (next_y - y) * k / count)
            for k in range(1, count + 1)
        ]
    return dense
