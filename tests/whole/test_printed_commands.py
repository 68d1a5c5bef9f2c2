"""Commands that htbench prints in messages, pages and reports, or names in docs, exist."""

import ast
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
from kit.commands import htbench as run_htbench
from kit.report_run import build

import htbench
from htbench.cli import app
from htbench.report import commands
from htbench.run.store import Store
from htbench.run.summary import Summary

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(
    r"(?P<before>^|: |`|<code>|[\s(])htbench (?P<words>[a-z][a-z-]*(?: [^\s`<;,()…]+)*)"
)


class Literals(ast.NodeVisitor):
    """A collector of the string literals of a module, with X for every replacement field."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        parts = (part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
        self.texts.append("".join(map(str, parts)))

    def visit_Constant(self, node: ast.Constant) -> None:
        self.texts.append(str(node.value))


def literals(source: str) -> list[str]:
    visitor = Literals()
    visitor.visit(ast.parse(source))
    return visitor.texts


def printed() -> list[str]:
    """Commands in code and pages, without the name of the program.

    In running text the word after that name is one only if there is such a command, and the
    command ends with the sentence.
    """
    code = [
        text
        for path in Path(htbench.__file__).parent.rglob("*.py")
        for text in literals(path.read_text(encoding="utf-8"))
    ]
    files = [
        *(ROOT / "reports").rglob("*.html"),
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
    ]
    pages = [path.read_text(encoding="utf-8") for path in files]
    matches = [match for text in (*code, *pages) for match in COMMAND.finditer(text)]
    commands = {
        re.split(r"[.:] ", match["words"])[0]
        for match in matches
        if not match["before"].isspace() or not problem(match["words"].split()[0])
    }
    return sorted(commands)


def problem(words: str) -> str | None:
    """The reason for which a command would be refused before it does anything."""
    command: Any = typer.main.get_command(app)
    parts = words.split()
    while hasattr(command, "commands") and parts:
        # `check RUN` stands for `check run RUN`
        if parts[0] not in command.commands and command.name != "check":
            return f"there is no command {parts[0]!r}"
        command = command.commands.get(parts.pop(0)) or command.commands["run"]
    options = {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}
    strange = [
        part
        for part in parts
        if part.startswith("--")
        and part != "--X"
        and part.partition("=")[0].rstrip(".:") not in options
    ]
    return f"it has no option {strange[0]}" if strange else None


def test_messages_and_pages_name_commands() -> None:
    assert len(printed()) > 20


@pytest.mark.parametrize("words", printed())
def test_a_command_in_a_message_or_page_exists_with_its_options(words: str) -> None:
    assert problem(words) is None


@pytest.mark.parametrize("words", ["runn quickstart", "study exprot RUN", "run --metod lineas"])
def test_a_command_that_does_not_exist_would_be_noticed(words: str) -> None:
    assert problem(words)


def issue(command: str, *more: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program, *words = shlex.split(command)
    assert program == "htbench"
    return run_htbench(*words, *more, cwd=cwd)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """A run in a folder `runs`, as reports see it."""
    folder = tmp_path_factory.mktemp("work") / "runs" / "looking"
    return Summary(Store.open(build(folder, concepts=2)))


def test_the_commands_of_a_report_widen_the_run(reported: Summary) -> None:
    work = reported.store.folder.parents[1]
    for command in (
        commands.with_methods(reported, "mean-of-maps"),
        commands.with_strengths(reported, -1.0),
    ):
        answer = issue(command, "--dry-run", cwd=work)
        assert (answer.returncode, answer.stderr) == (0, "")
