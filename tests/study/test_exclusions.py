"""Rules of exclusion, which do not look at methods."""

from dataclasses import replace

import numpy as np
import pytest
from kit.study_people import answered, study

from htbench.core.errors import UsageError
from htbench.study.answer import Answer
from htbench.study.exclusions import Rules, apply_rules

CAREFUL = [row for k in range(5) for row in answered(f"good{k}", "lrllrtrlrlrrlrllrrlr")]


def gone(bot: list[Answer], **rules: float) -> dict[str, tuple[str, ...]]:
    """The people whom each step excluded."""
    return {
        step.name: step.gone
        for step in apply_rules([*CAREFUL, *bot], Rules(**rules)).steps
        if step.gone
    }  # type: ignore[arg-type]


def test_careful_people_stay() -> None:
    assert gone([]) == {}


@pytest.mark.parametrize(
    ("step", "bot"),
    [
        ("mostly faster", answered("bot", "lrllrtrlrlrrlrllrrlr", rt_ms=150)),
        (
            "failed 2 attention checks",
            [
                *answered("bot", "lrllrtrlrlrrlrllrrlr"),
                *answered("bot", "ll", kind="check", expected="right", start=20),
            ],
        ),
        ("fewer answers", answered("bot", "lrlr")),
        ("faster than 33%", answered("bot", "lrllrtrlrlrrlrllrrlr", rt_ms=500)),
        ("times in a row", answered("bot", "lr" + "t" * 16 + "lr")),
        ("one side too often", answered("bot", "llllllllrllllllllrll")),
        (
            "swapped pairs",
            [
                *answered("bot", "lrllrtrlrlrrlrllrrlr"),
                *answered("bot", "lrllrt", kind="repeat", swapped=True, start=20),
            ],
        ),
    ],
)
def test_each_bot_is_left_out_by_its_own_rule(step: str, bot: list[Answer]) -> None:
    (found,) = gone(bot).items()
    assert step in found[0]
    assert found[1] == ("bot",)


def test_a_swapped_repeat_that_names_the_same_picture_is_consistent() -> None:
    bot = [
        *answered("bot", "lrllrtrlrlrrlrllrrlr"),
        *answered("bot", "rlrrlt", kind="repeat", swapped=True, start=20),
    ]
    assert gone(bot) == {}


def test_a_rule_of_zero_is_off() -> None:
    assert gone(answered("bot", "lrlr"), answered=0) == {}


def test_an_answer_given_twice_counts_once_and_first() -> None:
    flow = apply_rules(
        [
            *answered("one", "l"),
            *(replace(row, position=9, source_row=9) for row in answered("one", "r")),
        ],
        Rules(),
    )
    assert [row.choice for row in flow.kept] == ["left"]


def test_people_whom_the_platform_sent_away_are_left_out() -> None:
    assert apply_rules(CAREFUL, Rules(), statuses={"good0": "RETURNED", "good1": "APPROVED"}).steps[
        2
    ].gone == ("good0",)


def test_exclusions_do_not_depend_on_which_method_was_preferred() -> None:
    rows = study(np.random.default_rng(5), concepts=10, each=30, raters=8)
    renamed = {"a": "c", "b": "a", "c": "b"}
    other = [replace(row, left=renamed[row.left], right=renamed[row.right]) for row in rows]
    assert [step.gone for step in apply_rules(rows, Rules()).steps] == [
        step.gone for step in apply_rules(other, Rules()).steps
    ]


def test_a_misspelt_rule_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "rules.toml").write_text("fastest = 3\n")
    with pytest.raises(UsageError, match="fastest"):
        Rules.read(tmp_path / "rules.toml")
