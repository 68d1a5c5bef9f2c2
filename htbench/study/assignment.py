"""Who sees which pairs, so that every pair gets its votes, and each side of it is shown as often as the other."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from htbench.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One trial of one person."""

    pair: int
    """Index of the pair; of a check, of the pair that it shows."""
    swapped: bool = False
    check: str = ""
    """What is to be answered, if the trial is a check."""
    repeat: bool = False
    """Whether the person has seen the pair before, with its sides the other way."""


def assign(pairs: int, *, raters: int, votes: int, checks: int, repeats: int, seed: int) -> list[list[Task]]:
    """A sheet of tasks for each of so many people.

    Every pair has `votes` votes, by as many people; sheets differ in length by one at most; each pair is swapped for half of them; `repeats` tasks of
    each sheet come once more in its second half, swapped; `checks` are spread evenly.

    Raises:
        UsageError: if there are fewer people than votes that a pair is to have.
    """
    if votes > raters:
        raise UsageError(f"{votes} votes a pair need as many people, there are {raters}", remedy="Give fewer --votes or more --raters.")
    dice = random.Random(f"sheets {seed}")
    order = list(range(pairs))
    dice.shuffle(order)
    sheets: list[list[Task]] = [[] for _ in range(raters)]
    for place, pair in enumerate(order):
        chosen = sorted(range(raters), key=lambda rater: (len(sheets[rater]), dice.random()))[:votes]
        dice.shuffle(chosen)
        for turn, rater in enumerate(chosen):
            sheets[rater].append(Task(pair=pair, swapped=(turn + place) % 2 == 1))
    for sheet in sheets:
        dice.shuffle(sheet)
    return [_with_controls(sheet, dice, checks=checks, repeats=repeats) for sheet in sheets]


def _with_controls(sheet: Sequence[Task], dice: random.Random, *, checks: int, repeats: int) -> list[Task]:
    early = list(sheet[: len(sheet) // 2])
    again = [Task(pair=task.pair, swapped=not task.swapped, repeat=True) for task in dice.sample(early, min(repeats, len(early)))]
    late = [*sheet[len(sheet) // 2 :], *again]
    dice.shuffle(late)
    whole = [*early, *late]
    shown = dice.sample(list(sheet), min(checks, len(sheet)))
    for k, task in enumerate(shown):
        whole.insert(round((k + 0.5) * len(whole) / len(shown)), Task(pair=task.pair, check=dice.choice(("left", "right"))))
    return whole
