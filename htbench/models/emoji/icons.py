"""The icons of embedded scenes: an atlas of nouns in two drawing styles, and its rendering."""

import argparse
import json
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
TILE_SIZE = 48
COLUMNS = 32
N_NOUNS = 512
DRAWINGS = {"noto": "noto", "fluent": "fluent-emoji-flat"}
"""The icon set of each drawing style."""
EXCLUDED_NOUNS = {"foggy"}
"""Nouns that are also the name of a weather or a style."""
GROUPS = (3, 4, 5, 6, 7)
"""Unicode's emoji groups: animals and nature, food, travel and places, activities, objects."""


@cache
def nouns() -> tuple[str, ...]:
    """Names of all drawn nouns, in the order of their tiles."""
    return tuple((WEIGHTS_FOLDER / "nouns.txt").read_text(encoding="utf-8").split("\n")[:-1])


@cache
def icon(noun: str, drawing: str, size: int) -> UInt8[np.ndarray, "size size rgba"]:
    """`noun` in one of the `DRAWINGS`, with RGB and coverage from 0 to 255."""
    k = nouns().index(noun) * len(DRAWINGS) + list(DRAWINGS).index(drawing)
    left, top = k % COLUMNS * TILE_SIZE, k // COLUMNS * TILE_SIZE
    tile = _atlas().crop((left, top, left + TILE_SIZE, top + TILE_SIZE))
    return np.asarray(
        tile if size == TILE_SIZE else tile.resize((size, size), Image.Resampling.LANCZOS)
    )


def noun_drawings(size: int = 24) -> Float[np.ndarray, "nouns drawings size size rgba"]:
    """Each noun's drawings, with RGB multiplied by coverage, and coverage, from 0 to 1."""
    icons = [[icon(noun, drawing, size) for drawing in DRAWINGS] for noun in nouns()]
    drawings = np.stack(icons).astype(np.float32) / 255
    drawings[..., :3] *= drawings[..., 3:]
    return drawings


@cache
def _atlas() -> Image.Image:
    return Image.open(WEIGHTS_FOLDER / "icons.webp").convert("RGBA")


def draw_atlas(packages: Path) -> None:
    """Render the atlas from unpacked npm packages `@iconify-json/noto`,
    `@iconify-json/fluent-emoji-flat` and `emojibase-data` under `packages`."""
    glyphs = _render_icons(packages)
    drawings = {
        name: np.stack([_on_grey(tile) for tile in tiles]).ravel() for name, tiles in glyphs.items()
    }
    kept = _distinct(drawings, N_NOUNS)
    tiles = [tile for name in kept for tile in glyphs[name]]
    sheet = Image.new("RGBA", (COLUMNS * TILE_SIZE, -(-len(tiles) // COLUMNS) * TILE_SIZE))
    for k, tile in enumerate(tiles):
        sheet.paste(tile, (k % COLUMNS * TILE_SIZE, k // COLUMNS * TILE_SIZE))
    sheet.save(WEIGHTS_FOLDER / "icons.webp", lossless=True, quality=100, method=6)
    (WEIGHTS_FOLDER / "nouns.txt").write_text(
        "".join(f"{name}\n" for name in kept), encoding="utf-8"
    )


def _distinct(drawings: dict[str, np.ndarray], count: int) -> list[str]:
    """The sorted names of `count` drawings: one of the two most similar is dropped at a time.

    Of these two, the one further from its next neighbour stays.
    """
    names = sorted(drawings)
    rows = np.stack([drawings[name] for name in names])
    squares = (rows**2).sum(1)
    distances = squares[:, None] + squares - 2 * rows @ rows.T
    np.fill_diagonal(distances, np.inf)
    while (np.isfinite(distances.min(1))).sum() > count:
        pair = np.unravel_index(distances.argmin(), distances.shape)
        kept = max(pair, key=lambda k: np.sort(distances[k])[1])
        dropped = pair[0] if kept == pair[1] else pair[1]
        distances[dropped], distances[:, dropped] = np.inf, np.inf
    return [name for k, name in enumerate(names) if np.isfinite(distances[k].min())]


def _render_icons(packages: Path) -> dict[str, list[Image.Image]]:
    """The drawings of each noun of one or two plain words that all icon sets have."""
    labels = json.loads(next(packages.glob("**/en/data.json")).read_text())
    sets = [
        next(path.parent for path in packages.glob("**/icons.json") if package in str(path))
        for package in DRAWINGS.values()
    ]
    drawers = [_icon_renderer(folder) for folder in sets]
    glyphs = {}
    for entry in labels:
        name, code = entry["label"].lower(), entry["hexcode"].lower().replace("-fe0f", "")
        letters = name.replace(" ", "").replace("-", "")
        is_plain = letters.isascii() and letters.isalpha() and len(name.split()) <= 2
        if entry.get("group") in GROUPS and is_plain and name not in EXCLUDED_NOUNS:
            tiles = [draw(code) for draw in drawers]
            if all(tiles):
                glyphs[name] = [tile for tile in tiles if tile]
    return glyphs


def _icon_renderer(folder: Path) -> Callable[[str], Image.Image | None]:
    import resvg_py  # only the recipe needs it

    chars, icons = (
        json.loads((folder / name).read_text()) for name in ("chars.json", "icons.json")
    )
    width, height = icons.get("width", 16), icons.get("height", 16)

    def draw(code: str) -> Image.Image | None:
        key = chars.get(code) or chars.get(f"{code}-fe0f")
        if key not in icons["icons"]:
            return None
        body = icons["icons"][key]["body"]
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {width} {height}">{body}</svg>'
        )
        png = resvg_py.svg_to_bytes(svg_string=svg, width=TILE_SIZE, height=TILE_SIZE)
        return Image.open(BytesIO(bytes(png))).convert("RGBA")

    return draw


def _on_grey(glyph: Image.Image) -> np.ndarray:
    ground = Image.new("RGBA", glyph.size, (128, 128, 128, 255))
    small = Image.alpha_composite(ground, glyph).convert("RGB").resize((24, 24))
    return np.asarray(small, np.float32) / 255


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=draw_atlas.__doc__)
    parser.add_argument("packages", type=Path)
    draw_atlas(parser.parse_args().packages)
