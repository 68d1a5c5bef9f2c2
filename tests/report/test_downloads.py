"""Files that a report's page saves, in a real browser: `pytest -m browser`."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from kit import chromium, report_run

from htbench import report
from htbench.core import csv_files

pytestmark = pytest.mark.browser
FORMULA = '=HYPERLINK("x", 1)'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_run.build(tmp_path_factory.mktemp("runs") / "run", prompts=("a cat", "a dog"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.opened() as opened:
        yield opened


@pytest.fixture
def tab(browser: Any, run: Path) -> Iterator[Any]:
    """The page of the run, in dark colours."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    opened.goto(report.write(run).as_uri())
    yield opened
    opened.close()


def saved(tab: Any, label: str, title: str) -> Path:
    """The file that is saved for the figure or table of a title."""
    with tab.expect_download() as download:
        tab.get_by_role("button", name=f"{label}: save “{title}").first.click()
    return Path(download.value.path())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_is_saved_in_full_precision(tab: Any, run: Path) -> None:
    first = rows(saved(tab, "CSV", "Leaderboard"))[0]
    with report.open_run(run) as summary:
        score = summary.leaderboard_row(first["Method"], 1.0).scores["presence"]
    assert score is not None
    assert [float(first[f"Presence{end}"]) for end in ("", " low", " high")] == [
        score.mean,
        score.low,
        score.high,
    ]


def test_a_cell_that_begins_a_formula_is_saved_as_text(tab: Any, tmp_path: Path) -> None:
    run = report_run.build(tmp_path / "run", concepts=1, prompts=("a cat",), text=FORMULA)
    tab.goto(report.write(run).as_uri())
    assert rows(saved(tab, "CSV", "Heat map"))[0]["Concept"] == csv_files.cell(FORMULA)


def test_a_chart_is_saved_with_the_numbers_behind_it(tab: Any, run: Path) -> None:
    found = rows(saved(tab, "CSV", "Presence against strength"))
    with report.open_run(run) as summary:
        score = summary.leaderboard_row("lineas", 0.5).scores["presence"]
    assert score is not None
    assert [
        float(row["Presence"])
        for row in found
        if (row["series"], row["Strength"]) == ("lineas", "0.5")
    ] == [score.mean]


def test_a_chart_is_saved_in_light_colours_that_need_no_style_sheet(tab: Any) -> None:
    drawn = ElementTree.parse(saved(tab, "SVG", "Presence against strength")).getroot()
    lines = [each for each in drawn.iter() if each.get("class", "").startswith("line t1")]
    assert drawn.get("width") == "460"
    assert [line.get("stroke") for line in lines] == ["rgb(0, 114, 178)"]


def test_there_is_nothing_to_save_with_where_scripts_are_off(browser: Any, run: Path) -> None:
    tab = browser.new_context(java_script_enabled=False).new_page()
    tab.goto(report.write(run).as_uri())
    assert tab.locator(".save").count() == 0
    tab.close()
