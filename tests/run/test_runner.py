"""Runs on the embedded model: resumable, paired, refusing what would mislead."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from kit.commands import htbench, start

from htbench.core.errors import Refused, UsageError
from htbench.run import runner
from htbench.run.plan import Plan, RunOptions, build
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.steering.concept import Concept
from htbench.steering.intervention import Intervention
from htbench.steering.method import FitsEachConcept
from htbench.steering.model import Model

SMALL = {
    "methods": ["prompt", "mean-shift", "linear-act"],
    "limit": 2,
    "prompts": 3,
    "batch": 4,
    "strengths": [0.0, 1.0],
}
COMMAND = [
    "run",
    *["--method", "prompt", "--method", "mean-shift", "--method", "linear-act"],
    *[
        "--limit",
        "2",
        "--prompts",
        "3",
        "--batch",
        "4",
        "--strength",
        "0,1",
        "--threads",
        "1",
        "--name",
        "small",
        "--runs-dir",
    ],
]


def contents(folder: Path) -> tuple[list[object], list[object], dict[str, bytes]]:
    """Cells, scores and pictures of a run."""
    with Store.read(folder) as store:
        rows = store.rows()
        files = {row.file: (folder / "images" / row.file).read_bytes() for row in rows if row.file}
        return (
            [
                (row.method, row.concept, row.prompt, row.seed, row.strength, row.file)
                for row in rows
            ],
            sorted(store.scores()),
            files,
        )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    runner.run(build(SMALL), folder, RunOptions(threads=1))
    return folder


def test_a_run_completes_every_planned_cell(whole: Path) -> None:
    with Store.read(whole) as store:
        summary = Summary(store)
        assert summary.done == summary.planned == 2 * 3 * (1 + 3 * 2)


def test_a_second_run_adds_nothing(whole: Path) -> None:
    before = contents(whole)
    pictures = {path: path.stat().st_mtime_ns for path in (whole / "images").iterdir()}
    runner.run(build(SMALL), whole)
    assert contents(whole) == before
    assert {path: path.stat().st_mtime_ns for path in (whole / "images").iterdir()} == pictures


def test_a_run_killed_at_any_moment_ends_like_an_undisturbed_one(
    whole: Path, tmp_path: Path
) -> None:
    for stage in ("maps", "images"):
        process = start(*COMMAND, str(tmp_path))
        folder = tmp_path / "small" / stage
        before = len(list(folder.glob("[!.]*.*"))) if folder.exists() else 0
        while process.is_alive() and (
            not folder.exists() or len(list(folder.glob("[!.]*.*"))) <= before
        ):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    finished = htbench(*COMMAND, str(tmp_path))
    assert finished.returncode == 0, finished.stderr
    assert contents(tmp_path / "small") == contents(whole)
    assert (tmp_path / "small" / "report.html").stat().st_size > 10_000


def test_a_wider_plan_keeps_what_is_done(tmp_path: Path) -> None:
    narrow, wide = (
        build(SMALL, {"methods": ["prompt"], "prompts": 1}),
        build(SMALL, {"methods": ["prompt"], "prompts": 2}),
    )
    runner.run(narrow, tmp_path / "run")
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "images").iterdir()}
    runner.run(wide, tmp_path / "run")
    now = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "images").iterdir()}
    assert done.items() < now.items()


def test_another_seed_of_learning_gives_other_images_in_the_same_folder(tmp_path: Path) -> None:
    def pictures(seed: int) -> set[str | None]:
        runner.run(
            build(
                SMALL,
                {
                    "methods": ["linear-act"],
                    "limit": 1,
                    "prompts": 1,
                    "strengths": [1.0],
                    "seed": seed,
                },
            ),
            tmp_path / "run",
        )
        with Store.read(tmp_path / "run") as store:
            return {row.file for row in store.rows() if row.method == "linear-act"}

    assert not pictures(0) & pictures(1)


def test_strength_0_shares_the_unsteered_image(whole: Path) -> None:
    with Store.read(whole) as store:
        plain = {(row.prompt, row.seed): row.file for row in store.rows() if row.method == "none"}
        assert all(
            row.file == plain[row.prompt, row.seed] for row in store.rows() if row.strength == 0
        )


def test_scores_of_the_unsteered_image_against_itself_are_those_of_no_change(whole: Path) -> None:
    with Store.read(whole) as store:
        line = Summary(store).leaderboard_row("none", 0.0)
    assert line.scores["concept_gain"].mean == pytest.approx(0, abs=1e-6)
    assert line.scores["image_preservation"].mean == pytest.approx(1, abs=1e-5)


def test_a_method_trained_on_a_chosen_concept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="trained on"):
        runner.run(
            Plan(methods=("none", "hypertransport"), concepts="train", limit=1), tmp_path / "run"
        )


def test_a_method_that_would_be_trained_on_a_chosen_concept_is_refused_before_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "train_methods", pytest.fail)
    with pytest.raises(Refused, match="predicted-means would be trained on 1 of the chosen"):
        runner.run(
            Plan(methods=("none", "predicted-means"), concepts="train", limit=1), tmp_path / "run"
        )


def test_a_leak_that_is_allowed_is_recorded(tmp_path: Path) -> None:
    runner.run(
        Plan(methods=("none", "hypertransport"), concepts="train", limit=1, prompts=1),
        tmp_path / "run",
        RunOptions(allow_leak=True),
    )
    with Store.read(tmp_path / "run") as store:
        assert len(store.facts()["methods"]["hypertransport"]["leaked"]) == 1


def test_a_method_that_cannot_learn_a_concept_leaves_a_reason_and_the_rest_goes_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "card.toml").write_text(
        f'name = "deaf"\nmethod = "{__name__}:Deaf"\nsummary = "Learns nothing."\n'
    )
    plan = Plan(methods=("none", str(tmp_path / "card.toml")), limit=1, prompts=1, strengths=(1.0,))
    runner.run(plan, tmp_path / "run")
    with Store.read(tmp_path / "run") as store:
        summary = Summary(store)
        assert [(problem.kind, problem.message, problem.cells) for problem in summary.failures] == [
            ("learn", "too quiet", 1)
        ]
        assert (summary.done, summary.planned) == (1, 2)
        assert summary.methods == ["none", "deaf"]


@dataclass(frozen=True, kw_only=True)
class Deaf(FitsEachConcept):
    """A method that fails on every concept."""

    def fit(self, model: Model, concept: Concept, *, seed: int) -> Intervention:
        raise UsageError("too quiet")


def test_words_that_the_model_does_not_know_are_told_once(
    own_content: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("none", "prompt"):
        (own_content / "baselines" / f"{name}.toml").write_text(
            f'name = "{name}"\nmethod = "{name}"\nsummary = "For tests."\n'
        )
    (own_content / "concepts" / "own").mkdir()
    (own_content / "concepts" / "own" / "card.toml").write_text(
        'name = "own"\nversion = "1"\nlicence = ""\nabout = ""\n'
    )
    (own_content / "concepts" / "own" / "prompts.jsonl").write_text(
        '{"text": "zeppelin", "use": "evaluation"}\n{"text": "panda", "use": "fit"}\n'
    )
    row = {"id": "a", "kind": "a", "split": "test", "text": "with zeppelin"}
    row["template"] = "{prompt} with zeppelin"
    (own_content / "concepts" / "own" / "concepts.jsonl").write_text(json.dumps(row) + "\n")
    own = build({"methods": ["prompt"], "concept_set": "own", "prompts": 1, "strengths": [1.0]})
    with pytest.raises(UsageError, match="not in the vocabulary of emoji: 'zeppelin'"):
        runner.run(own, own_content / "run")
    runner.run(own, own_content / "run", RunOptions(allow_unknown=True))
    assert capsys.readouterr().err.count("not in the vocabulary of emoji: 'zeppelin'") == 1
