"""Schedules of pairs: a round robin, pairs with one method only, or Swiss rounds, with controls."""

import heapq
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, pairwise
from math import lcm
from typing import Literal, TypeVar

Control = Literal["", "repeat", "identical", "noise", "decoy", "text"]
"""The purpose of a match.

Empty: the tournament itself. `repeat`: the same match asked again. The others pit a picture against
itself, against noise, against a picture of another concept, or against itself with words written
into it.
"""
CONTROLS: tuple[Control, ...] = ("repeat", "identical", "noise", "decoy", "text")
ANCHORS = 3
"""Number of methods that each picture of a newcomer is compared with."""
PromptSeed = tuple[str, int]
Item = TypeVar("Item")
_CONTROL_SAMPLE = 2000
"""Controls are drawn from this number of first matches."""


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """Settings of a schedule that can be chosen before the run is known."""

    against: str = ""
    """The method that every pair has to include; empty: all pairs are allowed."""
    pairs: int | None = None
    """Number of pairs of pictures, balanced over methods and concepts; None: all."""
    swiss: int = 0
    """Number of rounds that pair methods of similar rating; 0: a round robin."""
    controls: int = 20
    """Number of controls per kind and criterion."""
    both_orders: bool = True
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Design(ScheduleSettings):
    """All settings of a tournament; they are part of its id."""

    methods: tuple[str, ...]
    criteria: tuple[str, ...]
    strength: float | None = 1.0
    """None: for each method the strength that was chosen for it on dev concepts."""
    about_concept: tuple[str, ...] = ()
    """Criteria by which a picture of another concept should lose."""
    shows: str = ""
    """The method whose pictures stand for their concepts in those controls."""

    @property
    def method_pairs(self) -> list[tuple[str, str]]:
        """Pairs of methods that are compared."""
        return [
            pair
            for pair in combinations(self.methods, 2)
            if not self.against or self.against in pair
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """Two pictures to be compared by one criterion.

    The picture of `one` is shown first in the first call; which method that is, is random.
    """

    control: Control
    criterion: str
    concept: str
    prompt: str
    seed: int
    one: str
    """Method of the first picture; in most controls, of both pictures."""
    two: str
    other_concept: str = ""
    """Concept of the second picture where it differs."""


def round_robin(
    design: Design, concepts: Sequence[str], prompt_seeds: Sequence[PromptSeed]
) -> Iterator[Match]:
    """All matches of a round robin in a fixed order, with controls spread among them.

    Any number of first matches is balanced over methods and concepts.
    """
    total = count_pairs(design, len(concepts), len(prompt_seeds))
    sample = list(islice(_balanced_pairs(design, concepts, prompt_seeds, total), _CONTROL_SAMPLE))
    yield from _interleave(
        design,
        _balanced_pairs(design, concepts, prompt_seeds, total),
        total,
        _controls(design, sample, concepts),
    )


def count_pairs(design: Design, concepts: int, units: int) -> int:
    """Number of pairs of pictures without the controls."""
    whole = len(design.method_pairs) * concepts * units
    return whole if design.pairs is None else min(design.pairs, whole)


def _balanced_pairs(
    design: Design, concepts: Sequence[str], prompt_seeds: Sequence[PromptSeed], total: int
) -> Iterator[Match]:
    """Pairs of pictures: concept and pair of methods both advance with each match.

    So after any number of matches, each has come up nearly equally often. After
    lcm(concepts, method pairs) matches every combination that these two cycles reach has come up
    once, and the method pairs are shifted by one. Prompt and seed advance with the concept and with
    the method pair: a pair compared on one prompt alone would be judged by that prompt.
    """
    dice = random.Random(f"schedule {design.seed}")
    order, method_pairs = _shuffle(concepts, dice), _shuffle(design.method_pairs, dice)
    units = _shuffle(prompt_seeds, dice)
    if not (order and method_pairs and units):
        return
    cycle = lcm(len(order), len(method_pairs))
    for k in range(total):
        turn, combination = divmod(k, len(order) * len(method_pairs))
        concept = order[k % len(order)]
        number = (k + combination // cycle) % len(method_pairs)
        prompt, seed = units[(turn + number + k % len(order)) % len(units)]
        one, two = method_pairs[number]
        if dice.random() < 0.5:
            one, two = two, one
        yield Match(
            control="", criterion="", concept=concept, prompt=prompt, seed=seed, one=one, two=two
        )


def swiss_round(
    design: Design,
    concepts: Sequence[str],
    prompt_seeds: Sequence[PromptSeed],
    *,
    number: int,
    ratings: Mapping[str, float],
    past_matches: Iterable[Match],
) -> Iterator[Match]:
    """Matches of Swiss round `number` that were not played before.

    Seven in ten pair neighbours by `ratings`; the others are as in a round robin. Without those the
    graph of comparisons grows long and thin, and the ranking is worse than from random pairs.
    """
    dice = random.Random(f"swiss {design.seed} {number}")
    played = {_match_key(match) for match in past_matches}
    size = count_pairs(design, len(concepts), len(prompt_seeds)) // design.swiss
    total = len(design.method_pairs) * len(concepts) * len(prompt_seeds)
    all_pairs = _balanced_pairs(design, concepts, prompt_seeds, total)
    free = [match for match in all_pairs if _match_key(match) not in played]
    ranked = sorted(design.methods, key=lambda method: -ratings.get(method, 0.0))
    close = {frozenset(pair) for pair in pairwise(ranked)}
    near = [match for match in free if {match.one, match.two} in close] if number else []
    neighbours = near[: round(0.7 * size)]
    taken = {_match_key(match) for match in neighbours}
    rest = [match for match in free if _match_key(match) not in taken][: size - len(neighbours)]
    matches = [*neighbours, *rest]
    dice.shuffle(matches)
    controls = () if number else _controls(design, matches[:_CONTROL_SAMPLE], concepts)
    yield from _interleave(design, matches, len(matches), controls)


def _interleave(
    design: Design, matches: Iterable[Match], total: int, controls: Iterable[Match]
) -> Iterator[Match]:
    """Each match by every criterion in turn, with controls spread evenly among them."""
    extra = list(controls)
    plain = (((k + 0.5) / max(1, total), 0, match) for k, match in enumerate(matches))
    spread = (((k + 0.5) / len(extra), 1, match) for k, match in enumerate(extra))
    for _, control, match in heapq.merge(plain, spread, key=lambda item: item[:2]):
        yield from (
            [match]
            if control
            else (replace(match, criterion=criterion) for criterion in design.criteria)
        )


def _controls(design: Design, matches: Sequence[Match], concepts: Sequence[str]) -> Iterator[Match]:
    """Controls, one of each kind in turn, of concepts, prompts and seeds in the tournament."""
    dice = random.Random(f"controls {design.seed}")
    samples = {kind: dice.sample(matches, min(design.controls, len(matches))) for kind in CONTROLS}
    after = dict(zip(concepts, [*concepts[1:], *concepts[:1]], strict=True))
    for k in range(design.controls):
        for criterion in design.criteria:
            has_decoy = criterion in design.about_concept and len(concepts) > 1
            for kind, sample in samples.items():
                if k < len(sample) and (kind != "decoy" or has_decoy):
                    match = replace(sample[k], criterion=criterion, control=kind)
                    yield _as_control(match, shows=design.shows, other=after[match.concept])


def _as_control(match: Match, *, shows: str, other: str) -> Match:
    """A match with the pictures of its kind of control."""
    if match.control == "decoy":
        return replace(match, one=shows, two=shows, other_concept=other)
    return match if match.control == "repeat" else replace(match, two=match.one)


def _match_key(match: Match) -> tuple[str, str, int, frozenset[str]]:
    return match.concept, match.prompt, match.seed, frozenset((match.one, match.two))


def _shuffle(items: Iterable[Item], dice: random.Random) -> list[Item]:
    mixed = list(items)
    dice.shuffle(mixed)
    return mixed
