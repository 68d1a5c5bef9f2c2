r"""Locality: how far steering changes a picture where its concept belongs, and not elsewhere.

The composer draws the scene of the prompt's noun with the concept and without it, in the layout of
the unsteered picture. The pixels that differ are the place of the concept: the rim of the picture
for a frame, all but the noun for a background, two of the corners for a companion. With the mean
squared change :math:`a` between the unsteered and the steered picture over the pixels of that
place, and :math:`b` over the rest,

.. math:: \mathrm{locality}(x, x_0, c) = \frac{a - b}{a + b}

From -1, where all change is elsewhere, over 0, where it is spread evenly, to 1, where all is in
place; higher is better. A concept whose place is all of the picture, such as most styles, has none.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Num, UInt8
from PIL import Image
from scipy.ndimage import binary_dilation

from htbench.core import pictures
from htbench.core.content import file_digest
from htbench.models.emoji.canvas import SIZE
from htbench.models.emoji.detector import Facts, Layout, draw_scene, nearest_layout, read_facts
from htbench.models.emoji.icons import DRAWINGS, WEIGHTS_FOLDER, nouns
from htbench.models.emoji.worlds import SHIPPED
from htbench.scorers.scorer import ScorerCard, ScorerInput, ScorerVersion

VERSION = "1"
"""To be raised with any change of the settings below, which makes other scores."""
MIN_CHANGE = 8
"""Levels of 255 by which the composer changes a channel of each pixel of a concept's place."""
MARGIN = SHIPPED.rim
"""Pixels around the place that count neither to it nor to the rest: a generator draws edges softer
than the composer, as far as its cells overlap."""
MIN_SHARE = 0.02
"""Least share of the picture that both the place and the rest must have."""
CARD = ScorerCard(
    name="emoji-locality",
    gauge="emoji-locality",
    better="higher",
    against="concept",
    range=(-1, 1),
    licence="Apache-2.0, with htbench",
    summary="Locality: the change where the concept belongs against that elsewhere, from -1 to 1; "
    "0 where it is spread evenly",
)

Mask = Bool[np.ndarray, "height width"]


class Locality:
    """Implements `htbench.scorers.scorer.Scorer`; it works on the CPU, whatever the device."""

    def __init__(self, device: str, *, weights: str = "hub", card: ScorerCard = CARD) -> None:
        self.card = card
        drawings = file_digest(WEIGHTS_FOLDER / "icons.webp", WEIGHTS_FOLDER / "nouns.txt")
        self.declared = ScorerVersion(name=card.name, version=VERSION, weights=drawings)

    def knows(self, prompt: str, concept: str) -> bool:
        """True for a noun of the composer and a concept that has a place in its pictures."""
        facts = tuple(read_facts(concept).items())
        return prompt in nouns() and bool(facts) and has_place(prompt, facts)

    def measure(self, inputs: Sequence[ScorerInput]) -> list[float | str | None]:
        return [
            _measure(item)
            if self.knows(item.prompt, item.concept)
            else "the composer does not draw this prompt, or this concept in a place of its own"
            for item in inputs
        ]

    def close(self) -> None:
        for cached in (place, has_place, _layout_of):
            cached.cache_clear()


def locality(
    steered: Num[np.ndarray, "height width rgb"],
    unsteered: Num[np.ndarray, "height width rgb"],
    inside: Mask,
    outside: Mask,
) -> float | None:
    """The change of the pixels `inside` against that of those `outside`, -1 to 1.

    None where none of these pixels is changed.

    Raises:
        ValueError: if a level is NaN or infinite, a mask is empty, or the masks overlap.
    """
    if not (np.isfinite(steered).all() and np.isfinite(unsteered).all()):
        raise ValueError("a level of a picture is NaN or infinite")
    if not inside.any():
        raise ValueError("the place of the concept is empty")
    if not outside.any():
        raise ValueError("the place of the concept is the whole picture")
    if (inside & outside).any():
        raise ValueError("a pixel is in the place of the concept and in the rest")
    change = np.square(np.subtract(steered, unsteered, dtype=np.float64)).mean(-1)
    own, rest = float(change[inside].mean()), float(change[outside].mean())
    return (own - rest) / (own + rest) if own + rest else None


@lru_cache(maxsize=4096)
def place(noun: str, facts: Facts, layout: Layout) -> tuple[Mask, Mask]:
    """The pixels where a concept belongs in a scene of `noun`, and those of the rest."""
    with_concept, without = (
        draw_scene(noun, each, layout).astype(np.int16) for each in (facts, ())
    )
    inside = abs(with_concept - without).max(-1) > MIN_CHANGE
    side = 2 * MARGIN + 1
    return inside, ~binary_dilation(inside, np.ones((side, side), bool))


@lru_cache(maxsize=4096)
def has_place(noun: str, facts: Facts) -> bool:
    """True if a concept belongs to a part of the scenes of `noun` and leaves a part alone.

    That hardly depends on the arrangement, so it is asked of one, in each drawing style.
    """
    masks = (place(noun, facts, (0, drawing)) for drawing in range(len(DRAWINGS)))
    return bool(min(mask.mean() for pair in masks for mask in pair) >= MIN_SHARE)


def _measure(item: ScorerInput) -> float | str | None:
    facts = tuple(read_facts(item.concept).items())
    masks = place(item.prompt, facts, _layout_of(item.unsteered, item.prompt, facts))
    try:
        score = locality(_levels(item.image), _levels(item.unsteered), *masks)
    except ValueError as error:
        return str(error)
    return None if score is None else round(score, 6)


def _levels(path: Path) -> UInt8[np.ndarray, "64 64 rgb"]:
    with pictures.read_picture(path, within=path.parent) as image:
        shown = pictures.on_background(image)
        return np.asarray(shown.resize((SIZE, SIZE), Image.Resampling.BOX))


@lru_cache(maxsize=4096)
def _layout_of(unsteered: Path, noun: str, facts: Facts) -> Layout:
    """The layout of the unsteered picture, in which the concept may be there already."""
    with pictures.read_picture(unsteered, within=unsteered.parent) as image:
        return nearest_layout(image, noun, facts)
