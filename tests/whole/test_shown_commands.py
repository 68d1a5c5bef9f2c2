"""Commands that README and docs show can be issued as they stand."""

import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from typer.core import TyperGroup
from typer.testing import CliRunner

from htbench.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "metrics").glob("*.md")),
]
SMALL = {
    "HTBENCH_METHODS": "none,prompt,mean-shift,hypertransport",
    "HTBENCH_LIMIT": "2",
    "HTBENCH_PROMPTS": "1",
    "HTBENCH_DEVICE": "cpu",
    "BROWSER": "true",
    "PATH": str(Path(sys.executable).parent),
}
"""Variables that make every run of a page small, whatever its plan says; no browser opens."""
ONLY_READ = {
    "run equal-terms": "takes an hour",
    "run emoji-full": "takes hours",
    "run dmd2": "needs weights and a GPU",
    "run --method hypertransport --method lineas-l2": "takes minutes",
    "run --method ./plain-mean.toml": "fits 12 concepts; test_docs checks the method",
    "run --method runs/train/": "needs a method that was trained for minutes",
    "check method": "test_docs does it",
    "check scorers": "takes half a minute",
    "judge quickstart --judge": "needs a key or a server",
    "study import answers-": "needs answers of people",
    "study report quickstart": "needs answers of people",
    "judge quickstart --humans": "needs answers of people",
    "train": "takes minutes",
    "time": "takes minutes",
    "fetch": "needs the network",
    "show model dmd2 --needs": "takes half a minute and more",
    "report quickstart --serve": "answers until Ctrl-C",
}
"""Commands, by their first words, that are read and not carried out, each with the reason."""


@dataclass(frozen=True)
class Command:
    """A command of htbench on a page, without the name of the program."""

    words: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return " ".join(self.words)

    @property
    def is_only_read(self) -> bool:
        exact = {"study report quickstart"}
        return any(
            str(self) == start if start in exact else str(self).startswith(start)
            for start in ONLY_READ
        )


def commands(page: Path) -> list[Command]:
    """The commands in the shell blocks of a page, each once."""
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return list(dict.fromkeys(command for line in lines for command in in_line(line)))


def in_line(line: str) -> Iterator[Command]:
    """The commands of htbench in a line of shell, also behind a launcher such as torchrun."""
    for part in line.split("&&"):
        words = shlex.split(part, comments=True)
        for place, word in enumerate(words):
            before = words[:place]
            variables = [tuple(item.split("=", 1)) for item in before if "=" in item]
            if Path(word).name == "htbench" and (
                len(variables) == place or before[-1] in ("-m", "--")
            ):
                yield Command(tuple(words[place + 1 :]), tuple(variables))
                break


def read(words: Sequence[str]) -> None:
    """Read a command line without carrying it out.

    Raises:
        Exception: for a command, option or number of arguments that there is not.
    """
    command: Any = typer.main.get_command(app)
    context, rest = None, list(words)
    while rest is not None:
        context = command.make_context(command.name or "htbench", rest, parent=context)
        if not isinstance(command, TyperGroup):
            return
        rest = [*context._protected_args, *context.args]
        _, command, rest = command.resolve_command(context, rest)


SHOWN = {page: shown for page in PAGES if (shown := commands(page))}
RUNNABLE = {
    page: runnable
    for page, shown in SHOWN.items()
    if (runnable := [command for command in shown if not command.is_only_read])
}


def issue(command: Command, patch: pytest.MonkeyPatch) -> None:
    """Carry out a command in the working folder, as a shell would."""
    words = [
        path
        for word in command.words
        for path in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
    ]
    with patch.context() as variables:
        for name, value in command.variables:
            variables.setenv(name, value)
        answer = CliRunner().invoke(app, words, prog_name="htbench", catch_exceptions=False)
    assert answer.exit_code == 0, f"htbench {command}: {answer.output}"


def prepare(folder: Path, page: Path) -> None:
    """Put the files that a page names, and the example pictures, into a folder."""
    shutil.copytree(ROOT / "docs" / "examples", folder / "docs" / "examples")
    files = re.findall(
        r"<!-- (\S+\.\w+) -->\n```\w+\n(.*?)```\n",
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    for name, content in files:
        if "/" not in name:
            (folder / name).write_text(content, encoding="utf-8")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `runs` with a small run `quickstart` that has verdicts of a judge."""
    folder = tmp_path_factory.mktemp("shown")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in SMALL.items():
            patch.setenv(name, value)
        for words in ("run quickstart --name quickstart", "judge quickstart"):
            issue(Command(tuple(words.split())), patch)
    return folder / "runs"


@pytest.mark.parametrize(
    "command",
    sorted({command for shown in SHOWN.values() for command in shown}, key=str),
    ids=str,
)
def test_a_shown_command_has_the_right_options_and_arguments(command: Command) -> None:
    try:
        read(command.words)
    except typer.Exit as end:
        assert end.exit_code == 0


@pytest.mark.parametrize("words", ["runn quickstart", "run quickstart --metod x", "diff first"])
def test_a_command_that_cannot_be_issued_would_be_noticed(words: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing"):
        read(words.split())


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_one_after_the_other(
    page: Path, judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(judged, tmp_path / "runs")
    prepare(tmp_path, page)
    monkeypatch.chdir(tmp_path)
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    for command in RUNNABLE[page]:
        issue(command, monkeypatch)


def test_every_command_that_is_only_read_is_shown() -> None:
    shown = [str(command) for commands in SHOWN.values() for command in commands]
    assert [start for start in ONLY_READ if not any(line.startswith(start) for line in shown)] == []
