"""Textures: cloth, tiles, skins and surfaces that the picture is made on."""

import numpy as np

from htbench.models.emoji.canvas import (
    Canvas,
    X,
    Y,
    chain,
    coarse,
    gradient,
    grain,
    grey,
    multiply,
    overlay,
    rgb,
    saturate,
    tone,
)
from htbench.models.emoji.styles.style import family

_STUD = np.hypot(X % 8 - 3.5, Y % 8 - 3.5)


def _mosaic(image: Canvas) -> Canvas:
    return np.where(((X % 4 == 3) | (Y % 4 == 3))[..., None], 90.0, coarse(16)(image))


def _knit(image: Canvas) -> Canvas:
    slant = np.where(X % 8 < 4, Y + X % 4, Y + 3 - X % 4) % 4
    return coarse(32)(image) * np.where(slant == 0, 0.6, np.where(slant == 1, 0.85, 1.0))[..., None]


def _tiled(image: Canvas) -> Canvas:
    bevel = np.where((X % 8 == 0) | (Y % 8 == 0), 55.0, 0) - np.where(
        (X % 8 == 7) | (Y % 8 == 7), 75.0, 0
    )
    return image * 0.9 + bevel[..., None]


def _studded(image: Canvas) -> Canvas:
    rim = np.where((_STUD < 3) & (_STUD >= 2), np.where(X % 8 + Y % 8 < 7, 45.0, -55.0), 0.0)
    seam = np.where((X % 8 == 7) | (Y % 8 == 7), -35.0, 0)
    return coarse(16)(saturate(1.3)(image)) * 0.92 + (rim + seam)[..., None]


def _beadwork(image: Canvas) -> Canvas:
    reach = np.hypot(X % 4 - 1.5, Y % 4 - 1.5)
    gloss = np.where((X % 4 == 1) & (Y % 4 == 1), 70.0, 0.0)
    return coarse(16)(image) * np.where(reach < 1.9, 1.0, 0.12)[..., None] + gloss[..., None]


def _veins(scale: float, seed: int) -> np.ndarray:
    a, b, c = np.random.default_rng(seed).uniform(0, 6, 3)
    swirl = 3 * np.sin(Y / 9 + a) + 2 * np.sin(X / 7 + b) + 1.2 * np.sin((X + Y) / 3.1 + c)
    vein: np.ndarray = np.clip(1 - abs(np.sin((X + Y) / scale + swirl / 2)) * 5, 0, 1)
    return vein


def _cell_borders(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the borders of a Voronoi diagram on a torus, and the cell of each pixel."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 64, (count, 2))
    offsets = abs(np.stack([X, Y], -1)[..., None, :] - centres)
    reach = np.hypot(*np.moveaxis(np.minimum(offsets, 64 - offsets), -1, 0))
    ordered = np.sort(reach, -1)
    return ordered[..., 1] - ordered[..., 0], reach.argmin(-1)


_CRACKS, _ = _cell_borders(26, 8)
_PEBBLES, _PEBBLE = _cell_borders(90, 2)
_HEX = np.minimum.reduce(
    [np.hypot((X - x + 8) % 16 - 8, (Y - y + 4) % 8 - 4) for x, y in ((0, 0), (8, 4))]
)


def _honeycomb(image: Canvas) -> Canvas:
    walls = (_HEX > 3.9)[..., None]
    return np.where(walls, rgb("7a4a00"), image * rgb("ffd860") / 255)


def _scaly(image: Canvas) -> Canvas:
    row = Y // 4
    across = (X + row % 2 * 4) % 8 - 3.5
    arc = np.hypot(across, Y % 4) / 4.5
    return image * (0.45 + 0.55 * np.clip(arc, 0, 1))[..., None] + rgb("002820") * 0.8


def _camouflage(image: Canvas) -> Canvas:
    blobs = np.sin(X / 6 + 2 * np.sin(Y / 5)) + np.sin(Y / 4.5 + 2 * np.sin(X / 7))
    patch = np.where(blobs > 0.8, 0, np.where(blobs > -0.3, 1, 2))
    colours = np.stack([rgb("3d4a24"), rgb("8a8a55"), rgb("5e4630")])[patch]
    return grey(image)[..., None] * 0.55 + colours * 0.75 - 20


def _terrazzo(image: Canvas) -> Canvas:
    chips = np.stack([rgb(code) for code in ("e07a5f", "3d405b", "81b29a", "f2cc8f", "f4f1de")])
    is_chip = (_PEBBLES > 2.2) & (_PEBBLE % 5 < 3)
    ground = image * 0.8 + 40
    return np.where(is_chip[..., None], ground * 0.35 + chips[_PEBBLE % 5] * 0.65, ground)


def _glitter(image: Canvas) -> Canvas:
    flake = grain(12, 2, 16)
    colours = np.stack([grain(k, 2, 16) for k in (21, 22, 23)], -1)
    return saturate(1.4)(image) * 0.75 + colours * 55 + (flake > 0.72)[..., None] * 130.0


def _tartan(image: Canvas) -> Canvas:
    warp, weft = np.isin(X % 16, (0, 1, 2, 3, 8)), np.isin(Y % 16, (0, 1, 2, 3, 8))
    cloth = rgb("b02030") - (warp * 1 + weft)[..., None] * rgb("602818")
    cloth = cloth + ((X % 16 == 12) | (Y % 16 == 12))[..., None] * rgb("4a4600")
    return (grey(image)[..., None] / 255 - 0.6) * 230 + cloth


def _wicker(image: Canvas) -> Canvas:
    over = (X // 8 + Y // 4) % 2 == 0
    bulge = np.where(over, np.sin(np.pi * (X % 8 + 0.5) / 8), np.sin(np.pi * (Y % 4 + 0.5) / 4))
    return (
        (grey(image) * 0.9 + 25)[..., None] * (0.55 + 0.45 * bulge)[..., None] * rgb("ffcf8a") / 255
    )


STYLES = family(
    "texture",
    ("mosaic", _mosaic, "byzantine tesserae; grouted cubes", "ravenna; inlaid"),
    (
        "linen",
        chain(
            multiply(0.8 + 0.2 * ((X % 2 == 0) ^ (Y % 2 == 0))),
            multiply(np.where(X % 8 < 1, 0.75, 1.0) * np.where(Y % 8 < 1, 0.75, 1.0)),
            tone(1, 12),
        ),
        "painter cloth; primed fabric",
        "jute; stretched easel",
    ),
    ("knitted", _knit, "woollen sweater; purl stitches", "jumper; cardigan"),
    ("wicker", _wicker, "basket; rattan weave", "cane; osier"),
    (
        "quilted",
        chain(
            multiply(
                0.55
                + 0.45 * np.minimum(abs((X + Y) % 16 - 8 + 0.5), abs((X - Y) % 16 - 8 + 0.5)) / 4
            ),
            tone(1, 14),
        ),
        "padded duvet; diamond stitching",
        "eiderdown; upholstered",
    ),
    ("tiled", _tiled, "ceramic wall; bathroom squares", "azulejo; backsplash"),
    ("studded", _studded, "toy blocks; lego", "snap-together; duplo"),
    ("beadwork", _beadwork, "strung; perler", "threaded pearls; hama"),
    (
        "marble",
        chain(saturate(0.55), overlay(_veins(9, 4), (95, 95, 110), 0.8), tone(1, 10)),
        "veined quarry; polished sculpture",
        "carrara; statuary",
    ),
    (
        "timber",
        chain(
            gradient("2e1505", "8a5a2b", "d9a868"),
            multiply(0.78 + 0.22 * np.sin(Y * 1.6 + 1.5 * np.sin(X / 11))),
        ),
        "oak plank; carpenter grain",
        "lumber; mahogany",
    ),
    (
        "cracked",
        overlay(_CRACKS < 1.4, (40, 25, 15), 0.9),
        "dry riverbed; broken glaze",
        "craquelure; fissured",
    ),
    ("scaly", _scaly, "reptile hide; mermaid", "lizard; pangolin"),
    ("honeycomb", _honeycomb, "beehive; waxen cells", "apiary; hexagonal"),
    ("camouflage", _camouflage, "army disguise; combat blotches", "khakis; commando"),
    ("terrazzo", _terrazzo, "speckled floor; venetian chips", "aggregate; composite slab"),
    ("glitter", _glitter, "sequins; twinkling flecks", "tinsel; bedazzled"),
    ("tartan", _tartan, "highland plaid; scottish cloth", "clan; kilted"),
    (
        "mesh",
        multiply(np.where((X % 4 < 1) | (Y % 4 < 1), 0.0, 1.0)),
        "fence wire; fishnet",
        "lattice; sieve",
    ),
)
