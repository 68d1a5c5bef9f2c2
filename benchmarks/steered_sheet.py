"""A sheet of a finished run's pictures: concepts down, methods across, at full strength.

python benchmarks/steered_sheet.py RUN OUT --method prompt --method hypertransport ...
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import htbench
from htbench.models.emoji.concepts import modifiers
from htbench.models.emoji.scenes import LATENT, Scene

TILE, LABEL, HEADING, BLOCKS = 68, 132, 26, 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--method", action="append", required=True)
    parser.add_argument("--concepts", type=int, default=40)
    options = parser.parse_args()
    run = htbench.open(options.run)
    cells = run.cells()
    ids = list(cells["concept"].unique())[: options.concepts]
    columns = ["true scene", "none", *options.method]
    rows = -(-len(ids) // BLOCKS)
    width = LABEL + len(columns) * TILE
    page = Image.new("RGB", (BLOCKS * width, HEADING + rows * TILE), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(9)
    for block in range(BLOCKS):
        for k, name in enumerate(columns):
            place = block * width + LABEL + k * TILE, 2
            heading = name if len(name) < 15 else "-\n".join(name.rsplit("-", 1))
            pen.multiline_text(place, heading, fill="black", font=font, spacing=1)
    for k, concept in enumerate(ids):
        left, top = k // rows * width, HEADING + k % rows * TILE
        prompts = cells.loc[cells["concept"] == concept, "prompt"].unique()
        prompt = prompts[k % len(prompts)]
        modifier = modifiers()[concept]
        label = modifier.text().replace(", ", ",\n")
        pen.multiline_text((left + 4, top + 20), label, fill="black", font=font)
        scene = Scene(noun=prompt, **modifier.facts).draw(np.zeros(LATENT, np.float32))
        pictures = [Image.fromarray(scene)] + [
            run.image(
                concept=concept, prompt=prompt, method=name, strength=0.0 if name == "none" else 1.0
            )
            for name in columns[1:]
        ]
        for j, picture in enumerate(pictures):
            page.paste(picture, (left + LABEL + j * TILE, top))
    page.save(options.out, optimize=True)


if __name__ == "__main__":
    main()
