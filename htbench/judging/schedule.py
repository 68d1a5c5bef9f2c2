"""Which pairs are judged: every method against every other, or against one, or mostly the close ones; with controls among them."""

import heapq
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, pairwise
from math import gcd
from typing import Literal, TypeVar

Control = Literal["", "repeat", "identical", "noise", "decoy", "text"]
"""What a match is for: the tournament itself; the same asked again; a picture against itself, against noise, against another concept's, against itself with
words written into it."""
CONTROLS: tuple[Control, ...] = ("repeat", "identical", "noise", "decoy", "text")
PromptSeed = tuple[str, int]
"""Prompt and seed."""
Item = TypeVar("Item")
_CONTROL_SAMPLE = 2000
"""Controls are drawn from the places of so many first matches."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """Settings of a tournament."""

    methods: tuple[str, ...]
    criteria: tuple[str, ...]
    strength: float | None = 1.0
    """None: each method at the one that was chosen for it on dev concepts."""
    against: str = ""
    """Only pairs with this method; empty: all pairs."""
    pairs: int | None = None
    """So many of the pairs of pictures, balanced over methods and concepts; None: all."""
    swiss: int = 0
    """Rounds, each of which looks at those before it; 0: no looking."""
    controls: int = 20
    """Controls of each kind and criterion."""
    about_concept: tuple[str, ...] = ()
    """Criteria by which a picture of another concept should lose."""
    shows: str = ""
    """Method whose pictures stand for their concepts in those controls."""
    both_orders: bool = True
    seed: int = 0

    @property
    def method_pairs(self) -> list[tuple[str, str]]:
        """Pairs of methods that meet."""
        return [
            pair
            for pair in combinations(self.methods, 2)
            if not self.against or self.against in pair
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """Two pictures to be compared by one criterion; `one` is shown first in the first call, and which method that is, is drawn."""

    control: Control
    criterion: str
    concept: str
    prompt: str
    seed: int
    one: str
    """Method of the first picture; of most controls, of both."""
    two: str
    other_concept: str = ""
    """Concept of the second picture, if it is another."""


def round_robin(
    design: Design, concepts: Sequence[str], prompt_seeds: Sequence[PromptSeed]
) -> Iterator[Match]:
    """All matches of a round robin in their fixed order, controls spread among them; any beginning of it is balanced."""
    total = count_pairs(design, len(concepts), len(prompt_seeds))
    sample = list(islice(_balanced_pairs(design, concepts, prompt_seeds, total), _CONTROL_SAMPLE))
    yield from _interleave(
        design,
        _balanced_pairs(design, concepts, prompt_seeds, total),
        total,
        _controls(design, sample, concepts),
    )


def count_pairs(design: Design, concepts: int, units: int) -> int:
    """Number of pairs of pictures, controls left out."""
    whole = len(design.method_pairs) * concepts * units
    return whole if design.pairs is None else min(design.pairs, whole)


def _balanced_pairs(
    design: Design, concepts: Sequence[str], prompt_seeds: Sequence[PromptSeed], total: int
) -> Iterator[Match]:
    """Pairs of pictures: both the concept and the couple advance each time, so that after any number each has met nearly equally often.

    After lcm(concepts, couples) steps every combination that these two cycles reach has come up once, and the couples are shifted by one.
    Prompt and seed advance with the concept and with the couple: a couple that met on one prompt alone would be judged by that prompt.
    """
    dice = random.Random(f"schedule {design.seed}")
    order, couples = _shuffle(concepts, dice), _shuffle(design.method_pairs, dice)
    places = _shuffle(prompt_seeds, dice)
    if not (order and couples and places):
        return
    cycle = len(order) * len(couples) // gcd(len(order), len(couples))
    for k in range(total):
        turn, combination = divmod(k, len(order) * len(couples))
        concept = order[k % len(order)]
        number = (k + combination // cycle) % len(couples)
        prompt, seed = places[(turn + number + k % len(order)) % len(places)]
        one, two = couples[number]
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
    """Round `number` of a mixed tournament: three in ten as in a round robin, the others between neighbours by `ratings`; none that have met there already.

    Without the share of other pairs the graph of who met whom grows long and thin, and the ranking is worse than by chance.
    """
    dice = random.Random(f"swiss {design.seed} {number}")
    known = {_match_key(match) for match in past_matches}
    wanted = count_pairs(design, len(concepts), len(prompt_seeds)) // design.swiss
    free = [
        match
        for match in _balanced_pairs(
            design,
            concepts,
            prompt_seeds,
            len(design.method_pairs) * len(concepts) * len(prompt_seeds),
        )
        if _match_key(match) not in known
    ]
    ranked = sorted(design.methods, key=lambda method: -ratings.get(method, 0.0))
    close = {frozenset(pair) for pair in pairwise(ranked)}
    near = [match for match in free if {match.one, match.two} in close] if number else []
    chosen = near[: round(0.7 * wanted)]
    taken = {_match_key(match) for match in chosen}
    rest = [match for match in free if _match_key(match) not in taken][: wanted - len(chosen)]
    both = [*chosen, *rest]
    dice.shuffle(both)
    yield from _interleave(
        design,
        both,
        len(both),
        () if number else _controls(design, both[:_CONTROL_SAMPLE], concepts),
    )


def _interleave(
    design: Design, matches: Iterable[Match], total: int, controls: Iterable[Match]
) -> Iterator[Match]:
    """Matches by every criterion in turn, controls spread evenly among them."""
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
    """Controls, one of each kind in turn, on places that the tournament uses too."""
    dice = random.Random(f"controls {design.seed}")
    picked = {kind: dice.sample(matches, min(design.controls, len(matches))) for kind in CONTROLS}
    after = dict(zip(concepts, [*concepts[1:], *concepts[:1]], strict=True))
    for k in range(design.controls):
        for criterion in design.criteria:
            for kind, of in picked.items():
                if k < len(of) and not (
                    kind == "decoy" and (criterion not in design.about_concept or len(concepts) < 2)
                ):
                    match = replace(of[k], criterion=criterion, control=kind)
                    if kind == "decoy":
                        match = replace(
                            match,
                            one=design.shows,
                            two=design.shows,
                            other_concept=after[match.concept],
                        )
                    yield match if kind in ("repeat", "decoy") else replace(match, two=match.one)


def _match_key(match: Match) -> tuple[str, str, int, frozenset[str]]:
    return match.concept, match.prompt, match.seed, frozenset((match.one, match.two))


def _shuffle(items: Iterable[Item], dice: random.Random) -> list[Item]:
    mixed = list(items)
    dice.shuffle(mixed)
    return mixed
