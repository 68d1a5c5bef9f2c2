"""Print techniques: inks, screens, plates and presses."""

import numpy as np
from PIL import ImageFilter, ImageOps

from htbench.models.emoji.canvas import (
    Canvas,
    Draw,
    X,
    Y,
    bands,
    blur,
    chain,
    edges,
    from_ground,
    gradient,
    grey,
    inked,
    multiply,
    pillow,
    posterise,
    rgb,
    scatter,
    screened,
    shifted,
    tone,
)
from htbench.models.emoji.styles.style import family


def _halftone(image: Canvas) -> Canvas:
    reach = np.hypot(X % 4 - 1.5, Y % 4 - 1.5)
    return np.where(
        reach[..., None] < (1 - image.mean(-1, keepdims=True) / 255) * 2.6, 20.0, 250.0
    ) * np.ones(3)


def _woodcut(image: Canvas) -> Canvas:
    around = pillow(lambda picture: picture.filter(ImageFilter.BoxBlur(5)))(image).mean(
        -1, keepdims=True
    )
    return np.where(
        image.mean(-1, keepdims=True) < np.minimum(around - 4, 150),
        (60.0, 30.0, 20.0),
        (245.0, 235.0, 210.0),
    )


def _comic(image: Canvas) -> Canvas:
    outlines = pillow(lambda picture: picture.convert("L").filter(ImageFilter.FIND_EDGES))(image)
    return np.round(image / 85) * 85 * (outlines < 60)


_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
ORDERED = np.tile(_BAYER, (16, 16)) * 15.0 + 15
"""Thresholds of a 4 x 4 ordered dither, 15 to 240."""


def _risograph(image: Canvas) -> Canvas:
    pink = 1 - shifted(image, 2, 2)[..., 1:2] / 255
    blue = 1 - image[..., :1] / 255
    paper = np.array((252, 248, 236), np.float32)
    return paper * (1 - pink * (1 - rgb("ff48b0") / 255)) * (1 - blue * (1 - rgb("0078bf") / 255))


def _misprint(image: Canvas) -> Canvas:
    return np.stack(
        [image[..., 0], np.roll(image[..., 1], 5, 0), np.roll(image[..., 2], (-4, 4), (0, 1))], -1
    )


def _popart(image: Canvas) -> Canvas:
    small = image[::2, ::2]
    levels = grey(small)[..., None] < 170
    tiles = [
        np.where(levels, rgb(ink), rgb(paper)) * 0.65 + small * 0.35
        for ink, paper in (
            ("d81e5b", "ffe74c"), ("1b1bb3", "ff9ff3"), ("005f3c", "7df9ff"), ("3d1a78", "ff8c42")
        )
    ]  # fmt: skip
    return np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])


def _batik(image: Canvas) -> Canvas:
    veins = (abs(np.sin(X / 5 + 2 * np.sin(Y / 7))) < 0.12) | (
        abs(np.sin(Y / 6 + 2 * np.sin(X / 8))) < 0.12
    )
    dyed = posterise(3)(image) * 0.75 + np.array((10, 10, 70))
    return np.where(veins[..., None], rgb("fff0d0"), dyed)


def _blueprint(image: Canvas) -> Canvas:
    lines = np.minimum(edges(image) * 2.2, 255)[..., None] / 255
    grid = ((X % 8 == 0) | (Y % 8 == 0))[..., None] * 0.25
    ground = rgb("1446a0")
    return ground + (rgb("f0f8ff") - ground) * np.maximum(lines, grid)


_WORN = scatter(60, 1.4, 11)


def _stamp(image: Canvas) -> Canvas:
    return inked(
        (from_ground(image) > 30) & (grey(image) < 235) & ~_WORN,
        (190.0, 30.0, 40.0),
        (246.0, 236.0, 214.0),
    )


def _engraving(image: Canvas) -> Canvas:
    lines = abs((X + Y + 2 * np.sin(X / 5)) % 4 - 2) / 2
    return inked(lines * 175 + 12 > grey(image), (35.0, 60.0, 50.0), (236.0, 240.0, 226.0))


_STREAKS = np.where(X % 16 == 3, -60.0, 0.0) - 170 * scatter(50, 0.8, 5)


def _photocopy(image: Canvas) -> Canvas:
    contrasty = tone(2.2, 30)(np.repeat(image.mean(-1, keepdims=True), 3, -1)).clip(0, 235)
    return contrasty + _STREAKS[..., None]


_ETCHED: Draw = screened(np.where(Y % 4 < 2, 190.0, 60.0) + (X % 4 == 0) * 20, "2a1a10", "f4e8d0")
_STIPPLED = np.random.default_rng(3).permutation(256).reshape(16, 16) / 255 * 185 + 10

STYLES = family(
    "print",
    ("halftone", _halftone, "dotted ink; raster", "benday; screened press"),
    (
        "poster",
        pillow(lambda image: ImageOps.posterize(image, 1)),
        "two-tone channels; billboard",
        "handbill; broadside",
    ),
    ("woodcut", _woodcut, "xylograph; carved plank print", "block-printed; durer"),
    ("comic", _comic, "superhero panel; graphic novel", "bande dessinee; marvel"),
    ("risograph", _risograph, "two-ink duplicator; offset overprint", "riso; mimeograph"),
    (
        "linocut",
        chain(blur(0.8), screened(np.where((X + 2 * Y) % 12 < 2, 90.0, 175.0), "0f3d3e", "f2d9b0")),
        "carved rubber; gouge relief",
        "lino; handprinted block",
    ),
    (
        "stipple",
        screened(np.tile(_STIPPLED, (4, 4)), "101010", "ffffff"),
        "ink specks; peppered",
        "speckle; punctate",
    ),
    (
        "newsprint",
        screened(
            (np.cos(np.pi * (X + Y) / 4) * np.cos(np.pi * (X - Y) / 4) + 1) * 110 + 10,
            "3c3a38",
            "d0c8b4",
        ),
        "tabloid; gazette column",
        "daily broadsheet; hot-type",
    ),
    ("blueprint", _blueprint, "architect plan; technical draft", "schematic; whiteprint"),
    ("stamp", _stamp, "rubber seal; approved mark", "hanko; imprinted"),
    ("etching", _ETCHED, "acid plate; ruled copperplate", "intaglio; rembrandt"),
    ("engraving", _engraving, "burin lines; treasury portrait", "chiselled; graver"),
    (
        "dithered",
        screened(ORDERED, "000000", "ffffff"),
        "one-bit; checker shading",
        "bayer; quantised macintosh",
    ),
    ("misprint", _misprint, "misaligned plates; registration error", "offpress; botched"),
    ("popart", _popart, "four-panel; warhol", "campbell; silk multiples"),
    ("batik", _batik, "wax-resist; javanese cloth", "indonesian; canting"),
    ("photocopy", _photocopy, "xerox; duplicated document", "toner; repro"),
    (
        "silkscreen",
        bands("2b2d42", "ef233c", "ffb703", "8ecae6"),
        "four inks; gig bill",
        "serigraph; squeegee",
    ),
    (
        "guilloche",
        screened(100 + 75 * np.sin(X / 1.6 + 3 * np.sin(Y / 5)), "1d6b4f", "dff2e1"),
        "currency rosettes; security lines",
        "anticounterfeit; spirograph",
    ),
    (
        "ukiyo",
        chain(
            posterise(5),
            gradient("142850", "27618e", "d9745b", "f3d6a2"),
            multiply(np.where(Y % 4 == 0, 0.86, 1.0)),
        ),
        "edo print; geisha woodblock",
        "hokusai; floating-world",
    ),
)
