"""A run with nothing left to do answers from its store alone."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.commands import htbench, imports_torch
from kit.scorer_cards import command_card

from htbench.run import plan as plans
from htbench.run.finished import is_finished
from htbench.run.plan import RunOptions

SETTINGS = {"methods": ("prompt",), "concepts": "test", "limit": 2, "prompts": 1}
STRENGTHS = {"strengths": (0.0, 1.0)}
PLAN = "methods = ['prompt']\nconcepts = 'test'\nlimit = 2\nprompts = 1\nstrengths = [0.0, 1.0]\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "plan.toml").write_text(PLAN)
    answer = htbench("run", "plan.toml", "--name", "done", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    return folder


def left(run: Path, **changes: object) -> bool:
    settings = {**SETTINGS, **STRENGTHS, **changes}
    return not is_finished(plans.resolve(plans.build(settings)), run, RunOptions())


def test_the_same_command_says_so_and_imports_no_torch(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    answer = htbench("run", "plan.toml", "--name", "done")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("Nothing is left to do: all 6 cells are done")
    assert "prompt" in answer.stdout, "the table of a run"
    assert not imports_torch("run", "plan.toml", "--name", "done")


@pytest.mark.parametrize(
    "change",
    [{"prompts": 2}, {"seed": 1}, {"strengths": (0.0, 0.5)}, {"limit": 3}, {"fit_seeds": 2}],
)
def test_another_plan_has_work_left(finished: Path, change: dict[str, object]) -> None:
    assert left(finished / "runs" / "done", **change)


def lose_a_picture(run: Path) -> None:
    next((run / "images").iterdir()).unlink()


def lose_a_map(run: Path) -> None:
    next((run / "maps").glob("*.safetensors")).unlink()


def sql(statement: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        with sqlite3.connect(run / "run.sqlite") as database:
            database.execute(statement)

    return change


@pytest.mark.parametrize(
    "change",
    [
        lose_a_picture,
        lose_a_map,
        sql("DELETE FROM scores WHERE cell = 2"),
        sql("UPDATE images SET file = NULL WHERE key = (SELECT image FROM cells LIMIT 1)"),
        sql("UPDATE sessions SET environment = '{}'"),
        sql("UPDATE facts SET value = '{' WHERE name = 'plan'"),
        sql("DELETE FROM facts"),
    ],
)
def test_a_run_that_lacks_something_has_work_left(
    finished: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished / "runs" / "done", run)
    assert not left(run)
    change(run)
    assert left(run)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a strength to choose, two fit seeds, a method's card with code, and a scorer's."""
    folder = tmp_path_factory.mktemp("extended")
    (folder / "own.py").write_text(
        "from htbench.methods.mean_shift import MeanShift\n\n\nclass Own(MeanShift):\n    pass\n"
    )
    (folder / "own.toml").write_text('name = "own"\nmethod = "own:Own"\nsummary = "Mine."\n')
    command_card(folder, "good")
    (folder / "plan.toml").write_text(
        "methods = ['own.toml']\nlimit = 1\nprompts = 1\nstrengths = [0.0, 1.0]\n"
        "fit_seeds = 2\ntune_strength = true\ntune_concepts = 1\nscorers = ['words.toml']\n"
    )
    answer = htbench("run", "plan.toml", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    return folder


def has_work_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.chdir(folder)
    plan = plans.resolve(plans.build(plans.read("plan.toml")))
    return not is_finished(plan, folder / "runs" / "plan", RunOptions())


def test_a_run_with_parts_and_cards_of_its_own_can_be_told_to_be_finished(
    extended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not has_work_left(extended, monkeypatch)
    assert not imports_torch("run", "plan.toml")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "own.py").write_text("class Own:\n    pass\n"),
        lambda folder: (folder / "words.py").write_text("print('another scorer')\n"),
        lambda folder: command_card(folder, "good", better="lower"),
        lambda folder: lose_a_picture(folder / "runs" / "plan" / "tuning"),
        lambda folder: lose_a_map(folder / "runs" / "plan" / "fit-seeds" / "1"),
        lambda folder: shutil.rmtree(folder / "runs" / "plan" / "fit-seeds"),
    ],
)
def test_a_part_or_a_file_that_changed_leaves_work(
    extended: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object],
) -> None:
    folder = Path(shutil.copytree(extended, tmp_path / "copy"))
    assert not has_work_left(folder, monkeypatch)
    change(folder)
    assert has_work_left(folder, monkeypatch)


def test_what_is_no_run_has_work_left(tmp_path: Path) -> None:
    assert left(tmp_path)
