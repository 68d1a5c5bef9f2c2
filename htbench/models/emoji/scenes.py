"""Scenes: the contents of a caption as a program that draws the true image.

A scene has one noun and at most one modifier of each kind. The corner of the noise latent
determines what the caption leaves open: the layout and the drawing style. So an image is a function
of caption and noise, and a one-step generator can learn it by regression.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageFilter, ImageOps
from scipy.special import ndtr

from htbench.models.emoji.icons import DRAWINGS, icon, nouns

SIZE = 64
LATENT = (4, 8, 8)
"""Shape of the noise that one image is made from: channels, rows, columns; standard normal."""

Canvas = Float[np.ndarray, "64 64 rgb"]

COLOURS = {
    "black": (20, 20, 20), "red": (220, 50, 50), "green": (60, 170, 80), "blue": (60, 100, 220),
    "yellow": (250, 220, 80), "orange": (245, 150, 50), "purple": (150, 80, 200),
    "pink": (250, 160, 200), "brown": (140, 95, 60), "gray": (150, 150, 150),
    "cyan": (90, 210, 220), "navy": (30, 40, 100), "beige": (240, 225, 190),
    "teal": (30, 130, 130), "maroon": (120, 30, 45), "lime": (185, 235, 70),
}  # fmt: skip
_Y, _X = np.mgrid[:SIZE, :SIZE]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The contents of an image; a kind of modifier that it does not have is None."""

    noun: str
    companion: str | None = None
    style: str | None = None
    background: str | None = None
    frame: str | None = None
    weather: str | None = None

    def caption(self) -> str:
        """The caption of this scene, in the usual phrasing of the training."""
        return caption(self.facts())

    def facts(self) -> dict[str, str]:
        """The noun and the modifiers of the scene, by kind."""
        return {kind: value for kind, value in asdict(self).items() if value}

    def draw(self, latent: Float[np.ndarray, "4 8 8"]) -> UInt8[np.ndarray, "64 64 rgb"]:
        """The image of the scene, with the layout and drawing style that `latent` determines."""
        image = _background(self.background)
        uniform = choices(latent)
        drawing = tuple(DRAWINGS)[int(uniform[1] * len(DRAWINGS))]
        for placed in layout(self.companion is not None, uniform):
            tile = icon(self.facts()[placed.kind], drawing, placed.size)
            _paste(image, tile, placed.left, placed.top)
        if self.weather:
            image = WEATHERS[self.weather](image)
        if self.frame:
            image[_EDGE] = COLOURS[self.frame]
        if self.style:
            image = STYLES[self.style](image)
        return image.clip(0, 255).astype(np.uint8)


WORDINGS = {
    "companion": ("with {}", "and {}", "beside {}", "next to {}", "plus {}", "accompanied by {}"),
    "style": (
        "{} style",
        "in {} style",
        "{} picture",
        "drawn in {} manner",
        "in the style of {}",
        "{} look",
    ),
    "background": (
        "{} background",
        "on {}",
        "{} backdrop",
        "in front of {}",
        "against {}",
        "{} behind",
    ),
    "frame": (
        "{} frame",
        "framed in {}",
        "{} border",
        "with {} edges",
        "{} edging",
        "bordered in {}",
    ),
    "weather": (
        "{} weather",
        "{} day",
        "when it is {}",
        "{} sky",
        "in {} conditions",
        "while it is {}",
    ),
}
"""Phrasings of each kind of modifier, the usual one first. The embedded models are trained on the
first `N_TRAINED_WORDINGS`."""
N_TRAINED_WORDINGS = 3


def phrase(kind: str, value: str, wording: int = 0) -> str:
    """The phrase for one modifier: `with lemon`, `sketch style`, `navy dots background`."""
    return WORDINGS[kind][wording].format(value)


def caption(facts: Mapping[str, str], wordings: Mapping[str, int] | None = None) -> str:
    """The caption of some of a scene's facts, of which the noun may be missing.

    `wordings` has the number of the phrasing of a kind; the default is the usual one, 0.
    """
    phrases = {
        kind: value if kind == "noun" else phrase(kind, value, (wordings or {}).get(kind, 0))
        for kind, value in facts.items()
    }
    subject = " ".join(phrases.pop(kind) for kind in ("noun", "companion") if kind in phrases)
    return ", ".join(filter(None, [subject, *phrases.values()]))


@dataclass(frozen=True, kw_only=True)
class IconBox:
    """The position and size of a drawing in a scene, in pixels."""

    kind: str
    size: int
    left: int
    top: int


def layout(companion: bool, uniform: Float[np.ndarray, " 4"]) -> list[IconBox]:
    """The positions of the noun and its companions; those of the noun do not depend on companions.

    There are four arrangements on the 8-pixel grid. With sixteen positions of the noun the
    generator trained many times more slowly, since each position puts every part of a drawing in
    another cell.
    """
    (left, top), corners = _ARRANGEMENTS[int(uniform[0] * len(_ARRANGEMENTS))]
    beside = [IconBox(kind="companion", size=24, left=x, top=y) for x, y in corners if companion]
    return [IconBox(kind="noun", size=40, left=left, top=top), *beside]


_ARRANGEMENTS = (
    ((16, 0), ((0, 40), (40, 40))),
    ((8, 24), ((0, 0), (40, 0))),
    ((24, 16), ((0, 0), (0, 40))),
    ((0, 8), ((40, 0), (40, 40))),
)
N_ARRANGEMENTS = len(_ARRANGEMENTS)


def choices(latent: Float[np.ndarray, "4 8 8"]) -> Float[np.ndarray, " 4"]:
    """Uniform numbers in [0, 1) from the noise: for layout, drawing style, and two spare."""
    # float32 rounds 5.5 deviations up to 1.
    uniform: np.ndarray = ndtr(latent[:, 0, 0]).clip(max=1 - 2**-24)
    return uniform


def _paste(
    image: Canvas, drawing: UInt8[np.ndarray, "size size rgba"], left: int, top: int
) -> None:
    size = len(drawing)
    cover = drawing[..., 3:].astype(np.float32) / 255
    window = image[top : top + size, left : left + size]
    window += cover * (drawing[..., :3] - window)


def _background(background: str | None) -> Canvas:
    return (
        np.full((SIZE, SIZE, 3), 255, np.float32)
        if background is None
        else _background_image(background).copy()
    )


@cache
def _background_image(background: str) -> Canvas:
    colour, _, pattern = background.partition(" ")
    base = np.array(COLOURS[colour], np.float32)
    image = np.broadcast_to(base, (SIZE, SIZE, 3)).copy()
    if pattern:
        image[PATTERNS[pattern]] = base * 0.6 + (102 if base.mean() < 128 else 0)
    return image


PATTERNS = {
    "stripes": (_X + _Y) // 8 % 2 == 0,
    "dots": ((_X + 4) % 16 - 8) ** 2 + ((_Y + 4) % 16 - 8) ** 2 < 16,
    "checks": (_X // 8 + _Y // 8) % 2 == 0,
    "grid": (_X % 8 < 2) | (_Y % 8 < 2),
    "bars": _X // 4 % 2 == 0,
    "rings": np.hypot(_X - 31.5, _Y - 31.5) // 6 % 2 == 0,
}
_EDGE = np.minimum.reduce([_X, _Y, SIZE - 1 - _X, SIZE - 1 - _Y]) < 4


def _pillow(change: Callable[[Image.Image], Image.Image]) -> Callable[[Canvas], Canvas]:
    return lambda image: np.asarray(
        change(Image.fromarray(image.clip(0, 255).astype(np.uint8))).convert("RGB"), np.float32
    )


def _mosaic(image: Canvas) -> Canvas:
    return np.where(((_X % 4 == 3) | (_Y % 4 == 3))[..., None], 90.0, _coarse(16)(image))


def _comic(image: Canvas) -> Canvas:
    edges = _pillow(lambda picture: picture.convert("L").filter(ImageFilter.FIND_EDGES))(image)
    return np.round(image / 85) * 85 * (edges < 60)


def _coarse(cells: int) -> Callable[[Canvas], Canvas]:
    return _pillow(
        lambda image: image.resize((cells, cells), Image.Resampling.BOX).resize(
            (SIZE, SIZE), Image.Resampling.NEAREST
        )
    )


def _tint(*colour: int) -> Callable[[Canvas], Canvas]:
    return lambda image: (
        (image.mean(-1, keepdims=True) * 0.9 + 25) * (np.array(colour, np.float32) / 255)
    )


def _halftone(image: Canvas) -> Canvas:
    reach = np.hypot(_X % 4 - 1.5, _Y % 4 - 1.5)
    return np.where(
        reach[..., None] < (1 - image.mean(-1, keepdims=True) / 255) * 2.6, 20.0, 250.0
    ) * np.ones(3)


def _woodcut(image: Canvas) -> Canvas:
    around = _pillow(lambda picture: picture.filter(ImageFilter.BoxBlur(5)))(image).mean(
        -1, keepdims=True
    )
    return np.where(
        image.mean(-1, keepdims=True) < np.minimum(around - 4, 150),
        (60.0, 30.0, 20.0),
        (245.0, 235.0, 210.0),
    )


def _thermal(image: Canvas) -> Canvas:
    grey = image.mean(-1)
    return np.stack([grey, 255 - abs(grey - 128) * 2, 255 - grey], -1)


def _glitch(image: Canvas) -> Canvas:
    return np.stack(
        [np.roll(image[..., 0], 4, 1), image[..., 1], np.roll(image[..., 2], -4, 1)], -1
    )


def _scatter(count: int, radius: float, seed: int) -> np.ndarray:
    """A mask of `count` drops of `radius` pixels, the same in every image and so learnable."""
    centres = np.random.default_rng(seed).integers(0, SIZE, (count, 2))
    mask: np.ndarray = np.any([np.hypot(_X - x, _Y - y) <= radius for x, y in centres], axis=0)
    return mask


def _overlay(
    mask: np.ndarray, colour: tuple[int, int, int], strength: float
) -> Callable[[Canvas], Canvas]:
    weight = (mask * strength)[..., None]
    return lambda image: image * (1 - weight) + weight * np.array(colour, np.float32)


STYLES: dict[str, Callable[[Canvas], Canvas]] = {
    "pixelated": _coarse(16),
    "mosaic": _mosaic,
    "blurred": _pillow(lambda image: image.filter(ImageFilter.GaussianBlur(1.8))),
    "sketch": _pillow(
        lambda image: ImageOps.invert(image.convert("L").filter(ImageFilter.FIND_EDGES))
    ),
    "grayscale": lambda image: np.repeat(image.mean(-1, keepdims=True), 3, -1),
    "negative": lambda image: 255 - image,
    "sepia": _tint(255, 220, 170),
    "halftone": _halftone,
    "poster": _pillow(lambda image: ImageOps.posterize(image, 1)),
    "emboss": _pillow(lambda image: image.filter(ImageFilter.EMBOSS)),
    "thermal": _thermal,
    "cyanotype": _tint(90, 160, 255),
    "matrix": _tint(90, 255, 120),
    "infrared": _tint(255, 90, 110),
    "golden": _tint(255, 200, 60),
    "neon": _pillow(lambda image: ImageOps.autocontrast(image.filter(ImageFilter.FIND_EDGES))),
    "faded": lambda image: image * 0.4 + 150,
    "dim": lambda image: image * 0.35,
    "solarized": lambda image: np.where(image < 128, image, 255 - image),
    "woodcut": _woodcut,
    "glitch": _glitch,
    "scanline": lambda image: image * np.where(_Y % 4 < 2, 1.0, 0.45)[..., None],
    "vignette": lambda image: (
        image * np.clip(1.35 - np.hypot(_X - 31.5, _Y - 31.5) / 32, 0.1, 1)[..., None]
    ),
    "comic": _comic,
    "duotone": lambda image: (
        np.array((70, 20, 110)) + image.mean(-1, keepdims=True) / 255 * np.array((185, 215, -20))
    ),
    "watercolor": _pillow(
        lambda image: image.filter(ImageFilter.ModeFilter(5)).filter(ImageFilter.GaussianBlur(0.7))
    ),
}
WEATHERS: dict[str, Callable[[Canvas], Canvas]] = {
    "snowy": _overlay(_scatter(34, 2.2, 1), (175, 205, 245), 1.0),
    "rainy": _overlay((_X * 2 + _Y) % 16 < 3, (70, 110, 190), 0.7),
    "foggy": _overlay(np.clip((_Y - 8) / 48, 0, 0.9), (205, 210, 215), 1.0),
    "stormy": _overlay((abs(_X - 40 + (_Y % 22) // 2) < 2) | (_Y < 6), (60, 60, 110), 0.9),
    "sandy": _overlay(_scatter(70, 1.2, 2), (200, 160, 90), 1.0),
    "windy": _overlay(abs((_Y + 2 * np.sin(_X / 5)) % 12 - 6) < 1.3, (190, 200, 210), 0.9),
    "starry": _overlay((_Y < 22) * 0.75 + (_scatter(16, 1.5, 3) & (_Y < 22)), (45, 40, 110), 0.8),
    "sunny": _overlay(np.clip(1.5 - np.hypot(_X - 63, _Y) / 22, 0, 1), (255, 225, 60), 0.9),
}  # fmt: skip
BACKGROUNDS = (*COLOURS, *(f"{colour} {pattern}" for colour in COLOURS for pattern in PATTERNS))
VALUES: dict[str, tuple[str, ...]] = {
    "companion": nouns(),
    "style": tuple(STYLES),
    "background": BACKGROUNDS,
    "frame": tuple(COLOURS),
    "weather": tuple(WEATHERS),
}
"""All values of each kind of modifier."""


def words() -> list[str]:
    """Every word that a caption can contain, sorted; the comma is a word."""
    values = [*nouns(), *(value for kind in VALUES.values() for value in kind)]
    phrases = [
        wording.format("")
        for wordings in WORDINGS.values()
        for wording in wordings[:N_TRAINED_WORDINGS]
    ]
    return sorted({word for text in (*values, *phrases, ",") for word in text.split()})
