"""Assignment of pairs to people, balanced in votes per pair and in sides."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from htbench.core.errors import UsageError
from htbench.study.answer import TrialKind


@dataclass(frozen=True, kw_only=True, slots=True)
class AssignedTrial:
    """One trial of one person."""

    pair_index: int
    """Index of the pair that is shown; a sentinel shows the first picture of that pair."""
    kind: TrialKind = "vote"
    turn: int = 0
    """Number of pictures that are moved from the front to the end; of a pair, 1 swaps the sides."""
    expected: str = ""
    """The right choice of a check or a sentinel."""


_SIDES = ("left", "right")


def assign(
    pairs: int,
    *,
    raters: int,
    votes: int,
    checks: int,
    catch_trials: int,
    repeats: int,
    seed: int,
    orders: int = 2,
    check_answers: Sequence[str] = _SIDES,
    catch_answers: Sequence[str] = _SIDES,
) -> list[list[AssignedTrial]]:
    """A sheet of trials for each of `raters` people.

    Every pair gets `votes` votes by different people, and is swapped for half of them. The lengths
    of sheets differ by one at most. `repeats` trials of each sheet are repeated in its second half
    with their sides swapped; `checks` and `catch_trials` are spread evenly, and expect one of
    `check_answers` and `catch_answers`.

    Where another number of pictures than two is shown, a pair is one such set, `orders` is their
    number, and each is in each place equally often.

    Raises:
        UsageError: if there are fewer people than votes per pair, or fewer votes than people.
    """
    if votes > raters:
        raise UsageError(
            f"{votes} votes a pair need as many people, there are {raters}",
            remedy="Give fewer --votes or more --raters.",
        )
    if pairs * votes < raters:
        raise UsageError(
            f"{pairs} pairs with {votes} votes each leave some of {raters} people without any",
            remedy=f"Give --raters {pairs * votes}, or more pairs or --votes.",
        )
    dice = random.Random(f"sheets {seed}")
    order = list(range(pairs))
    dice.shuffle(order)
    sheets: list[list[AssignedTrial]] = [[] for _ in range(raters)]
    for place, pair in enumerate(order):
        by_length = sorted(range(raters), key=lambda rater: (len(sheets[rater]), dice.random()))
        voters = by_length[:votes]
        dice.shuffle(voters)
        for turn, rater in enumerate(voters):
            sheets[rater].append(AssignedTrial(pair_index=pair, turn=(turn + place) % orders))
    for sheet in sheets:
        dice.shuffle(sheet)
    return [
        _add_controls(
            sheet,
            dice,
            controls=(("check", checks, check_answers), ("sentinel", catch_trials, catch_answers)),
            repeats=repeats,
            orders=orders,
        )
        for sheet in sheets
    ]


def _add_controls(
    sheet: Sequence[AssignedTrial],
    rng: random.Random,
    *,
    controls: Sequence[tuple[TrialKind, int, Sequence[str]]],
    repeats: int,
    orders: int,
) -> list[AssignedTrial]:
    """The trials with repeats, and with so many controls of each kind and their right answers."""
    early = list(sheet[: len(sheet) // 2])
    repeated = [
        AssignedTrial(pair_index=trial.pair_index, kind="repeat", turn=(trial.turn + 1) % orders)
        for trial in rng.sample(early, min(repeats, len(early)))
    ]
    late = [*sheet[len(sheet) // 2 :], *repeated]
    rng.shuffle(late)
    trials = [*early, *late]
    added = [
        AssignedTrial(pair_index=trial.pair_index, kind=kind, expected=rng.choice(answers))
        for kind, number, answers in controls
        for trial in rng.sample(sheet, min(number, len(sheet)))
    ]
    rng.shuffle(added)
    for k, control in enumerate(added):
        trials.insert(round((k + 0.5) * len(trials) / len(added)), control)
    return trials
