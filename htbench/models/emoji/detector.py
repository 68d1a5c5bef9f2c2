r"""The detector: the probability of a concept by the composed scenes that a picture is near to.

It has neither weights nor words. The composer draws the scene of the prompt's noun as it is without
a modifier, with the concept, and with other values in its place; the layout is the one that is
nearest to the unsteered picture. With the mean squared difference :math:`d` from a picture
:math:`x`,

.. math:: \mathrm{detected}(x, c)
    = \frac{(d(x, c) + d_0)^{-\nu}}{\sum_h (d(x, h) + d_0)^{-\nu}}

where :math:`h` runs over all of these scenes: the posterior, if each is as likely as any other and
a picture differs from its scene by normal noise of unknown strength in :math:`2\nu` independent
values. From 0 to 1, higher is better.
"""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float, Num, UInt8
from PIL import Image
from scipy.special import ndtri, softmax

from htbench.core import pictures
from htbench.core.content import file_digest
from htbench.models.emoji.icons import DRAWINGS, WEIGHTS_FOLDER, nouns
from htbench.models.emoji.scenes import LATENT, N_ARRANGEMENTS, Scene, phrase
from htbench.models.emoji.worlds import SHIPPED, WORDINGS
from htbench.scorers.scorer import ScorerCard, ScorerInput, ScorerVersion

VERSION = "2"
"""To be raised with any change of the settings below, which makes other scores."""
SIDE = 16
"""Pictures are compared at this size: a generator draws edges softer than the composer."""
POWER, FLOOR = 24, 2e-3
"""The exponent and the least difference, of levels from 0 to 1, by log loss on train concepts."""
MIN_EFFECT = 0.04
"""Another value counts if it changes the scene by this share of what the concept itself changes:
under some styles, such as woodcut, one background looks as another."""
NEAREST_RIVALS, SPREAD_RIVALS = 32, 64
"""Most rivals that are compared: those nearest to the concept, and others spread over the rest."""
CARD = ScorerCard(
    name="emoji-detector",
    gauge="emoji-detector",
    better="higher",
    against="concept",
    range=(0, 1),
    counterparts=("presence", "class_probability"),
    licence="Apache-2.0, with htbench",
    summary="Detected: the probability that the concept is in the picture, by the true scenes "
    "that it is near to, with the concept, without it, and with others in its place",
)

Picture = UInt8[np.ndarray, "side side rgb"]
Facts = tuple[tuple[str, str], ...]
"""Kind and value of each modifier."""
Layout = tuple[int, int]
"""Numbers of the arrangement and of the drawing style."""


class Detector:
    """Implements `htbench.scorers.scorer.Scorer`; it works on the CPU, whatever the device."""

    def __init__(self, device: str, *, weights: str = "hub", card: ScorerCard = CARD) -> None:
        self.card = card
        drawings = file_digest(WEIGHTS_FOLDER / "icons.webp", WEIGHTS_FOLDER / "nouns.txt")
        self.declared = ScorerVersion(name=card.name, version=VERSION, weights=drawings)

    def knows(self, prompt: str, concept: str) -> bool:
        """True for a prompt that is one of the composer's nouns, and a concept in its words."""
        return prompt in nouns() and bool(read_facts(concept))

    def measure(self, inputs: Sequence[ScorerInput]) -> list[float | str]:
        return [
            _measure(item)
            if self.knows(item.prompt, item.concept)
            else "the composer does not draw this prompt, or this concept"
            for item in inputs
        ]

    def close(self) -> None:
        for cached in (_draw, _scenes, _rivals, _layout_of):
            cached.cache_clear()


def detected(image: Image.Image, *, noun: str, facts: Mapping[str, str], layout: Layout) -> float:
    """The probability that a picture of `noun` shows all modifiers in `facts`, 0 to 1."""
    return float(posterior(image, noun=noun, facts=facts, layout=layout)[0])


def posterior(
    image: Image.Image, *, noun: str, facts: Mapping[str, str], layout: Layout
) -> Float[np.ndarray, " scenes"]:
    """The probability of each scene that a picture is compared with, that of `facts` first."""
    scenes = _scenes(noun, tuple(facts.items()), layout)
    likeness = -POWER * np.log(_differences(scenes, _shrink(image)) + FLOOR)
    probabilities: np.ndarray = softmax(likeness)
    return probabilities


def nearest_layout(unsteered: Image.Image, noun: str, *others: Facts) -> Layout:
    """The layout in which the composer's scene of `noun` is nearest to the unsteered picture.

    The scene is without modifiers, or with one of `others`.
    """
    layouts = product(range(N_ARRANGEMENTS), range(len(DRAWINGS)))
    choices = [(facts, layout) for layout in layouts for facts in ((), *others)]
    scenes = np.stack([_draw(noun, *choice) for choice in choices])
    return choices[int(_differences(scenes, _shrink(unsteered)).argmin())][1]


def draw_scene(noun: str, facts: Facts, layout: Layout) -> UInt8[np.ndarray, "64 64 rgb"]:
    """The composer's scene of `noun` with these modifiers in a layout."""
    latent = np.zeros(LATENT, np.float32)
    for k, (number, count) in enumerate(zip(layout, (N_ARRANGEMENTS, len(DRAWINGS)), strict=True)):
        latent[k, 0, 0] = ndtri((number + 0.5) / count)
    return Scene(noun=noun, **dict(facts)).draw(latent)


def read_facts(concept: str) -> dict[str, str]:
    """The modifiers that a concept's words name, by kind; empty for words of anything else."""
    facts = [_facts_by_phrase().get(part) for part in concept.split(", ")]
    known = dict(fact for fact in facts if fact)
    return known if len(known) == len(facts) else {}


@cache
def _facts_by_phrase() -> dict[str, tuple[str, str]]:
    """Kind and value of a modifier by each of its phrasings."""
    return {
        phrase(kind, value, wording): (kind, value)
        for kind, values in SHIPPED.values.items()
        for wording in range(len(WORDINGS[kind]))
        for value in values
    }


def _measure(item: ScorerInput) -> float:
    with pictures.read_picture(item.image, within=item.image.parent) as image:
        probability = detected(
            image,
            noun=item.prompt,
            facts=read_facts(item.concept),
            layout=_layout_of(item.unsteered, item.prompt),
        )
    return round(probability, 6)


@lru_cache(maxsize=4096)
def _layout_of(unsteered: Path, noun: str) -> Layout:
    with pictures.read_picture(unsteered, within=unsteered.parent) as image:
        return nearest_layout(image, noun)


@lru_cache(maxsize=256)
def _scenes(noun: str, facts: Facts, layout: Layout) -> Float[np.ndarray, "scenes side side rgb"]:
    """The scene with all modifiers, then without any, with some of them, and with rivals."""
    some = [facts[:k] + facts[k + 1 :] for k in range(len(facts))]
    hypotheses = dict.fromkeys([facts, (), *some, *_rivals(facts)])
    return np.stack([_draw(noun, scene, layout) for scene in hypotheses]).astype(np.float32)


@cache
def _rivals(facts: Facts) -> list[Facts]:
    """The modifiers with one value changed to visible effect."""
    changed = [
        (*facts[:k], (kind, other), *facts[k + 1 :])
        for k, (kind, value) in enumerate(facts)
        for other in SHIPPED.values[kind]
        if other != value
    ]
    own, plain, *scenes = (_draw(nouns()[0], each, (0, 0)) for each in (facts, (), *changed))
    effect, *others = _differences(np.stack([plain, *scenes]), own)
    visible = [k for k, difference in enumerate(others) if difference > MIN_EFFECT * effect]
    by_distance = sorted(visible, key=lambda k: others[k])
    near, rest = by_distance[:NEAREST_RIVALS], by_distance[NEAREST_RIVALS:]
    kept = [*near, *_spread(scenes, near, rest)]
    return [changed[k] for k in kept]


def _spread(scenes: Sequence[Picture], near: Sequence[int], rest: Sequence[int]) -> list[int]:
    """At most `SPREAD_RIVALS` of `rest`, each the farthest from `near` and those before it."""
    if len(rest) <= SPREAD_RIVALS:
        return list(rest)
    left = np.stack([scenes[k] for k in rest])
    distance = np.min([_differences(left, scenes[k]) for k in near], axis=0)
    spread: list[int] = []
    while len(spread) < SPREAD_RIVALS:
        chosen = int(distance.argmax())
        spread.append(rest[chosen])
        distance = np.minimum(distance, _differences(left, left[chosen]))
    return spread


@lru_cache(maxsize=8192)
def _draw(noun: str, facts: Facts, layout: Layout) -> Picture:
    """A small picture of a scene; concepts share most of their rivals, and so their scenes."""
    return _shrink(Image.fromarray(draw_scene(noun, facts, layout)))


def _shrink(image: Image.Image) -> Picture:
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))


def _differences(
    scenes: Num[np.ndarray, "scenes side side rgb"], picture: Picture
) -> Float[np.ndarray, " scenes"]:
    """Mean squared differences of levels from 0 to 1."""
    errors = np.subtract(scenes, picture, dtype=np.float32)
    errors /= 255
    differences: np.ndarray = np.square(errors, out=errors).mean((1, 2, 3))
    return differences
