"""`python -m htbench.emoji.concepts FOLDER`: writes the embedded world's concept set."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
from PIL import Image

from htbench.emoji.icons import nouns
from htbench.emoji.scenes import LATENT, VALUES, WORDINGS, Scene, phrase

TEST, DEV = 167, 60
FIT_PROMPTS = 312
PICTURES = 4
"""Reference images a concept."""
CARD = """\
name = "emoji"
version = "2"
licence = "Apache-2.0 (icons: Noto Emoji) and MIT (icons: Fluent Emoji)"
about = "Modifiers of emoji scenes: companions, picture styles, backgrounds, frames, weather. Made by htbench.emoji.concepts; split at random within each kind."
"""


def write(folder: Path) -> None:
    """Write card, concepts, prompts and reference images; the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20)
    order = rng.permutation(nouns()).tolist()
    concepts = list(_split(rng))
    prompts = [{"text": noun, "use": "fit" if k < FIT_PROMPTS else "evaluation"} for k, noun in enumerate(order)]
    rows = [
        {
            "id": f"{kind}/{value}".replace(" ", "-"),
            "kind": kind,
            "split": split,
            "text": phrase(kind, value),
            "template": ("{prompt} " if kind == "companion" else "{prompt}, ") + phrase(kind, value),
            "paraphrases": [phrase(kind, value, wording) for wording in range(1, len(WORDINGS[kind]))],
        }
        for kind, value, split in concepts
    ]
    (folder / "card.toml").write_text(CARD, encoding="utf-8")
    _write_lines(folder / "concepts.jsonl", rows)
    _write_lines(folder / "prompts.jsonl", prompts)
    with ZipFile(folder / "references.zip", "w") as archive:
        for row, (kind, value, _) in zip(rows, concepts, strict=True):
            for k in range(PICTURES):
                scene = Scene(noun=order[int(rng.integers(FIT_PROMPTS))], **{kind: value})
                picture = BytesIO()
                Image.fromarray(scene.draw(rng.standard_normal(LATENT))).save(picture, "WEBP", quality=85, method=6)
                archive.writestr(ZipInfo(f"{row['id']}/{k}.webp"), picture.getvalue())


def _split(rng: np.random.Generator) -> Iterator[tuple[str, str, str]]:
    """Kind, value and split of every concept, in an order that spreads each kind evenly over each split."""
    total = sum(map(len, VALUES.values()))
    placed = []
    for kind, values in VALUES.items():
        test, dev = round(len(values) * TEST / total), round(len(values) * DEV / total)
        parts = {"test": test, "dev": dev, "train": len(values) - test - dev}
        names = [split for split, count in parts.items() for _ in range(count)]
        for k, (value, split) in enumerate(zip(rng.permutation(values).tolist(), names, strict=True)):
            first = names.index(split)
            placed.append(((k - first + 0.5) / parts[split], kind, value, split))
    for _, kind, value, split in sorted(placed):
        yield kind, value, split


def _write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
