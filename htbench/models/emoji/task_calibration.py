"""Calibration of the measures of task `remove`, on scenes whose truth is known.

The composer draws each scene with the concept, without it, and with another noun, so that it is
known what an intervention that made one of the other would have removed, kept or lost. For locality
the same change is also made elsewhere in the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from htbench.models.emoji.calibration import KnownScenes, auc
from htbench.models.emoji.canvas import SIZE
from htbench.models.emoji.concepts import modifiers
from htbench.models.emoji.detector import nearest_layout
from htbench.models.emoji.locality import has_place, locality, place
from htbench.scorers import metrics
from htbench.steering.encoder import Encoder

MIN_AUC = 0.95
"""Least figure of a measure that can be trusted."""
OTHER_LAYOUT = 1000
"""Added to a number of scenes for others of the same content in another layout and drawing."""
_Vectors = Float[Tensor, "scenes features"]


@dataclass(frozen=True, kw_only=True)
class TaskCalibration:
    """A measure's ability to tell what was planted."""

    measure: str
    truth: str
    """The scenes that should score higher, in words."""
    falsehood: str
    auc: float
    """Chance that one of the first scores higher than one of the second; 0 to 1."""

    @property
    def is_trusted(self) -> bool:
        """True if the figure is high enough."""
        return self.auc >= MIN_AUC


@dataclass(frozen=True, kw_only=True)
class _Embedded:
    """Embeddings of the scenes of one concept, and of its texts, one row per prompt."""

    carried: _Vectors
    """With the concept: the unsteered images of task `remove`."""
    carried_elsewhere: _Vectors
    """With the concept, in another layout and drawing."""
    without: _Vectors
    without_elsewhere: _Vectors
    """Without the concept, in another layout and drawing."""
    without_noun: _Vectors
    """Without the concept, and with another noun in place of the own one."""
    prompts: _Vectors
    targets: _Vectors
    scale: float

    def presence(self, images: _Vectors) -> Float[Tensor, " scenes"]:
        return metrics.presence(images, self.targets, self.prompts, scale=self.scale)

    def subject(self, images: _Vectors, subjects: _Vectors) -> Float[Tensor, " scenes"]:
        rows = (self.prompts @ subjects.T).argmax(-1)
        return metrics.class_probability(images, subjects, rows, scale=self.scale)


def calibrate_tasks(
    drawn: Sequence[KnownScenes], subjects: Sequence[str], encoder: Encoder
) -> list[TaskCalibration]:
    """The measures of task `remove` on these scenes.

    `subjects` are the classes of an image's subject, the evaluation prompts of the set.
    """
    every = [_embed(scenes, encoder) for scenes in drawn]
    classes = encoder.texts(subjects)
    kept = metrics.image_preservation

    def falls(steered: str) -> Tensor:
        return torch.cat(
            [each.presence(each.carried) - each.presence(getattr(each, steered)) for each in every]
        )

    def subject_falls(before: str, steered: str) -> Tensor:
        return torch.cat(
            [
                each.subject(getattr(each, before), classes)
                - each.subject(getattr(each, steered), classes)
                for each in every
            ]
        )

    def cosines(one: str, other: str) -> Tensor:
        return torch.cat([kept(getattr(each, one), getattr(each, other)) for each in every])

    def row(measure: str, truth: str, falsehood: str, high: Tensor, low: Tensor) -> TaskCalibration:
        return TaskCalibration(
            measure=measure,
            truth=truth,
            falsehood=falsehood,
            auc=auc(high.double().numpy(), low.double().numpy()),
        )

    return [
        row(
            "removal",
            "the concept is gone",
            "it is there, drawn otherwise",
            falls("without_elsewhere"),
            falls("carried_elsewhere"),
        ),
        row(
            "rest_kept",
            "only the concept is gone",
            "the noun is another too",
            cosines("without_elsewhere", "without"),
            cosines("without_noun", "without"),
        ),
        row(
            "over_removal",
            "the noun is another too",
            "only the concept is gone",
            subject_falls("carried", "without_noun"),
            subject_falls("carried", "without_elsewhere"),
        ),
        row(
            "unrelated_loss",
            "a scene without the concept has another noun",
            "it stays, drawn otherwise",
            subject_falls("without", "without_noun"),
            subject_falls("without", "without_elsewhere"),
        ),
        row(
            "selectivity",
            "a scene without the concept stays, drawn otherwise",
            "its noun is another",
            cosines("without_elsewhere", "without"),
            cosines("without_noun", "without"),
        ),
        row(
            "selectivity",
            "a scene with a concept stays, drawn otherwise",
            "its concept is gone",
            cosines("carried_elsewhere", "carried"),
            cosines("without", "carried"),
        ),
        row(
            "neighbour_loss",
            "the neighbour is gone",
            "it is there, drawn otherwise",
            falls("without"),
            falls("carried_elsewhere"),
        ),
        *calibrate_locality(drawn),
    ]


def calibrate_locality(drawn: Sequence[KnownScenes]) -> list[TaskCalibration]:
    """Locality on those of these scenes in which the concept has a place of its own.

    The change that the concept makes is softened, as a generator draws it, and made in place; or
    the same change is moved by half the width and height of the picture.
    """
    scores: dict[str, list[float]] = {name: [] for name in _CHANGES}
    for scenes in drawn:
        facts = tuple(modifiers()[scenes.concept.id].facts.items())
        pictures = zip(scenes.prompts, scenes.without, scenes.with_concept, strict=True)
        for noun, *both in pictures:
            if not has_place(noun, facts):
                continue
            for name, own in _change(*both).items():
                masks = place(noun, facts, nearest_layout(own.unsteered, noun, facts))
                score = locality(np.asarray(own.steered), np.asarray(own.unsteered), *masks)
                scores[name].append(0.0 if score is None else score)
    if not scores["added"]:
        return []
    return [
        TaskCalibration(
            measure="locality",
            truth=truth,
            falsehood=falsehood,
            auc=auc(np.array(scores[high]), np.array(scores[low])),
        )
        for high, low, truth, falsehood in (
            ("added", "elsewhere", "the concept is added", "as much is changed elsewhere"),
            ("added", "added_too", "the concept is added", "as much is changed elsewhere too"),
            ("removed", "removed_too", "the concept is gone", "as much is changed elsewhere too"),
        )
    ]


def task_table(found: Sequence[TaskCalibration], task: str) -> tuple[list[str], bool]:
    """The lines of a table of the measures of a task; also true if each can be trusted."""
    poor = [f"{each.measure} on {each.truth}" for each in found if not each.is_trusted]
    rows = [
        f"| {each.measure} | {each.truth} | {each.falsehood} | {each.auc:.3f} |" for each in found
    ]
    head = [f"task {task}:", "", "| measure | higher where | than where | AUC |", "|" + "---|" * 4]
    return [*head, *rows, "", f"measures below {MIN_AUC:g}: {'; '.join(poor) or 'none'}"], not poor


@dataclass(frozen=True, kw_only=True)
class _Change:
    steered: Image.Image
    unsteered: Image.Image


_CHANGES = ("added", "elsewhere", "added_too", "removed", "removed_too")


def _change(without: Image.Image, with_concept: Image.Image) -> dict[str, _Change]:
    """Pictures before and after changes of the same size, by the names of `_CHANGES`."""
    plain, full = (np.asarray(each, float) for each in (without, with_concept))
    step = gaussian_filter(full - plain, (1, 1, 0))
    moved = np.roll(step, (SIZE // 2, SIZE // 2), (0, 1))
    steered = {
        "added": (without, plain + step),
        "elsewhere": (without, plain + moved),
        "added_too": (without, plain + step + moved),
        "removed": (with_concept, full - step),
        "removed_too": (with_concept, full - step - moved),
    }
    return {
        name: _Change(
            steered=Image.fromarray(levels.clip(0, 255).round().astype(np.uint8)), unsteered=before
        )
        for name, (before, levels) in steered.items()
    }


def _embed(scenes: KnownScenes, encoder: Encoder) -> _Embedded:
    elsewhere = KnownScenes(scenes.concept, scenes.prompts, scenes.seed + OTHER_LAYOUT)
    others = KnownScenes(scenes.concept, [*scenes.prompts[1:], scenes.prompts[0]], scenes.seed)
    prompts = list(scenes.prompts)
    return _Embedded(
        carried=encoder.images(scenes.with_concept),
        carried_elsewhere=encoder.images(elsewhere.with_concept),
        without=encoder.images(scenes.without),
        without_elsewhere=encoder.images(elsewhere.without),
        without_noun=encoder.images(others.without),
        prompts=encoder.texts(prompts),
        targets=encoder.texts([scenes.concept.target(prompt) for prompt in prompts]),
        scale=encoder.scale,
    )
