"""Planted answers of people: of careful ones, and of those that a study should leave out."""

import numpy as np

from htbench.stats.ranking.votes import Votes
from htbench.study.answer import Answer, Choice
from kit.planted import planted


def answered(
    rater: str,
    choices: str,
    *,
    rt_ms: int | None = 2000,
    kind: str = "vote",
    expected: str = "",
    swapped: bool = False,
    start: int = 0,
) -> list[Answer]:
    """One answer per letter, each on a concept of its own: left, right, tie or skip."""
    by_letter: dict[str, Choice] = {"l": "left", "r": "right", "t": "tie", "s": "skip"}
    left, right = ("b", "a") if swapped else ("a", "b")
    return [
        Answer(
            study="s",
            criterion="overall",
            concept=f"c{k:03}",
            prompt="",
            seed=0,
            left=left,
            right=right,
            choice=by_letter[letter],
            rater=rater,
            rt_ms=rt_ms,
            position=start + k + 1,
            kind=kind,  # type: ignore[arg-type]
            expected=expected,
            source_row=k,
        )
        for k, letter in enumerate(choices)
    ]


def study(
    random: np.random.Generator, *, concepts: int = 40, each: int = 20, raters: int = 20
) -> list[Answer]:
    """Answers of people with tastes, on concepts that favour some methods."""
    votes: Votes = planted(random, concepts=concepts, each=each, raters=raters)
    assert votes.rater is not None
    return [
        Answer(
            study="s",
            criterion="overall",
            concept=f"c{votes.concept[k]:02}",
            prompt="",
            seed=k,
            left=votes.names[votes.first[k]],
            right=votes.names[votes.second[k]],
            choice="left" if votes.outcome[k] else "right",
            rater=f"r{votes.rater[k]:02}",
            rt_ms=2000,
            source_row=k,
        )
        for k in range(len(votes))
    ]
