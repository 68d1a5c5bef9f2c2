"""Light: exposure, lamps, shadows and the hours of the day."""

import numpy as np

from htbench.models.emoji.canvas import (
    Canvas,
    X,
    Y,
    add,
    blur,
    chain,
    edges,
    grey,
    multiply,
    overlay,
    rgb,
)
from htbench.models.emoji.styles.style import family

_LOW_LAMP = np.clip(1.15 - np.hypot(X - 32, Y - 66) / 58, 0, 1)
_RAYS = np.clip(np.sin(np.arctan2(Y + 6, X + 6) * 22), 0, 1) * np.clip(
    1.15 - np.hypot(X, Y) / 80, 0, 1
)


def _coloured(top: str, bottom: str, across: np.ndarray) -> np.ndarray:
    """Colours that go from one to the other, as factors."""
    weight = across[..., None]
    return (rgb(top) * (1 - weight) + rgb(bottom) * weight) / 255


def _rimlit(image: Canvas) -> Canvas:
    rim = np.minimum(edges(blur(0.8)(image)) * 3.2, 255)[..., None]
    return image * 0.16 + rim * np.array((1.0, 0.85, 0.55)) + np.array((0, 4, 20))


def _moonlit(image: Canvas) -> Canvas:
    night = (grey(image)[..., None] * 0.6 + image * 0.4) * rgb("3c5488") / 255
    halo = np.clip(1 - (np.hypot(X - 52, Y - 11) - 7) / 12, 0, 1)[..., None]
    return night * (1 - halo) + halo * rgb("f4f2d8")


def _disco(image: Canvas) -> Canvas:
    colours = np.stack([rgb(code) for code in ("ff2060", "20d0ff", "ffe020", "a040ff", "40ff70")])
    cell = (X // 8 * 3 + Y // 8 * 7) % 5
    spot = (np.hypot(X % 8 - 3.5, Y % 8 - 3.5) < 3)[..., None]
    return image * 0.72 + np.where(spot, colours[cell] * 0.28, 0.0)


def _caustics(image: Canvas) -> Canvas:
    net = abs(np.sin(X / 5 + 1.5 * np.sin(Y / 6))) * abs(np.sin(Y / 5 + 1.5 * np.sin(X / 6.5)))
    glow = np.clip(1 - net * 3, 0, 1)[..., None]
    return image * rgb("58c8d8") / 255 * 0.85 + glow * 75


def _strobe(image: Canvas) -> Canvas:
    return np.where(((X + 4) // 16 % 2 == 0)[..., None], 255 - image, image)


def _slatted(image: Canvas) -> Canvas:
    return image * np.where((Y + X // 4) % 16 < 7, 0.3, 1.05)[..., None] * rgb("ffe4b0") / 255


def _backlit(image: Canvas) -> Canvas:
    halo = np.clip(1.1 - np.hypot(X - 32, Y - 30) / 40, 0, 1)[..., None]
    dark = (image - 128) * 1.5 + 40
    return dark + halo * np.array((210, 150, 70))


STYLES = family(
    "light",
    (
        "faded",
        lambda image: image * 0.4 + 150,
        "washed pale; sun-bleached",
        "wan; wilting",
    ),
    ("dim", lambda image: image * 0.35, "poorly lit; darkened", "murky; tenebrous"),
    (
        "vignette",
        lambda image: image * np.clip(1.35 - np.hypot(X - 31.5, Y - 31.5) / 32, 0.1, 1)[..., None],
        "shaded corners; darkened periphery",
        "tunnel-visioned; penumbral",
    ),
    (
        "spotlight",
        chain(
            multiply(0.08 + 0.95 * (np.hypot(X - 32, Y - 32) < 22)),
            overlay((abs(X - 32) < 2 + Y / 3) & (Y < 14), (255, 250, 200), 0.5),
        ),
        "stage beam; theatre",
        "limelight; followspot",
    ),
    (
        "candlelit",
        chain(
            multiply(_coloured("200800", "ffb050", _LOW_LAMP)),
            add(_LOW_LAMP[..., None] * np.array((60, 30, 0))),
        ),
        "flickering taper; cosy flame",
        "romantic dinner; wick",
    ),
    ("moonlit", _moonlit, "lunar night; silvery midnight", "selenic; nocturne"),
    ("rimlit", _rimlit, "bright margins; silver lining", "edge-lighting; haloed"),
    ("backlit", _backlit, "contre-jour; rear-lit", "counterlight; facing sunlight"),
    (
        "goldenhour",
        multiply(_coloured("ffe070", "d06020", Y / 63)),
        "late afternoon; honeyed glow",
        "magic sixty-minutes; lowering daylight",
    ),
    (
        "beams",
        chain(lambda image: image * 0.55, add(_RAYS[..., None] * np.array((190, 170, 110)))),
        "crepuscular shafts; cathedral shafts",
        "heavenly streaming; volumetric",
    ),
    ("disco", _disco, "nightclub; dancefloor", "boogie; studio54"),
    ("caustics", _caustics, "pool floor; dancing reflections", "sunlit basin; lido"),
    ("strobe", _strobe, "flashing bands; alternating inverse", "stroboscope; rave"),
    ("slatted", _slatted, "venetian blinds; shutter shadows", "detective; jalousies"),
    (
        "splitlit",
        multiply(_coloured("ff30b0", "20e0ff", np.clip((X - 16) / 32, 0, 1))),
        "magenta-cyan gels; discotheque",
        "dual-lamped; bicolour",
    ),
    (
        "footlit",
        multiply(_coloured("081408", "70ff60", np.clip((Y - 4) / 50, 0, 1))),
        "eerie uplight; spooky greenish",
        "horror; campfire-story",
    ),
)
