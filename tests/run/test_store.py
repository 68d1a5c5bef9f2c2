"""The folder of a run: continued, refused, never half-written."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from htbench.core.errors import Missing, Refused, UsageError
from htbench.core.types import Digest
from htbench.run.store import VERSION, Failure, GeneratedImage, Store

GRID = [
    ("none", "lemon", "a cat", 2**62, 0.0, Digest("k0")),
    ("act", "lemon", "a cat", 2**62, 0.0, Digest("k0")),
    ("act", "lemon", "a cat", 2**62, 1.0, Digest("k1")),
]


PNG = GeneratedImage(key=Digest("k1"), png=b"png").file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "first"


def _planned(folder: Path, grid: list[tuple[str, str, str, int, float, Digest]] = GRID) -> Store:
    store = Store.open(folder)
    store.plan_cells(grid)
    return store


def test_a_second_run_adds_nothing(folder: Path) -> None:
    with _planned(folder) as store:
        first = store.rows()
    with _planned(folder) as store:
        assert store.rows() == first


def test_a_run_that_came_to_nothing_leaves_no_folder(folder: Path) -> None:
    with pytest.raises(Missing), Store.open(folder):
        raise Missing("no weights")
    assert not folder.exists()


def test_a_run_that_fails_later_is_kept(folder: Path) -> None:
    with pytest.raises(Missing), _planned(folder):
        raise Missing("no key")
    with Store.read(folder) as store:
        assert store.count() == len(GRID)


def test_files_of_somebody_else_are_never_removed(folder: Path) -> None:
    (folder / "maps").mkdir(parents=True)
    (folder / "run.sqlite").touch()
    (folder / "maps" / "notes.txt").touch()
    with pytest.raises(Missing), Store.open(folder):
        raise Missing("no weights")
    assert (folder / "maps" / "notes.txt").exists()


def test_cells_come_back_as_they_were_planned(folder: Path) -> None:
    with _planned(folder) as store:
        assert [
            (row.method, row.concept, row.prompt, row.seed, row.strength, row.image)
            for row in store.rows()
        ] == GRID


def test_unsteered_images_are_those_at_strength_0_that_are_there(folder: Path) -> None:
    grid = [
        ("none", "", "a cat", 1, 0.0, Digest("k0")),
        ("none", "", "a dog", 2, 0.0, Digest("k1")),
        ("act", "lemon", "a cat", 1, 1.0, Digest("k2")),
    ]
    with _planned(folder, grid) as store:
        images = [GeneratedImage(key=Digest(key), png=b"png") for key in ("k0", "k2")]
        store.add_images(images, seconds=1.0, batch=1)
        assert store.unsteered_images() == {("a cat", 1): ("k0", PNG)}
        assert [row.is_steered for row in store.rows()] == [False, False, True]


def test_a_planned_cell_is_pending(folder: Path) -> None:
    with _planned(folder) as store:
        assert {(row.file, row.failure_message) for row in store.rows()} == {(None, None)}


def test_cells_that_share_an_image_are_done_together(folder: Path) -> None:
    with _planned(folder) as store:
        store.add_images([GeneratedImage(key=Digest("k0"), png=b"png")], seconds=1.0, batch=1)
        assert [row.file for row in store.rows()] == [PNG, PNG, None]
    assert (folder / "images" / PNG).read_bytes() == b"png"


def test_a_picture_that_could_not_be_made_has_its_reason(folder: Path) -> None:
    with _planned(folder) as store:
        store.add_failure([Digest("k1")], Failure(kind="generate", message="did not converge"))
        assert [(row.file, row.failure_message) for row in store.rows()][2] == (
            None,
            "did not converge",
        )


def test_a_later_success_clears_the_reason(folder: Path) -> None:
    with _planned(folder) as store:
        store.add_failure([Digest("k1")], Failure(kind="generate", message="did not converge"))
        store.add_images([GeneratedImage(key=Digest("k1"), png=b"png")], seconds=1.0, batch=1)
        assert [(row.file, row.failure_message) for row in store.rows()][2] == (PNG, None)


def test_planning_again_keeps_images_and_scores(folder: Path) -> None:
    with _planned(folder) as store:
        store.add_images([GeneratedImage(key=Digest("k1"), png=b"png")], seconds=1.0, batch=1)
        store.add_scores([(3, "gain", "clip", 0.5)])
    with _planned(folder) as store:
        assert store.rows()[2].file == PNG
        assert store.scores() == [(3, "gain", "clip", 0.5)]


def test_cells_outside_the_plan_are_dropped_with_their_scores(folder: Path) -> None:
    with _planned(folder) as store:
        store.add_scores([(2, "gain", "clip", 0.1), (3, "gain", "clip", 0.5)])
        store.plan_cells(GRID[:2])
        assert ([row.id for row in store.rows()], store.scores()) == (
            [1, 2],
            [(2, "gain", "clip", 0.1)],
        )


def test_a_cell_whose_image_changed_loses_its_scores(folder: Path) -> None:
    with _planned(folder) as store:
        store.add_scores([(3, "gain", "clip", 0.5)])
        store.plan_cells([*GRID[:2], (*GRID[2][:5], Digest("k2"))])
        assert ([row.image for row in store.rows()], store.scores()) == (["k0", "k0", "k2"], [])


def test_an_image_outlives_its_cell(folder: Path) -> None:
    with _planned(folder) as store:
        store.add_images([GeneratedImage(key=Digest("k1"), png=b"png")], seconds=1.0, batch=1)
        store.plan_cells(GRID[:2])
        store.plan_cells(GRID)
        assert store.rows()[2].file == PNG


def test_rows_are_in_the_order_of_the_latest_plan(folder: Path) -> None:
    with _planned(folder, [GRID[0], GRID[2]]) as store:
        store.plan_cells(GRID)
        assert [(row.method, row.strength) for row in store.rows()] == [
            (cell[0], cell[4]) for cell in GRID
        ]


def test_a_plan_that_breaks_off_changes_nothing(folder: Path) -> None:
    with _planned(folder) as store:
        first = store.rows()
        with pytest.raises(ZeroDivisionError):
            store.plan_cells((*GRID[k][:4], 1 / (1 - k), GRID[k][5]) for k in range(3))
        assert store.rows() == first
        store.plan_cells(GRID)


def test_a_picture_that_was_being_written_is_not_taken_for_an_image(folder: Path) -> None:
    with _planned(folder):
        (folder / "images" / f".{PNG}").write_bytes(b"half")
    with _planned(folder) as store:
        assert store.rows()[2].file is None
        store.add_images([GeneratedImage(key=Digest("k1"), png=b"png")], seconds=1.0, batch=1)
    images = (folder / "images").glob("[!.]*")
    assert {path.name: path.read_bytes() for path in images} == {PNG: b"png"}


def test_an_image_whose_file_is_gone_is_pending_again_and_loses_its_scores(folder: Path) -> None:
    with _planned(folder) as store:
        store.add_images([GeneratedImage(key=Digest("k1"), png=b"png")], seconds=1.0, batch=1)
        store.add_scores([(3, "gain", "clip", 0.5)])
        (folder / "images" / PNG).unlink()
        assert (store.drop_missing_images(), store.rows()[2].file, store.scores()) == (1, None, [])


def test_each_missing_image_is_pending_once(folder: Path) -> None:
    with _planned(folder) as store:
        assert store.pending() == [1, 3]


def test_a_failed_image_stays_pending(folder: Path) -> None:
    with _planned(folder) as store:
        store.add_failure([Digest("k1")], Failure(kind="nan", message="no numbers"))
        assert store.pending() == [1, 3]


def test_a_cell_is_unscored_until_it_has_all_scores(folder: Path) -> None:
    with _planned(folder) as store:
        store.add_images([GeneratedImage(key=Digest("k0"), png=b"png")], seconds=1.0, batch=1)
        store.add_scores(
            [(1, "gain", "clip", 0.5), (1, "presence", "clip", 0.5), (2, "gain", "clip", 0.5)]
        )
        assert store.unscored("clip", 2) == [2]


def _with_former_metric(folder: Path) -> None:
    with _planned(folder) as store:
        store.add_scores([(1, "identity", "clip", 0.25), (1, "presence", "clip", 0.5)])


def test_scores_of_version_0_1_are_read_under_their_present_names(folder: Path) -> None:
    _with_former_metric(folder)
    with Store.read(folder) as store:
        assert {metric for _, metric, _, _ in store.scores()} == {"class_probability", "presence"}


def test_a_run_of_version_0_1_goes_on_with_present_names(folder: Path) -> None:
    _with_former_metric(folder)
    Store.open(folder).close()
    database = sqlite3.connect(folder / "run.sqlite")
    assert database.execute(
        "SELECT value FROM scores WHERE metric = 'class_probability'"
    ).fetchall() == [(0.25,)]
    database.close()


def test_a_database_that_breaks_in_use_is_refused(folder: Path) -> None:
    with pytest.raises(Refused, match="is damaged"), _planned(folder) as store:
        store.select("SELECT nothing FROM nowhere")


def test_a_full_database_says_that_there_is_no_space(folder: Path) -> None:
    with pytest.raises(Missing, match="no space left"):
        _overfill(folder)


def _overfill(folder: Path) -> None:
    with _planned(folder) as store:
        store.select("PRAGMA max_page_count = 1")
        store.set_facts(long="x" * 1_000_000)


def test_a_store_with_other_tables_is_refused(folder: Path) -> None:
    _planned(folder).close()
    database = sqlite3.connect(folder / "run.sqlite")
    database.execute("DROP TABLE scores")
    database.close()
    with pytest.raises(Refused, match="its tables are not those of a run"):
        Store.read(folder)


def test_what_a_killed_process_wrote_is_kept(folder: Path) -> None:
    code = f"""
import os, signal, pathlib
from htbench.run.store import GeneratedImage, Store
store = Store.open(pathlib.Path({str(folder)!r}))
store.plan_cells({GRID!r})
store.add_images([GeneratedImage(key="k0", png=b"png")], seconds=1.0, batch=1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with Store.open(folder) as store:
        assert [row.file for row in store.rows()] == [PNG, PNG, None]


def test_a_run_killed_before_its_first_table_can_be_continued(folder: Path) -> None:
    code = f"""
import os, pathlib, signal
from htbench.run import store
store.sqlite3.connect = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
store.Store.open(pathlib.Path({str(folder)!r}))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with _planned(folder) as store:
        assert len(store.rows()) == 3


def test_a_second_process_is_refused(folder: Path) -> None:
    code = f"""
import pathlib
from htbench.run.store import Store
Store.open(pathlib.Path({str(folder)!r}))
"""
    with Store.open(folder):
        second = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
    assert "is being written by another process" in second.stderr


def test_a_run_can_be_read_while_it_is_written(folder: Path) -> None:
    with _planned(folder), Store.read(folder) as reader:
        assert len(reader.rows()) == 3


def test_a_closed_run_can_be_opened_again(folder: Path) -> None:
    with Store.open(folder):
        pass
    with Store.open(folder):
        pass


def _of_another_version(folder: Path) -> None:
    with Store.open(folder):
        pass
    database = sqlite3.connect(folder / "run.sqlite")
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()


def test_a_run_of_another_version_is_refused(folder: Path) -> None:
    _of_another_version(folder)
    with pytest.raises(Refused, match=f"store version {VERSION + 1}, this htbench reads {VERSION}"):
        Store.open(folder)


def test_a_run_of_another_version_is_not_read(folder: Path) -> None:
    _of_another_version(folder)
    with pytest.raises(Refused, match="store version"):
        Store.read(folder)


def test_a_refused_run_is_not_held_locked(folder: Path) -> None:
    _of_another_version(folder)
    for _ in range(2):
        with pytest.raises(Refused):
            Store.open(folder)


def _damaged(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "run.sqlite").write_bytes(b"this is no database" * 100)


def test_a_damaged_run_is_refused(folder: Path) -> None:
    _damaged(folder)
    with pytest.raises(Refused, match="is damaged"):
        Store.open(folder)


def test_a_damaged_run_is_not_read(folder: Path) -> None:
    _damaged(folder)
    with pytest.raises(Refused, match="is damaged"):
        Store.read(folder)


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "thesis.tex").touch()
    with pytest.raises(UsageError, match="holds something that is not a run"):
        Store.open(folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_a_folder_of_somebody_elses_images_is_refused(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "holiday.jpg").touch()
    with pytest.raises(UsageError, match="holds something that is not a run"):
        Store.open(folder)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write run folder") as caught:
        Store.open(tmp_path / "file" / "run")
    assert caught.value.exit_code == 2


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write run folder"):
        Store.open(tmp_path / "file")


def test_a_run_that_is_not_there_is_missing(folder: Path) -> None:
    with pytest.raises(Missing, match="no run in") as caught:
        Store.read(folder)
    assert (caught.value.exit_code, folder.exists()) == (4, False)


def test_later_facts_replace_earlier_ones(folder: Path) -> None:
    with Store.open(folder) as store:
        store.set_facts(plan={"seeds": 1}, model="emoji")
        store.set_facts(plan={"seeds": 2})
        assert store.facts() == {"plan": {"seeds": 2}, "model": "emoji"}


def test_a_later_score_replaces_an_earlier_one(folder: Path) -> None:
    with _planned(folder) as store:
        store.add_scores([(1, "gain", "clip", 0.1), (1, "gain", "dino", 0.3)])
        store.add_scores([(1, "gain", "clip", 0.2)])
        assert store.scores() == [(1, "gain", "clip", 0.2), (1, "gain", "dino", 0.3)]


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_score_that_is_not_defined_is_none(folder: Path, value: float | None) -> None:
    with _planned(folder) as store:
        store.add_scores([(1, "gain", "clip", value)])
        assert store.scores() == [(1, "gain", "clip", None)]


def test_timings_of_the_same_work_on_the_same_device_are_kept_once(folder: Path) -> None:
    with Store.open(folder) as store:
        store.add_timing("towards", "act", "lemon", 3.0, "cpu")
        store.add_timing("towards", "act", "lemon", 2.0, "cpu")
        store.add_timing("towards", "act", "lemon", 0.1, "cuda")
        assert store.timings() == [
            ("towards", "act", "lemon", 2.0, "cpu"),
            ("towards", "act", "lemon", 0.1, "cuda"),
        ]


def test_only_images_that_were_made_are_timed(folder: Path) -> None:
    with _planned(folder) as store:
        store.add_images([GeneratedImage(key=Digest("k0"), png=b"png")], seconds=0.25, batch=1)
        store.add_failure([Digest("k1")], Failure(kind="nan", message="no numbers"))
        assert store.image_seconds() == [0.25]
