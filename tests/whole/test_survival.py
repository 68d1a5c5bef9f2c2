"""A run that is killed, out of memory or damaged ends like an undisturbed run."""

import multiprocessing
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess as Process
from pathlib import Path

import pytest
import torch
from kit import toy_plugin
from kit.toy import TOKENS, WIDTH

from htbench.core.errors import Incomplete, Refused
from htbench.run import runner
from htbench.run.plan import RunOptions, build
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.steering import concept
from htbench.steering.concept import Concept
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.method import FitsEachConcept, Steering
from htbench.steering.model import Model

GRID = {
    "model": "toy",
    "methods": ["prompt", "mean-shift", "linear-act"],
    "limit": 10,
    "prompts": 5,
    "strengths": [0.0, 0.5, 1.0],
    "batch": 8,
}
SMALL = {
    "model": "toy",
    "methods": ["prompt"],
    "limit": 2,
    "prompts": 2,
    "strengths": [0.0, 1.0],
    "batch": 4,
}


def _start(folder: Path, log: Path) -> Process:
    """A run in a process of its own, forked from one that has imported torch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kit.toy_plugin"])
    process = context.Process(target=toy_plugin.run_plan, args=(GRID, folder, log))
    process.start()
    return process


def _tables(folder: Path) -> tuple[object, ...]:
    with Store.read(folder) as store:
        summary = Summary(store)
        return (
            summary.leaderboard,
            summary.done,
            summary.planned,
            store.rows(),
            sorted(store.scores()),
        )


def _images(log: Path) -> int:
    return sum(map(int, log.read_text().split())) if log.exists() else 0


def _survives(kills: int, folder: Path) -> None:
    killed, undisturbed, log = folder / "killed", folder / "undisturbed", folder / "log"
    _start(undisturbed, folder / "undisturbed.log").join()  # also starts the fork server
    began = time.monotonic()
    _start(folder / "again", folder / "again.log").join()
    seconds = time.monotonic() - began
    dice = random.Random(0)
    for _ in range(kills):
        process = _start(killed, log)
        process.join(dice.uniform(0, seconds))
        process.kill()
        process.join()
    _start(killed, log).join()
    assert _tables(killed) == _tables(undisturbed)
    with Store.read(killed) as store:
        assert store.select("PRAGMA integrity_check") == [("ok",)]
        assert store.count() == 500
    assert _images(log) - _images(folder / "undisturbed.log") <= 3 * GRID["batch"] * kills


def test_a_run_killed_at_random_moments_ends_like_an_undisturbed_one(
    toy_plugins: Path, tmp_path: Path
) -> None:
    _survives(4, tmp_path)


@pytest.mark.slow
def test_a_run_killed_at_20_random_moments_ends_like_an_undisturbed_one(
    toy_plugins: Path, tmp_path: Path
) -> None:
    _survives(20, tmp_path)


def test_memory_that_runs_out_halves_the_batch_and_says_so(
    toy_plugins: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TOY_ILLS", "memory")
    runner.run(build(SMALL), tmp_path / "run")
    assert "out of memory: going on with batches of 2 instead of 4" in capsys.readouterr().err
    with Store.read(tmp_path / "run") as store:
        assert Summary(store).done == store.count()
        assert store.select("SELECT DISTINCT batch FROM images") == [(2,)]


@pytest.fixture
def feared(monkeypatch: pytest.MonkeyPatch) -> str:
    """A prompt that the toy model fails on: half of a small run's cells."""
    prompt = concept.load("emoji").prompts[0]
    monkeypatch.setenv("TOY_FEARS", prompt)
    return prompt


def test_one_bad_image_does_not_take_its_batch_with_it(
    toy_plugins: Path, tmp_path: Path, feared: str
) -> None:
    runner.run(build(SMALL), tmp_path / "run")
    with Store.read(tmp_path / "run") as store:
        assert {
            (row.prompt, row.failure_kind, row.failure_message)
            for row in store.rows()
            if row.file is None
        } == {(feared, "generate", "afraid of this prompt")}
        assert Summary(store).done == store.count() // 2


def test_a_failure_keeps_its_traceback(toy_plugins: Path, tmp_path: Path, feared: str) -> None:
    runner.run(build(SMALL), tmp_path / "run")
    with Store.read(tmp_path / "run") as store:
        assert "toy_plugin.py" in Summary(store).failures[0].trace


def test_what_failed_is_tried_again(
    toy_plugins: Path, tmp_path: Path, feared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.run(build(SMALL), tmp_path / "run")
    monkeypatch.delenv("TOY_FEARS")
    runner.run(build(SMALL), tmp_path / "run")
    with Store.read(tmp_path / "run") as store:
        assert (Summary(store).failures, Summary(store).done) == ([], store.count())


def test_too_many_failures_stop_the_run(toy_plugins: Path, tmp_path: Path, feared: str) -> None:
    with pytest.raises(Incomplete, match="stopped after 2 failed images, 1 are allowed"):
        runner.run(build(SMALL), tmp_path / "run", RunOptions(max_failures=1))


def test_a_share_of_failures_may_be_allowed(toy_plugins: Path, tmp_path: Path, feared: str) -> None:
    runner.run(build(SMALL), tmp_path / "run", RunOptions(max_failures="30%"))


def test_black_images_are_kept_and_counted(
    toy_plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_ILLS", "black")
    runner.run(build(SMALL), tmp_path / "run")
    with Store.read(tmp_path / "run") as store:
        assert Summary(store).blank_images["prompt"] == {"nan": 0, "black": 8, "constant": 0}


def test_images_of_nan_fail_as_such(toy_plugins: Path, tmp_path: Path) -> None:
    card = tmp_path / "nan.toml"
    card.write_text(f'name = "nan"\nmethod = "{__name__}:Nan"\nsummary = "Breaks everything."\n')
    runner.run(build(SMALL, {"methods": [str(card)]}), tmp_path / "run")
    with Store.read(tmp_path / "run") as store:
        assert Summary(store).blank_images["nan"] == {"nan": 4, "black": 0, "constant": 0}


def test_an_image_that_was_damaged_before_it_was_scored_is_made_again(
    toy_plugins: Path, tmp_path: Path
) -> None:
    runner.run(build(SMALL), tmp_path / "run")
    before = _tables(tmp_path / "run")
    with Store.open(tmp_path / "run") as store:
        row = next(row for row in store.rows() if row.strength == 1.0)
        (tmp_path / "run" / "images" / str(row.file)).write_bytes(
            b"\x89PNG\r\n\x1a\nhalf a picture"
        )
        store.drop_scores([row.concept])
    runner.run(build(SMALL), tmp_path / "run")
    assert repr(_tables(tmp_path / "run")) == repr(before)


def test_a_truncated_map_is_refused(toy_plugins: Path, tmp_path: Path) -> None:
    runner.run(build(SMALL), tmp_path / "run")
    for path in (tmp_path / "run" / "maps").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(Refused, match="cannot be read") as stop:
        runner.run(build(SMALL, {"strengths": [0.0, 0.5, 1.0]}), tmp_path / "run")
    assert (stop.value.exit_code, "Delete the file" in stop.value.remedy) == (5, True)


def test_a_method_that_breaks_while_it_learns_leaves_the_others_alone(
    toy_plugins: Path, tmp_path: Path
) -> None:
    card = tmp_path / "broken.toml"
    card.write_text(f'name = "broken"\nmethod = "{__name__}:Broken"\nsummary = "Does not learn."\n')
    runner.run(build(SMALL, {"methods": ["prompt", str(card)]}), tmp_path / "run")
    with Store.read(tmp_path / "run") as store:
        summary = Summary(store)
        assert [(problem.kind, problem.message) for problem in summary.failures] == [
            ("learn", "stupid")
        ]
        assert summary.leaderboard_row("prompt", 1.0).done == 4


@dataclass(frozen=True, kw_only=True)
class Nan(FitsEachConcept):
    """A method whose maps give NaN."""

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        return Affine(
            scale={TOKENS: torch.full((WIDTH,), torch.nan)}, shift={TOKENS: torch.zeros(WIDTH)}
        )


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A method with a bug."""

    def train(
        self, model: Model, concepts: Sequence[Concept], *, seed: int, **_: object
    ) -> Steering:
        raise RuntimeError("stupid")

    def load(self, model: Model, path: Path, *, seed: int) -> Steering:
        raise RuntimeError("stupid")
