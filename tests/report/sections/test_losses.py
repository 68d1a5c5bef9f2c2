"""The section on what pictures lose, in the page, on the terminal and in files."""

import csv
import shutil
from pathlib import Path

import pytest
from kit import report_run
from kit.html_page import Page

from htbench import report
from htbench.report import csv_tables, merge
from htbench.report.sections import losses
from htbench.run.store import Store

PROMPTS = [f"scene {k}" for k in range(24)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 22 methods, one of which washes out every third picture."""
    methods = ["none", "prompt", "lineas", *(f"variant-{k}" for k in range(19))]
    folder = report_run.build(
        tmp_path_factory.mktemp("runs") / "run",
        methods=methods,
        concepts=4,
        prompts=PROMPTS,
        strengths=(0.0, 0.5, 1.0),
        size=8,
    )
    with Store.open(folder) as store:
        store.set_facts(gauges=[{"id": "contrast@1", "name": "contrast", "better": "higher"}])
        store.add_scores(
            (row.id, "contrast", "contrast@1", 0.1 if washed_out else 0.3)
            for row in store.rows()
            for is_third in [PROMPTS.index(row.prompt) % 3 == 0]
            for washed_out in [row.method == "lineas" and row.is_steered and is_third]
        )
    return folder


def test_the_page_has_a_row_per_method_at_full_strength_and_the_threshold(run: Path) -> None:
    page = Page(report.write(run).read_text(encoding="utf-8"))
    section = page.text.partition("What is lost what steering")[2].partition("At other")[0]
    assert section.count("variant-") == 19
    assert "33.3 %" in section
    assert "washed out is contrast below 0.300 (0 of 24 unsteered pictures)" in page.text


def test_the_worst_picture_stands_beside_its_unsteered_one(run: Path) -> None:
    page = Page(report.write(run).read_text(encoding="utf-8"))
    shown = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert shown == [f"{name}, scene 0 · with lemon" for name in ("unsteered", "lineas")]


def test_a_picture_that_cannot_be_read_is_left_out(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    with Store.open(copy) as store:
        lineas = [row for row in store.rows() if row.method == "lineas" and row.strength == 1]
        store.image_path(str(lineas[0].file)).write_bytes(b"no picture")
    with report.open_run(copy) as summary:
        (row,) = losses.worst_pictures(summary)
    worst = row.pictures["washed_out"]
    assert (worst.address, worst.unsteered[:15]) == ("", "data:image/png;")


def test_a_run_without_these_scores_has_no_such_section(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "run", concepts=2, prompts=("a cat",), size=8)
    assert 'id="losses"' not in report.write(folder).read_text(encoding="utf-8")


def test_the_terminal_has_the_shares_in_percent(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with report.open_run(run) as summary:
        losses.show(losses.collect(summary))
    shown = " ".join(capsys.readouterr().out.split())
    assert "Flawed pictures, in percent" in shown
    assert "lineas 1 0 [0, 71.7] 33.3 [" in shown


def test_lines_of_json_have_thresholds_and_shares(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with report.open_run(run) as summary:
        losses.print_lines(losses.collect(summary))
    lines = capsys.readouterr().out.splitlines()
    assert '"event": "flaw_threshold", "flaw": "washed_out", "scorer": "contrast"' in lines[0]
    assert len(lines) == 1 + 1 + 21 * 2


def test_a_csv_file_has_a_row_per_method_strength_and_flaw(run: Path, tmp_path: Path) -> None:
    with report.open_run(run) as summary:
        csv_tables.write(summary, tmp_path / "csv")
    with (tmp_path / "csv" / "flaws.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lineas = [
        float(row["share"])
        for row in rows
        if (row["method"], row["flaw"]) == ("lineas", "washed_out")
    ]
    assert lineas == pytest.approx([1 / 3, 1 / 3])
    assert len(rows) == (1 + 21 * 2) * 3


def set_scores(**values: object) -> dict[str, object]:
    row = {"method": "lineas", "strength": 1.0, "value": 3.25, "low": 2.5, "high": 4.0, **values}
    plain = {"method": "none", "strength": 0.0, "value": 0.0, "floor": 0.5}
    return {
        "id": "cmmd@1",
        "name": "cmmd",
        "title": "CMMD",
        "better": "lower",
        "encoder": "emoji-clip-b@1",
        "rows": [plain, row],
    }


@pytest.fixture
def scored_sets(tmp_path: Path) -> Path:
    """A run whose sets of pictures have scores, and whose pictures have no further ones."""
    folder = report_run.build(tmp_path / "run", concepts=2, prompts=("a cat",), size=8)
    with Store.open(folder) as store:
        store.set_facts(set_scores=[set_scores(floor=0.75)])
    return folder


def test_a_distance_stands_beside_its_interval_and_its_floor(scored_sets: Path) -> None:
    page = Page(report.write(scored_sets).read_text(encoding="utf-8"))
    section = page.text.partition("Sets of pictures diversity")[2]
    assert "CMMD, lower is better" in section
    assert "lineas 1 3.25 [2.50, 4.00] halves 0.750" in " ".join(section.split())
    assert "Flawed pictures" not in page.text


def test_the_terminal_has_scores_of_sets(
    scored_sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with report.open_run(scored_sets) as summary:
        losses.show(losses.collect(summary))
    assert "3.25 [2.5, 4] (0.75)" in capsys.readouterr().out


def test_merged_runs_have_the_sets_of_all(scored_sets: Path, tmp_path: Path) -> None:
    other = report_run.build(
        tmp_path / "other", methods=("none", "iti-c"), concepts=2, prompts=("a cat",), size=8
    )
    with Store.open(other) as store:
        store.set_facts(set_scores=[set_scores(method="iti-c", value=9.5)])
    with merge.model_reports([scored_sets, other]) as reports:
        (section,) = [losses.collect(each.summary) for each in reports]
    assert section is not None
    (scores,) = section.sets
    assert [row.method for row in scores.rows] == ["none", "lineas", "iti-c"]


def test_damaged_scores_of_sets_read_as_none(scored_sets: Path) -> None:
    with Store.open(scored_sets) as store:
        store.set_facts(set_scores=[{"id": 3, "rows": "many"}, "what"])
    assert 'id="losses"' in report.write(scored_sets).read_text(encoding="utf-8")
