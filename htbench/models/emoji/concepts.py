"""`python -m htbench.models.emoji.concepts FOLDER`: writes the embedded world's concept set."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
from PIL import Image

from htbench.models.emoji.icons import nouns
from htbench.models.emoji.scenes import LATENT, Scene, caption, phrase
from htbench.models.emoji.worlds import SHIPPED, WORDINGS

N_TEST, N_DEV, N_CONCEPTS = 167, 60, 674
N_COMPANIONS = 160
"""Companions among all nouns: per-channel maps cannot localise a companion, so this kind is kept to
a share like that of other kinds, not three concepts in four."""
N_FIT_PROMPTS = 312
N_REFERENCES = 4
"""Reference images per concept."""
_ABOUT = (
    "Modifiers of emoji scenes: companions, picture styles, backgrounds, frames, weather, and "
    "looks, a style with a background. Split at random within each kind; \\\n"
    "what a held-out concept shows is in no other split, not even as a part of a look. "
    "Made by htbench.models.emoji.concepts."
)
CARD = f"""\
name = "emoji"
version = "3"
licence = "Apache-2.0 (icons: Noto Emoji) and MIT (icons: Fluent Emoji)"
about = \"\"\"
{_ABOUT}\"\"\"
"""


@dataclass(frozen=True, kw_only=True)
class Modifier:
    """The change that a concept makes to a scene."""

    kind: str
    facts: Mapping[str, str]
    """Values by kind of modifier: one value, or the two of a look."""
    split: str

    @property
    def id(self) -> str:
        """The concept's id."""
        name = (
            next(iter(self.facts.values()))
            if len(self.facts) == 1
            else " and ".join(phrase(kind, value) for kind, value in self.facts.items())
        )
        return f"{self.kind}/{name}".replace(" ", "-")

    def text(self, wording: int = 0) -> str:
        """Its words, in one of the phrasings of `WORDINGS`."""
        return caption(self.facts, dict.fromkeys(self.facts, wording))


@cache
def modifiers() -> dict[str, Modifier]:
    """All modifiers by id, in an order that spreads each kind evenly over each split."""
    rng = np.random.default_rng(20)
    limits = {"companion": N_COMPANIONS}
    parts = {
        kind: _split_values(rng.permutation(values).tolist()[: limits.get(kind)])
        for kind, values in SHIPPED.values.items()
    }
    single = [
        Modifier(kind=kind, facts={kind: value}, split=split)
        for kind, splits in parts.items()
        for split, values in splits.items()
        for value in values
    ]
    counts = {"test": N_TEST, "dev": N_DEV, "train": N_CONCEPTS - N_TEST - N_DEV}
    looks: list[Modifier] = []
    for split, count in counts.items():
        n_single = sum(modifier.split == split for modifier in single)
        looks += _look_modifiers(rng, parts, split, count - n_single)
    groups: dict[tuple[str, str], list[Modifier]] = {}
    for modifier in single + looks:
        groups.setdefault((modifier.kind, modifier.split), []).append(modifier)
    positions = [
        ((k + 0.5) / len(group), modifier.id, modifier)
        for group in groups.values()
        for k, modifier in enumerate(group)
    ]
    return {name: modifier for _, name, modifier in sorted(positions, key=lambda row: row[:2])}


def _split_values(values: Sequence[str]) -> dict[str, Sequence[str]]:
    test, dev = (round(len(values) * count / N_CONCEPTS) for count in (N_TEST, N_DEV))
    return {"test": values[:test], "dev": values[test : test + dev], "train": values[test + dev :]}


def _look_modifiers(
    rng: np.random.Generator,
    parts: Mapping[str, Mapping[str, Sequence[str]]],
    split: str,
    count: int,
) -> list[Modifier]:
    """Pairs of a style and a background, one from the split, the other from it or from `train`."""
    looks: dict[str, Modifier] = {}
    while len(looks) < count:
        own = str(rng.choice(["style", "background"]))
        values = {
            kind: parts[kind][split]
            if kind == own
            else [*parts[kind][split], *parts[kind]["train"]]
            for kind in ("style", "background")
        }
        facts = {kind: str(rng.choice(choice)) for kind, choice in values.items()}
        look = Modifier(kind="look", facts=facts, split=split)
        looks[look.id] = look
    return list(looks.values())


def write(folder: Path) -> None:
    """Write card, concepts, prompts and reference images; the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(21)
    order = rng.permutation(nouns()).tolist()
    prompts = [
        {"text": noun, "use": "fit" if k < N_FIT_PROMPTS else "evaluation"}
        for k, noun in enumerate(order)
    ]
    rows = [
        {
            "id": name,
            "kind": modifier.kind,
            "split": modifier.split,
            "text": modifier.text(),
            "template": ("{prompt} " if modifier.kind == "companion" else "{prompt}, ")
            + modifier.text(),
            "paraphrases": [modifier.text(wording) for wording in range(1, len(WORDINGS["style"]))],
            "family": [phrase(kind, value) for kind, value in modifier.facts.items()],
        }
        for name, modifier in modifiers().items()
    ]
    (folder / "card.toml").write_text(CARD, encoding="utf-8")
    _write_lines(folder / "concepts.jsonl", rows)
    _write_lines(folder / "prompts.jsonl", prompts)
    with ZipFile(folder / "references.zip", "w") as archive:
        for name, modifier in modifiers().items():
            for k in range(N_REFERENCES):
                scene = Scene(noun=order[int(rng.integers(N_FIT_PROMPTS))], **modifier.facts)
                image, picture = Image.fromarray(scene.draw(rng.standard_normal(LATENT))), BytesIO()
                image.save(picture, "WEBP", quality=85, method=6)
                archive.writestr(ZipInfo(f"{name}/{k}.webp"), picture.getvalue())


def _write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
