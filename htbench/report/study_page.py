"""The page of one user study, beside its table of answers."""

from pathlib import Path

from htbench.core import content
from htbench.core.types import UNSTEERED
from htbench.report import html
from htbench.report.sections.people import People
from htbench.run.study_result import StudyRecord

PAGE = "report.html"


def write(study: StudyRecord, folder: Path, *, rehearsal: bool) -> Path:
    """Write the page of a study into its folder and return its path; it needs no network."""
    pairs = [pair for criterion in study.criteria for pair in criterion.preferences]
    methods = {name for pair in pairs for name in (pair.one, pair.two)}
    methods |= {row[0] for table in study.tables if table.is_of_methods for row in table.rows}
    tones = {method: k for k, method in enumerate(sorted(methods - {UNSTEERED}), start=1)}
    text = (
        html.templates(tones)
        .get_template("study.html")
        .render(people=People(studies=[study], problems=[]), study=study, rehearsal=rehearsal)
    )
    page = folder / PAGE
    content.write_whole(page, html.fill_marks(text, html.TEXT_ONLY).encode("utf-8", "replace"))
    return page
