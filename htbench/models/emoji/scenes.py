"""Scenes: the contents of a caption as a program that draws the true image.

A scene has one noun and at most one modifier of each kind. The corner of the noise latent
determines what the caption leaves open: the layout and the drawing style. So an image is a function
of caption and noise, and a one-step generator can learn it by regression.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, UInt8
from scipy.special import ndtr

from htbench.models.emoji.canvas import SIZE, Canvas
from htbench.models.emoji.icons import DRAWINGS, icon
from htbench.models.emoji.styles import STYLES
from htbench.models.emoji.surroundings import COLOURS, FRAMES, PATTERNS, WEATHERS
from htbench.models.emoji.worlds import WORDINGS

LATENT = (4, 8, 8)
"""Shape of the noise that one image is made from: channels, rows, columns; standard normal."""


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
        return {kind: value for kind, value in vars(self).items() if value}

    def draw(self, latent: Float[np.ndarray, "4 8 8"]) -> UInt8[np.ndarray, "64 64 rgb"]:
        """The image of the scene, with the layout and drawing style that `latent` determines."""
        image = background_canvas(self.background)
        uniform = choices(latent)
        drawing = tuple(DRAWINGS)[int(uniform[1] * len(DRAWINGS))]
        for placed in layout(self.companion is not None, uniform):
            tile = icon(self.facts()[placed.kind], drawing, placed.size)
            _paste(image, tile, placed.left, placed.top)
        if self.weather:
            image = WEATHERS[self.weather](image)
        if self.frame:
            image = FRAMES[self.frame](image)
        if self.style:
            image = STYLES[self.style].draw(image)
        return image.clip(0, 255).astype(np.uint8)


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


def background_canvas(background: str | None) -> Canvas:
    """A canvas with nothing on it but a background, such as `navy dots`; white for None."""
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
