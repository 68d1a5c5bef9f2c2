"""Output of commands: tables, lines of JSON, and text that a terminal may show."""

import json
import math
import re

import pytest

from htbench.core import display
from htbench.core.display import RemainingTime


def test_a_number_that_is_none_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    display.print_json(event="end", values=[1.0, math.nan], nested={"rate": math.inf})
    assert json.loads(capsys.readouterr().out) == {
        "event": "end",
        "values": [1.0, None],
        "nested": {"rate": None},
    }


def test_control_characters_are_escaped_and_long_text_is_cut() -> None:
    assert display.printable("a\x1b[2Jb") == "a\\x1b[2Jb"
    assert display.printable("x" * 50, max_length=10) == "x" * 10 + "…"


def test_time_left_knows_that_parts_cost_unequally() -> None:
    remaining = RemainingTime(parts={"quick": 10, "slow": 10})
    remaining.add(5, "quick", 1.0)
    remaining.add(5, "slow", 9.0)
    remaining.add(5, "quick", 1.0)
    assert remaining.seconds(55.0) == pytest.approx(5 * 9.0)


def test_time_left_takes_a_part_without_times_for_the_dearest() -> None:
    remaining = RemainingTime(parts={"quick": 10, "unknown": 10})
    assert remaining.seconds(1.0) is None
    remaining.add(10, "quick", 2.0)
    assert remaining.seconds(10.0) == pytest.approx(10.0)  # two workers: half of 20 seconds


def test_steps_without_times_of_their_own_cost_the_same() -> None:
    remaining = RemainingTime(parts={"": 4})
    remaining.add(1, "", 0.0)
    assert remaining.seconds(2.0) == pytest.approx(6.0)


def test_without_a_terminal_progress_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = display.Display(interval=0.01)
    with shown.showing():
        bar = shown.progress("learn interventions", 4)
        bar.show("lineas, style/sepia")
        bar.advance(part="", seconds=1.0)
        errors = ""
        while "1/4" not in errors:
            errors += capsys.readouterr().err
    assert re.search(
        r"htbench: learn interventions 1/4, .+/s, .+ left, lineas, style/sepia", errors
    )


def test_a_finished_stage_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = display.Display(interval=0.01)
    with shown.showing():
        shown.progress("load emoji", 1).advance()
        shown.progress("nothing", 0)
        bar = shown.progress("generate images", 2, starts_now=False)
        errors = ""
        while "generate images" not in errors:
            errors += capsys.readouterr().err
        bar.advance(2)
    assert "load emoji" not in errors
    assert "nothing" not in errors
