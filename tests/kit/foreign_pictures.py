"""Pictures as other programs leave them: of several formats, modes and orientations, some broken.

To look at them: `PYTHONPATH=tests python -m kit.foreign_pictures FOLDER`.
"""

import csv
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

METHODS = ("prompt edit", "lora", "controlnet")
CONCEPTS = {
    "in blue tones": (40, 70, 220),
    "in a storm": (90, 90, 110),
    "café à Paris": (190, 90, 40),
}
PROMPTS = ("panda", "a house by a river")
SEEDS = (0, 1, 2)
COLUMNS = ("file", "method", "concept", "prompt", "seed", "strength")
_TINTS = {"none": 0.0, "prompt edit": 0.3, "lora": 0.5, "controlnet": 0.8}
"""The share of a concept's colour in the pictures of a method."""
Row = dict[str, str]


def picture(method: str, concept: str, prompt: str, seed: int, *, size: int = 32) -> Image.Image:
    """A scene of the prompt and the seed, tinted by the method."""
    dice = random.Random(f"{prompt} {seed}")
    image = Image.new("RGB", (size, size), tuple(dice.randrange(256) for _ in range(3)))
    left, top = (dice.randrange(size // 2) for _ in range(2))
    colour = tuple(dice.randrange(256) for _ in range(3))
    ImageDraw.Draw(image).rectangle((left, top, left + size // 3, top + size // 3), fill=colour)
    tint = Image.new("RGB", image.size, CONCEPTS.get(concept, (0, 0, 0)))
    return Image.blend(image, tint, _TINTS[method])


def save(image: Image.Image, path: Path, number: int) -> Path:
    """Save a picture in the format and mode of its number; returns its path."""
    forms = ("png", "rgba", "jpg", "webp", "cmyk", "grey", "turned")
    form = forms[number % len(forms)]
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "rgba":
        image.putalpha(200)
    elif form == "grey":
        image = image.convert("L")
    elif form == "cmyk":
        image = image.convert("CMYK")
    suffix = {"jpg": "jpg", "cmyk": "jpg", "turned": "jpg", "webp": "webp"}.get(form, "png")
    exif = Image.Exif()
    if form == "turned":
        exif[274] = 6  # to be shown turned by a right angle
    path = path.with_suffix(f".{suffix}")
    image.save(path, exif=exif) if form == "turned" else image.save(path)
    return path


def make(folder: Path, *, unsteered: bool = True) -> list[Row]:
    """Sixty pictures below `folder`; returns their rows.

    54 of methods, and an unsteered one for each prompt and seed if `unsteered`.
    """
    rows = list[Row]()
    for method in (*METHODS, *(("none",) if unsteered else ())):
        for concept in CONCEPTS if method != "none" else ("",):
            for prompt in PROMPTS:
                for seed in SEEDS:
                    image = picture(method, concept, prompt, seed)
                    stem = folder / method / f"{concept or 'plain'} {prompt} {seed}"
                    path = save(image, stem, len(rows))
                    rows.append(
                        {
                            "file": path.relative_to(folder).as_posix(),
                            "method": method,
                            "concept": concept,
                            "prompt": prompt,
                            "seed": str(seed),
                            "strength": "" if method == "none" else "1",
                        }
                    )
    return rows


def spoil(folder: Path, rows: Sequence[Row]) -> list[str]:
    """Cut one picture short and remove two, each of another method; returns their files."""
    names = [rows[number]["file"] for number in (2, 20, 40)]
    cut = folder / names[0]
    cut.write_bytes(cut.read_bytes()[:200])
    for name in names[1:]:
        (folder / name).unlink()
    return names


def write_table(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """Write rows as a CSV; returns its path."""
    columns = list(rows[0]) if rows else list(COLUMNS)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1])
    print(write_table(target / "pictures.csv", make(target)))
