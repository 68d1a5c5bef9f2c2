"""The start page of a folder of runs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kit import report_run
from kit.html_page import Page

from htbench import report
from htbench.core.errors import Missing, UsageError
from htbench.report import runs_index
from htbench.report.sections import leaderboard


def build(folder: Path, **options: int) -> Path:
    return report_run.build(folder, **{"concepts": 3, "size": 8, **options}, prompts=("a cat",))


def page(runs: Path) -> Page:
    return Page((runs / "index.html").read_text(encoding="utf-8"))


def links(seen: Page) -> list[str]:
    return [attributes["href"] for tag, attributes in seen.tags if tag == "a"][1:]


def test_a_report_puts_its_run_on_the_start_page_with_its_headline(tmp_path: Path) -> None:
    run = build(tmp_path / "runs" / "mine")
    report.write(run)
    with report.open_run(run) as summary:
        headline = leaderboard.conclusion(summary)
    assert links(page(tmp_path / "runs")) == ["mine/report.html"]
    assert f"{headline} {report_run.COMMAND}" in page(tmp_path / "runs").text


def test_reports_that_are_written_at_once_are_all_on_the_page(tmp_path: Path) -> None:
    runs = [build(tmp_path / "runs" / f"run-{k}") for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(report.write, runs))
    assert sorted(links(page(tmp_path / "runs"))) == [f"run-{k}/report.html" for k in range(4)]


def test_a_folder_of_another_name_has_a_start_page_only_if_one_was_asked_for(
    tmp_path: Path,
) -> None:
    first, second = (build(tmp_path / "others" / name) for name in "ab")
    report.write(first)
    assert not (tmp_path / "others" / "index.html").exists()
    runs_index.write(tmp_path / "others")
    report.write(second)
    assert links(page(tmp_path / "others")) == ["b/report.html", "a/report.html"]


def test_a_page_of_another_origin_is_left_as_it_is(tmp_path: Path) -> None:
    run = build(tmp_path / "runs" / "mine")
    (tmp_path / "runs" / "index.html").write_text("my own")
    report.write(run)
    with pytest.raises(UsageError, match="not a page of htbench"):
        runs_index.write(tmp_path / "runs")
    assert (tmp_path / "runs" / "index.html").read_text() == "my own"


def test_a_run_without_a_report_is_listed_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    build(tmp_path / "runs" / "half", made=2)
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "run.sqlite").write_bytes(b"no database" * 100)
    runs_index.write(tmp_path / "runs")
    text = page(tmp_path / "runs").text
    assert "half no report yet" in text
    assert "incomplete" in text
    assert "broken" not in text


def test_names_and_commands_are_text(tmp_path: Path) -> None:
    report_run.build(tmp_path / "runs" / "<b>", concepts=1, text="<script>alert(1)</script>")
    runs_index.write(tmp_path / "runs")
    assert "<script>alert(1)</script>" in page(tmp_path / "runs").text
    assert "<b>" in page(tmp_path / "runs").text


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no folder of runs"):
        runs_index.write(tmp_path / "runs")
