"""`htbench train` and `htbench check method` as a user meets them."""

import shlex
from pathlib import Path

import pytest
from kit.commands import htbench

CARD = 'name = "mine"\nmethod = "mine:Mine"\nsummary = "For tests."\n'
BROKEN = '''"""Forgets the sign of the strength."""
from dataclasses import dataclass

from htbench.steering.intervention import Rewrite
from htbench.steering.method import FitsEachConcept


@dataclass(frozen=True, kw_only=True)
class Mine(FitsEachConcept):
    def fit(self, model, concept, *, seed):
        return Rewrite(more=concept.template, less=concept.template)
'''


def test_a_method_is_trained_and_the_command_that_is_printed_runs_it(tmp_path: Path) -> None:
    small = [
        f"--set={each}"
        for each in ("steps=2", "targets=2", "images=2", "concepts=2", "width=8", "rank=2")
    ]
    out = "--out=my files/mine.safetensors"
    answer = htbench("train", "hypertransport", "--limit", "2", *small, out, cwd=tmp_path)
    assert (answer.returncode, answer.stdout.splitlines()[-1]) == (
        0,
        "Use it: htbench run --model emoji --method 'my files/mine.toml'",
    )
    command = answer.stdout.splitlines()[-1].removeprefix("Use it: htbench ")
    run = htbench(
        *shlex.split(command),
        "--limit=1",
        "--prompts=1",
        "--seeds=1",
        "--strength=0,1",
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "hypertransprot"], "hypertransport"),
        (["train", "lineas"], "nothing to train"),
        (["train", "hypertransport", "--set", "stepz=2"], "did you mean 'steps'"),
        (["train", "hypertransport", "--set", "steps=many"], "valid integer"),
        (["train", "hypertransport", "--set", "steps"], "--set steps=2000"),
        (["train", "hypertransport", "--set", "rate=nan"], "not a finite number"),
        (["train", "hypertransport", "--set", "steps=2020-01-01"], "is a date"),
        (["train", "hypertransport", "--set", "steps=" + "9" * 5000], "more than 400 digits"),
        (["train", "hypertransport", "--set", "sites=" + "[" * 100], "within each other"),
        (["train", "hypertransport", "--set", "rank=1000000000"], "less than or equal to 4096"),
        (["train", "hypertransport", "--out", "."], "is a folder"),
        (["train", "hypertransport", "--concepts", "tarin"], "train"),
        (["train", "hypertransport", "--out", "mine.toml"], "--out mine.safetensors"),
        (["check", "method", "lineaz"], "lineas"),
        (["check", "method", "lineas", "--model", "emojy"], "emoji"),
    ],
)
def test_bad_input_is_answered_with_the_right_thing_and_exit_code_2(
    words: list[str], hint: str, tmp_path: Path
) -> None:
    answer = htbench(*words, cwd=tmp_path)
    assert answer.returncode == 2
    assert hint in answer.stderr
    assert len(answer.stderr.splitlines()) <= 2


def test_a_card_whose_code_is_nowhere_is_missing(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(CARD)
    answer = htbench("check", "method", "mine.toml", cwd=tmp_path)
    assert answer.returncode == 4
    assert "put mine.py beside the card" in answer.stderr


def test_a_broken_promise_is_ticked_off_and_ends_with_5(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(CARD)
    (tmp_path / "mine.py").write_text(BROKEN)
    answer = htbench("check", "method", "mine.toml", cwd=tmp_path)
    assert answer.returncode == 5
    assert "✓ strength 0 changes no bit" in answer.stdout
    assert (
        "✗ the sign of the strength matters: strengths 1 and -1 give the same image"
        in answer.stdout
    )
    assert "mine breaks 1 promise" in answer.stderr
