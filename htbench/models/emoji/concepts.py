"""Concept sets of the embedded world: `python -m htbench.models.emoji.concepts concepts`."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
from PIL import Image

from htbench.models.emoji.concept_splits import (
    MAX_BACKGROUNDS,
    N_CONCEPTS,
    Splits,
    split_values,
)
from htbench.models.emoji.icons import nouns
from htbench.models.emoji.scenes import LATENT, Scene, caption, phrase
from htbench.models.emoji.worlds import N_TRAINED_WORDINGS, SHIPPED, WORDINGS, World

N_FIT_PROMPTS = 312
UNTOLD = "style/technicolor"
"""No concept, since CLIP `b` hardly tells its true scenes from plain ones (AUC .83 of a least .85,
by `htbench check scorers`)."""
N_REFERENCES = 4
"""Reference images per concept."""
_CARD = """\
name = "{name}"
version = "{version}"
licence = "Apache-2.0 (icons: Noto Emoji) and MIT (icons: Fluent Emoji)"
about = \"\"\"
{about} Made by htbench.models.emoji.concepts.\"\"\"
"""
_ABOUT = """\
Modifiers of emoji scenes: companions, picture styles, backgrounds, frames, weather, and \
looks, a style with a background. Styles are split at random within families, all else by words; \\
every held-out concept has a word, or a companion, that no training concept has, but for half of \
the looks of the test split, which are new combinations of known words.\
"""
_ABOUT_COMPANIONS = """\
Companions alone, for methods that learn where things are: those of the set emoji in the same \
splits, and every other noun of the embedded model for training. Without reference images.\
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
def modifiers(world: World = SHIPPED) -> dict[str, Modifier]:
    """All modifiers by id, in an order that spreads each kind evenly over each split."""
    rng = np.random.default_rng(20)
    parts = split_values(world, rng)
    single = [
        Modifier(kind=kind, facts={kind: value}, split=split)
        for kind, splits in parts.items()
        for split, values in splits.items()
        for value in _limited(kind, values, MAX_BACKGROUNDS.get(split), rng)
    ]
    looks: list[Modifier] = []
    for split, total in N_CONCEPTS.items():
        n_single = sum(modifier.split == split for modifier in single)
        looks += _looks_in_turn(rng, parts, split, total - n_single)
    groups: dict[tuple[str, str], list[Modifier]] = {}
    for modifier in single + looks:
        groups.setdefault((modifier.kind, modifier.split), []).append(modifier)
    ordered = _spread(list(groups.values()))
    return {modifier.id: modifier for modifier in _with_known_words(ordered, parts)}


@cache
def companions(world: World = SHIPPED) -> dict[str, Modifier]:
    """Companions by id: those of `modifiers` in their splits, and all other nouns in `train`."""
    own = [modifier for modifier in modifiers(world).values() if modifier.kind == "companion"]
    taken = {modifier.facts["companion"] for modifier in own}
    more = [
        Modifier(kind="companion", facts={"companion": noun}, split="train")
        for noun in world.values["companion"]
        if noun not in taken
    ]
    held_out, trained = (
        [each for each in own if (each.split == "train") == is_trained]
        for is_trained in (False, True)
    )
    return {each.id: each for each in [*_spread([trained, more]), *held_out]}


def _spread(groups: Sequence[Sequence[Modifier]]) -> list[Modifier]:
    """The members of all groups, those of each evenly."""
    positions = [
        ((k + 0.5) / len(group), modifier.id, modifier)
        for group in groups
        for k, modifier in enumerate(group)
    ]
    return [modifier for _, _, modifier in sorted(positions, key=lambda row: row[:2])]


def _limited(
    kind: str, values: Sequence[str], limit: int | None, rng: np.random.Generator
) -> Sequence[str]:
    """The values, of backgrounds at most `limit`: the plain ones, one of each pattern, and more."""
    if kind != "background" or limit is None:
        return values
    plain = [value for value in values if " " not in value]
    patterned = rng.permutation([value for value in values if " " in value]).tolist()
    one_each = {value.split()[1]: value for value in patterned}.values()
    return list(dict.fromkeys([*plain, *one_each, *patterned]))[:limit]


def _looks_in_turn(
    rng: np.random.Generator, parts: Mapping[str, Splits], split: str, count: int
) -> list[Modifier]:
    """The split's styles in turn, each with a background of training concepts.

    Looks that share few words are more nearly independent than random ones.
    """
    looks: dict[str, Modifier] = {}
    styles, backgrounds = parts["style"][split], parts["background"]["train"]
    while len(looks) < count:
        background = str(rng.choice(backgrounds))
        facts = {"style": styles[len(looks) % len(styles)], "background": background}
        look = Modifier(kind="look", facts=facts, split=split)
        looks[look.id] = look
    return list(looks.values())


def _with_known_words(ordered: Sequence[Modifier], parts: Mapping[str, Splits]) -> list[Modifier]:
    """The modifiers with every second test look replaced by a new combination of trained words.

    No two of these have the same style or the same background. The style that CLIP `b` does not
    tell is replaced too.
    """
    rng, trained = np.random.default_rng(22), {modifier.id for modifier in ordered}
    styles, backgrounds = (
        rng.permutation(parts[kind]["train"]).tolist() for kind in ("style", "background")
    )
    combinations = (
        Modifier(kind="look", facts={"style": style, "background": background}, split="test")
        for style, background in zip(styles, backgrounds, strict=False)
    )
    untrained = (look for look in combinations if look.id not in trained)
    test_looks = [each for each in ordered if (each.kind, each.split) == ("look", "test")]
    left_out = [*(look.id for look in test_looks[1::2]), UNTOLD]
    replaced = dict(zip(left_out, untrained, strict=False))
    return [replaced.get(modifier.id, modifier) for modifier in ordered]


def write(folder: Path, world: World = SHIPPED) -> None:
    """Write the sets `emoji` and `emoji-companions` as folders; the same bytes each time."""
    rng = np.random.default_rng(21)
    order = rng.permutation(nouns()).tolist()
    sets = {
        "emoji": (modifiers(world), _ABOUT),
        "emoji-companions": (companions(world), _ABOUT_COMPANIONS),
    }
    for name, (members, about) in sets.items():
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        card = _CARD.format(name=name, version=world.version, about=about)
        (own / "card.toml").write_text(card, encoding="utf-8")
        _write_lines(own / "concepts.jsonl", [_row(each, world) for each in members.values()])
        prompts = [
            {"text": noun, "use": "fit" if k < N_FIT_PROMPTS else "evaluation"}
            for k, noun in enumerate(order)
        ]
        _write_lines(own / "prompts.jsonl", prompts)
    with ZipFile(folder / "emoji" / "references.zip", "w") as archive:
        for name, modifier in modifiers(world).items():
            for k in range(N_REFERENCES):
                scene = Scene(noun=order[int(rng.integers(N_FIT_PROMPTS))], **modifier.facts)
                image, picture = Image.fromarray(scene.draw(rng.standard_normal(LATENT))), BytesIO()
                image.save(picture, "WEBP", quality=85, method=6)
                archive.writestr(ZipInfo(f"{name}/{k}.webp"), picture.getvalue())


def _row(modifier: Modifier, world: World) -> dict[str, object]:
    return {
        "id": modifier.id,
        "kind": modifier.kind,
        "split": modifier.split,
        "text": modifier.text(),
        "template": ("{prompt} " if modifier.kind == "companion" else "{prompt}, ")
        + modifier.text(),
        **_word_groups(modifier, world),
    }


def _word_groups(modifier: Modifier, world: World) -> dict[str, list[str]]:
    """Texts in words that the CLIPs alone know, and that nothing knows; and the words it hangs on.

    A noun has neither: a companion has phrasings that no model was trained on.
    """
    if modifier.kind == "companion":
        untrained = range(N_TRAINED_WORDINGS, len(WORDINGS["companion"]))
        paraphrases = [modifier.text(wording) for wording in untrained]
    else:
        paraphrases = _reworded(modifier, world.unknown_words)
    return {
        "synonyms": _reworded(modifier, world.synonyms),
        "paraphrases": paraphrases,
        "family": new_words(modifier, world)
        or [phrase(kind, value) for kind, value in modifier.facts.items()],
    }


def _reworded(modifier: Modifier, words: Callable[[str, str], tuple[str, ...]]) -> list[str]:
    """The concept's text with other words for all of its values at once."""
    texts = zip(*(words(kind, value) for kind, value in modifier.facts.items()), strict=True)
    return [caption(dict(zip(modifier.facts, values, strict=True))) for values in texts]


def new_words(modifier: Modifier, world: World) -> list[str]:
    """Nouns and words of a modifier's values that no concept of the split `train` has.

    Of a concept that is itself in `train`, all. Concepts that share one are not independent.
    """
    words = shown_words(modifier)
    return [word for word in words if modifier.split == "train" or word not in _trained(world)]


def shown_words(modifier: Modifier) -> list[str]:
    """Words of a modifier's values, and a companion's as one."""
    return [word for kind, value in modifier.facts.items() for word in _words(kind, value)]


@cache
def _trained(world: World) -> frozenset[str]:
    return frozenset(
        word
        for modifier in modifiers(world).values()
        if modifier.split == "train"
        for word in shown_words(modifier)
    )


def _words(kind: str, value: str) -> Sequence[str]:
    return (f"with {value}",) if kind == "companion" else value.split()


def _write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    write(parser.parse_args().folder)
