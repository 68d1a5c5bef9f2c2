"""Materials: what the picture seems to be made or cast of."""

import numpy as np
from PIL import ImageFilter

from htbench.models.emoji.canvas import (
    Canvas,
    Draw,
    X,
    Y,
    blur,
    chain,
    gradient,
    grey,
    moved,
    pillow,
    posterise,
    relief,
    saturate,
    tone,
)
from htbench.models.emoji.styles.style import family


def _cast(colours: tuple[str, ...], depth: float, *, soft: float = 0.8) -> Draw:
    """A relief in a gradient map: lit from the upper left."""
    shade, smooth = gradient(*colours), blur(soft)

    def draw(image: Canvas) -> Canvas:
        flat = smooth(image)
        height = grey(flat) * 0.6 + 42
        return shade(height[..., None] + relief(flat) * depth * np.ones(3))

    return draw


def _leaded(image: Canvas) -> Canvas:
    lead = (X % 16 < 2) | (Y % 16 < 2) | ((X + Y) % 32 < 2)
    pane = (
        saturate(2.4)(blur(1)(image))
        * np.where((X // 16 + Y // 16) % 2 == 0, 0.95, 0.78)[..., None]
    )
    pane = pane * np.array((1.0, 0.95, 0.85)) + np.where((X + Y) % 32 < 16, 18, -12)[..., None]
    return np.where(lead[..., None], 22.0, pane)


def _foil(image: Canvas) -> Canvas:
    facet = np.sin(X / 3.1 + 2 * np.sin(Y / 4.3)) + np.sin(Y / 2.7 + 2 * np.sin(X / 5.1))
    return (grey(image) * 0.75 + 40 + facet * 24)[..., None] * np.array((0.97, 1.0, 1.05))


def _pearl(image: Canvas) -> Canvas:
    phase = grey(blur(2)(image))[..., None] / 40 + (X + Y)[..., None] / 16
    sheen = np.cos(phase + np.array((0, 2.1, 4.2))) * 24
    return image * 0.5 + 108 + sheen


def _slime(image: Canvas) -> Canvas:
    goo = gradient("0a2600", "3aa010", "a8f040", "e8ffb0")
    flat = blur(1.4)(image)
    drip = moved(Y - np.round(5 * abs(np.sin(X / 4.5))), X)(flat)
    return goo(drip * 0.8 + relief(drip) * 2.0 + 10)


def _smoky(image: Canvas) -> Canvas:
    curls = np.sin(X / 7 + 2.5 * np.sin(Y / 9)) * np.sin(Y / 8 + 2 * np.sin(X / 10))
    veil = np.clip(0.5 + 0.45 * curls, 0, 1)[..., None]
    return blur(0.8)(image) * (1 - veil) + veil * np.array((92, 92, 104))


def _origami(image: Canvas) -> Canvas:
    fold = ((X % 16 + Y % 16) < 16).astype(int) + 2 * ((X % 32 < 16) ^ (Y % 32 < 16))
    return posterise(4)(image) * np.array([1.0, 0.8, 0.9, 0.68])[fold][..., None] + 12


def _porcelain(image: Canvas) -> Canvas:
    glaze = gradient("081c6c", "1e48c8", "a8c0f0", "f6f8fc")(tone(1.2, -10)(image))
    shine = np.exp(-((X - Y - 10) ** 2) / 30)[..., None] * 40
    return glaze + shine - relief(image) * 0.25


def _plastic(image: Canvas) -> Canvas:
    flat = blur(0.9)(saturate(1.9)(image))
    return (
        flat * 0.9
        + np.maximum(relief(blur(1.5)(image)), 0) * 2.2
        - np.maximum(-relief(flat), 0) * 0.8
    )


STYLES = family(
    "material",
    (
        "emboss",
        pillow(lambda image: image.filter(ImageFilter.EMBOSS)),
        "raised relief; pressed sheet",
        "repousse; tactile",
    ),
    (
        "chrome",
        chain(
            blur(1), gradient("000000", "90a0b8", "ffffff", "303848", "e0f0ff", "586880", "ffffff")
        ),
        "shiny fender; mercury",
        "terminator; hotrod",
    ),
    (
        "bronze",
        _cast(("140a04", "5c3a14", "b07a34", "ffe0a0"), 2.6),
        "statue; third-place",
        "foundry; burnished alloy",
    ),
    (
        "clay",
        _cast(("3a1a0c", "a85c3c", "d89070", "f4c4a4"), 2.4, soft=0.9),
        "modelled mud; pottery",
        "wallace-gromit; kiln",
    ),
    (
        "plaster",
        _cast(("6a6862", "b8b4aa", "dcd8ce", "fffdf6"), 2.2),
        "gypsum cast; museum bust",
        "stucco; acropolis",
    ),
    (
        "wax",
        _cast(("4a0008", "a01020", "d84048", "ffb0a0"), 2.4, soft=1.0),
        "sealing-drip; crimson paraffin",
        "signet; courtly",
    ),
    (
        "frozen",
        _cast(("0a3a6a", "58a8e0", "b0e0fa", "ffffff"), 2.8),
        "chilled sculpture; refrigerated",
        "subzero; winterised",
    ),
    ("plastic", _plastic, "glossy toy; moulded polymer", "tupperware; injection"),
    ("leaded", _leaded, "stained cathedral; rose-tracery", "chapel panes; tiffany"),
    ("foil", _foil, "crinkled aluminium; kitchen wrap", "leftovers; rotisserie"),
    ("pearl", _pearl, "nacre; oystershell", "lustrous; bridal"),
    ("slime", _slime, "dripping goo; sticky ooze", "gooey; ectoplasm"),
    ("smoky", _smoky, "drifting fumes; incense curls", "vapour; chimney"),
    ("origami", _origami, "folded sheet; crisp creases", "pleated; crane"),
    ("porcelain", _porcelain, "ming vase; glazed teacup", "meissen; dynasty"),
)
