"""The workflow for boards of others: its commands exist, and strangers' data never meet a token."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from htbench.cli import app

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "examples" / "board-workflow.yml").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]
COMMANDS = [
    line.strip().removesuffix("\\").partition(" 2>&1")[0]
    for _, step in STEPS
    for line in step.get("run", "").splitlines()
    if line.strip().startswith("htbench ")
]
KNOWN: Any = typer.main.get_command(app)
"""The command line; `board` may be a later part of it."""


def reads_bundles(job: dict[str, Any]) -> bool:
    return any("htbench " in step.get("run", "") for step in job["steps"])


def script(name: str) -> str:
    (run,) = [step["run"] for _, step in STEPS if step.get("name") == name]
    return str(run)


def test_the_commands_are_those_of_the_task() -> None:
    assert [command.split()[1] for command in COMMANDS] == ["verify", "board"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_the_right_options_and_arguments(command: str) -> None:
    name, *words = shlex.split(command)[1:]
    context = KNOWN.make_context("htbench", [name, *words])
    KNOWN.commands[name].make_context(name, words, parent=context)


@pytest.mark.parametrize("name", [name for name, job in JOBS.items() if reads_bundles(job)])
def test_a_job_that_reads_bundles_may_only_read(name: str) -> None:
    assert JOBS[name]["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("name", [name for name, job in JOBS.items() if not reads_bundles(job)])
def test_a_job_that_may_write_runs_no_command_and_has_no_bundle(name: str) -> None:
    assert [step["uses"].partition("@")[0] for step in JOBS[name]["steps"]] == [
        "actions/deploy-pages"
    ]


def test_nothing_is_permitted_beyond_what_a_job_asks_for() -> None:
    assert WORKFLOW["permissions"] == {}
    assert all("permissions" in job for job in JOBS.values())


def test_a_refusal_in_a_pipe_fails_its_step() -> None:
    assert WORKFLOW["defaults"]["run"]["shell"] == "bash"  # with -eo pipefail, which none has not


def test_no_secret_is_named_and_pull_requests_get_no_rights_of_the_repository() -> None:
    assert "secrets." not in TEXT
    assert "github.token" not in TEXT
    assert set(WORKFLOW[True]) == {"pull_request", "push"}  # YAML reads `on` as true


def test_every_action_is_pinned_by_its_commit() -> None:
    used = [step["uses"] for _, step in STEPS if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", name)] == []


def test_no_checkout_leaves_its_token_behind() -> None:
    checkouts = [step for _, step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False, False]


def test_no_text_of_a_stranger_is_pasted_into_a_script() -> None:
    assert [step["run"] for _, step in STEPS if "${{" in step.get("run", "")] == []


@pytest.fixture
def proposal(tmp_path: Path) -> Path:
    """A repository `proposal` with one commit, in which a bundle is."""
    folder = tmp_path / "proposal"
    (folder / "bundles").mkdir(parents=True)
    (folder / "bundles" / "old.bundle.zip").write_text("old")
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x")


def refuse(folder: Path) -> subprocess.CompletedProcess[str]:
    """Carry out the step that looks at what a pull request changes."""
    environment = {**os.environ, "BASE": git(folder, "rev-list", "--max-parents=0", "HEAD")}
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
    return subprocess.run(
        [*words, script("Refuse all but new bundles")],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder.parent,
        env=environment,
    )


def test_a_new_bundle_is_accepted(proposal: Path) -> None:
    for name in ("new.bundle.zip", "new.bundle.zip.sig"):
        (proposal / "bundles" / name).write_text("new")
    commit(proposal)
    answer = refuse(proposal)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert (proposal.parent / "added").read_bytes() == b"bundles/new.bundle.zip\0"


def test_a_pull_request_without_bundles_is_left_alone(proposal: Path) -> None:
    (proposal / "README.md").write_text("changed")
    commit(proposal)
    assert refuse(proposal).returncode == 0
    assert (proposal.parent / "added").read_bytes() == b""


@pytest.mark.parametrize(
    "path",
    [
        "bundles/old.bundle.zip",
        "bundles/$(touch ran).bundle.zip",
        "bundles/a b.bundle.zip",
        "bundles/-x/y.bundle.zip",
        "bundles/new.zip",
        ".github/workflows/board.yml",
        "README.md",
    ],
)
def test_anything_else_is_refused(proposal: Path, path: str) -> None:
    (proposal / path).parent.mkdir(parents=True, exist_ok=True)
    (proposal / path).write_text("changed")
    (proposal / "bundles" / "new.bundle.zip").write_text("new")
    commit(proposal)
    answer = refuse(proposal)
    assert answer.returncode == 1
    assert "may only add bundles/NAME.bundle.zip" in answer.stdout
    assert not (proposal.parent / "ran").exists()


def test_a_deleted_bundle_is_refused(proposal: Path) -> None:
    (proposal / "bundles" / "old.bundle.zip").rename(proposal / "bundles" / "new.bundle.zip")
    commit(proposal)
    assert refuse(proposal).returncode == 1


@pytest.mark.parametrize("code", [0, 5])
def test_the_job_fails_where_a_bundle_is_not_what_it_says(tmp_path: Path, code: int) -> None:
    program = tmp_path / "bin" / "htbench"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$2 is looked at"\nexit {code}\n')
    program.chmod(0o755)
    (tmp_path / "added").write_bytes(b"bundles/new.bundle.zip\0")
    summary = tmp_path / "summary.md"
    answer = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script("Verify each new bundle")],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        env={
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_STEP_SUMMARY": str(summary),
        },
    )
    assert answer.returncode == code
    assert "    proposal/bundles/new.bundle.zip is looked at\n" in summary.read_text()
