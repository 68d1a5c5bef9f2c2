"""The canvas of a scene and the operations that styles, frames and weather are composed of.

All are functions of the pixels alone, without randomness, and patterns repeat on the grid of cells
or are the same in every image: so a network that draws 8 x 8 pixels at a time can learn them.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Num
from PIL import Image, ImageFilter

SIZE = 64
Canvas = Float[np.ndarray, "64 64 rgb"]
"""Levels of an image, from 0 to 255; styles clip nothing, the scene does at its end."""
Draw = Callable[[Canvas], Canvas]
Mask = Float[np.ndarray, "64 64"] | Bool[np.ndarray, "64 64"]
Colour = tuple[float, float, float]
"""Red, green and blue, 0 to 255."""
Y, X = np.mgrid[:SIZE, :SIZE]
DISTANCE = np.hypot(X - 31.5, Y - 31.5)
"""Distance of each pixel from the centre, in pixels."""
MARGIN = np.minimum.reduce([X, Y, SIZE - 1 - X, SIZE - 1 - Y])
"""Distance of each pixel from the nearest edge: 0 at the edge itself."""
BLACK, WHITE = (15.0, 15.0, 15.0), (250.0, 250.0, 250.0)


def chain(*draws: Draw) -> Draw:
    """The operations one after the other."""

    def draw(image: Canvas) -> Canvas:
        for each in draws:
            image = each(image)
        return image

    return draw


def pillow(change: Callable[[Image.Image], Image.Image]) -> Draw:
    """An operation of Pillow on 8-bit levels."""
    return lambda image: np.asarray(
        change(Image.fromarray(image.clip(0, 255).astype(np.uint8))).convert("RGB"), np.float32
    )


def rgb(code: str) -> Float[np.ndarray, " 3"]:
    """The colour of a hexadecimal code such as `b8622e`."""
    return np.array([int(code[k : k + 2], 16) for k in (0, 2, 4)], np.float32)


def grey(image: Canvas) -> Float[np.ndarray, "64 64"]:
    """Mean of the three channels."""
    levels: np.ndarray = image.mean(-1)
    return levels


def gradient(*stops: str) -> Draw:
    """A gradient map: the grey level chooses a colour between evenly spaced `stops`, dark first."""
    ticks = np.linspace(0, 255, len(stops))
    colours = np.stack([rgb(stop) for stop in stops])
    table = np.stack([np.interp(np.arange(256), ticks, colours[:, k]) for k in range(3)], -1)
    return lambda image: table[_bytes(grey(image))]


def bands(*stops: str) -> Draw:
    """A gradient map without transitions: as many flat colours as `stops`, dark first."""
    table = np.stack([rgb(stops[k * len(stops) // 256]) for k in range(256)])
    return lambda image: table[_bytes(grey(image))]


def tint(*colour: int) -> Draw:
    """Grey levels in one colour, with lifted blacks."""
    return lambda image: (
        (image.mean(-1, keepdims=True) * 0.9 + 25) * (np.array(colour, np.float32) / 255)
    )


def multiply(mask: Mask | Float[np.ndarray, "64 64 rgb"]) -> Draw:
    """Levels times a mask, or a coloured one."""
    factor = (mask if mask.ndim == 3 else mask[..., None]).astype(np.float32)
    return lambda image: image * factor


def add(mask: Mask | Float[np.ndarray, "64 64 rgb"]) -> Draw:
    """Levels plus a mask, or a coloured one."""
    term = (mask if mask.ndim == 3 else mask[..., None]).astype(np.float32)
    return lambda image: image + term


def overlay(mask: Mask, colour: Colour, strength: float = 1.0) -> Draw:
    """`colour` over the image where `mask` is 1, in part where it is between 0 and 1."""
    weight = (mask * strength)[..., None]
    return lambda image: image * (1 - weight) + weight * np.array(colour, np.float32)


def tone(gain: float, lift: float = 0.0) -> Draw:
    """Contrast around mid-grey, then an offset."""
    return lambda image: (image - 128) * gain + 128 + lift


def saturate(amount: float) -> Draw:
    """Distance of each channel from grey times `amount`; 0 is grey."""

    def draw(image: Canvas) -> Canvas:
        middle = image.mean(-1, keepdims=True)
        return np.asarray(middle + (image - middle) * amount)

    return draw


def posterise(steps: int) -> Draw:
    """Each channel in `steps` + 1 levels."""
    return lambda image: np.round(image * (steps / 255)) * (255 / steps)


def blur(radius: float) -> Draw:
    """Gaussian blur."""
    return pillow(lambda image: image.filter(ImageFilter.GaussianBlur(radius)))


def coarse(cells: int) -> Draw:
    """Means over a grid of `cells` x `cells`."""
    return pillow(
        lambda image: image.resize((cells, cells), Image.Resampling.BOX).resize(
            (SIZE, SIZE), Image.Resampling.NEAREST
        )
    )


def moved(rows: Num[np.ndarray, "64 64"], columns: Num[np.ndarray, "64 64"]) -> Draw:
    """Each pixel is the one nearest to these `rows` and `columns`, within the image."""
    index = (
        np.round(rows).astype(int).clip(0, SIZE - 1) * SIZE
        + np.round(columns).astype(int).clip(0, SIZE - 1)
    ).ravel()
    return lambda image: image.reshape(-1, 3)[index].reshape(image.shape)


def shifted(image: Canvas, down: int, right: int) -> Canvas:
    """The image moved by whole pixels; what leaves at one side comes in at the other."""
    return np.roll(image, (down, right), (0, 1))


def edges(image: Canvas) -> Float[np.ndarray, "64 64"]:
    """Sum of the differences of grey levels to the pixels above and to the left, from 0."""
    levels = grey(image)
    steps = np.zeros_like(levels)
    steps[:, 1:] += abs(np.diff(levels, axis=1))
    steps[1:] += abs(np.diff(levels, axis=0))
    return steps


def relief(image: Canvas) -> Float[np.ndarray, "64 64 1"]:
    """Slope of the grey levels towards the lower right, as light from the upper left shows it."""
    levels = grey(image)
    slope = np.zeros_like(levels)
    slope[1:, 1:] = levels[1:, 1:] - levels[:-1, :-1]
    return slope[..., None]


def from_ground(image: Canvas) -> Float[np.ndarray, "64 64"]:
    """Distance of each pixel from the typical level of the picture's sides."""
    sides = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    distance: np.ndarray = abs(image - np.median(sides, 0)).max(-1)
    return distance


def inked(is_ink: Bool[np.ndarray, "64 64"], ink: Colour = BLACK, paper: Colour = WHITE) -> Canvas:
    """Two colours."""
    return np.where(is_ink[..., None], np.array(ink, np.float32), np.array(paper, np.float32))


def screened(threshold: Mask, ink: str = "141414", paper: str = "fafafa") -> Draw:
    """Ink on paper wherever the grey level is below the threshold, 0 to 255."""
    dark, bright = tuple(rgb(ink).tolist()), tuple(rgb(paper).tolist())
    return lambda image: inked(grey(image) < threshold, dark, bright)


def scatter(count: int, radius: float, seed: int) -> Bool[np.ndarray, "64 64"]:
    """A mask of `count` drops of `radius` pixels, the same in every image and so learnable."""
    centres = np.random.default_rng(seed).integers(0, SIZE, (count, 2))
    mask: np.ndarray = np.any([np.hypot(X - x, Y - y) <= radius for x, y in centres], axis=0)
    return mask


@cache
def grain(seed: int, cell: int = 1, period: int = SIZE) -> Float[np.ndarray, "64 64"]:
    """Uniform noise from -1 to 1 in squares of `cell` pixels, repeated with `period`."""
    side = period // cell
    noise = np.random.default_rng(seed).uniform(-1, 1, (side, side)).repeat(cell, 0)
    noise = noise.repeat(cell, 1)
    return np.tile(noise, (SIZE // period, SIZE // period))


def _bytes(levels: Float[np.ndarray, "64 64"]) -> np.ndarray:
    return levels.clip(0, 255).astype(np.uint8)
