"""Who sees which pairs, so that every pair gets its votes, and each side of it is shown as often as the other."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from htbench.core.errors import UsageError
from htbench.study.answer import TrialKind


@dataclass(frozen=True, kw_only=True, slots=True)
class AssignedTrial:
    """One trial of one person."""

    pair_index: int
    """Index of the pair; of a check or a sentinel, of the pair that it shows or whose first picture it shows."""
    kind: TrialKind = "vote"
    swapped: bool = False
    expected: str = ""
    """What is right, of a check and a sentinel."""


def assign(
    pairs: int, *, raters: int, votes: int, checks: int, catch_trials: int, repeats: int, seed: int
) -> list[list[AssignedTrial]]:
    """A sheet of tasks for each of so many people.

    Every pair has `votes` votes, by as many people; sheets differ in length by one at most; each pair is swapped for half of them; `repeats` tasks of
    each sheet come once more in its second half, swapped; `checks` and `catch_trials` are spread evenly.

    Raises:
        UsageError: if there are fewer people than votes that a pair is to have.
    """
    if votes > raters:
        raise UsageError(
            f"{votes} votes a pair need as many people, there are {raters}",
            remedy="Give fewer --votes or more --raters.",
        )
    dice = random.Random(f"sheets {seed}")
    order = list(range(pairs))
    dice.shuffle(order)
    sheets: list[list[AssignedTrial]] = [[] for _ in range(raters)]
    for place, pair in enumerate(order):
        chosen = sorted(range(raters), key=lambda rater: (len(sheets[rater]), dice.random()))[
            :votes
        ]
        dice.shuffle(chosen)
        for turn, rater in enumerate(chosen):
            sheets[rater].append(AssignedTrial(pair_index=pair, swapped=(turn + place) % 2 == 1))
    for sheet in sheets:
        dice.shuffle(sheet)
    return [
        _add_controls(sheet, dice, checks=checks, catch_trials=catch_trials, repeats=repeats)
        for sheet in sheets
    ]


def _add_controls(
    sheet: Sequence[AssignedTrial],
    rng: random.Random,
    *,
    checks: int,
    catch_trials: int,
    repeats: int,
) -> list[AssignedTrial]:
    early = list(sheet[: len(sheet) // 2])
    again = [
        AssignedTrial(pair_index=task.pair_index, kind="repeat", swapped=not task.swapped)
        for task in rng.sample(early, min(repeats, len(early)))
    ]
    late = [*sheet[len(sheet) // 2 :], *again]
    rng.shuffle(late)
    whole = [*early, *late]
    wanted: tuple[tuple[TrialKind, int], ...] = (("check", checks), ("sentinel", catch_trials))
    controls = [
        AssignedTrial(pair_index=task.pair_index, kind=kind, expected=rng.choice(("left", "right")))
        for kind, number in wanted
        for task in rng.sample(sheet, min(number, len(sheet)))
    ]
    rng.shuffle(controls)
    for k, task in enumerate(controls):
        whole.insert(round((k + 0.5) * len(whole) / len(controls)), task)
    return whole
