"""Film and screen: photographic processes, video, displays and instruments."""

import numpy as np
from PIL import ImageFilter, ImageOps

from htbench.models.emoji.canvas import (
    DISTANCE,
    Canvas,
    X,
    Y,
    bands,
    chain,
    coarse,
    edges,
    gradient,
    grain,
    grey,
    inked,
    multiply,
    pillow,
    rgb,
    saturate,
    tone,
)
from htbench.models.emoji.styles.printing import ORDERED
from htbench.models.emoji.styles.style import family


def _glitch(image: Canvas) -> Canvas:
    return np.stack(
        [np.roll(image[..., 0], 4, 1), image[..., 1], np.roll(image[..., 2], -4, 1)], -1
    )


def _vhs(image: Canvas) -> Canvas:
    luma, chroma = grey(image)[..., None], image - image.mean(-1, keepdims=True)
    smeared = luma * 0.85 + 20 + np.roll(chroma, 6, 1) * 1.1
    smeared[48:52] = np.roll(smeared[48:52], 12, 1) * 0.5 + 110
    smeared[8:10] = 235
    return smeared * np.where(Y % 2 == 0, 1.0, 0.88)[..., None]


_TRIADS = np.stack([np.where(k == X % 4, 1.35, 0.45) for k in range(3)], -1)
_TRIADS[:, 3::4] = 0.15


def _crt(image: Canvas) -> Canvas:
    return image * _TRIADS * np.where(Y % 4 == 3, 0.25, 1.1)[..., None] + 6


_GLYPHS = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0],
        [0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0],
        [1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0],
        [1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    ]
)
"""Characters of 4 x 4 pixels, the densest last."""


def _ascii(image: Canvas) -> Canvas:
    cells = grey(image).reshape(16, 4, 16, 4).mean((1, 3))
    density = (7.99 * (1 - cells.clip(0, 255) / 256)).astype(int)
    lit = _GLYPHS[density.repeat(4, 0).repeat(4, 1), Y % 4 * 4 + X % 4]
    return inked(lit > 0, (60.0, 255.0, 110.0), (6.0, 20.0, 10.0))


_NOISE = grain(19, 2, 32)


def _nightvision(image: Canvas) -> Canvas:
    levels = grey(tone(1.2)(image)) * 0.85 + 25 + _NOISE * 18
    levels = levels * np.clip(1.5 - DISTANCE / 26, 0.03, 1)
    return levels[..., None] * np.array((0.35, 1.05, 0.3))


def _polaroid(image: Canvas) -> Canvas:
    aged = image * np.array((0.78, 0.8, 0.62)) + np.array((48, 36, 50))
    page = np.full_like(image, 244.0)
    page[5:50, 6:58] = aged[5:50, 6:58]
    return page


def _teletext(image: Canvas) -> Canvas:
    return np.where(coarse(16)(image) > 165, 255.0, 0.0) * 0.85 + 10


def _cga(image: Canvas) -> Canvas:
    small = coarse(32)(image)
    bright = grey(small) * 0.9 + (ORDERED - 128) * 0.35
    warm = small[..., 0] > small[..., 2] + 6
    colour = np.where(warm[..., None], rgb("ff55ff"), rgb("55ffff"))
    page = np.where((bright > 205)[..., None], 255.0, colour)
    return np.where((bright < 80)[..., None], 0.0, page)


def _lcd(image: Canvas) -> Canvas:
    small = grey(coarse(32)(image))
    gap = ((X % 2 == 1) & (Y % 2 == 1)) * 20 + (X % 8 == 7) * 16 + (Y % 8 == 7) * 16
    shade = np.where(small < 110, 0, np.where(small < 195, 0.5, 1))[..., None]
    return rgb("23301e") + (rgb("a9b89a") - rgb("23301e")) * shade - gap[..., None] * 0.8


def _hologram(image: Canvas) -> Canvas:
    light = np.minimum(edges(image) * 1.6, 160) + (255 - grey(image)) * 0.45
    lines = np.where(Y % 4 < 2, 1.0, 0.45)
    return (light * lines)[..., None] * rgb("60f0ff") / 255 + rgb("06122a")


def _radar(image: Canvas) -> Canvas:
    rings = (abs(DISTANCE % 10 - 5) < 0.7) | (abs(X - 32) < 1) | (abs(Y - 32) < 1)
    sweep = np.clip(1 - (np.arctan2(Y - 32, X - 32) % (2 * np.pi)) / 2, 0, 1)
    echo = 255 - grey(image)
    level = (echo * 0.8 + sweep * 80 + rings * 70) * (DISTANCE < 31)
    return level[..., None] * np.array((0.15, 1, 0.35)) + np.array((0, 16, 8))


def _wireframe(image: Canvas) -> Canvas:
    lines = np.minimum(edges(image) * 3, 255)[..., None]
    mesh = ((X % 8 == 0) | (Y % 8 == 0) | ((X + Y) % 8 == 0))[..., None]
    fill = (255 - grey(image))[..., None] * 0.25
    return lines * np.array((1.0, 0.55, 0.1)) + mesh * fill * np.array((1.6, 0.9, 0.2)) + 4


def _daguerreotype(image: Canvas) -> Canvas:
    oval = np.hypot((X - 31.5) / 25, (Y - 31.5) / 30)
    silver = gradient("1a1612", "6e665c", "c8bfae")(image)
    mat = rgb("6a3c1c") * np.where(abs(oval - 1.03) < 0.05, 1.9, 0.6)[..., None]
    return np.where((oval < 1)[..., None], silver, mat)


STYLES = family(
    "film and screen",
    (
        "grayscale",
        lambda image: np.repeat(image.mean(-1, keepdims=True), 3, -1),
        "colourless; monochrome photo",
        "achromatic; desaturated",
    ),
    (
        "negative",
        lambda image: 255 - image,
        "reversed tones; inverse colours",
        "complementary; photonegative",
    ),
    (
        "solarized",
        lambda image: np.where(image < 128, image, 255 - image),
        "sabattier; darkroom reversal",
        "pseudosolar; lee-miller",
    ),
    (
        "neon",
        pillow(lambda image: ImageOps.autocontrast(image.filter(ImageFilter.FIND_EDGES))),
        "gas tubes; buzzing signage",
        "vegas; electroluminescent",
    ),
    ("glitch", _glitch, "corrupted signal; channel displacement", "bugged; malfunction"),
    (
        "scanline",
        lambda image: image * np.where(Y % 4 < 2, 1.0, 0.45)[..., None],
        "cathode rows; horizontal raster",
        "trinitron; interleaved",
    ),
    ("vhs", _vhs, "rental cassette; tracking fuzz", "camcorder; betamax"),
    ("crt", _crt, "phosphor triads; cathode monitor", "shadow-mask; aperture grille"),
    (
        "gameboy",
        chain(
            coarse(32),
            tone(1.35, -25),
            lambda image: image + (ORDERED - 128)[..., None] * 0.18,
            bands("0f380f", "306230", "8bac0f", "9bbc0f"),
        ),
        "handheld console; pea-soup shades",
        "nintendo; dmg",
    ),
    ("ascii", _ascii, "typed characters; terminal letters", "text-mode; monospace"),
    (
        "nightvision",
        _nightvision,
        "soldier; intensifier",
        "starlit-optic; tactical",
    ),
    ("polaroid", _polaroid, "instant print; snapshot", "edwin; shake-it"),
    ("technicolor", chain(saturate(2.6), tone(1.05)), "oversaturated; lurid", "oz; gaudy"),
    ("teletext", _teletext, "ceefax; broadcast pages", "videotex; minitel"),
    ("cga", _cga, "four-colour pc; magenta-cyan adapter", "ibm; dos"),
    ("lcd", _lcd, "calculator display; seven-segment", "wristwatch; casio"),
    ("hologram", _hologram, "projected ghost; sci-fi apparition", "leia; interference"),
    ("radar", _radar, "sweeping sonar; air-traffic", "blip; submarine hunt"),
    ("wireframe", _wireframe, "vector arcade; skeleton polygons", "tron; cad"),
    (
        "radiograph",
        chain(lambda image: 255 - image, gradient("02060c", "28506c", "b8dcf0")),
        "bone scan; clinic",
        "roentgen; skeletal",
    ),
    ("daguerreotype", _daguerreotype, "victorian portrait; silver plate", "ancestor; tintype"),
    (
        "noir",
        chain(saturate(0), tone(2.4, -50), multiply(np.where((Y + X // 2) % 32 < 12, 0.45, 1.0))),
        "hardboiled; private eye",
        "bogart; femme fatale",
    ),
)
