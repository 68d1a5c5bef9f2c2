"""The leaderboard as CSV, JSON and Markdown, beside the report."""

import csv
import json
from pathlib import Path

import pytest
from kit import report_run

from htbench import report
from htbench.run.store import Store
from htbench.run.summary import Summary


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = report_run.build(
        tmp_path / "run",
        methods=("none", "linear-act", "lineas"),
        concepts=3,
        prompts=report_run.PROMPTS[:2],
        size=8,
    )
    report.write(folder)
    return folder


def test_a_line_of_the_csv_is_a_method_at_a_strength(run: Path) -> None:
    with (run / "leaderboard.csv").open(newline="") as file:
        rows = {(row["method"], float(row["strength"])): row for row in csv.DictReader(file)}
    assert sorted(rows) == [
        ("linear-act", 0.0),
        ("linear-act", 0.5),
        ("linear-act", 1.0),
        ("lineas", 0.0),
        ("lineas", 0.5),
        ("lineas", 1.0),
        ("none", 0.0),
    ]
    with Store.read(run) as store:
        estimate = Summary(store).leaderboard_row("lineas", 0.5).scores["concept_gain"]
    assert estimate
    assert float(rows["lineas", 0.5]["concept_gain_low"]) == estimate.low


def test_only_the_leaderboard_has_ranks_and_none_is_not_ranked(run: Path) -> None:
    lines = json.loads((run / "leaderboard.json").read_text())["lines"]
    found = {
        (line["method"], line["strength"]): (
            line["rank"],
            line["rank_high"],
            line["rank_low"],
            line["tier"],
        )
        for line in lines
    }
    assert {found["lineas", 1.0], found["linear-act", 1.0]} == {
        (1, 1, 2, 1),
        (2, 1, 2, 1),
    }  # three concepts that agree tell nobody apart
    assert {ranks for (_, strength), ranks in found.items() if strength != 1} == {(None,) * 4}


def test_gain_by_other_rules_stands_on_the_leaderboard_s_rows(run: Path) -> None:
    lines = json.loads((run / "leaderboard.json").read_text())["lines"]
    rows = {(line["method"], line["strength"]): line for line in lines}
    assert (rows["lineas", 1.0]["matched_preservation"], rows["lineas", 0.5]["matched_note"]) == (
        0.5,
        "",
    )
    assert "always keeps more" in rows["lineas", 1.0]["matched_note"]
    own = rows["lineas", 1.0]
    assert (own["kinds"], own["clusters"], own["concept_gain_by_kind"]) == (
        3,
        3.0,
        pytest.approx(own["concept_gain"]),
    )  # one concept of each kind
    assert own["concept_gain_by_kind_low"] is None


def test_json_says_the_same_as_the_csv(run: Path) -> None:
    lines = json.loads((run / "leaderboard.json").read_text())["lines"]
    with (run / "leaderboard.csv").open(newline="") as file:
        assert [list(row.values()) for row in csv.DictReader(file)] == [
            ["" if value is None else str(value) for value in line.values()] for line in lines
        ]


def test_markdown_has_the_leaderboard_with_intervals(run: Path) -> None:
    header, _, *rows = (run / "leaderboard.md").read_text().partition("\n\n")[0].splitlines()
    assert header.startswith("| method | rank | tier | concept gain |")
    assert sorted(row.split("`")[1] for row in rows) == ["linear-act", "lineas", "none"]
    assert all(row.count("|") == header.count("|") for row in rows)


def test_an_empty_run_has_an_empty_leaderboard(tmp_path: Path) -> None:
    folder = report_run.build(
        tmp_path / "run",
        methods=("none", "lineas"),
        concepts=1,
        made=0,
        scored=False,
        timed=False,
        size=8,
    )
    report.write(folder)
    assert {
        line["concept_gain"]
        for line in json.loads((folder / "leaderboard.json").read_text())["lines"]
    } == {None}


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    before = [(run / f"leaderboard.{kind}").read_bytes() for kind in ("csv", "json", "md")]
    report.write(run)
    assert [(run / f"leaderboard.{kind}").read_bytes() for kind in ("csv", "json", "md")] == before
