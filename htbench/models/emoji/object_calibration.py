"""Calibration of the scorers of objects and of coverage, on drawings whose places are known.

Nouns stand on white, plain or patterned grounds, a third each. All pictures are softened, since a
generator draws softer edges than the composer. Besides following what was planted, a scorer of
objects has to tell it from what concepts of the set do that ask for something else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageFilter
from scipy.stats import spearmanr

from htbench.models.emoji.calibration import KnownScenes, auc
from htbench.models.emoji.canvas import SIZE
from htbench.models.emoji.concepts import modifiers
from htbench.models.emoji.icons import DRAWINGS, icon, nouns
from htbench.models.emoji.planted import LossCalibration
from htbench.models.emoji.scenes import background_canvas
from htbench.models.emoji.styles import optics
from htbench.models.emoji.surroundings import COLOURS, PATTERNS
from htbench.scorers import objects, pixels
from htbench.scorers.objects import Objects
from htbench.steering import concept

DRAWN = 150
"""Number of drawings per attribute."""
CONCEPTS, PROMPTS = 120, 3
"""The most concepts of the set that ask for something else, and prompts with each."""
COMPANION = "companion"
"""The kind of concept that adds objects."""
_QUARTER = SIZE // 4
_SOFTENING, _NOISE = 0.6, 4.0
"""Radius of the blur in pixels, and standard deviation of the noise in levels of 255."""

Levels = pixels.Levels


@dataclass(frozen=True, kw_only=True)
class ConceptChanges:
    """Changes that concepts make to the objects of scenes, one value per scene."""

    kind: list[str]
    count: Float[np.ndarray, " scenes"]
    """Further objects."""
    shift: Float[np.ndarray, " scenes"]
    """Length of the longer of the two shifts of the largest object."""
    growth: Float[np.ndarray, " scenes"]
    """Change of the largest object's area, without its sign."""

    def of_companions(self) -> Float[np.ndarray, " scenes"]:
        """Further objects with concepts that add some."""
        return self.count[[kind == COMPANION for kind in self.kind]]

    def of_others(self) -> Float[np.ndarray, " scenes"]:
        """Further objects with all other concepts."""
        return self.count[[kind != COMPANION for kind in self.kind]]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A noun in one drawing style, in a box of a picture."""

    noun: str
    style: str
    size: int
    left: int
    top: int

    def at(self, left: int, top: int, size: int = 0) -> "Drawing":
        """The same elsewhere, or in another size."""
        return Drawing(noun=self.noun, style=self.style, size=size or self.size, left=left, top=top)

    @property
    def area(self) -> float:
        """The share of the picture that it covers by more than half."""
        return float((icon(self.noun, self.style, self.size)[..., 3] > 127).sum() / SIZE**2)


def calibrate_objects(changes: ConceptChanges, *, drawn: int = DRAWN) -> list[LossCalibration]:
    """The scorers of objects and of coverage."""
    random = np.random.default_rng(0)
    return [
        LossCalibration(
            scorer="object-count",
            planted="one to four objects",
            auc=auc(changes.of_companions(), changes.of_others()),
            correlation=_follow_count(random, drawn),
        ),
        *(
            LossCalibration(
                scorer=f"shift-{way}",
                planted="object moved",
                auc=auc(*_told_shifts(random, drawn, axis, changes)),
                correlation=_follow_shift(random, drawn, axis),
            )
            for axis, way in enumerate(("right", "down"))
        ),
        LossCalibration(
            scorer="coverage",
            planted="part of a pattern",
            auc=math.nan,
            correlation=_follow_coverage(random, drawn),
        ),
    ]


def calibrate_size(changes: ConceptChanges, *, drawn: int = DRAWN) -> LossCalibration:
    """The area of the largest object, which is no scorer: other concepts change it as much."""
    random = np.random.default_rng(1)
    truth, areas, growth = [], [], []
    for ground in _grounds(random, drawn):
        drawing = _draw_noun(random, 14, 48)
        truth.append(drawing.area)
        areas.append(_area(_find(random, ground, [drawing])))
        small, large = (_area(_find(random, ground, [drawing.at(4, 4, size)])) for size in (32, 45))
        growth.append(large - small)
    return LossCalibration(
        scorer="size of the largest object",
        planted="object grown",
        auc=auc(np.array(growth), changes.growth),
        correlation=_correlation(truth, areas),
    )


def concept_changes(
    split: str, *, concepts: int = CONCEPTS, prompts: int = PROMPTS
) -> ConceptChanges:
    """The changes that concepts of the embedded set make, which are drawn at random.

    Styles of optics are left out: such as a kaleidoscope, they do move objects or add some.
    """
    concept_set, random = concept.load("emoji"), np.random.default_rng(2)
    chosen = [
        each
        for each in concept_set.select(split)
        if modifiers()[each.id].facts.get("style") not in optics.STYLES
    ]
    kinds, changes = [], []
    for k in random.choice(len(chosen), min(concepts, len(chosen)), replace=False):
        drawn = random.choice(concept_set.prompts, prompts + 1, replace=False).tolist()
        subjects = [noun for noun in drawn if noun not in chosen[k].text][:prompts]
        scenes = KnownScenes(chosen[k], subjects, int(k))
        for before, after in zip(scenes.without, scenes.with_concept, strict=True):
            plain, changed = (
                objects.find_objects(_softened(random, picture)) for picture in (before, after)
            )
            kinds.append(chosen[k].kind)
            changes.append(
                (
                    changed.count - plain.count,
                    max(abs(_shift(changed, plain, axis)) for axis in (0, 1)),
                    abs(_area(changed) - _area(plain)),
                )
            )
    count, shift, growth = np.array(changes, float).T
    return ConceptChanges(kind=kinds, count=count, shift=shift, growth=growth)


def _follow_count(random: np.random.Generator, drawn: int) -> float:
    """Correlation of the number of objects with that of nouns in cells of half of the picture."""
    half = SIZE // 2
    truth, found = [], []
    for k, ground in enumerate(_grounds(random, drawn)):
        number = 1 + k % 4
        nouns_in_cells = []
        for cell in random.permutation(4)[:number]:
            drawing = _draw_noun(random, 20, 26)
            across, down = random.integers(0, half - drawing.size + 1, 2)
            left, top = cell % 2 * half + across, cell // 2 * half + down
            nouns_in_cells.append(drawing.at(int(left), int(top)))
        truth.append(number)
        found.append(_find(random, ground, nouns_in_cells).count)
    return _correlation(truth, found)


def _follow_shift(random: np.random.Generator, drawn: int, axis: int) -> float:
    """Correlation of the shift with that of the box, of nouns moved to any other place."""
    truth, found = [], []
    for ground in _grounds(random, drawn):
        first = _draw_noun(random, 20, 40)
        second = first.at(*map(int, random.integers(0, SIZE - first.size + 1, 2)))
        moves = (second.left - first.left, second.top - first.top)
        truth.append(moves[axis])
        before, after = (_find(random, ground, [each]) for each in (first, second))
        found.append(_shift(after, before, axis))
    return _correlation(truth, found)


def _told_shifts(
    random: np.random.Generator, drawn: int, axis: int, changes: ConceptChanges
) -> tuple[Float[np.ndarray, " drawings"], Float[np.ndarray, " scenes"]]:
    """Lengths of shifts by a quarter of the picture, and of those that concepts make."""
    lengths = []
    for ground in _grounds(random, drawn):
        start = _draw_noun(random, 32, 32).at(_QUARTER // 2, _QUARTER // 2)
        step = (_QUARTER, 0) if axis == 0 else (0, _QUARTER)
        before, after = (
            _find(random, ground, [each])
            for each in (start, start.at(start.left + step[0], start.top + step[1]))
        )
        lengths.append(abs(_shift(after, before, axis)))
    return np.array(lengths), changes.shift


def _follow_coverage(random: np.random.Generator, drawn: int) -> float:
    """Correlation of the coverage with the share of pixels of a pattern over part of a picture."""
    truth, found = [], []
    patterns, colours = list(PATTERNS.values()), list(COLOURS.values())
    for ground in _grounds(random, drawn):
        plain = _paint(ground, [_draw_noun(random, 20, 48)])
        levels = np.asarray(plain, float)
        mask = patterns[random.integers(len(patterns))].copy()
        mask[:, random.integers(SIZE + 1) :] = False
        levels[mask] = colours[random.integers(len(colours))]
        covered = Image.fromarray(levels.astype(np.uint8))
        truth.append(float((levels != np.asarray(plain)).any(-1).mean()))
        found.append(pixels.coverage(_softened(random, covered), _softened(random, plain)))
    return _correlation(truth, found)


def _grounds(random: np.random.Generator, drawn: int) -> list[str | None]:
    """White, plain and patterned grounds in turn."""
    colours, patterns = list(COLOURS), list(PATTERNS)
    grounds: list[str | None] = []
    for k in range(drawn):
        colour = colours[random.integers(len(colours))]
        pattern = patterns[random.integers(len(patterns))]
        grounds.append((None, colour, f"{colour} {pattern}")[k % 3])
    return grounds


def _draw_noun(random: np.random.Generator, least: int, most: int) -> Drawing:
    """Any noun at any place, with a side between these, in pixels."""
    size = int(random.integers(least, most + 1))
    left, top = map(int, random.integers(0, SIZE - size + 1, 2))
    styles = list(DRAWINGS)
    return Drawing(
        noun=nouns()[random.integers(len(nouns()))],
        style=styles[random.integers(len(styles))],
        size=size,
        left=left,
        top=top,
    )


def _paint(ground: str | None, drawings: Sequence[Drawing]) -> Image.Image:
    picture = Image.fromarray(background_canvas(ground).astype(np.uint8))
    for each in drawings:
        tile = Image.fromarray(icon(each.noun, each.style, each.size))
        picture.paste(tile, (each.left, each.top), tile)
    return picture


def _softened(random: np.random.Generator, picture: Image.Image) -> Levels:
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(_SOFTENING)), float)
    noisy = blurred + random.normal(0, _NOISE, blurred.shape)
    levels: Levels = noisy.clip(0, 255).round() / 255
    return levels


def _find(random: np.random.Generator, ground: str | None, drawings: Sequence[Drawing]) -> Objects:
    return objects.find_objects(_softened(random, _paint(ground, drawings)))


def _shift(after: Objects, before: Objects, axis: int) -> float:
    shift = after.y - before.y if axis else after.x - before.x
    return 0.0 if math.isnan(shift) else shift


def _area(found: Objects) -> float:
    return found.areas[0] if found.areas else 0.0


def _correlation(truth: Sequence[float], found: Sequence[float]) -> float:
    return float(spearmanr(truth, found).statistic)
