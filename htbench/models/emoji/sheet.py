"""`python -m htbench.models.emoji.sheet OUT`: a picture of all values of the world."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from htbench.models.emoji.scenes import LATENT, Scene
from htbench.models.emoji.styles import STYLES
from htbench.models.emoji.worlds import SHIPPED, World

COLUMNS = 16
_STEP_X, _STEP_Y, _HEADING = 68, 78, 18
_LATENT = np.zeros(LATENT, np.float32)


def values_by_heading(world: World) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """Labels and facts of the tiles under each heading: styles by family, then the other kinds."""
    groups: dict[str, list[tuple[str, dict[str, str]]]] = {}
    for style in sorted(world.styles, key=list(STYLES).index):
        groups.setdefault(f"styles: {STYLES[style].family}", []).append((style, {"style": style}))
    groups["backgrounds"] = [(colour, {"background": colour}) for colour in world.colours] + [
        (pattern, {"background": f"{world.colours[k % len(world.colours)]} {pattern}"})
        for k, pattern in enumerate(world.patterns, start=8)
    ]
    groups["frames"] = [(frame, {"frame": frame}) for frame in world.frames]
    groups["weather"] = [(weather, {"weather": weather}) for weather in world.weathers]
    return groups


def draw_sheet(world: World, scenes: Sequence[Mapping[str, str]]) -> Image.Image:
    """Every value of `world`, labelled, in each of the `scenes`, given by their other facts."""
    groups = values_by_heading(world)
    per_row = COLUMNS // len(scenes)
    rows = sum(-(-len(tiles) // per_row) for tiles in groups.values())
    size = (COLUMNS * _STEP_X + 8, rows * _STEP_Y + len(groups) * _HEADING + 8)
    page = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(9)
    top = 4
    for heading, tiles in groups.items():
        pen.text((6, top + 3), heading, fill="black", font=ImageFont.load_default(11))
        top += _HEADING
        for k, (label, facts) in enumerate(tiles):
            left, down = k % per_row * len(scenes) * _STEP_X + 6, k // per_row * _STEP_Y + top
            for j, scene in enumerate(scenes):
                pixels = Scene(**{**scene, **facts}).draw(_LATENT)
                page.paste(Image.fromarray(pixels), (left + j * _STEP_X, down))
            pen.text((left, down + 64), label, fill="black", font=font)
        top += -(-len(tiles) // per_row) * _STEP_Y
    return page


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noun", default="panda", help="of the scenes")
    parser.add_argument("--companion", default="strawberry", help="of the scenes")
    parser.add_argument("--background", action="append", help="of a further scene beside the plain")
    parser.add_argument("out", type=Path, metavar="OUT", help="a .png or .webp file")
    options = parser.parse_args()
    scene = {"noun": options.noun, "companion": options.companion}
    scenes = [scene, *({**scene, "background": value} for value in options.background or ())]
    draw_sheet(SHIPPED, scenes).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
