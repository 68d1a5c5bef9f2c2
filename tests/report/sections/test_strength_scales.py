"""Ranges and perceptual scales in the report, its files and its lines."""

import csv
from pathlib import Path

import pytest
from kit import report_run

from htbench import report
from htbench.report import csv_tables
from htbench.report.sections import strength_ranges, strength_scales
from htbench.report.sections.strength_scales import ScaleRow
from htbench.run.store import Store
from htbench.run.summary import Summary

REQUESTED = [0.25, 0.5, 0.75, 1.0]
OWN = [0.5, 0.7071, 0.866, 1.0]
"""Square roots: the gain is the square of the strength."""
SCALE = {
    "encoder": "emoji-clip-a@1",
    "top": 1.0,
    "requested": REQUESTED,
    "shares": [0.0, 1.0],
    "points": [0.0, 1.0],
    "curve": [[0.5, 0.1], [2.0, 0.2]],
    "concepts": 8,
    "seconds": 12.0,
    "range": {"onset": {"value": 0.4}, "end": {"value": None}, "concepts": 8},
}


def planted(folder: Path, **gains: object) -> Path:
    """A run with scales of `lineas` and `prompt`, of which the second does nothing."""
    report_run.build(
        folder,
        methods=("none", "prompt", "lineas"),
        concepts=12,
        prompts=report_run.PROMPTS[:2],
        strengths=(0.0, *sorted({*REQUESTED, *OWN})),
        size=8,
    )
    with Store.open(folder) as store:
        plan = {**store.facts()["plan"], "strengths": [0.0, *REQUESTED]}
        scales = {
            "lineas": {**SCALE, "strengths": OWN},
            "prompt": {**SCALE, "strengths": [], "range": None},
        }
        store.set_facts(plan=plan, strength_scales=scales)
        store.add_scores(
            (row.id, "concept_gain", "emoji-clip-b@1", 0.3 * row.strength**2)
            for row in store.rows()
        )
    return folder


def rows(folder: Path) -> dict[str, ScaleRow]:
    with Store.read(folder) as store:
        section = strength_scales.collect(Summary(store))
    assert section
    return {row.method: row for row in section.rows}


def test_a_scale_that_evens_the_steps_is_said_to(tmp_path: Path) -> None:
    row = rows(planted(tmp_path / "run"))["lineas"]
    assert row.comparison
    plain = sum(abs((2 * k + 1) / 16 - 0.25) for k in range(4))
    assert row.comparison.before.mean == pytest.approx(1 - plain / 1.5)
    assert row.comparison.after.mean == pytest.approx(1, abs=1e-3)
    assert row.verdict == "yes"
    assert row.perceptual == pytest.approx([0.075, 0.15, 0.225, 0.3], abs=1e-3)


def test_a_method_without_effect_on_dev_concepts_has_no_verdict(tmp_path: Path) -> None:
    row = rows(planted(tmp_path / "run"))["prompt"]
    assert (row.verdict, row.comparison) == ("no effect on dev concepts", None)


def test_a_scale_that_spoils_even_steps_is_less_even(tmp_path: Path) -> None:
    folder = planted(tmp_path / "run")
    with Store.open(folder) as store:
        store.add_scores(
            (row.id, "concept_gain", "emoji-clip-b@1", 0.3 * row.strength) for row in store.rows()
        )
    assert rows(folder)["lineas"].verdict == "no, less even"


def test_without_scores_at_its_strengths_nothing_is_said(tmp_path: Path) -> None:
    folder = planted(tmp_path / "run")
    with Store.open(folder) as store:
        store.add_scores(
            (row.id, "concept_gain", "emoji-clip-b@1", None)
            for row in store.rows()
            if row.strength == OWN[0]
        )
    assert rows(folder)["lineas"].verdict == "no scores yet"


def test_a_run_without_a_scale_has_no_such_part(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "run", concepts=3, strengths=(0.0, 0.5, 1.0), size=8)
    with Store.read(folder) as store:
        assert strength_scales.collect(Summary(store)) is None
    assert "Perceptual strength" not in report.write(folder).read_text()


def test_the_page_has_both_tables(tmp_path: Path) -> None:
    page = report.write(planted(tmp_path / "run")).read_text()
    for text in (
        "<h3>Useful range</h3>",
        "<h3>Perceptual strength</h3>",
        "0.5, 0.7071, 0.866, 1",
        "0.40 to above 2 on 8 dev concepts",
    ):
        assert text in page


def test_files_have_a_row_per_strength_and_one_per_concept(tmp_path: Path) -> None:
    with report.open_run(planted(tmp_path / "run")) as summary:
        csv_tables.write(summary, tmp_path / "csv")
    tables = {}
    for name in ("strength_scale", "strength_ranges"):
        with (tmp_path / "csv" / f"{name}.csv").open(newline="") as file:
            tables[name] = list(csv.DictReader(file))
    assert [float(row["strength"]) for row in tables["strength_scale"]] == OWN
    assert {row["verdict"] for row in tables["strength_scale"]} == {"yes"}
    ranges = [row for row in tables["strength_ranges"] if row["method"] == "lineas"]
    assert [row["concept"] for row in ranges].count("") == 1
    assert len(ranges) == 1 + 12


def test_lines_of_json_have_ranges_and_scales(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.read(planted(tmp_path / "run")) as store:
        strength_ranges.print_lines(strength_ranges.collect(Summary(store)))
        strength_scales.print_lines(strength_scales.collect(Summary(store)))
    text = capsys.readouterr().out
    assert text.count('"event": "strength_range"') == 2
    assert text.count('"event": "strength_scale"') == 2
