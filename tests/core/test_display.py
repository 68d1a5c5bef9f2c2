"""Output of commands: tables, lines of JSON, and text that a terminal may show."""

import json
import math

import pytest

from htbench.core import display


def test_tables_on_no_terminal_are_140_columns_wide() -> None:
    assert display.stdout_console().width == 140


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
