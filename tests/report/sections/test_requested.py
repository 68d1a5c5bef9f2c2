"""The section on requested and obtained attributes, in the page, on the terminal and in files."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from kit import report_run
from kit.html_page import Page
from scipy.stats import beta

from htbench import report
from htbench.report import csv_tables
from htbench.report.sections import requested
from htbench.report.sections.requested import RequestRow
from htbench.run.store import CellRow, Store

PLAIN, TARGET = 0.5, 0.3


def brightness(row: CellRow, weakest: str) -> float:
    """LinEAS goes the whole way, but on one concept only a quarter of it."""
    if not row.is_steered or row.method == "none":
        return PLAIN
    if row.method == "prompt":
        return TARGET
    share = row.strength * (0.25 if row.concept == weakest else 1.0)
    return PLAIN + share * (TARGET - PLAIN)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = report_run.build(
        tmp_path_factory.mktemp("runs") / "run",
        methods=["none", "prompt", "lineas"],
        concepts=5,
        prompts=("a cat", "a dog"),
        size=8,
    )
    with Store.open(folder) as store:
        gauge = {"id": "brightness@1", "name": "brightness", "better": "higher", "summary": "B"}
        store.set_facts(gauges=[gauge])
        weakest = store.rows()[0].concept
        store.add_scores(
            (row.id, "brightness", "brightness@1", brightness(row, weakest)) for row in store.rows()
        )
    return folder


@pytest.fixture
def lineas(folder: Path) -> RequestRow:
    with report.open_run(folder) as summary:
        (attribute,) = requested.collect(summary)
    assert (attribute.concepts, attribute.of) == (5, 5)
    (row,) = attribute.rows
    return row


def test_the_curve_and_the_error_are_means_over_concepts(lineas: RequestRow) -> None:
    assert lineas.obtained[0.5].mean == pytest.approx((4 * 0.5 + 0.125) / 5)
    assert lineas.obtained[1.0].mean == pytest.approx((4 * 1.0 + 0.25) / 5)
    assert lineas.error.mean == pytest.approx((0.375 + 0.75) / 2 / 5)


def test_a_concept_that_reaches_a_share_at_no_strength_counts_as_a_failure(
    lineas: RequestRow,
) -> None:
    assert [answer.failures for answer in lineas.reached] == [1, 1]
    assert lineas.reached[1].at_most == pytest.approx(beta.ppf(0.95, 2, 4))
    assert lineas.reachable == pytest.approx(0.25)


def test_a_concept_that_hardly_changes_the_attribute_is_no_request(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(requested.LEAST_CHANGE, "brightness", 0.21)
    with report.open_run(folder) as summary:
        (attribute,) = requested.collect(summary)
    assert (attribute.concepts, attribute.of, attribute.rows) == (0, 5, [])


def test_the_page_and_the_terminal_show_the_table(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Page(report.write(folder).read_text(encoding="utf-8"))
    section = page.text.partition("Requested and obtained attributes")[2]
    assert "brightness 5 of 5 concepts change it by 0.0500 or more" in " ".join(section.split())
    with report.open_run(folder) as summary:
        requested.show(requested.collect(summary))
    assert "1/5 (≤ 66%)" in capsys.readouterr().out


def test_lines_and_the_csv_file_have_a_number_per_request(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with report.open_run(folder) as summary:
        requested.print_lines(requested.collect(summary))
        csv_tables.write(summary, tmp_path / "csv")
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    with (tmp_path / "csv" / "requested.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["obtained"]) for row in rows] == [
        pytest.approx(answer["value"]) for answer in line["obtained"]
    ]
    assert [row["failures"] for row in rows] == ["1", "1"]


def test_a_run_with_sharpness_alone_has_no_such_section(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "run", concepts=2, prompts=("a cat",), size=8)
    with Store.open(folder) as store:
        store.set_facts(gauges=[{"id": "sharpness@1", "name": "sharpness", "better": "higher"}])
    assert 'id="requested"' not in report.write(folder).read_text(encoding="utf-8")


def test_strengths_of_a_perceptual_scale_are_no_requests(folder: Path, tmp_path: Path) -> None:
    own = shutil.copytree(folder, tmp_path / "run")
    with Store.open(own) as store:
        plan = store.facts()["plan"]
        store.set_facts(plan={**plan, "strengths": [0.0, 1.0]})
    with report.open_run(own) as summary:
        assert not requested.collect(summary)
