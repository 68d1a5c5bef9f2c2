"""The page of one user study."""

from pathlib import Path

from kit.html_page import Page
from kit.posted_study import study

from htbench.report import study_page
from htbench.run.study_result import StudyRecord


def page(folder: Path, *, rehearsal: bool, **changes: object) -> Page:
    record = StudyRecord.model_validate({**study("good", "poor", (0.66, 0.6, 0.7)), **changes})
    path = study_page.write(record, folder, rehearsal=rehearsal)
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_of_a_study_shows_whom_people_preferred(tmp_path: Path) -> None:
    seen = page(tmp_path, rehearsal=False, flow=[])
    assert "120 votes by 20 people on 40 pairs" in seen.text
    assert "rehearsal" not in seen.text


def test_the_page_of_a_rehearsal_says_that_its_answers_are_made_up(tmp_path: Path) -> None:
    assert "these answers are made up" in page(tmp_path, rehearsal=True).text


def test_rules_that_were_changed_are_told(tmp_path: Path) -> None:
    seen = page(tmp_path, rehearsal=False, rules_changed=True)
    assert "were changed after the first answers were imported" in seen.text
