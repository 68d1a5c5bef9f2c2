"""The pictures that the trials of a study show: pairs, strengths, single pictures and sets."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, lcm
from pathlib import Path
from typing import TypeVar

from htbench.core.errors import UsageError
from htbench.core.types import UNSTEERED, label_of
from htbench.judging import pairs as pairing
from htbench.judging import schedule
from htbench.judging.pairs import ComparablePictures
from htbench.judging.schedule import PromptSeed
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.study.answer import BETWEEN_NAMES
from htbench.study.ask.options import StudyOptions
from htbench.study.task import MAX_SET

_MAX_SETS = 5000
"""The most different sets of methods that are dealt."""
Group = TypeVar("Group")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Pictures that are shown together, in the order before sides are drawn."""

    concept: str
    prompt: str
    seed: int
    names: tuple[str, ...]
    """Methods, or methods with strengths, by which the key and the answers name the pictures."""
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShownPictures:
    """The contents of a study, with the texts and families of its concepts."""

    images: Path
    """The folder of the files."""
    shown: tuple[Shown, ...]
    concepts: dict[str, str]
    """The text of each concept, by id."""
    families: dict[str, tuple[str, ...]]
    strength: float | None
    """The strength of the pictures; None where strengths are compared."""


def choose(store: Store, options: StudyOptions, criterion: str) -> ShownPictures:
    """The pictures of a run that a study shows, balanced over methods and concepts.

    Raises:
        UnknownName: for an unknown method.
        UsageError: for options that contradict the task, or if the run has no such pictures.
    """
    _refuse_contradictions(options)
    summary = Summary(store)
    compared = options.task == "strength"
    strength = summary.full_strength if options.strength is None else options.strength
    fewest = 1 if options.task in ("strength", "rating", "yes-no") else 2
    pictures = pairing.find_pictures(
        store,
        methods=options.methods,
        strength=summary.full_strength if compared else strength,
        fewest=fewest,
    )
    if options.task == "pairs":
        shown = list(_pairs(pictures, options, criterion))
        problem = "no two pictures of one concept, prompt and seed by two methods"
    elif compared:
        shown = list(_strengths(store, pictures, options))
        problem = "no two pictures of one method, concept, prompt and seed at two strengths"
    else:
        shown = list(_sets(pictures, options))
        problem = "no pictures of one concept, prompt and seed by enough methods"
    if not shown:
        raise UsageError(
            f"the run has {problem}",
            remedy="Run it with more strengths."
            if compared
            else "Finish it, or choose another --strength.",
        )
    families = summary.families
    return ShownPictures(
        images=store.folder / "images",
        shown=tuple(shown),
        concepts=pictures.concepts,
        families={concept: tuple(families.get(concept, ())) for concept in pictures.concepts},
        strength=None if compared else strength,
    )


def _refuse_contradictions(options: StudyOptions) -> None:
    if options.task == "strength" and options.strength is not None:
        raise UsageError(
            "--task strength compares all strengths of the run", remedy="Leave --strength out."
        )
    if options.against and options.task != "pairs":
        raise UsageError(
            f"--against is for pairs of methods, and --task {options.task} has none",
            remedy="Name the methods by --method.",
        )
    if not 2 <= options.set_size <= MAX_SET:
        raise UsageError(f"--set-size {options.set_size} is not from 2 to {MAX_SET}")


def _pairs(pictures: ComparablePictures, options: StudyOptions, criterion: str) -> Iterator[Shown]:
    """Pairs of pictures, balanced over methods and concepts, with random sides.

    Pairs of identical pictures are left out.
    """
    design = schedule.Design(
        methods=pictures.methods,
        criteria=(criterion,),
        against=options.against,
        controls=0,
        seed=options.seed,
    )
    remaining = options.most
    concepts = _shuffled_concepts(pictures, options)
    for match in schedule.round_robin(design, concepts, pictures.prompt_seeds):
        shown = _of_methods(
            pictures, (match.one, match.two), match.concept, (match.prompt, match.seed)
        )
        if remaining and shown and len(set(shown.files)) == len(shown.files):
            remaining -= 1
            yield shown


def _strengths(
    store: Store, pictures: ComparablePictures, options: StudyOptions
) -> Iterator[Shown]:
    """Pairs of two strengths of one method, with random sides.

    Identical pictures stay: nobody can tell which is stronger, and that is part of the answer. The
    unsteered picture is every method's at strength 0.
    """
    rows = store.select(
        """SELECT method, strength, concept, prompt, seed, file FROM cells
           JOIN images ON key = image WHERE file IS NOT NULL ORDER BY place"""
    )
    files = {
        (method, 0.0 + strength, concept, prompt, seed): file
        for method, strength, concept, prompt, seed, file in rows
    }
    of_method: dict[str, set[float]] = {}
    for method, strength, *_ in files:
        of_method.setdefault(method, set()).add(strength)
    unsteered = of_method.get(UNSTEERED, set())
    groups = [
        (method, pair)
        for method in pictures.methods
        if method != UNSTEERED
        for pair in combinations(sorted(of_method.get(method, set()) | unsteered), 2)
    ]
    dice = random.Random(f"sides {options.seed}")
    remaining = options.most
    for (method, pair), concept, (prompt, seed) in _balanced(groups, pictures, options):
        if not remaining:
            return
        ordered = dice.sample(pair, 2)
        own = [
            files.get((method, strength, concept, prompt, seed))
            or (files.get((UNSTEERED, 0.0, concept, prompt, seed)) if strength == 0 else None)
            for strength in ordered
        ]
        if None not in own:
            remaining -= 1
            yield Shown(
                concept=concept,
                prompt=prompt,
                seed=seed,
                names=tuple(label_of(method, strength) for strength in ordered),
                files=tuple(filter(None, own)),
            )


def _sets(pictures: ComparablePictures, options: StudyOptions) -> Iterator[Shown]:
    """Single pictures, or sets of different pictures by as many methods."""
    size = min(options.set_size, len(pictures.methods)) if options.task == "best" else 1
    if named := next((name for name in pictures.methods if BETWEEN_NAMES in name), ""):
        raise UsageError(
            f"the name of method {named[:80]!r} has {BETWEEN_NAMES!r} in it, which separates names",
            remedy="Leave it out by naming the others with --method.",
        )
    dice = random.Random(f"sets {options.seed}")
    groups = list(_dealt(pictures.methods, size, options.most, dice))
    remaining = options.most
    for methods, concept, unit in _balanced(groups, pictures, options):
        if not remaining:
            return
        shown = _of_methods(pictures, methods, concept, unit)
        if shown and len(set(shown.files)) == size:
            remaining -= 1
            yield shown


def _dealt(
    methods: Sequence[str], size: int, most: int, dice: random.Random
) -> Iterator[tuple[str, ...]]:
    """Different sets of methods, in each of which every method comes up nearly equally often.

    Methods are dealt like cards from a deck that is shuffled again when it is empty.
    """
    wanted = min(comb(len(methods), size), max(most, len(methods)), _MAX_SETS)
    seen: set[frozenset[str]] = set()
    deck: list[str] = []
    while len(seen) < wanted:
        hand: list[str] = []
        while len(hand) < size:
            if not set(deck) - set(hand):
                deck = [*deck, *dice.sample(methods, len(methods))]
            card = next(name for name in deck if name not in hand)
            deck.remove(card)
            hand.append(card)
        if frozenset(hand) not in seen:
            seen.add(frozenset(hand))
            yield tuple(hand)


def _balanced(
    groups: Sequence[Group], pictures: ComparablePictures, options: StudyOptions
) -> Iterator[tuple[Group, str, PromptSeed]]:
    """Each group with each concept, prompt and seed once, in an order that is balanced.

    Group and concept both advance with each step, as the matches of `schedule.round_robin` do.
    """
    dice = random.Random(f"shown {options.seed}")
    concepts = _shuffled_concepts(pictures, options)
    order = dice.sample(groups, len(groups))
    units = dice.sample(pictures.prompt_seeds, len(pictures.prompt_seeds))
    if not (concepts and order and units):
        return
    cycle = lcm(len(concepts), len(order))
    for k in range(len(concepts) * len(order) * len(units)):
        turn, step = divmod(k, len(concepts) * len(order))
        place = k % len(concepts)
        number = (k + step // cycle) % len(order)
        yield order[number], concepts[place], units[(turn + number + place) % len(units)]


def _shuffled_concepts(pictures: ComparablePictures, options: StudyOptions) -> list[str]:
    concepts = list(pictures.concepts)
    random.Random(f"concepts {options.seed}").shuffle(concepts)
    return concepts


def _of_methods(
    pictures: ComparablePictures, methods: Sequence[str], concept: str, unit: PromptSeed
) -> Shown | None:
    """The pictures of methods for a concept, prompt and seed; None if one is missing."""
    files = [pictures.files.get((method, concept, *unit)) for method in methods]
    if None in files:
        return None
    prompt, seed = unit
    return Shown(
        concept=concept,
        prompt=prompt,
        seed=seed,
        names=tuple(methods),
        files=tuple(filter(None, files)),
    )
