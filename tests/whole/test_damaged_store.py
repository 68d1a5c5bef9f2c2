"""Stores that a hand or a disk has changed: left out and named, or refused in one line."""

import sqlite3
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from kit import report_run

from htbench import report
from htbench.core.errors import HtbenchError, Refused
from htbench.report import merge
from htbench.run import check, diff, export
from htbench.run.store import Store
from htbench.run.summary import Summary

SMALL: dict[str, Any] = {
    "methods": ("none", "prompt", "linear-act"),
    "concepts": 3,
    "prompts": report_run.PROMPTS[:1],
    "strengths": (0.0, 0.5, 1.0),
    "size": 8,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_run.build(tmp_path_factory.mktemp("runs") / "whole", **SMALL)


def damaged(whole: Path, folder: Path, *statements: str) -> Path:
    copytree(whole, folder)
    with sqlite3.connect(folder / "run.sqlite") as database:
        for statement in statements:
            database.execute(statement)
    database.close()
    return folder


STATEMENTS = [
    "UPDATE scores SET value = -1e308 WHERE cell = 3",
    "UPDATE scores SET value = 9e999",
    "UPDATE scores SET value = NULL",
    "UPDATE scores SET encoder = ''",
    "UPDATE scores SET cell = cell + 10000",
    "UPDATE cells SET strength = 9e999 WHERE id = 5",
    "UPDATE cells SET strength = 1e308",
    "UPDATE cells SET seed = -1, prompt = '' WHERE id = 4",
    "UPDATE cells SET image = 'nothing' WHERE id = 4",
    "UPDATE OR IGNORE cells SET concept = 'unknown'",
    "UPDATE cells SET method = char(27) || '[2J' WHERE id = 4",
    "UPDATE images SET seconds = -5, batch = -1",
    "UPDATE images SET seconds = 9e999",
    "UPDATE images SET flaw = 'unknown'",
    "UPDATE images SET file = '../../etc/passwd'",
    "INSERT INTO failures SELECT key, 'unknown', char(10), '' FROM images LIMIT 2",
    "UPDATE timings SET seconds = -1e308",
    "UPDATE OR IGNORE timings SET method = 'unknown', phase = 'unknown'",
    "DELETE FROM images",
    "DELETE FROM cells",
    "DELETE FROM facts",
    "UPDATE facts SET value = 'null'",
    "UPDATE facts SET value = '[1, {\"a\": null}]'",
    "UPDATE facts SET value = '\"\\ud800\"'",
    "UPDATE facts SET value = '{' WHERE name = 'methods'",
    "UPDATE facts SET value = '" + "[" * 5000 + "'",
    "UPDATE facts SET value = '" + "9" * 5000 + "'",
]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda text: text[:60])
def test_every_reader_of_a_damaged_store_reads_on_or_refuses(
    whole: Path, tmp_path: Path, statement: str
) -> None:
    run = damaged(whole, tmp_path / "run", statement)

    def compare(*folders: Path) -> None:
        with Store.read(folders[0]) as first, Store.read(folders[1]) as second:
            diff.compare_runs(Summary(first), Summary(second))

    def export_as(kind: Any) -> None:
        with Store.read(run) as store:
            export.write(Summary(store), tmp_path / kind, kind)

    def combine() -> None:
        with merge.model_reports([run, whole]) as reports:
            for each in reports:
                assert each.summary.leaderboard is not None

    readers = [
        lambda: report.write(run),
        lambda: check.check(run),
        lambda: compare(run, whole),
        lambda: compare(whole, run),
        lambda: export_as("parquet"),
        lambda: export_as("datasets"),
        combine,
    ]
    for read in readers:
        try:
            read()
        except HtbenchError as error:
            assert "\n" not in str(error)  # noqa: PT017 - any other error fails the test


def test_impossible_values_are_left_out_and_counted(whole: Path, tmp_path: Path) -> None:
    run = damaged(whole, tmp_path / "run", "UPDATE scores SET value = 1e308 WHERE cell = 3")
    with Store.read(run) as store:
        assert store.problems == ["5 rows of scores with impossible values"]
    assert "5 rows of scores" in " ".join(each.what for each in check.check(run).findings)


def test_a_damaged_fact_is_named(whole: Path, tmp_path: Path) -> None:
    run = damaged(
        whole, tmp_path / "run", "UPDATE facts SET value = '{\"a\": 1e999}' WHERE name = 'plan'"
    )
    with pytest.raises(Refused, match="fact 'plan': 1e999 is not a finite number"):
        report.write(run)


def test_nan_of_an_older_version_is_read_as_nothing(whole: Path, tmp_path: Path) -> None:
    run = damaged(
        whole, tmp_path / "run", 'UPDATE facts SET value = \'{"a": [NaN, -Infinity], "b": "NaN"}\''
    )
    with Store.read(run) as store:
        assert store.facts()["plan"] == {"a": [None, None], "b": "NaN"}
