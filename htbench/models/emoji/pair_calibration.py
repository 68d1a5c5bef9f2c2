"""Calibration of the measures of task `compose`, on scenes whose truth is known.

The composer draws each scene with both concepts of a pair, with one of them, and with both and
another noun.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from htbench.models.emoji.calibration import KnownScenes, auc
from htbench.models.emoji.concepts import modifiers
from htbench.models.emoji.task_calibration import OTHER_LAYOUT, TaskCalibration
from htbench.scorers import metrics
from htbench.steering import concept
from htbench.steering.encoder import Encoder
from htbench.steering.pair import ConceptPair, pair_up

AnyPair = TypeVar("AnyPair", bound=ConceptPair)
_Values = Float[Tensor, "concepts scenes"]


@dataclass(frozen=True, kw_only=True)
class _Presences:
    """The presence of either concept of a pair in its scenes, the first concept's in row 0."""

    both: _Values
    both_elsewhere: _Values
    """In scenes with both, in another layout and drawing."""
    first: _Values
    """In scenes with the first concept alone."""
    second: _Values


@dataclass(frozen=True, kw_only=True)
class _Subjects:
    """The probability of the noun of scenes with both concepts."""

    own: Float[Tensor, " scenes"]
    other: Float[Tensor, " scenes"]
    """In scenes that have another noun."""


def choose_pairs(split: str, number: int, prompts: int) -> tuple[list[ConceptPair], list[str]]:
    """Pairs of concepts of a split that are drawn at random, and nouns that are in none of them."""
    concept_set = concept.load("emoji")
    return choose_among(pair_up(concept_set.select(split), concept_set), number, prompts)


def choose_among(
    every: Sequence[AnyPair], number: int, prompts: int
) -> tuple[list[AnyPair], list[str]]:
    """Some of these pairs at random, and nouns that are in none of them."""
    random = np.random.default_rng(5)
    pairs = [every[k] for k in random.choice(len(every), min(number, len(every)), replace=False)]
    named = " ".join(member.text for pair in pairs for member in pair.members)
    nouns = [noun for noun in concept.load("emoji").prompts if noun not in named]
    return pairs, random.choice(nouns, min(prompts, len(nouns)), replace=False).tolist()


def calibrate_pairs(
    pairs: Sequence[ConceptPair], nouns: Sequence[str], subjects: Sequence[str], encoder: Encoder
) -> list[TaskCalibration]:
    """The measures of task `compose` on scenes of these pairs with these nouns.

    `subjects` are the classes of an image's subject, the evaluation prompts of the set.
    """
    found = [_measure(pair, nouns, subjects, encoder) for pair in pairs]
    both, elsewhere, first, second = (
        torch.cat([getattr(presences, name) for presences, _ in found], -1)
        for name in ("both", "both_elsewhere", "first", "second")
    )
    alone = torch.stack([first[0], second[1]])
    displaced = torch.stack([second[0], first[1]])

    def row(measure: str, truth: str, falsehood: str, high: Tensor, low: Tensor) -> TaskCalibration:
        values = (each.flatten().double().numpy() for each in (high, low))
        return TaskCalibration(measure=measure, truth=truth, falsehood=falsehood, auc=auc(*values))

    is_there = "both are there"
    return [
        row("both_present", is_there, "only the first is", both.amin(0), first.amin(0)),
        row("both_present", is_there, "only the second is", both.amin(0), second.amin(0)),
        row("first_present", is_there, "only the second is", both[0], second[0]),
        row("second_present", is_there, "only the first is", both[1], first[1]),
        row(
            "interference",
            "one has displaced the other",
            "both are there, drawn otherwise",
            alone - displaced,
            alone - elsewhere,
        ),
        row(
            "subject_kept",
            "both are there",
            "the noun is another too",
            torch.cat([subject.own for _, subject in found]),
            torch.cat([subject.other for _, subject in found]),
        ),
    ]


def calibrate_losses_beside(
    pairs: Sequence[ConceptPair], nouns: Sequence[str], encoder: Encoder
) -> list[TaskCalibration]:
    """The loss of a concept of the picture beside another one that is removed."""
    falls: dict[str, list[Tensor]] = {"neither": [], "alone": []}
    for pair in pairs:
        scenes, elsewhere = (KnownScenes(pair, nouns, seed) for seed in (0, OTHER_LAYOUT))
        facts = [modifiers()[member.id].facts for member in pair.members]
        neutral = encoder.texts(nouns)
        both, neither = (
            encoder.images(drawn)
            for drawn in (scenes.render({**facts[0], **facts[1]}), elsewhere.without)
        )
        for member, own in zip(pair.members, facts, strict=True):
            target = encoder.texts([member.target(noun) for noun in nouns])
            alone = encoder.images(elsewhere.render(own))
            before, *after = (
                metrics.presence(images, target, neutral, scale=encoder.scale)
                for images in (both, neither, alone)
            )
            for name, presence in zip(falls, after, strict=True):
                falls[name].append(before - presence)
    high, low = (torch.cat(each).double().numpy() for each in falls.values())
    return [
        TaskCalibration(
            measure="beside_loss",
            truth="the other is gone too",
            falsehood="only the concept is gone",
            auc=auc(high, low),
        )
    ]


def _measure(
    pair: ConceptPair, nouns: Sequence[str], subjects: Sequence[str], encoder: Encoder
) -> tuple[_Presences, _Subjects]:
    scenes, elsewhere, others = (
        KnownScenes(pair, own, seed)
        for own, seed in ((nouns, 0), (nouns, OTHER_LAYOUT), ([*nouns[1:], nouns[0]], 0))
    )
    first, second = (modifiers()[member.id].facts for member in pair.members)
    neutral, classes = encoder.texts(nouns), encoder.texts(subjects)
    targets = [encoder.texts([each.target(noun) for noun in nouns]) for each in pair.members]
    own = (neutral @ classes.T).argmax(-1)

    def presences(images: Tensor) -> Tensor:
        values = [metrics.presence(images, each, neutral, scale=encoder.scale) for each in targets]
        return torch.stack(values)

    def subject(images: Tensor) -> Tensor:
        return metrics.class_probability(images, classes, own, scale=encoder.scale)

    both = encoder.images(scenes.render({**first, **second}))
    return (
        _Presences(
            both=presences(both),
            both_elsewhere=presences(encoder.images(elsewhere.render({**first, **second}))),
            first=presences(encoder.images(scenes.render(first))),
            second=presences(encoder.images(scenes.render(second))),
        ),
        _Subjects(
            own=subject(both),
            other=subject(encoder.images(others.render({**first, **second}))),
        ),
    )
