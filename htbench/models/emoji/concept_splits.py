"""Values of a world in three splits, for concepts: split by the words of values."""

from collections.abc import Mapping, Sequence

import numpy as np

from htbench.models.emoji.styles import STYLES
from htbench.models.emoji.worlds import World

N_COMPANIONS = 160
"""Companions among all nouns: per-channel maps cannot localise a companion, so this kind is kept to
a share like that of other kinds, not three concepts in four."""
Splits = Mapping[str, Sequence[str]]
"""Values by split: `test`, `dev` and `train`."""


N_CONCEPTS = {"test": 167, "dev": 60, "train": 600}
"""Concepts of each split; looks are added until there are as many."""
MAX_BACKGROUNDS = {"test": 20, "dev": 8}
"""Most backgrounds of a split that are concepts of their own."""


def split_values(world: World, rng: np.random.Generator) -> dict[str, Splits]:
    """Every kind's values by split.

    Half of all words of backgrounds, frames and weather are held out, and 50 styles: a value is in
    the split `train` if all of its words are, and in `test` if one of its words is.
    """
    values = world.values
    shaped = [frame for frame in world.frames if frame not in world.colours]
    halves = [
        _cut(rng.permutation(words).tolist(), test=test, dev=dev)
        for words, test, dev in (
            (world.colours, 8, 2), (world.patterns, 5, 1), (shaped, 5, 1), (world.weathers, 6, 2)
        )
    ]  # fmt: skip
    split_of = {word: split for half in halves for split, words in half.items() for word in words}
    return {
        "companion": _cut(
            rng.permutation(values["companion"]).tolist()[:N_COMPANIONS], test=40, dev=14
        ),
        "style": _split_styles(world.styles, rng),
        **{
            kind: _by_hardest_word(values[kind], split_of)
            for kind in ("background", "frame", "weather")
        },
    }


def _cut(words: Sequence[str], *, test: int, dev: int) -> Splits:
    return {"test": words[:test], "dev": words[test : test + dev], "train": words[test + dev :]}


N_TEST_STYLES, N_DEV_STYLES = 34, 16


def _split_styles(styles: Sequence[str], rng: np.random.Generator) -> Splits:
    """34 styles for test and 16 for dev, of every family its share, at random within families."""
    families: dict[str, list[str]] = {}
    for style in rng.permutation(styles).tolist():
        families.setdefault(STYLES[style].family, []).append(style)
    # Every family's styles are spread evenly, so any stretch of the order has its share of each.
    spread = sorted(
        ((k + 0.5) / len(members), style)
        for members in families.values()
        for k, style in enumerate(members)
    )
    order = [style for _, style in spread]
    return _cut(order, test=N_TEST_STYLES, dev=N_DEV_STYLES)


def _by_hardest_word(values: Sequence[str], split_of: Mapping[str, str]) -> Splits:
    splits: dict[str, list[str]] = {"test": [], "dev": [], "train": []}
    for value in values:
        of_words = {split_of[word] for word in value.split()}
        splits[next(split for split in splits if split in of_words)].append(value)
    return splits
