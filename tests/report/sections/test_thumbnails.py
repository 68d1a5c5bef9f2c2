"""Small pictures beside the numbers of a report."""

from pathlib import Path

import pytest
from kit import report_run
from kit.html_page import Page

from htbench import report
from htbench.report.gallery import grid
from htbench.report.sections import thumbnails
from htbench.report.sections.thumbnails import Thumbnails


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return report_run.build(
        tmp_path / "run", methods=("none", "linear-act", "lineas"), concepts=9, size=8
    )


def collect(run: Path) -> Thumbnails | None:
    with report.open_run(run) as summary:
        return thumbnails.collect(summary, grid.collect(summary))


def test_every_row_shows_the_same_four_concepts(run: Path) -> None:
    rows = collect(run).rows
    concepts = [[picture.concept for picture in pictures] for pictures in rows.values()]
    assert concepts[0] == concepts[1]
    assert len(set(concepts[0])) == 4


def test_the_headline_shows_the_concept_with_the_median_gain_by_every_method(run: Path) -> None:
    found = collect(run)
    assert [picture.method for picture in found.headline] == ["none", "lineas", "linear-act"]
    with report.open_run(run) as summary:
        gains = [summary.means(method, 1.0) for method in ("lineas", "linear-act")]
        texts = {name: fact.text for name, fact in summary.facts.concepts.items()}
    by_gain = sorted(texts, key=lambda name: -sum(each[name] for each in gains))
    assert found.concept == texts[by_gain[4]]


def test_a_run_without_scores_has_no_pictures_beside_its_numbers(tmp_path: Path) -> None:
    run = report_run.build(tmp_path / "run", methods=("none", "lineas"), scored=False, size=8)
    assert collect(run) is None


def test_pictures_name_their_place_in_the_data_of_the_gallery(run: Path) -> None:
    seen = Page(report.write(run).read_text(encoding="utf-8"))
    places = [each["data-picture"].split() for _, each in seen.tags if "data-picture" in each]
    columns = len(seen.gallery["columns"])
    assert len(places) == 3 + 2 * 4
    assert all(int(column) < columns for _, _, column in places)
