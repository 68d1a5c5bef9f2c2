"""Surroundings of a scene: colours, patterns of backgrounds, frames and kinds of weather."""

import numpy as np
from jaxtyping import Bool

from htbench.models.emoji.canvas import (
    MARGIN,
    SIZE,
    Canvas,
    Draw,
    X,
    Y,
    chain,
    overlay,
    rgb,
    scatter,
)

COLOURS = {
    "black": (20, 20, 20), "red": (220, 50, 50), "green": (60, 170, 80), "blue": (60, 100, 220),
    "yellow": (250, 220, 80), "orange": (245, 150, 50), "purple": (150, 80, 200),
    "pink": (250, 160, 200), "brown": (140, 95, 60), "gray": (150, 150, 150),
    "cyan": (90, 210, 220), "navy": (30, 40, 100), "beige": (240, 225, 190),
    "teal": (30, 130, 130), "maroon": (120, 30, 45), "lime": (185, 235, 70),
    "magenta": (225, 35, 165), "khaki": (165, 155, 95), "mint": (165, 240, 200),
    "lavender": (195, 180, 245),
}  # fmt: skip
"""Levels of red, green and blue, 0 to 255, of backgrounds and plain frames."""
_U, _V = X % 16 - 7.5, Y % 16 - 7.5
PATTERNS: dict[str, Bool[np.ndarray, "64 64"]] = {
    "stripes": (X + Y) // 8 % 2 == 0,
    "dots": ((X + 4) % 16 - 8) ** 2 + ((Y + 4) % 16 - 8) ** 2 < 16,
    "checks": (X // 8 + Y // 8) % 2 == 0,
    "grid": (X % 8 < 2) | (Y % 8 < 2),
    "bars": X // 4 % 2 == 0,
    "rings": np.hypot(X - 31.5, Y - 31.5) // 6 % 2 == 0,
    "chevrons": (Y + abs(X % 16 - 8)) // 4 % 2 == 0,
    "diamonds": abs(_U) + abs(_V) < 7,
    "waves": (Y + np.round(5 * np.sin(X * np.pi / 16))) % 16 < 8,
    "triangles": (2 * abs(_U) < Y % 16) & (Y % 16 < 14),
    "crosses": (abs(_U) < 2) & (abs(_V) < 6) | (abs(_V) < 2) & (abs(_U) < 6),
    "rays": np.arctan2(Y - 31.5, X - 31.5) // (np.pi / 8) % 2 == 0,
}
"""Pixels of a background that have the second, paler or darker, shade of its colour."""
WEATHERS: dict[str, Draw] = {
    "snowy": overlay(scatter(34, 2.2, 1), (175, 205, 245), 1.0),
    "rainy": overlay((X * 2 + Y) % 16 < 3, (70, 110, 190), 0.7),
    "foggy": overlay(np.clip((Y - 8) / 48, 0, 0.9), (205, 210, 215), 1.0),
    "stormy": overlay((abs(X - 40 + (Y % 22) // 2) < 2) | (Y < 6), (60, 60, 110), 0.9),
    "sandy": overlay(scatter(70, 1.2, 2), (200, 160, 90), 1.0),
    "windy": overlay(abs((Y + 2 * np.sin(X / 5)) % 12 - 6) < 1.3, (190, 200, 210), 0.9),
    "starry": overlay((Y < 22) * 0.75 + (scatter(16, 1.5, 3) & (Y < 22)), (45, 40, 110), 0.8),
    "sunny": overlay(np.clip(1.5 - np.hypot(X - 63, Y) / 22, 0, 1), (255, 225, 60), 0.9),
    "cloudy": chain(
        *(
            overlay(np.hypot((X - x) / 1.6, Y - y) < radius, (176, 188, 204), 0.95)
            for x, y, radius in ((10, 6, 8), (28, 4, 7), (46, 7, 8), (60, 4, 6))
        )
    ),
    "autumnal": chain(
        overlay(scatter(17, 2.6, 51), (214, 90, 30), 1.0),
        overlay(scatter(12, 2.3, 52), (170, 50, 30), 1.0),
    ),
    "frosty": overlay(
        np.clip(1 - MARGIN / 9, 0, 1) + ((X + Y) % 8 == 0) * (MARGIN < 12) * 0.5,
        (150, 205, 255),
        0.66,
    ),
    "drizzly": overlay((X % 8 == 3) & ((Y + X * 5) % 16 < 6), (90, 130, 160), 0.9),
    "auroral": chain(
        overlay(np.clip(1.2 - Y / 30, 0, 1), (20, 24, 70), 0.85),
        overlay(
            np.clip(1 - abs(Y - 12 - 4 * np.sin(X / 7)) / 8, 0, 1) * (0.65 + 0.35 * (X % 4 < 2)),
            (70, 240, 150),
            0.9,
        ),
    ),
    "dusky": chain(
        overlay(np.clip(1.1 - Y / 34, 0, 1), (120, 50, 130), 0.75),
        overlay(np.clip(1 - abs(Y - 36) / 18, 0, 1), (250, 130, 70), 0.6),
    ),
    "flooded": overlay((47 + 2 * np.sin(X * np.pi / 8) < Y) * 1.0, (40, 120, 190), 0.72),
    "smoggy": overlay(np.clip(1.15 - Y / 58, 0, 1), (150, 124, 84), 0.82),
}  # fmt: skip
_EDGE = MARGIN < 4


def _colour_frame(colour: tuple[int, int, int]) -> Draw:
    def draw(image: Canvas) -> Canvas:
        image[_EDGE] = colour
        return image

    return draw


def _two_colours(mask: Bool[np.ndarray, "64 64"], inside: str, outside: str) -> Draw:
    """Within the frame's edge one colour where `mask` is true and another one elsewhere."""
    colours = np.where(mask[..., None], rgb(inside), rgb(outside))
    return lambda image: np.where(_EDGE[..., None], colours, image)


def _covered(mask: Bool[np.ndarray, "64 64"], colour: str) -> Draw:
    return overlay(mask, tuple(rgb(colour).tolist()), 1.0)


_ALONG = np.where((MARGIN == Y) | (SIZE - 1 - Y == MARGIN), X, Y)
"""Position along the side of the frame that a pixel is nearest to."""
_CORNER = np.minimum(X, SIZE - 1 - X) + np.minimum(Y, SIZE - 1 - Y)
_BEAD = np.hypot(_ALONG % 8 - 3.5, MARGIN - 2.5)
_SCALLOP = np.hypot(_ALONG % 8 - 3.5, MARGIN)
SHAPED_FRAMES: dict[str, Draw] = {
    "double": _covered((MARGIN < 2) | (MARGIN == 4) | (MARGIN == 5), "303048"),
    "dashed": _covered((MARGIN < 3) & (_ALONG % 8 < 5), "c03050"),
    "rounded": _covered(
        (MARGIN < 2) | ((np.minimum(X, 63 - X) < 16) & (np.minimum(Y, 63 - Y) < 16)
                        & (np.hypot(np.minimum(X, 63 - X) - 16, np.minimum(Y, 63 - Y) - 16) > 15)),
        "5060b0",
    ),
    "filmstrip": chain(
        _covered((Y < 7) | (Y > 56), "101010"),
        _covered(((abs(Y - 3) < 2) | (abs(Y - 60) < 2)) & (X % 8 > 1) & (X % 8 < 6), "f4f4f4"),
    ),
    "wooden": chain(
        _covered(MARGIN < 5, "9a6234"),
        _covered((MARGIN < 5) & ((_ALONG + MARGIN * 5) % 8 < 2), "6a3e1c"),
        _covered((MARGIN == 4) | (abs(X - Y) < 1) & (MARGIN < 5), "4a2a10"),
    ),
    "cornered": _covered((MARGIN < 4) & (_CORNER < 20), "d09020"),
    "scalloped": _covered(_SCALLOP < 3.9, "f0a0b8"),
    "perforated": chain(
        _covered(MARGIN < 6, "fbf7e8"),
        _covered((MARGIN < 2) & (np.hypot(_ALONG % 4 - 1.5, MARGIN) < 1.8), "707070"),
        _covered(MARGIN == 6, "b8b0a0"),
    ),
    "beaded": chain(_covered(MARGIN < 6, "3a2060"), _covered(_BEAD < 2.7, "fff0c0")),
    "gilded": chain(
        _covered(MARGIN < 6, "c8962c"),
        _covered((MARGIN == 1) | (MARGIN == 4), "fff0a0"),
        _covered((MARGIN == 0) | (MARGIN == 5), "6a4408"),
        _covered(_CORNER < 10, "e8c050"),
    ),
    "serrated": _covered(abs(_ALONG % 8 - 3.5) * 1.5 > MARGIN, "2a8a4a"),
    "checkered": _two_colours((X // 2 + Y // 2) % 2 == 0, "181818", "f6f6f6"),
}  # fmt: skip
FRAMES: dict[str, Draw] = {
    **{name: _colour_frame(colour) for name, colour in COLOURS.items()},
    **SHAPED_FRAMES,
}
