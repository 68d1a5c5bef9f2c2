"""Commands that README and docs show can be issued as they stand."""

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from kit.shown_commands import PAGES, ROOT, Command, commands, write_files
from typer.core import TyperGroup
from typer.testing import CliRunner

from htbench.cli import app

SMALL = {
    "HTBENCH_METHODS": "none,prompt,mean-shift,hypertransport",
    "HTBENCH_LIMIT": "2",
    "HTBENCH_PROMPTS": "1",
    "HTBENCH_DEVICE": "cpu",
    "BROWSER": "true",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}
"""Variables that make every run of a page small, whatever its plan says; no browser opens."""
ONLY_READ = {
    "run emoji-full*": "takes hours",
    "run dmd2*": "needs weights and a GPU",
    "run --method hypertransport --method lineas-l2*": "takes minutes",
    "run --method ./plain-mean.toml*": "fits 12 concepts; test_docs checks the method",
    "run --method runs/train/*": "needs a method that was trained for minutes",
    "check method *plain-mean*": "test_docs does it",
    "check model ./sdxl-30.toml*": "takes minutes: 30 steps",
    "steer --model ./sdxl-30.toml*": "takes minutes: 30 steps",
    "run --model ./sdxl-30.toml*": "needs weights and a GPU",
    "check scorers": "takes minutes",
    "judge quickstart --judge *": "needs a key or a server",
    "judge quickstart-with-mine *": "needs a newcomer to a judged bundle",
    "judge quickstart --humans *": "needs answers of people",
    "study import answers-*": "needs answers of people",
    "study import study/collected/*": "needs answers of people",
    "study serve study": "answers until Ctrl-C",
    "study export pairs.jsonl *": "needs pairs that somebody picked",
    "play": "answers until Ctrl-C",
    "play --export demo": "takes minutes",
    "study report quickstart": "needs answers of people",
    "import hosted.toml *": "needs a server",
    "import samples *": "watches until Ctrl-C",
    "train *": "takes minutes",
    "time *": "takes minutes",
    "fetch *": "needs the network",
    "export quickstart --to trackio": "needs trackio; test_trackers exports",
    "export quickstart --to wandb": "needs wandb; test_trackers exports",
    "export quickstart --to mlflow": "needs mlflow; test_trackers exports",
    "push *": "needs a model hub",
    "pull *": "needs a model hub",
    "verify quickstart.bundle.zip --again 20": "takes minutes",
    "run --model emoji --method hypertransport-emoji.toml": "needs a file of a model hub",
    "show model dmd2 --needs*": "takes half a minute and more",
    "report quickstart --serve": "answers until Ctrl-C",
    "pack quickstart --out signed.zip *": "needs a key",
    "verify signed.zip *": "needs a signature",
    "check theirs --require *": "needs a method of one's own",
    "check quickstart --require *": "a rule of a run of two concepts is broken",
}
"""Patterns of commands that are read and not carried out, each with the reason."""


def is_only_read(command: Command) -> bool:
    return any(fnmatchcase(str(command), pattern) for pattern in ONLY_READ)


SHOWN = {page: shown for page in PAGES if (shown := commands(page))}
CARRIED_OUT = [page for page, shown in SHOWN.items() if not all(map(is_only_read, shown))]


def read(words: Sequence[str]) -> None:
    """Read a command line without carrying it out.

    Raises:
        Exception: for a command, option or number of arguments that there is not.
    """
    command: Any = typer.main.get_command(app)
    context = command.make_context("htbench", list(words))
    while isinstance(command, TyperGroup):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


def issue(command: Command, patch: pytest.MonkeyPatch) -> None:
    """Carry out a command in the working folder, as a shell would."""
    words = [
        path
        for word in command.words
        for path in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
    ]
    with patch.context() as variables:
        for name, value in (*SMALL.items(), *command.variables):
            variables.setenv(name, value)
        answer = CliRunner().invoke(app, words, prog_name="htbench", catch_exceptions=False)
    assert answer.exit_code == 0, f"htbench {command}: {answer.output}"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `runs` with a small run `quickstart` that has verdicts of a judge."""
    folder = tmp_path_factory.mktemp("shown")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in ("run quickstart --name quickstart", "judge quickstart"):
            issue(Command(tuple(words.split())), patch)
    return folder / "runs"


@pytest.mark.parametrize(
    "command",
    sorted({command for shown in SHOWN.values() for command in shown}, key=str),
    ids=str,
)
def test_a_shown_command_has_the_right_options_and_arguments(command: Command) -> None:
    with suppress(typer.Exit):  # the end of --help
        read(command.words)


@pytest.mark.parametrize("words", ["runn quickstart", "run quickstart --metod x", "diff first"])
def test_a_command_that_cannot_be_issued_would_be_noticed(words: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing"):
        read(words.split())


@pytest.mark.parametrize("page", CARRIED_OUT, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_one_after_the_other(
    page: Path, judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(judged, tmp_path / "runs")
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples")
    write_files(page, tmp_path)
    for module in (path.stem for path in tmp_path.glob("*.py")):
        # out of reach now, and gone again when the test ends
        monkeypatch.setitem(sys.modules, module, sys)
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.chdir(tmp_path)
    for command in SHOWN[page]:
        if not is_only_read(command):
            issue(command, monkeypatch)


@pytest.mark.parametrize("pattern", ONLY_READ)
def test_a_command_that_is_only_read_is_shown(pattern: str) -> None:
    shown = {str(command) for page in SHOWN.values() for command in page}
    assert any(fnmatchcase(command, pattern) for command in shown)
