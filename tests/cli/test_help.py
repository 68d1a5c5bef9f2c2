"""Help pages of all commands."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from kit.commands import htbench, imports_torch
from typer.testing import CliRunner

from htbench.cli import app
from htbench.cli.run import RunCommand
from htbench.run.plan import Plan, RunOptions


def commands(command: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that name it, groups left out."""
    if not hasattr(command, "commands"):
        yield names, command
        return
    for name, part in command.commands.items():
        if not part.hidden:
            yield from commands(part, *names, name)


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_help_page_has_an_example_and_nothing_cut(words: tuple[str, ...]) -> None:
    page = CliRunner().invoke(app, [*words, "-h"]).stdout
    assert f"Examples:\n  htbench {words[0]}" in page
    assert "…" not in page.partition("Examples:")[0]
    assert "<" not in page


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_says_what_it_does(words: tuple[str, ...]) -> None:
    for param in COMMANDS[words].params:
        assert param.help, param.name
        assert param.help.endswith("."), param.name


def test_every_setting_of_a_plan_is_an_option_of_run() -> None:
    options = {param.name for param in COMMANDS["run",].params}
    assert {*Plan.model_fields, *RunOptions.model_fields} <= options


def test_defaults_are_those_of_plans() -> None:
    assert isinstance(COMMANDS["run",], RunCommand)
    page = CliRunner().invoke(app, ["run", "--help"]).stdout
    assert "Evaluation prompts per concept. [default: 4]" in page
    assert "Images generated at once. [default: 16]" in page


def test_commands_are_in_groups() -> None:
    page = CliRunner().invoke(app, ["--help"]).stdout
    places = [page.index(f"\n{group}:\n") for group in ("Start", "Evidence", "Extend", "Data")]
    assert places == sorted(places)


def test_run_without_words_shows_examples_and_makes_nothing() -> None:
    answer = htbench("run")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.count("\n  htbench run") == 3
    assert not imports_torch("run")


@pytest.mark.parametrize(
    ("words", "now"),
    [
        (["run", "--out", "x"], "--out is now --runs-dir"),
        (["list", "runs", "--out=x"], "--out is now --runs-dir"),
        (["study", "export", "quickstart", "--out", "x"], "--out is now --runs-dir"),
        (["export", "x", "--to", "parquet", "--into", "x"], "--into is now --out"),
        (["train", "hypertransport", "--split", "dev"], "--split is now --concepts"),
        (["train", "hypertransport", "--concepts", "emoji"], "--concept-set emoji"),
        (["check", "method", "lineas", "--concepts", "emoji"], "--concepts is now --concept-set"),
        (["report", "x", "--out", "x"], "--runs-dir"),
    ],
)
def test_a_former_spelling_is_answered_with_the_new_one(words: list[str], now: str) -> None:
    answer = htbench(*words)
    assert answer.returncode == 2
    assert now in answer.stderr
    assert len(answer.stderr.splitlines()) <= 2


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).stdout
