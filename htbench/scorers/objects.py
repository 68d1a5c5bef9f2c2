r"""Scores of the objects that stand on a picture's ground: how many there are, and how far the
largest has moved. They are for drawings; a photograph has no ground in this sense.

**Ground.** The outer eighth of the picture on each side is a ring. The most frequent colour in it
is one of the ground, with all pixels within `THRESHOLD` of it; these are left out and the next is
sought, until one has less than `GROUND_SHARE` of the ring. So a ground may have a pattern, or a
frame around it. Without any such colour all of the picture is one object.

**Objects** are the connected parts of what differs from each colour of the ground by more than
`THRESHOLD` in some channel. Lines less than three pixels wide are left out, gaps of up to two
pixels closed, and parts left out that are smaller than `LEAST_AREA`.

Pictures are reduced to `SIDE` pixels along their longer side first, the size at which it is known
how well this works: `htbench check scorers`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy import ndimage

from htbench.scorers.pixels import Levels, PixelScorer, read_rgb, to_levels
from htbench.scorers.scorer import Against, ScorerInput

SIDE = 64
"""Longer side of the pictures in which objects are sought, in pixels."""
MIN_SIDE = 16
"""Least width and height of such a picture: the ring of one is 2 pixels wide."""
THRESHOLD = 0.08
"""Difference of a channel's level from the ground's, above which a pixel is part of an object."""
GROUND_SHARE = 0.15
"""Least share of the ring that a colour of the ground has."""
LEAST_AREA = 0.03
"""Least area of an object, as a share of the picture: 123 pixels of 64 x 64."""


@dataclass(frozen=True, kw_only=True)
class Objects:
    """The objects in a picture."""

    areas: tuple[float, ...]
    """Their shares of the picture, the largest first."""
    x: float
    """Centre of the largest, as a share of the width from the left; NaN without objects."""
    y: float
    """Centre of the largest, as a share of the height from the top; NaN without objects."""

    @property
    def count(self) -> int:
        """Number of objects."""
        return len(self.areas)


def find_objects(levels: Levels) -> Objects:
    """The objects in a picture, as the module describes them; none in one of a single colour.

    Raises:
        ValueError: if a side is shorter than `MIN_SIDE`, or a level is no number.
    """
    if min(levels.shape[:2]) < MIN_SIDE:
        raise ValueError(_too_small())
    if not np.isfinite(levels).all():
        raise ValueError("a level of the picture is no number")
    mask = ndimage.binary_opening(_from_ground(levels) > THRESHOLD, np.ones((3, 3)))
    mask = ndimage.binary_closing(np.pad(mask, 1), np.ones((3, 3)))[1:-1, 1:-1]
    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(parts.ravel())[1:] / mask.size
    kept = np.sort(areas[areas >= LEAST_AREA])[::-1]
    if not len(kept):
        return Objects(areas=(), x=math.nan, y=math.nan)
    rows, columns = np.nonzero(parts == areas.argmax() + 1)
    height, width = mask.shape
    return Objects(
        areas=tuple(kept.tolist()),
        x=float(columns.mean() + 0.5) / width,
        y=float(rows.mean() + 0.5) / height,
    )


class ObjectCount(PixelScorer):
    """The number of objects as a scorer."""

    name, better, range = "object-count", "higher", (0, math.inf)
    summary = "Object count: number of objects on a drawing's ground; more is not better"

    def _measure(self, path: Path) -> float | str:
        objects = _find(path)
        return objects if isinstance(objects, str) else float(objects.count)


class Shift(PixelScorer):
    """A move of the largest object from its place in the unsteered picture, along one axis.

    0 where either picture has no object, as a picture that lost its object has not moved it.
    """

    against: ClassVar[Against] = "unsteered"
    range = -1, 1
    axis: ClassVar[str]

    def measure(self, inputs: Sequence[ScorerInput]) -> list[float | str]:
        return [self._shift(_find(item.image), _find(item.unsteered)) for item in inputs]

    def _shift(self, objects: Objects | str, unsteered: Objects | str) -> float | str:
        if isinstance(objects, str):
            return objects
        if isinstance(unsteered, str):
            return f"unsteered: {unsteered}"
        shift = float(getattr(objects, self.axis) - getattr(unsteered, self.axis))
        return 0.0 if math.isnan(shift) else shift


class ShiftRight(Shift):
    """The move to the right as a scorer."""

    name, better, axis = "shift-right", "higher", "x"
    summary = "Shift to the right of the largest object, in widths; more is not better"


class ShiftDown(Shift):
    """The move downwards as a scorer."""

    name, better, axis = "shift-down", "higher", "y"
    summary = "Shift downwards of the largest object, in heights; more is not better"


def _from_ground(levels: Levels) -> Float[np.ndarray, "height width"]:
    """Distance of each pixel from the nearest colour of the ground; infinite without any."""
    distance = np.full(levels.shape[:2], np.inf)
    for colour in _ground_colours(levels):
        np.minimum(distance, np.abs(levels - colour).max(-1), out=distance)
    return distance


def _ground_colours(levels: Levels) -> list[Float[np.ndarray, " rgb"]]:
    height, width = levels.shape[:2]
    is_ring = np.ones((height, width), bool)
    is_ring[height // 8 : -(height // 8), width // 8 : -(width // 8)] = False
    ring = levels[is_ring]
    colours, left = [], ring
    while len(left):
        cells = np.round(8 * left).astype(int) @ (1, 16, 256)
        names, counts = np.unique(cells, return_counts=True)
        middle = left[cells == names[counts.argmax()]].mean(0)
        is_near = np.abs(left - middle).max(-1) <= THRESHOLD  # all of the cell are
        if np.count_nonzero(is_near) < GROUND_SHARE * len(ring):
            break
        colours.append(np.median(left[is_near], axis=0))
        left = left[~is_near]
    return colours


def _find(path: Path) -> Objects | str:
    file = path.stat()
    return _objects(path, file.st_mtime_ns, file.st_size)


@lru_cache(maxsize=1 << 16)
def _objects(path: Path, modified: int, size: int) -> Objects | str:
    """The objects of a picture, found once for several scorers; or a reason."""
    picture = read_rgb(path)
    longer = max(picture.size)
    if longer > SIDE:
        width, height = (max(1, round(SIDE * side / longer)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)
    return _too_small() if min(picture.size) < MIN_SIDE else find_objects(to_levels(picture))


def _too_small() -> str:
    return f"the picture is smaller than {MIN_SIDE} x {MIN_SIDE} pixels, at most {SIDE} long"
