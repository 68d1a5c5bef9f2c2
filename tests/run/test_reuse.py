"""Runs take over what a run beside them has made by the same key."""

import shutil
from pathlib import Path

import pytest

from htbench.run import runner
from htbench.run.fact_table import Facts
from htbench.run.plan import RunOptions, build
from htbench.run.store import Store

SMALL = {"methods": ["prompt", "mean-shift"], "limit": 2, "prompts": 1, "strengths": [0.0, 1.0]}


def run(folder: Path, **changes: object) -> None:
    runner.run(build(SMALL, changes), folder, RunOptions(threads=1))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "made"
    run(folder, strengths=[0.0, 0.5, 1.0])
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """A folder of runs with one that is made."""
    shutil.copytree(made, tmp_path / "runs" / "made")
    return tmp_path / "runs"


def test_a_run_of_part_of_another_makes_no_image(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(runs / "part", limit=1)
    with Store.read(runs / "part") as store, Store.read(runs / "made") as other:
        assert [session.run for session in store.sessions()] == ["", "made"]
        assert store.select("SELECT DISTINCT session FROM images WHERE file IS NOT NULL") == [(2,)]
        times = "SELECT seconds FROM timings WHERE concept != '' ORDER BY seconds"
        assert set(store.select(times)) <= set(other.select(times))
        assert not store.select("SELECT 1 FROM timings WHERE phase = 'score'")
    assert "taken from run made, which has the same: " in capsys.readouterr().err


def test_what_is_taken_scores_as_it_did(runs: Path) -> None:
    run(runs / "part", limit=1)
    query = """SELECT method, concept, strength, metric, value FROM scores JOIN cells ON id = cell
               ORDER BY 1, 2, 3, 4"""
    with Store.read(runs / "part") as store, Store.read(runs / "made") as other:
        assert set(store.select(query)) < set(other.select(query))
        assert not store.unscored_count(Facts.read(store).scorer.id, 5)


def test_a_run_that_asks_for_more_makes_the_rest(runs: Path) -> None:
    run(runs / "more", strengths=[0.0, 1.0, 2.0])
    with Store.read(runs / "more") as store:
        query = """SELECT DISTINCT strength FROM cells JOIN images ON key = image
                   WHERE images.session = 1"""
        assert store.select(query) == [(2.0,)]
        assert not store.pending_count()


def test_another_seed_of_learning_takes_the_images_of_the_model_alone(runs: Path) -> None:
    run(runs / "other", seed=1)
    with Store.read(runs / "other") as store:
        query = """SELECT DISTINCT method FROM cells JOIN images ON key = image
                   WHERE images.session = 1 ORDER BY 1"""
        assert store.select(query) == [("mean-shift",), ("prompt",)]


def test_a_run_without_reuse_makes_everything(runs: Path) -> None:
    runner.run(build(SMALL), runs / "fresh", RunOptions(threads=1, reuse=False))
    with Store.read(runs / "fresh") as store:
        assert len(store.sessions()) == 1


def test_a_damaged_image_is_made_again(runs: Path) -> None:
    for path in (runs / "made" / "images").iterdir():
        path.write_bytes(b"damaged")
    run(runs / "part", limit=1)
    with Store.read(runs / "part") as store:
        assert store.select("SELECT DISTINCT session FROM images WHERE file IS NOT NULL") == [(1,)]


def test_a_damaged_run_is_left_alone(runs: Path) -> None:
    (runs / "made" / "run.sqlite").write_bytes(b"no database" * 100)
    run(runs / "part", limit=1)
    with Store.read(runs / "part") as store:
        assert not store.pending_count()
