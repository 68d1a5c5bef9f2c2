"""Calibration of the scorers of losses and attributes, by what is planted at known strengths.

They are planted into scenes that the composer draws, so that the truth is known. A scorer of pixels
has to tell flawed pictures from the others, and each scorer has to follow the planted strength.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageFilter
from scipy.stats import spearmanr

from htbench.core import registry
from htbench.models.emoji.calibration import KnownScenes, auc, calibration_table
from htbench.models.emoji.object_calibration import (
    calibrate_objects,
    calibrate_size,
    concept_changes,
)
from htbench.models.emoji.pair_calibration import (
    calibrate_losses_beside,
    calibrate_pairs,
    choose_pairs,
)
from htbench.models.emoji.planted import LossCalibration, block, table
from htbench.models.emoji.replacement_calibration import (
    calibrate_replacements,
    choose_replacements,
)
from htbench.models.emoji.task_calibration import calibrate_tasks, task_table
from htbench.scorers import pixels
from htbench.scorers.picture_sets.cmmd import Cmmd
from htbench.scorers.picture_sets.diversity import PairwiseDistance, Vendi
from htbench.scorers.picture_sets.frechet import Frechet
from htbench.scorers.picture_sets.wasserstein import Wasserstein
from htbench.scorers.set_scorer import PictureSet, Rows, SetScorer
from htbench.steering import concept
from htbench.steering.encoder import Encoder

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Strengths at which flaws are planted; 1 is a flaw that nobody overlooks."""
CONCEPTS, PROMPTS, SEEDS = 6, 8, 8
"""Numbers of concepts that are drawn, of prompts with each, and of seeds of a prompt."""
TASK_CONCEPTS = 20
"""Number of concepts, and of pairs of concepts, that the measures of tasks are tested on."""

Levels = pixels.Levels


@dataclass(frozen=True, kw_only=True)
class _PlantedFlaw:
    scorer: str
    function: Callable[[Levels], float]
    rises: bool
    """True if the flaw makes the score higher."""
    planted: str
    plant: Callable[[Image.Image, float], Image.Image]


def instrument_tables(device: str, *, split: str = "test", scenes: int = 20) -> tuple[str, bool]:
    """The tables of `calibration_table`, and those of the scorers of losses and of tasks.

    Also true if every scorer can be trusted.
    """
    tables, trusted = calibration_table(device, split=split, scenes=scenes)
    encoder = registry.load("encoders", "emoji-clip-b")(device)
    found = [*calibrate_pixels(split=split), *calibrate_sets(encoder, split=split)]
    changes = concept_changes(split)
    attributes = [*calibrate_attributes(split=split), *calibrate_objects(changes)]
    subjects = list(dict.fromkeys(concept.load("emoji").prompts))
    removal = calibrate_tasks(known_scenes(split, TASK_CONCEPTS, PROMPTS), subjects, encoder)
    chosen_pairs = choose_pairs(split, TASK_CONCEPTS, PROMPTS)
    pairs = calibrate_pairs(*chosen_pairs, subjects, encoder)
    removal += calibrate_losses_beside(*chosen_pairs, encoder)
    replaced = calibrate_replacements(
        *choose_replacements(split, TASK_CONCEPTS, PROMPTS), subjects, encoder
    )
    of_tasks = [
        task_table(own, name)
        for name, own in (("remove", removal), ("replace", replaced), ("compose", pairs))
    ]
    lines = [*block("losses", found), "", *block("attributes", attributes)]
    lines += ["", "no scorer, since too low:", "", *table([calibrate_size(changes)])]
    for own, own_trusted in of_tasks:
        lines += ["", *own]
        trusted = trusted and own_trusted
    return "\n".join([tables, "", *lines]), trusted and all(
        each.is_trusted for each in (*found, *attributes)
    )


def calibrate_pixels(
    *, split: str = "test", concepts: int = CONCEPTS, prompts: int = PROMPTS
) -> list[LossCalibration]:
    """The scorers of pixels on flaws that are planted into scenes with and without concepts."""
    drawn = known_scenes(split, concepts, prompts)
    pictures = [each for scenes in drawn for each in (*scenes.without, *scenes.with_concept)]
    return [_calibrate_flaw(flaw, pictures) for flaw in _FLAWS]


def calibrate_attributes(
    *, split: str = "test", concepts: int = CONCEPTS, prompts: int = PROMPTS
) -> list[LossCalibration]:
    """The scorers of attributes on scenes that were darkened, made grey, or turned in hue.

    A picture without a hue of its own cannot be turned, and is left out of the last.
    """
    drawn = known_scenes(split, concepts, prompts)
    scenes = [each for known in drawn for each in (*known.without, *known.with_concept)]
    coloured = [each for each in scenes if not math.isnan(pixels.hue(_levels(each)))]
    return [
        _calibrate_attribute(
            "brightness", "darkened", scenes, darken, -1, _alone(pixels.brightness)
        ),
        _calibrate_attribute(
            "saturation", "made grey", scenes, to_grey, -1, _alone(pixels.saturation)
        ),
        _calibrate_attribute("hue-shift", "hue turned", coloured, turn_hue, 1, pixels.hue_shift),
    ]


def calibrate_sets(
    encoder: Encoder,
    *,
    split: str = "test",
    concepts: int = CONCEPTS,
    prompts: int = PROMPTS,
    seeds: int = SEEDS,
) -> list[LossCalibration]:
    """The scorers of sets on pictures of seeds that were made alike, and on sets of which a growing
    share shows concepts.
    """
    drawn = known_scenes(split, concepts, prompts)
    nouns = [scenes.prompts[0] for scenes in drawn]
    collapsed = [
        embed(KnownScenes(scenes.concept, [noun] * seeds, k).without, encoder)
        for k, (scenes, noun) in enumerate(zip(drawn, nouns, strict=True))
    ]
    pairs = [(embed(each.without, encoder), embed(each.with_concept, encoder)) for each in drawn]
    mixtures = [[mix(*pair, share, first=k) for k, pair in enumerate(pairs)] for share in STRENGTHS]
    return [
        *(_calibrate_diversity(scorer, collapsed) for scorer in (Vendi(), PairwiseDistance())),
        *(_calibrate_distance(each, mixtures) for each in (Cmmd(), Frechet(), Wasserstein())),
    ]


def known_scenes(split: str, concepts: int, prompts: int) -> list[KnownScenes]:
    """Scenes of concepts drawn at random, each with the same prompts."""
    concept_set = concept.load("emoji")
    random = np.random.default_rng(5)
    chosen = concept_set.select(split)
    numbers = random.choice(len(chosen), min(concepts, len(chosen)), replace=False)
    named = " ".join(chosen[k].text for k in numbers)
    nouns = [noun for noun in concept_set.prompts if noun not in named]
    drawn = random.choice(nouns, min(prompts, len(nouns)), replace=False).tolist()
    return [KnownScenes(chosen[number], drawn, 0) for number in numbers]


def embed(pictures: Sequence[Image.Image], encoder: Encoder) -> Rows:
    """The encoder's embeddings of pictures."""
    return np.asarray(encoder.images(pictures).float().cpu().numpy())


def wash_out(picture: Image.Image, strength: float) -> Image.Image:
    """The picture with its contrast reduced to a tenth at strength 1."""
    mean = Image.new("RGB", picture.size, (round(float(np.asarray(picture).mean())),) * 3)
    return Image.blend(picture, mean, 0.9 * strength)


def burn_out(picture: Image.Image, strength: float) -> Image.Image:
    """The picture with its levels pulled from the middle to the ends, eight times at strength 1."""
    levels = np.asarray(picture, float) / 255
    return _picture(0.5 + (1 + 7 * strength) * (levels - 0.5))


def add_noise(picture: Image.Image, strength: float) -> Image.Image:
    """The picture with normal noise of a fifth of the scale at strength 1."""
    levels = np.asarray(picture, float) / 255
    noise = np.random.default_rng(0).normal(0, 0.2, levels.shape)
    return _picture(levels + strength * noise)


def blur(picture: Image.Image, strength: float) -> Image.Image:
    """The picture behind a Gaussian blur of a twelfth of its width at strength 1."""
    return picture.filter(ImageFilter.GaussianBlur(strength * picture.width / 12))


def darken(picture: Image.Image, strength: float) -> Image.Image:
    """The picture with its levels reduced to three tenths at strength 1."""
    return _picture((1 - 0.7 * strength) * _levels(picture))


def to_grey(picture: Image.Image, strength: float) -> Image.Image:
    """The picture with its pixels moved to the mean of their levels; grey at strength 1."""
    levels = _levels(picture)
    return _picture(levels + strength * (levels.mean(-1, keepdims=True) - levels))


def turn_hue(picture: Image.Image, strength: float) -> Image.Image:
    """The picture with its colours turned by 120 degrees around grey at strength 1.

    Its colours are first made paler by half, so that few turned ones are out of range.
    """
    angle = math.radians(120 * strength)
    levels = _levels(to_grey(picture, 0.5))
    own = (1 + 2 * math.cos(angle)) / 3
    last, other = (
        (1 - math.cos(angle)) / 3 + sign * math.sin(angle) / math.sqrt(3) for sign in (-1, 1)
    )
    turn = np.array([[own, last, other], [other, own, last], [last, other, own]])
    return _picture(levels @ turn.T)


def collapse(rows: Rows, strength: float) -> Rows:
    """The rows with this share of all but the first replaced by the first."""
    lost = round(strength * (len(rows) - 1))
    return np.concatenate([np.repeat(rows[:1], lost, axis=0), rows[: len(rows) - lost]])


def mix(without: Rows, with_concept: Rows, share: float, *, first: int) -> Rows:
    """Rows of which this share is with the concept, counted round from the row `first`."""
    order = (np.arange(len(without)) - first) % len(without)
    return np.where(order[:, None] < round(share * len(without)), with_concept, without)


_FLAWS = (
    _PlantedFlaw(
        scorer="contrast",
        function=pixels.contrast,
        rises=False,
        planted="washed out",
        plant=wash_out,
    ),
    _PlantedFlaw(
        scorer="clipping",
        function=pixels.clipping,
        rises=True,
        planted="burnt out",
        plant=burn_out,
    ),
    _PlantedFlaw(
        scorer="noise", function=pixels.noise, rises=True, planted="noise", plant=add_noise
    ),
    _PlantedFlaw(
        scorer="sharpness",
        function=pixels.sharpness,
        rises=False,
        planted="blurred",
        plant=blur,
    ),
)


def _calibrate_flaw(flaw: _PlantedFlaw, pictures: Sequence[Image.Image]) -> LossCalibration:
    sign = 1 if flaw.rises else -1
    scores: Float[np.ndarray, "strengths pictures"] = sign * np.array(
        [
            [
                flaw.function(np.asarray(flaw.plant(picture, strength), float) / 255)
                for picture in pictures
            ]
            for strength in STRENGTHS
        ]
    )
    return LossCalibration(
        scorer=flaw.scorer,
        planted=flaw.planted,
        auc=auc(scores[-1], scores[0]),
        correlation=float(np.mean([_correlation(column) for column in scores.T])),
    )


def _calibrate_attribute(
    scorer: str,
    planted: str,
    pictures: Sequence[Image.Image],
    plant: Callable[[Image.Image, float], Image.Image],
    sign: int,
    function: Callable[[Levels, Levels], float],
) -> LossCalibration:
    """A scorer of a picture and the unplanted one; `sign` is that of the planted change."""
    plain = [plant(picture, 0) for picture in pictures]
    columns = [
        [
            sign * function(_levels(plant(picture, strength)), _levels(before))
            for strength in STRENGTHS
        ]
        for picture, before in zip(pictures, plain, strict=True)
    ]
    return LossCalibration(
        scorer=scorer,
        planted=planted,
        auc=math.nan,
        correlation=float(np.mean([_correlation(np.array(column)) for column in columns])),
    )


def _alone(function: Callable[[Levels], float]) -> Callable[[Levels, Levels], float]:
    return lambda levels, before: function(levels)


def _calibrate_diversity(scorer: SetScorer, groups: Sequence[Rows]) -> LossCalibration:
    scores = np.array(
        [
            scorer.measure(
                _as_set([collapse(rows, strength) for rows in groups], seeds=True)
            ).by_concept
            for strength in STRENGTHS
        ]
    )
    return LossCalibration(
        scorer=scorer.card.name,
        planted="seeds made alike",
        auc=auc(-scores[len(STRENGTHS) // 2], -scores[0]),
        correlation=float(np.mean([_correlation(-column) for column in scores.T])),
    )


def _calibrate_distance(scorer: SetScorer, mixtures: Sequence[Sequence[Rows]]) -> LossCalibration:
    scores = [
        scorer.measure(_as_set(groups, unsteered=mixtures[0][0], seeds=False)).value
        for groups in mixtures
    ]
    return LossCalibration(
        scorer=scorer.card.name,
        planted="pictures with concepts",
        auc=math.nan,
        correlation=_correlation(np.array(scores)),
    )


def _as_set(groups: Sequence[Rows], *, seeds: bool, unsteered: Rows | None = None) -> PictureSet:
    """Groups of pictures, each of a concept: of the seeds of one prompt, or of several prompts."""
    size = len(groups[0])
    number = np.tile(np.arange(size), len(groups))
    return PictureSet(
        steered=np.concatenate(groups),
        unsteered=groups[0] if unsteered is None else unsteered,
        pair=number,
        concept=np.repeat(np.arange(len(groups)), size),
        prompt=np.zeros_like(number) if seeds else number,
    )


def _correlation(scores: Float[np.ndarray, " strengths"]) -> float:
    """Spearman's correlation with the strengths; 0 for scores that do not change."""
    return float(spearmanr(STRENGTHS, scores).statistic) if np.ptp(scores) else 0.0


def _picture(levels: Levels) -> Image.Image:
    return Image.fromarray((255 * levels.clip(0, 1)).round().astype(np.uint8))


def _levels(picture: Image.Image) -> Levels:
    return np.asarray(picture, float) / 255
