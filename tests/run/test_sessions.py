"""The sessions of a run: kept as they were, and one more for each process that made something."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from htbench import report
from htbench.core.types import Digest
from htbench.run import runner
from htbench.run.fact_table import Facts
from htbench.run.plan import RunOptions, build
from htbench.run.store import GeneratedImage, Store

SMALL = {"methods": ["prompt", "mean-shift"], "limit": 1, "prompts": 1, "strengths": [0.0, 1.0]}
KEPT = Path(__file__).parents[1] / "kit" / "kept" / "runs" / "kept"


def dump(folder: Path) -> list[str]:
    """Everything in the store of a run, as SQL."""
    with sqlite3.connect(folder / "run.sqlite") as database:
        return list(database.iterdump())


def run(folder: Path, *, threads: int = 1, **changes: object) -> Facts:
    runner.run(build(SMALL, changes), folder, RunOptions(threads=threads))
    with Store.read(folder) as store:
        return Facts.read(store)


def start(store: Store, command: str) -> None:
    store.start_session(command=command, environment={"cpu": command})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run(folder, threads=1)
    return folder


def test_a_finished_run_that_is_copied_and_issued_again_with_other_threads_is_unchanged(
    finished: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(finished, tmp_path / "finished")
    page = report.write(finished).read_bytes()
    run(copy, threads=2)
    assert dump(copy) == dump(finished)
    assert report.write(copy).read_bytes() == page


def test_a_wider_plan_adds_a_session_that_its_images_and_timings_point_at(
    finished: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(finished, tmp_path / "wider")
    facts = run(copy, threads=2, methods=["prompt", "mean-shift", "linear-act"])
    assert [each.environment.stored["threads"] for each in facts.sessions] == [1, 2]
    assert facts.environment.stored["threads"] == 1
    with Store.read(copy) as store:
        methods = "SELECT DISTINCT method, session FROM timings WHERE phase = 'towards'"
        assert {("mean-shift", 1), ("linear-act", 2)} <= set(store.select(methods))
        steered = "SELECT DISTINCT images.session FROM cells JOIN images ON key = image WHERE {}"
        assert store.select(steered.format("method = 'linear-act' AND strength = 1")) == [(2,)]
        assert store.select(steered.format("method != 'linear-act'")) == [(1,)]


def test_a_new_run_has_its_session_at_once(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run") as store:
        start(store, "first")
        assert [session.command for session in store.sessions()] == ["first"]


def test_a_session_that_makes_nothing_is_not_kept(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run") as store:
        for command in ("first", "idle", "third"):
            start(store, command)
        store.add_timing("towards", "act", "lemon", 1.0, "cpu")
        assert [session.command for session in store.sessions()] == ["first", "third"]


def test_facts_that_are_there_already_are_not_written(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run") as store:
        store.set_facts(plan={"seeds": 1})
        before = store.select("SELECT total_changes()")
        store.set_facts(plan={"seeds": 1})
        assert store.select("SELECT total_changes()") == before


@pytest.fixture
def older(tmp_path: Path) -> Path:
    return Path(shutil.copytree(KEPT, tmp_path / "kept"))


def test_the_command_and_environment_of_an_older_run_are_read_as_its_session(older: Path) -> None:
    with Store.read(older) as store:
        (session,) = Facts.read(store).sessions
        assert (session.command.split()[:2], session.environment.stored["htbench"]) == (
            ["htbench", "run"],
            "0.1.0",
        )
        assert store.select("SELECT DISTINCT session FROM timings") == [(1,)]


def test_an_older_run_that_is_written_gets_its_session_and_keeps_its_facts(older: Path) -> None:
    with Store.read(older) as store:
        before = Facts.read(store)
    with Store.open(older) as store:
        assert Facts.read(store) == before
        assert store.select("SELECT DISTINCT session FROM images WHERE file IS NOT NULL") == [(1,)]
        start(store, "now")
        store.add_images([GeneratedImage(key=Digest("k"), png=b"")], seconds=1.0, batch=1)
        assert [session.command for session in store.sessions()][1:] == ["now"]


@pytest.fixture(params=[3, 4])
def fitted_alone(older: Path, request: pytest.FixtureRequest) -> Path:
    """A run of a version that fitted every concept by itself."""
    if request.param == 4:
        with Store.open(older):
            pass
        with closing(sqlite3.connect(older / "run.sqlite")) as database:
            database.execute("ALTER TABLE timings DROP COLUMN together")
            database.execute("PRAGMA user_version = 4")
            database.commit()
    return older


def test_fits_of_an_older_run_were_of_single_concepts(fitted_alone: Path) -> None:
    with Store.read(fitted_alone) as store:
        read = store.fit_timings()
    with Store.open(fitted_alone) as store:
        assert store.fit_timings() == read
    assert {timing.together for timing in read} == {1}
