"""Optics: lenses, mirrors, motion and other ways in which a picture is bent, on fixed grids."""

import numpy as np

from htbench.models.emoji.canvas import (
    DISTANCE,
    SIZE,
    Canvas,
    Draw,
    X,
    Y,
    blur,
    chain,
    coarse,
    moved,
    multiply,
    saturate,
    scatter,
    shifted,
    tone,
)
from htbench.models.emoji.styles.style import family

_RADIAL_X, _RADIAL_Y = (X - 31.5) / 32, (Y - 31.5) / 32
_RADIUS = np.hypot(_RADIAL_X, _RADIAL_Y)


def _zoomed(power: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns at `power` times the distance from the centre."""
    return 31.5 + (Y - 31.5) * power, 31.5 + (X - 31.5) * power


def _mean_of_moves(*moves: tuple[np.ndarray, np.ndarray]) -> Draw:
    draws = [moved(*move) for move in moves]
    return lambda image: np.mean([draw(image) for draw in draws], 0)


def _swirl() -> tuple[np.ndarray, np.ndarray]:
    angle = 1.6 * np.clip(1 - _RADIUS, 0, 1)
    cos, sin = np.cos(angle), np.sin(angle)
    return (
        31.5 + 32 * (_RADIAL_Y * cos + _RADIAL_X * sin),
        31.5 + 32 * (_RADIAL_X * cos - _RADIAL_Y * sin),
    )


_SPECTRUM = np.stack([X, np.full_like(X, 10), SIZE - 1 - X], -1) * 0.6


def _prism(image: Canvas) -> Canvas:
    red, blue = shifted(image, -3, -5)[..., 0], shifted(image, 3, 5)[..., 2]
    return np.stack([red, image[..., 1], blue], -1) * 0.9 + _SPECTRUM


def _tiltshift(image: Canvas) -> Canvas:
    weight = np.clip(abs(Y - 32) / 14 - 0.5, 0, 1)[..., None]
    vivid = saturate(1.7)(image)
    return vivid * (1 - weight) + blur(3)(vivid) * weight


_DISCS = np.stack([scatter(5, 5.5, seed) for seed in (31, 32, 33)], -1)


def _bokeh(image: Canvas) -> Canvas:
    soft = blur(1.1)(image) * 0.8
    return soft + _DISCS * np.array((70, 60, 50)) + _DISCS.any(-1, keepdims=True) * 15


def _doubled(image: Canvas) -> Canvas:
    return (image + np.roll(image, 16, 1)[:, ::-1]) / 2


def _refracted(image: Canvas) -> Canvas:
    drops = np.hypot(X % 16 - 7.5, Y % 16 - 7.5)
    inside = drops < 7
    rows = np.where(inside, Y // 16 * 16 + 15 - Y % 16, Y)
    columns = np.where(inside, X // 16 * 16 + 15 - X % 16, X)
    rim = np.where(abs(drops - 7) < 0.8, 0.65, 1.0)[..., None]
    return moved(rows, columns)(image) * rim


_SMEAR = 23
"""Pixels over which motion blurs."""


def _speeding(image: Canvas) -> Canvas:
    wide = np.pad(image, ((0, 0), (_SMEAR // 2 + 1, _SMEAR // 2), (0, 0)), mode="edge")
    total = np.cumsum(wide, 1)
    smeared = (total[:, _SMEAR:] - total[:, :-_SMEAR]) / _SMEAR
    return np.where((Y % 4 == 0)[..., None], image, smeared)


_JITTER = np.random.default_rng(6).integers(-3, 4, (2, 8, 8))
_FROST_Y, _FROST_X = (np.tile(part, (8, 8)) for part in _JITTER)
_HOLE = DISTANCE < 27

STYLES = family(
    "optics",
    ("blurred", blur(1.8), "out-of-focus; fuzzy", "gaussian; myopic"),
    (
        "fisheye",
        moved(*_zoomed(0.45 + 0.75 * _RADIUS**2)),
        "wide lens; bulging",
        "barrel distortion; peephole",
    ),
    (
        "symmetric",
        moved(Y, np.where(X < 32, 2 * X, 2 * (63 - X))),
        "bilateral twin; butterflied halves",
        "rorschach; ambigram",
    ),
    (
        "kaleidoscope",
        moved(np.where(Y < 32, 2 * Y, 2 * (63 - Y)), np.where(X < 32, 2 * X, 2 * (63 - X))),
        "mandala; fourfold reflections",
        "psychedelic; tumbling",
    ),
    ("swirled", moved(*_swirl()), "whirlpool; twisted", "vortex; maelstrom"),
    (
        "ripple",
        moved(
            Y + 3 * np.sin(DISTANCE / 2.2) * _RADIAL_Y / np.maximum(_RADIUS, 0.2),
            X + 3 * np.sin(DISTANCE / 2.2) * _RADIAL_X / np.maximum(_RADIUS, 0.2),
        ),
        "pond; droplet",
        "concentric disturbance; plopped",
    ),
    ("wavy", moved(Y, X + 5 * np.sin(Y / 5.1)), "sinuous rows; wobbling", "undulant; meandering"),
    (
        "upturned",
        lambda image: image[::-1],
        "upside-down; vertically flipped",
        "inverted stance; headstand",
    ),
    (
        "sideways",
        lambda image: image.swapaxes(0, 1)[:, ::-1],
        "quarter turn; lying over",
        "rotated ninety; tipped",
    ),
    (
        "louvred",
        moved(Y, X + np.where(Y // 8 % 2 == 0, 4, -4)),
        "shifted strips; sliding slices",
        "jalousie; staggered",
    ),
    (
        "interlaced",
        moved(Y, X + np.where(Y % 4 < 2, 4, -4)),
        "combing rows; field tearing",
        "telecine; bob",
    ),
    ("prism", _prism, "spectral split; dispersion", "newton; chromatic fringe"),
    ("tiltshift", _tiltshift, "miniature model; toy town", "diorama; scheimpflug"),
    ("bokeh", _bokeh, "blurry discs; fairy-lights", "orbs; aperture"),
    (
        "zoomblur",
        _mean_of_moves(*(_zoomed(power) for power in (1, 0.92, 0.84, 0.76, 0.68))),
        "rushing inward; radial streak",
        "hyperspace; warp drive",
    ),
    ("speeding", _speeding, "horizontal motion; sprinting smear", "velocity; panning"),
    ("doubled", _doubled, "ghost exposure; overlaid twin", "superimposed; doppelganger"),
    ("refracted", _refracted, "lens array; dewdrop inversions", "lenticule; compound-eyed"),
    (
        "frosted",
        moved(Y + _FROST_Y, X + _FROST_X),
        "bathroom pane; scattered jitter",
        "etched privacy; translucent",
    ),
    (
        "porthole",
        multiply(np.where(_HOLE, 1.0, 0.08) * np.where(abs(DISTANCE - 27) < 2, 0.3, 1.0)),
        "sailor opening; circular cutaway",
        "hatch; nautilus",
    ),
    (
        "binocular",
        multiply(
            np.where(
                (np.hypot(X - 19, Y - 31.5) < 19) | (np.hypot(X - 44, Y - 31.5) < 19), 1.0, 0.05
            )
        ),
        "twin circles; spyglass",
        "birdwatcher; fieldglass",
    ),
    (
        "submerged",
        chain(
            moved(Y + 2 * np.sin(X / 4), X + 2 * np.sin(Y / 4)),
            multiply(np.stack([0.35 - Y / 400, 0.75 - Y / 300, 0.95 - Y / 500], -1)),
            tone(1, 18),
        ),
        "underwater; scuba",
        "aquatic; drowned",
    ),
    ("pixelated", coarse(16), "big squares; low-resolution", "blocky; censored"),
)
