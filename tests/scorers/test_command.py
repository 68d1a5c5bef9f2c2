"""Scorers that are commands: slow, dying, lying, or without a number for a picture."""

import os
import re
import sys
import time
from pathlib import Path

import pytest
from kit.scorer_cards import command, scorer_input

from htbench.core.errors import HtbenchError, Missing, Refused

INPUTS = [scorer_input(text) for text in ("one", "bad", "three")]


def test_a_command_scores_pictures_in_batches(tmp_path: Path) -> None:
    words = command(tmp_path, "honest", batch=2)
    assert words.measure([scorer_input("x" * k) for k in range(7)]) == list(map(float, range(7)))
    words.close()
    assert words.measure([scorer_input("again")]) == [5.0]
    words.close()


@pytest.mark.parametrize(
    ("habit", "reason"),
    [
        ("die", "ended with exit code 1: out of memory"),
        ("nan", "not finite"),
        ("huge", "not finite"),
        ("text", "no number"),
        ("true", "no number"),
        ("nothing", "no number"),
        ("id", "answered 77, which it was not asked"),
        ("error", "too dark"),
        ("print", "it wrote 'oops', which is no JSON"),
        ("long", "without an end"),
    ],
)
def test_what_a_command_cannot_score_has_a_reason_and_all_else_its_score(
    habit: str, reason: str, tmp_path: Path
) -> None:
    words = command(tmp_path, habit, patience=2, start=20)
    first, second, third = words.measure(INPUTS)
    words.close()
    assert (first, third) == (3.0, 5.0)
    assert isinstance(second, str)
    assert reason in second


def test_a_command_that_hangs_is_killed_and_the_rest_is_scored(tmp_path: Path) -> None:
    words = command(tmp_path, "sleep", patience=2, start=1000)
    words.measure([scorer_input("warm")])
    began = time.monotonic()
    first, second, third = words.measure(INPUTS)
    words.close()
    assert (first, third) == (3.0, 5.0)
    assert str(second).startswith("no answer within")
    assert time.monotonic() - began < 30


def test_a_command_that_always_fails_is_given_up(tmp_path: Path) -> None:
    words = command(tmp_path, "die", batch=1)
    reasons = words.measure([scorer_input("bad")] * 20)
    assert all("given up after 3 failures in a row" in str(reason) for reason in reasons[3:])
    assert (tmp_path / "runs.txt").read_text() == "x" * 4  # once to see that it can be started


@pytest.mark.parametrize(
    ("habit", "settings", "kind", "says"),
    [
        ("crash", {}, Missing, "no such model"),
        ("mute", {"start": 1}, Missing, "no answer within 1 s"),
        ("chatty", {"start": 1}, Missing, "it wrote 'loading', which is no JSON"),
        ("stranger", {}, Refused, "declares name 'other'"),
        ("honest", {"version": "2"}, Refused, "declares version '1', its card says '2'"),
        ("honest", {"command": ["/no/such/program"]}, Missing, "No such file"),
    ],
)
def test_a_command_that_is_not_what_its_card_says_is_answered_at_once(
    habit: str, settings: dict[str, object], kind: type[HtbenchError], says: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=re.escape(says)) as caught:
        command(tmp_path, habit, **settings)
    assert "\n" not in str(caught.value)


def test_weights_that_change_under_way_are_refused(tmp_path: Path) -> None:
    words = command(tmp_path, "moody")
    with pytest.raises(Refused, match="words 1 0 and then words 1 1"):
        words.measure(INPUTS)


def test_nothing_that_a_command_started_outlives_it(tmp_path: Path) -> None:
    hello = 'echo \'{"name": "words", "version": "1", "weights": "0"}\''
    (tmp_path / "words.sh").write_text(f"sleep 300 &\necho $! > pid\n{hello}\nwait\n")
    command(tmp_path, "", command=["sh", "words.sh"])
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if (
            not Path(f"/proc/{child}").exists()
            or "State:\tZ" in Path(f"/proc/{child}/status").read_text()
        ):
            return
        time.sleep(0.05)
    os.kill(child, 9)
    pytest.fail("the child is still there")


@pytest.mark.parametrize("has_program", [True, False])
def test_a_command_is_killed_where_there_are_no_groups_of_processes(
    has_program: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "killpg")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    if has_program:  # it is part of Windows, and kills the tree of a process
        (tmp_path / "taskkill").write_text('#!/bin/sh\necho "$@" > asked\n')
        (tmp_path / "taskkill").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    hello = 'echo \'{"name": "words", "version": "1", "weights": "0"}\''
    (tmp_path / "words.sh").write_text(f"echo $$ > pid\n{hello}\nexec sleep 300\n")
    command(tmp_path, "", command=["sh", "words.sh"])
    pid = (tmp_path / "pid").read_text().strip()
    assert not Path(f"/proc/{pid}").exists()
    if has_program:
        assert (tmp_path / "asked").read_text() == f"/F /T /PID {pid}\n"


def test_what_a_library_prints_before_the_answers_is_left_out(tmp_path: Path) -> None:
    script = """
import json, sys
print("Loading pretrained weights for resnet50 ...", flush=True)
print(json.dumps({"name": "words", "version": "1", "weights": "0"}), flush=True)
for line in sys.stdin:
    print("warning: slow processor", flush=True)
    print(json.dumps({"id": json.loads(line)["id"], "score": 1}), flush=True)
"""
    (tmp_path / "loud.py").write_text(script)
    words = command(tmp_path, "", command=[sys.executable, "loud.py"])
    assert words.measure(INPUTS) == [1.0, 1.0, 1.0]
    words.close()


def test_output_without_an_answer_is_given_up_and_shown_escaped(tmp_path: Path) -> None:
    script = "while True: print('\x1b[2J' + 'x' * 1000, flush=True)"
    (tmp_path / "flood.py").write_text(script)
    with pytest.raises(Missing, match=r"bytes without an answer.*x1b\[2Jxxx"):
        command(tmp_path, "", command=[sys.executable, "flood.py"])


def test_half_a_surrogate_pair_in_a_reply_becomes_a_replacement_character(tmp_path: Path) -> None:
    words = command(tmp_path, "surrogate", patience=2, start=20)
    reason = words.measure(INPUTS)[1]
    words.close()
    assert reason == "\ufffd"
