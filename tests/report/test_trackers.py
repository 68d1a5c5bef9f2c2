"""A run in experiment trackers, read back from the files that these keep."""

import csv
import json
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kit import report_run

from htbench import report
from htbench.core.errors import Missing, UsageError
from htbench.report import leaderboard_files, trackers
from htbench.report.trackers import method_record

EXPORT = """
import sys
from pathlib import Path
from htbench import report
from htbench.report import trackers
from htbench.run.store import Store

def export():
    with report.open_run(Path(sys.argv[1])) as summary:
        print(*trackers.write(summary, sys.argv[2], "pool"), sep=";")

export()
export()
with Store.open(Path(sys.argv[1])) as store:
    store.set_facts(model={"name": "another", "revision": "2"})
export()
"""
"""Exports a run twice, and again with another fact: a line of each."""


@dataclass(frozen=True)
class Exported:
    """A run that was exported three times, and the folder where the tracker keeps it."""

    run: Path
    home: Path
    lines: list[list[str]]

    def columns(self) -> dict[tuple[str, float], dict[str, str]]:
        """The rows of `leaderboard.csv`."""
        with report.open_run(self.run) as summary:
            leaderboard_files.write(summary, self.home)
        with (self.home / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
            return {(row["method"], float(row["strength"])): row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return report_run.build(folder, concepts=4, prompts=("a cat",))


def _export(tracker: str, factory: pytest.TempPathFactory) -> Exported:
    """Export in a process of its own: trackers read their settings when they are imported."""
    home = factory.mktemp(tracker)
    run = report_run.build(home / "run", concepts=4, prompts=("a cat",))
    places = {"TRACKIO_DIR": str(home / "trackio"), "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    with pytest.MonkeyPatch.context() as patch:
        for name, place in places.items():
            patch.setenv(name, place)
        done = subprocess.run(
            [sys.executable, "-c", EXPORT, str(run), tracker],
            cwd=home, check=True, stdout=subprocess.PIPE, text=True, timeout=300,
        )  # fmt: skip
    return Exported(run, home, [line.split(";") for line in done.stdout.splitlines()])


@pytest.fixture(scope="module")
def in_trackio(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return _export("trackio", tmp_path_factory)


@pytest.fixture(scope="module")
def in_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return _export("mlflow", tmp_path_factory)


@pytest.fixture(scope="module")
def in_wandb(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return _export("wandb", tmp_path_factory)


def _outcomes(exported: Exported) -> list[set[str]]:
    return [{line.split(": ")[1].split()[0] for line in lines} for lines in exported.lines]


def _trackio(home: Path, query: str) -> list[tuple[str, int, dict[str, object]]]:
    with sqlite3.connect(home / "trackio" / "pool.db") as database:
        return [(name, step, json.loads(text)) for name, step, text in database.execute(query)]


def _leveldb_records(log: bytes) -> Iterator[bytes]:
    """The records of a log of LevelDB after its header, each in one part or several.

    Blocks have 32 KiB, the header included; a part has a checksum, its length and its place: 1
    alone, 2 first, 3 middle, 4 last.
    """
    place, parts = 0, b""
    while place + 7 <= len(log):
        if (left := 32768 - (place + 7) % 32768) < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", log[place : place + 7])
        parts += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


def test_a_record_has_the_numbers_of_the_leaderboard_at_each_strength(run: Path) -> None:
    with report.open_run(run) as summary:
        (record,) = (each for each in method_record.collect(summary) if each.method == "lineas")
        rows = [row for row in leaderboard_files.rows(summary) if row["method"] == "lineas"]
    by_strength = {row["strength"]: row for row in rows}
    assert [each["strength"] for each in record.strengths] == sorted(by_strength)
    for each in record.strengths:
        assert each["concept_gain_low"] == by_strength[each["strength"]]["concept_gain_low"]
    assert record.leaderboard["rank"] == rows[0]["rank"]
    assert record.settings["settings.quantiles"] == 0.95


def test_pictures_of_a_record_are_those_of_the_run(run: Path) -> None:
    with report.open_run(run) as summary:
        records = {each.method: each for each in method_record.collect(summary)}
        for picture in records["lineas"].pictures:
            assert picture.png == (run / "images" / picture.file).read_bytes()
    assert len({each.concept for each in records["lineas"].pictures}) == 4
    assert len(records["none"].pictures) == 1


@pytest.mark.parametrize("project", ["", "a/b", "../x", "x" * 101, "a\nb", "'; DROP TABLE runs"])
def test_a_name_that_trackers_do_not_take_is_refused(run: Path, project: str) -> None:
    with report.open_run(run) as summary, pytest.raises(UsageError, match="is no name"):
        trackers.write(summary, "trackio", project)


@pytest.mark.parametrize("tracker", ["trackio", "wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_named_with_the_command(
    run: Path, tracker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, tracker, None)
    with report.open_run(run) as summary, pytest.raises(Missing) as error:
        trackers.write(summary, tracker, "pool")
    assert error.value.remedy == f"pip install 'htbench[{tracker}]'"


@pytest.mark.parametrize("variable", ["TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"])
def test_trackio_on_another_machine_is_refused(
    run: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "someone/space")
    with report.open_run(run) as summary, pytest.raises(UsageError, match=variable):
        trackers.write(summary, "trackio", "pool")


def test_trackio_has_a_step_per_strength_with_the_leaderboards_numbers(
    in_trackio: Exported,
) -> None:
    logged = _trackio(in_trackio.home, "SELECT run_name, step, metrics FROM metrics")
    columns = in_trackio.columns()
    found = {(name.removeprefix("run/"), each["strength"]): each for name, _, each in logged}
    assert set(found) == set(columns)
    for key, each in found.items():
        assert each["concept_gain"] == float(columns[key]["concept_gain"])
        assert each["image_preservation_high"] == float(columns[key]["image_preservation_high"])


def test_trackio_keeps_the_pictures(in_trackio: Exported) -> None:
    with report.open_run(in_trackio.run) as summary:
        records = method_record.collect(summary)
    kept = list((in_trackio.home / "trackio" / "media" / "pool").rglob("*.png"))
    assert len(kept) == sum(len(record.pictures) for record in records)


@pytest.mark.trackers
def test_mlflow_has_a_step_per_strength_with_the_leaderboards_numbers(in_mlflow: Exported) -> None:
    query = """SELECT name, strengths.value, gains.value FROM runs
               JOIN metrics AS strengths USING (run_uuid) JOIN metrics AS gains USING (run_uuid)
               WHERE lifecycle_stage = 'active' AND strengths.step = gains.step
               AND strengths.key = 'strength' AND gains.key = 'concept_gain'"""
    with sqlite3.connect(in_mlflow.home / "mlflow.db") as database:
        found = {
            (name.removeprefix("run/"), strength): gain
            for name, strength, gain in database.execute(query)
        }
    columns = in_mlflow.columns()
    assert found == {key: float(row["concept_gain"]) for key, row in columns.items()}


@pytest.mark.trackers
def test_wandb_has_a_step_per_strength_with_the_leaderboards_numbers(in_wandb: Exported) -> None:
    from wandb.proto.wandb_internal_pb2 import Record

    found = {}
    for file in (in_wandb.home / "wandb").glob("offline-run-*/*.wandb"):
        name = ""
        for data in _leveldb_records(file.read_bytes()[7:]):
            record = Record.FromString(data)
            name = record.run.display_name or name
            if items := record.history.item:
                row = {item.key or item.nested_key[0]: item.value_json for item in items}
                key = name.removeprefix("run/"), json.loads(row["strength"])
                found[key] = json.loads(row["concept_gain"])
    columns = in_wandb.columns()
    assert found == {key: float(row["concept_gain"]) for key, row in columns.items()}


@pytest.mark.parametrize(
    ("tracker", "third"),
    [
        ("in_trackio", "replaced"),
        pytest.param("in_mlflow", "replaced", marks=pytest.mark.trackers),
        pytest.param("in_wandb", "new", marks=pytest.mark.trackers),
    ],
)
def test_equal_results_are_exported_once_and_others_again(
    tracker: str, third: str, request: pytest.FixtureRequest
) -> None:
    exported: Exported = request.getfixturevalue(tracker)
    assert _outcomes(exported) == [{"new"}, {"unchanged"}, {third}]


@pytest.mark.parametrize(
    "variable",
    [
        "TRACKIO_DIR",
        pytest.param("WANDB_DIR", marks=pytest.mark.trackers),
        pytest.param("MLFLOW_TRACKING_URI", marks=pytest.mark.trackers),
    ],
)
def test_a_place_that_cannot_be_written_is_told(
    run: Path, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = variable.partition("_")[0].lower()
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "in-it"
    monkeypatch.setenv(variable, f"sqlite:///{place}.db" if tracker == "mlflow" else str(place))
    command = [sys.executable, "-m", "htbench", "export", str(run), "--to", tracker]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, check=False, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert f"{tracker} cannot write: " in done.stderr
    assert f"{variable} names another" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.trackers
def test_a_method_has_one_run_in_trackio_and_one_in_mlflow(
    in_trackio: Exported, in_mlflow: Exported
) -> None:
    methods = {method for method, _ in in_trackio.columns()}
    configs = _trackio(in_trackio.home, "SELECT run_name, 0, config FROM configs")
    assert sorted(name for name, *_ in configs) == sorted(f"run/{each}" for each in methods)
    assert {config["model"] for *_, config in configs} == {"another"}
    with sqlite3.connect(in_mlflow.home / "mlflow.db") as database:
        active = "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'"
        assert database.execute(active).fetchone() == (len(methods),)
