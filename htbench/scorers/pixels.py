r"""Scores of a picture's pixels, alone or beside the unsteered ones: what steering does to them
beside adding a concept, and attributes that a concept may ask for.

Each pixel has a red, green and blue level from 0 to 1 and the luminance
:math:`Y = .299 R + .587 G + .114 B`; transparent pixels stand on white. No weights are needed.

References:
    Peli. Contrast in Complex Images. 1990. https://doi.org/10.1364/JOSAA.7.002032
    Immerkær. Fast Noise Variance Estimation. 1996. https://doi.org/10.1006/cviu.1996.0060
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from PIL import Image

from htbench.core import pictures
from htbench.scorers.scorer import Against, Better, ScorerCard, ScorerInput, ScorerVersion

VERSION = "1"
"""To be raised with any change of the functions below, which makes other scores."""
MAX_PIXELS = 1 << 22
"""A picture of more pixels, such as 4096 x 4096, is reduced by means over squares."""
MIN_SIDE = 3
"""Least width and height of a picture, in pixels: that of the noise estimate's mask."""
_END = 1.5 / 255
"""Distance from an end of the scale within which a level counts as clipped: one level of 255."""
CHANGE = 0.08
"""Difference of a level above which a pixel counts as another: 20 levels of 255."""
_OTHER_SIZE = "the unsteered picture has another size"

Levels = Float[np.ndarray, "height width rgb"]
"""Red, green and blue levels from 0 to 1."""


def contrast(levels: Levels) -> float:
    """Standard deviation of the luminance, 0 to .5: the root-mean-square contrast.

    0 for a picture of one luminance; a washed-out picture has little of it.
    """
    return float(_luminance(levels).std())


def clipping(levels: Levels) -> float:
    """Share of the levels of all channels that are at an end of the scale, 0 to 1.

    White and black pixels are left out, since backgrounds of drawings are often white; 0 for a
    picture of these alone. A picture that is burnt out, or of colours more saturated than can be
    shown, has much of it.
    """
    channels = [levels[..., k] for k in range(3)]
    low, high = [each <= _END for each in channels], [each >= 1 - _END for each in channels]
    coloured = ~(np.logical_and.reduce(low) | np.logical_and.reduce(high))
    number = int(np.count_nonzero(coloured))
    ends = sum(
        np.count_nonzero((one | other) & coloured) for one, other in zip(low, high, strict=True)
    )
    return ends / (3 * number) if number else 0.0


def noise(levels: Levels) -> float:
    r"""Standard deviation of the noise in the luminance, by Immerkær's estimate; 0 and above.

    .. math:: \sqrt{\frac{\pi}{2}} \frac{1}{6 (W - 2)(H - 2)} \sum |Y * N|

    where :math:`N`, the difference of two Laplacians, is 0 on planes and straight edges.
    """
    y = _luminance(levels)
    rows = y[:-2] - 2 * y[1:-1] + y[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(math.sqrt(math.pi / 2) / 6 * np.abs(both).mean())


def sharpness(levels: Levels) -> float:
    """Root-mean-square difference of the luminance of neighbouring pixels, by the contrast.

    0 for a picture of one luminance; the square root of 2 for independent pixels. Of two pictures
    with the same contents the blurred one has less, whatever their contrast.
    """
    y = _luminance(levels)
    deviation = float(y.std())
    if deviation < 1e-9:
        return 0.0
    squares = [np.square(np.diff(y, axis=axis)).mean() for axis in (0, 1)]
    return float(math.sqrt(sum(squares) / 2) / deviation)


def brightness(levels: Levels) -> float:
    """Mean of the luminance, 0 to 1."""
    return float(_luminance(levels).mean())


def saturation(levels: Levels) -> float:
    """Mean of a pixel's largest level less its smallest, 0 to 1; 0 for a picture in grey."""
    red, green, blue = (levels[..., k] for k in range(3))
    largest = np.maximum(np.maximum(red, green), blue)
    return float((largest - np.minimum(np.minimum(red, green), blue)).mean())


def hue(levels: Levels) -> float:
    r"""Hue of the mean colour, in degrees from 0 to 360: red is 0, green 120, blue 240.

    .. math:: \mathrm{atan2}(\sqrt 3 (G - B), 2 R - G - B)

    It is that of the mean, so that a picture of opposite colours has the hue of what they do not
    cancel. NaN where the mean colour is grey, to a level of 255.
    """
    red, green, blue = (float(levels[..., k].mean()) for k in range(3))
    across, up = 2 * red - green - blue, math.sqrt(3) * (green - blue)
    if math.hypot(across, up) / 2 < 1 / 255:
        return math.nan
    return math.degrees(math.atan2(up, across)) % 360


def hue_shift(levels: Levels, unsteered: Levels) -> float:
    """Turn of the hue from the unsteered picture's, in degrees, above -180 to 180.

    It is positive from red towards green. 0 where either picture has no hue, as a picture that
    turned grey has lost its colour and not turned it.
    """
    return _turn(hue(levels), hue(unsteered))


def coverage(levels: Levels, unsteered: Levels) -> float:
    """Share of the pixels that differ from the unsteered picture's, 0 to 1.

    A pixel differs if one of its channels does by more than `CHANGE`.

    Raises:
        ValueError: if the pictures have different sizes, or a level is no number.
    """
    if levels.shape != unsteered.shape:
        raise ValueError(_OTHER_SIZE)
    change = np.abs(levels - unsteered)
    if not np.isfinite(change).all():
        raise ValueError("a level of a picture is no number")
    return float((change > CHANGE).any(-1).mean())


class PixelScorer:
    """Implements `htbench.scorers.scorer.Scorer` for a function of a picture's levels.

    It works on the CPU, whatever the device.
    """

    name: ClassVar[str]
    better: ClassVar[Better]
    summary: ClassVar[str]
    paper: ClassVar[str] = ""
    against: ClassVar[Against] = "nothing"
    range: ClassVar[tuple[float, float]] = (0, 1)
    function: ClassVar[Callable[[Levels], float]]

    def __init__(
        self, device: str, *, weights: str = "hub", card: ScorerCard | None = None
    ) -> None:
        self.card = card or ScorerCard(
            name=self.name,
            gauge=self.name,
            better=self.better,
            against=self.against,
            range=self.range,
            licence="Apache-2.0, with htbench",
            summary=self.summary,
            paper=self.paper,
        )
        self.declared = ScorerVersion(name=self.card.name, version=VERSION, weights="none")

    def measure(self, inputs: Sequence[ScorerInput]) -> list[float | str]:
        return [self._measure(item.image) for item in inputs]

    def close(self) -> None:
        """Nothing: what was read is kept for the next of these scorers."""

    def _measure(self, path: Path) -> float | str:
        scores = _read(path)
        return scores if isinstance(scores, str) else scores[self.name]


class Contrast(PixelScorer):
    """Contrast as a scorer."""

    name, better, function, range = "contrast", "higher", contrast, (0, 0.5)
    summary = "Contrast: standard deviation of the luminance, 0 to .5; low where washed out"
    paper = "https://doi.org/10.1364/JOSAA.7.002032"


class Clipping(PixelScorer):
    """Clipping as a scorer."""

    name, better, function = "clipping", "lower", clipping
    summary = "Clipping: share of colours' levels at an end of the scale; high where burnt out"


class Noise(PixelScorer):
    """Noise as a scorer."""

    name, better, function, range = "noise", "lower", noise, (0, math.inf)
    summary = "Noise: standard deviation of the luminance's noise, by Immerkær's estimate"
    paper = "https://doi.org/10.1006/cviu.1996.0060"


class Sharpness(PixelScorer):
    """Sharpness as a scorer."""

    name, better, function, range = "sharpness", "higher", sharpness, (0, math.inf)
    summary = "Sharpness: difference of neighbouring pixels by the contrast; low where blurred"


class Brightness(PixelScorer):
    """Brightness as a scorer."""

    name, better, function = "brightness", "higher", brightness
    summary = "Brightness: mean luminance, 0 to 1; an attribute, of which more is not better"


class Saturation(PixelScorer):
    """Saturation as a scorer."""

    name, better, function = "saturation", "higher", saturation
    summary = "Saturation: mean spread of a pixel's levels, 0 to 1; more is not better"


class HueShift(PixelScorer):
    """The turn of the hue as a scorer."""

    name, better, function, range = "hue-shift", "higher", hue, (-180, 180)
    summary = "Hue shift: turn of the mean colour's hue from the unsteered picture's, in degrees"
    against: ClassVar[Against] = "unsteered"

    def measure(self, inputs: Sequence[ScorerInput]) -> list[float | str]:
        return [self._shift(_read(item.image), _read(item.unsteered)) for item in inputs]

    def _shift(
        self, scores: dict[str, float] | str, unsteered: dict[str, float] | str
    ) -> float | str:
        if isinstance(scores, str):
            return scores
        if isinstance(unsteered, str):
            return f"unsteered: {unsteered}"
        return _turn(scores[self.name], unsteered[self.name])


class Coverage(PixelScorer):
    """The share of the picture that has changed as a scorer."""

    name, better = "coverage", "higher"
    summary = "Coverage: share of the pixels that differ from the unsteered picture's, 0 to 1"
    against: ClassVar[Against] = "unsteered"

    def measure(self, inputs: Sequence[ScorerInput]) -> list[float | str]:
        return [self._coverage(item) for item in inputs]

    def _coverage(self, item: ScorerInput) -> float | str:
        picture, unsteered = read_rgb(item.image), read_rgb(item.unsteered)
        if picture.size != unsteered.size:
            return _OTHER_SIZE
        return coverage(to_levels(picture), to_levels(unsteered))


def _turn(hue: float, other: float) -> float:
    """The shorter way from `other` to `hue`, in degrees; 0 where either is NaN."""
    if math.isnan(hue) or math.isnan(other):
        return 0.0
    return 180 - (180 - hue + other) % 360


def _read(path: Path) -> dict[str, float] | str:
    file = path.stat()
    return _scores(path, file.st_mtime_ns, file.st_size)


@lru_cache(maxsize=1 << 16)
def _scores(path: Path, modified: int, size: int) -> dict[str, float] | str:
    """All scores of a picture by scorer, so that it is read once for several; or a reason."""
    picture = read_rgb(path)
    if min(picture.size) < MIN_SIDE:
        return f"the picture is smaller than {MIN_SIDE} x {MIN_SIDE} pixels"
    levels = to_levels(picture)
    return {scorer.name: scorer.function(levels) for scorer in _SCORERS}


def read_rgb(path: Path) -> Image.Image:
    """The picture in a file, on white where it is transparent, of at most `MAX_PIXELS`."""
    picture = pictures.read_picture(path, within=path.parent, pixels=MAX_PIXELS)
    return pictures.on_background(picture)


def to_levels(picture: Image.Image) -> Levels:
    """Levels whose channels lie apart in memory, which makes each channel's arithmetic quick."""
    return np.moveaxis(np.divide(np.moveaxis(np.asarray(picture), -1, 0), 255, order="C"), 0, -1)


def _luminance(levels: Levels) -> Float[np.ndarray, "height width"]:
    red, green, blue = (levels[..., k] for k in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


_SCORERS: tuple[type[PixelScorer], ...] = (
    *(Contrast, Clipping, Noise, Sharpness),
    *(Brightness, Saturation, HueShift),
)
