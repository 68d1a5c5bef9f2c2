"""The command line as a user meets it."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from kit.commands import htbench, imports_torch

from htbench.steering import baseline, concept

TOY_RUN = ["run", "--model", "toy", "--method", "prompt", "--limit", "1"]


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["list"],
        ["list", "methods"],
        ["list", "concepts"],
        ["list", "plans"],
        ["run", "--help"],
    ],
)
def test_looking_around_imports_no_torch(words: list[str]) -> None:
    assert not imports_torch(*words)


def test_methods_are_listed_with_what_they_do() -> None:
    lines = htbench("list", "methods").stdout.splitlines()
    names = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert names == list(baseline.cards())


def test_the_version_is_that_of_the_installed_package() -> None:
    assert htbench("--version").stdout == f"htbench {metadata.version('htbench')}\n"


def test_what_can_be_listed_is_listed_and_each_of_it_can(tmp_path: Path) -> None:
    topics = [json.loads(line)["name"] for line in htbench("list", "--json").stdout.splitlines()]
    assert "methods" in topics
    assert {htbench("list", topic, cwd=tmp_path).returncode for topic in topics} == {0}


def test_a_folder_without_runs_is_told_so(tmp_path: Path) -> None:
    assert htbench("list", "runs", cwd=tmp_path).stderr == "htbench: no runs in 'runs'\n"
    answer = htbench("report", "quickstart", cwd=tmp_path)
    assert "no run 'quickstart'; there is none" in answer.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["run", "quikstart"], "quickstart"),
        (["run", "--method", "linaes"], "lineas"),
        (["run", "--model", "emojy"], "emoji"),
        (["run", "--concepts", "tset"], "test"),
        (["run", "--concepts", "style/neom"], "style/neon"),
        (["run", "--concepts", ","], "no concepts selected"),
        (["run", "--concept-set", "emojis"], "emoji"),
        (["run", "--strength", "0,half"], "not a list of numbers"),
        (["run", "--strength", "nan"], "finite"),
        (["run", "--strength", ""], "empty"),
        (["run", "--method", "prompt", "--device", "gpu"], "no device 'gpu'"),
        (["run", "--limit", "0"], "greater than or equal to 1"),
        (["run", "--prompts", "100000"], "prompts wanted"),
        (["run", "--metod", "lineas"], "--method"),
        (["list", "methodes"], "methods"),
        (["report", "nothing-here"], "no run"),
    ],
)
def test_bad_input_is_answered_with_the_nearest_right_thing_and_exit_code_2(
    words: list[str], hint: str, tmp_path: Path
) -> None:
    answer = htbench(*words, cwd=tmp_path)
    assert answer.returncode == 2
    assert hint in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = htbench("run", "--method", "prompt", "--runs-dir", str(tmp_path / "file"))
    assert answer.returncode == 2
    assert "cannot write run folder" in answer.stderr


def test_a_store_of_another_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with sqlite3.connect(tmp_path / "old" / "run.sqlite") as database:
        database.executescript("CREATE TABLE cells (id); PRAGMA user_version = 99;")
    before = (tmp_path / "old" / "run.sqlite").read_bytes()
    answer = htbench("run", "--method", "prompt", "--runs-dir", str(tmp_path), "--name", "old")
    assert answer.returncode == 5
    assert "store version 99" in answer.stderr
    assert (tmp_path / "old" / "run.sqlite").read_bytes() == before


def test_an_interrupted_run_says_so_and_ends_with_130(tmp_path: Path) -> None:
    words = [
        "run",
        "--method",
        "lineas",
        "--limit",
        "1",
        "--runs-dir",
        str(tmp_path),
        "--name",
        "run",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "htbench", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "run" / "run.sqlite").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors


def test_a_full_disk_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno

    from htbench import __main__, cli

    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as stop:
        __main__.main()
    assert stop.value.code == 4
    assert "no space left" in capsys.readouterr().err


def test_a_plan_is_printed_with_the_origin_of_each_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTBENCH_BATCH", "4")
    answer = htbench("run", "quickstart", "--seeds", "2", "--no-tune-strength", "--print-plan")
    lines = [line.rsplit(maxsplit=1) for line in answer.stdout.splitlines()]
    origins = {setting.split()[0]: origin for setting, origin in lines}
    expected = {
        "batch": "environment",
        "seeds": "option",
        "limit": "quickstart",
        "tune_strength": "option",
        "scorers": "default",
    }
    assert origins | expected == origins


def test_a_dry_run_counts_and_makes_nothing(tmp_path: Path) -> None:
    lines = htbench("run", "quickstart", "--dry-run", "--json", cwd=tmp_path).stdout.splitlines()
    assert (json.loads(lines[0])["cells"], json.loads(lines[0])["images"]) == (768, 484)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seeds", ["1", "3"])
def test_a_run_has_the_folder_it_had_before_fit_seeds_could_be_given(
    seeds: str, tmp_path: Path
) -> None:
    answer = htbench("run", "--limit", "2", "--fit-seeds", seeds, "--dry-run", cwd=tmp_path)
    assert answer.stdout.splitlines()[0] == "Folder: runs/emoji-30d9889a"


def test_a_run_ends_with_lines_of_json_if_asked(toy_plugins: Path, tmp_path: Path) -> None:
    answer = htbench(*TOY_RUN, "--prompts", "1", "--json", "--runs-dir", str(tmp_path / "runs"))
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    assert (answer.returncode, answer.stderr) == (0, "")
    assert [events[k]["event"] for k in (0, -1)] == ["leaderboard", "end"]
    assert events[-1]["done"] == 4


def test_failed_cells_end_a_run_with_3_and_the_reason(
    toy_plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_FEARS", concept.load("emoji").prompts[0])
    limits = ["--prompts", "2", "--max-failures", "50%"]
    answer = htbench(*TOY_RUN, *limits, "--runs-dir", str(tmp_path / "runs"))
    assert answer.returncode == 3
    assert "Cells done: 4/8" in answer.stdout
    assert "4 cells failed: afraid of this prompt" in answer.stdout


def test_a_machine_is_examined() -> None:
    answer = htbench("doctor")
    assert "✓ model emoji" in answer.stdout
