"""Calibration of the measures of task `replace`, on scenes whose truth is known.

The composer draws each scene with the old concept, with the new one in its place, with neither, and
with the new one and another noun.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from htbench.models.emoji.calibration import KnownScenes, auc
from htbench.models.emoji.concepts import modifiers
from htbench.models.emoji.pair_calibration import choose_among
from htbench.models.emoji.task_calibration import OTHER_LAYOUT, TaskCalibration
from htbench.scorers import metrics
from htbench.steering import concept
from htbench.steering.encoder import Encoder
from htbench.steering.pair import Replacement, replacements


@dataclass(frozen=True, kw_only=True)
class _Readings:
    """Scores of the scenes of one replacement."""

    share: Float[Tensor, "texts scenes"]
    """Probabilities of the prompts without either concept, with the old and with the new one."""
    subject: Float[Tensor, " scenes"]
    """Probability of the noun."""


def choose_replacements(
    split: str, number: int, prompts: int
) -> tuple[list[Replacement], list[str]]:
    """Replacements among a split that are drawn at random, and nouns that are in none of them."""
    every = replacements(concept.load("emoji").select(split))
    return choose_among(every, number, prompts)


def calibrate_replacements(
    pairs: Sequence[Replacement], nouns: Sequence[str], subjects: Sequence[str], encoder: Encoder
) -> list[TaskCalibration]:
    """The measures of task `replace` on scenes of these replacements with these nouns.

    `subjects` are the classes of an image's subject, the evaluation prompts of the set.
    """
    found = [_measure(pair, nouns, subjects, encoder) for pair in pairs]

    def shares(scenes: str, text: int) -> Tensor:
        return torch.cat([each[scenes].share[text] for each in found])

    def subject(scenes: str) -> Tensor:
        return torch.cat([each[scenes].subject for each in found])

    def row(measure: str, truth: str, falsehood: str, high: Tensor, low: Tensor) -> TaskCalibration:
        figure = auc(high.double().numpy(), low.double().numpy())
        return TaskCalibration(measure=measure, truth=truth, falsehood=falsehood, auc=figure)

    new, old, gone = "the new one is there", "the old one is still there", "neither is there"
    return [
        row("replaced", new, old, shares("new_elsewhere", 2), shares("old_elsewhere", 2)),
        row("replaced", new, gone, shares("new_elsewhere", 2), shares("neither", 2)),
        row("old_left", old, new, shares("old_elsewhere", 1), shares("new_elsewhere", 1)),
        row("old_left", old, gone, shares("old_elsewhere", 1), shares("neither", 1)),
        row(
            "subject_kept",
            "only the concept is replaced",
            "the noun is another too",
            subject("new_elsewhere"),
            subject("new_with_other_noun"),
        ),
        row(
            "new_loss",
            "the new one is gone",
            "it is there, drawn otherwise",
            shares("new", 2) - shares("neither", 2),
            shares("new", 2) - shares("new_elsewhere", 2),
        ),
    ]


def _measure(
    pair: Replacement, nouns: Sequence[str], subjects: Sequence[str], encoder: Encoder
) -> dict[str, _Readings]:
    scenes, elsewhere, others = (
        KnownScenes(pair, own, seed)
        for own, seed in ((nouns, 0), (nouns, OTHER_LAYOUT), ([*nouns[1:], nouns[0]], 0))
    )
    old, new = (modifiers()[member.id].facts for member in pair.members)
    neutral, classes = encoder.texts(nouns), encoder.texts(subjects)
    targets = [encoder.texts([each.target(noun) for noun in nouns]) for each in pair.members]
    rivals = torch.stack([neutral, *targets])
    own = (neutral @ classes.T).argmax(-1)

    def read(drawn: list[Image.Image]) -> _Readings:
        images = encoder.images(drawn)
        return _Readings(
            share=(encoder.scale * (rivals * images).sum(-1)).softmax(0),
            subject=metrics.class_probability(images, classes, own, scale=encoder.scale),
        )

    return {
        "new": read(scenes.render(new)),
        "old_elsewhere": read(elsewhere.render(old)),
        "new_elsewhere": read(elsewhere.render(new)),
        "neither": read(elsewhere.without),
        "new_with_other_noun": read(others.render(new)),
    }
