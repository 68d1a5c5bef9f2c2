"""Runs of a model with a scorer of its own beside the encoder: the toy with the emoji detector."""

from pathlib import Path

import pytest
from kit.toy import Toy
from typer.testing import CliRunner

from htbench.cli import app
from htbench.models.emoji.detector import Detector
from htbench.run.store import Store

RUN = [
    "run", "--model", "toy", "--method", "prompt", "--prompts", "2", "--strength", "1",
    "--device", "cpu", "--name", "own", "--limit", "2",
]  # fmt: skip

pytestmark = pytest.mark.usefixtures("toy_plugins")


def run(*words: str) -> int:
    return CliRunner().invoke(app, [*RUN, *words], catch_exceptions=False).exit_code


def detections(folder: Path) -> list[tuple[str, float | None]]:
    """Concept and score of every cell that the detector was asked about."""
    with Store.read(folder / "runs" / "own") as store:
        return store.select(
            """SELECT concept, value FROM scores JOIN cells ON id = cell
               WHERE metric = 'emoji-detector' ORDER BY place"""
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Toy, "detector", "emoji-detector", raising=False)
    return tmp_path


def test_a_run_has_the_scores_of_its_models_detector_without_being_asked(folder: Path) -> None:
    assert run() == 0
    assert len(detections(folder)) == 2 * 2 * 2
    assert all(0 <= value <= 1 for _, value in detections(folder) if value is not None)


def test_a_run_of_before_gets_the_scores_and_no_image_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toy, "detector", "")
    run()
    assert detections(folder) == []
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs/own/images").iterdir()}
    monkeypatch.setattr(Toy, "detector", "emoji-detector")
    assert run() == 0
    assert len(detections(folder)) == 8
    after = {path: path.stat().st_mtime_ns for path in (folder / "runs/own/images").iterdir()}
    assert after == before


def test_a_run_that_names_its_encoders_has_no_other_scorer_than_it_names(folder: Path) -> None:
    assert run("--scorer", "emoji-clip-b") == 0
    assert detections(folder) == []
    assert run("--scorer", "emoji-clip-b", "--scorer", "emoji-detector") == 0
    assert len(detections(folder)) == 8


def test_concepts_and_prompts_that_the_detector_does_not_know_have_no_score_and_are_not_missing(
    folder: Path,
) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "concepts.csv").write_text("text,id\nwith lemon,lemon\nin thick fog,fog\n")
    prompts = "text,use\npanda,evaluation\na nun,evaluation\nowl,fit\n"
    (folder / "mine" / "prompts.csv").write_text(prompts)
    assert run("--concept-set", "./mine") == 0
    assert sorted((concept, value is None) for concept, value in detections(folder)) == [
        *[("fog", True)] * 4,
        *[("lemon", False)] * 2,
        *[("lemon", True)] * 2,
    ]
    page = (folder / "runs/own/report.html").read_text(encoding="utf-8")
    assert "6 cells have no score, since the scorer does not know their prompt or concept" in page


def test_a_run_of_concepts_that_the_detector_does_not_know_goes_without_it(folder: Path) -> None:
    (folder / "mine.csv").write_text("text\nin thick fog\nat dawn\n")
    assert run("--concept-set", "./mine.csv") == 0
    assert detections(folder) == []
    assert "emoji-detector" not in (folder / "runs/own/report.html").read_text(encoding="utf-8")


def test_a_score_that_is_not_defined_for_a_picture_is_kept_and_not_asked_for_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def measure(self: Detector, inputs: list[object]) -> list[None]:
        asked.append(len(inputs))
        return [None] * len(inputs)

    monkeypatch.setattr(Detector, "measure", measure)
    assert run() == 0
    assert [value for _, value in detections(folder)] == [None] * 8
    before = sum(asked)
    assert run() == 0
    assert sum(asked) == before > 0
    page = (folder / "runs/own/report.html").read_text(encoding="utf-8")
    assert "8 cells have no score" in page
