"""The icons that embedded scenes are composed of: one atlas of drawn nouns, and how it is rendered from open icon sets."""

import argparse
import json
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

FOLDER = Path(__file__).parent / "weights"
TILE = 48
COLUMNS = 20
NOUNS = 300
GROUPS = (3, 4, 5, 6)  # Unicode's emoji groups: animals and nature, food, travel and places, activities
LEAST_DISTANCE = 0.16  # root-mean-square difference of two icons on grey, 0 to 1, below which they pass for one


@cache
def nouns() -> tuple[str, ...]:
    """Names of all drawn nouns, in the order of their tiles."""
    return tuple((FOLDER / "nouns.txt").read_text(encoding="utf-8").split("\n")[:-1])


@cache
def icon(noun: str, size: int) -> UInt8[np.ndarray, "size size rgba"]:
    """The drawing of `noun`, `size` pixels square, red, green, blue and coverage from 0 to 255."""
    k = nouns().index(noun)
    left, top = k % COLUMNS * TILE, k // COLUMNS * TILE
    tile = _atlas().crop((left, top, left + TILE, top + TILE))
    return np.asarray(tile if size == TILE else tile.resize((size, size), Image.Resampling.LANCZOS))


@cache
def _atlas() -> Image.Image:
    return Image.open(FOLDER / "icons.webp").convert("RGBA")


def draw_atlas(packages: Path) -> None:
    """Render the atlas from unpacked npm packages `@iconify-json/noto` and `emojibase-data` anywhere under `packages`."""
    glyphs = _render(packages)
    kept: dict[str, Image.Image] = {}
    seen: list[np.ndarray] = []
    for name in np.random.default_rng(0).permutation(sorted(glyphs)).tolist():
        small = _on_grey(glyphs[name])
        if all(np.sqrt(np.mean((small - other) ** 2)) > LEAST_DISTANCE for other in seen):
            kept[name] = glyphs[name]
            seen.append(small)
        if len(kept) == NOUNS:
            break
    sheet = Image.new("RGBA", (COLUMNS * TILE, -(-len(kept) // COLUMNS) * TILE))
    for k, name in enumerate(sorted(kept)):
        sheet.paste(kept[name], (k % COLUMNS * TILE, k // COLUMNS * TILE))
    sheet.save(FOLDER / "icons.webp", lossless=True, quality=100, method=6)
    (FOLDER / "nouns.txt").write_text("".join(f"{name}\n" for name in sorted(kept)), encoding="utf-8")


def _render(packages: Path) -> dict[str, Image.Image]:
    import resvg_py  # only the recipe needs it

    labels = json.loads(next(packages.glob("**/en/data.json")).read_text())
    folder = next(path.parent for path in packages.glob("**/icons.json") if "noto" in str(path))
    chars = json.loads((folder / "chars.json").read_text())
    icons = json.loads((folder / "icons.json").read_text())
    glyphs = {}
    for entry in labels:
        name, code = entry["label"].lower().replace("’", "'"), entry["hexcode"].lower().replace("-fe0f", "")
        key = chars.get(code) or chars.get(f"{code}-fe0f")
        plain = name.replace(" ", "").replace("-", "").isascii() and name.replace(" ", "").replace("-", "").isalpha()
        if entry.get("group") not in GROUPS or key not in icons["icons"] or len(name.split()) > 2 or not plain:
            continue
        width, height = icons.get("width", 16), icons.get("height", 16)
        body = icons["icons"][key]["body"]
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {width} {height}">{body}</svg>'
        png = resvg_py.svg_to_bytes(svg_string=svg, width=TILE, height=TILE)
        glyphs[name] = Image.open(BytesIO(bytes(png))).convert("RGBA")
    return glyphs


def _on_grey(glyph: Image.Image) -> np.ndarray:
    ground = Image.new("RGBA", glyph.size, (128, 128, 128, 255))
    return np.asarray(Image.alpha_composite(ground, glyph).convert("RGB").resize((24, 24)), np.float32) / 255


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=draw_atlas.__doc__)
    parser.add_argument("packages", type=Path)
    draw_atlas(parser.parse_args().packages)
