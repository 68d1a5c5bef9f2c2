"""The report of several runs: a page with their models side by side, and a report per model."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from htbench.core import content
from htbench.core.errors import UsageError
from htbench.core.types import UNSTEERED
from htbench.report import html, leaderboard_files, output
from htbench.report.merge import ModelReport
from htbench.report.sections import leaderboard
from htbench.run.summary import HEADLINE, METRICS

_SWITCH = Markup('<nav class="switch" aria-label="Model">')
"""Text by which a page of several is known."""


def write(reports: Sequence[ModelReport], folder: Path) -> Path:
    """Write one report like that of a run, several side by side.

    Several become `folder/index.html`, a folder per report, and `leaderboard.csv` and `.json` of
    all.

    Raises:
        UsageError: if the folder cannot be written, or is a run's.
    """
    if (folder / "run.sqlite").exists():
        raise UsageError(
            f"{str(folder)[:300]!r} is a run's own folder",
            remedy="Choose another --out for the report of several.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write report {str(folder)!r}: {error.strerror}") from None
    if len(reports) == 1:
        return output.write_summary(reports[0].summary, folder)
    with output.writing(folder):
        for report in reports:
            (folder / report.slug).mkdir(exist_ok=True)
            output.write_linked_page(
                report.summary, folder / report.slug, switch=_switch(reports, report)
            )
        _write_leaderboards(reports, folder)
        _remove_boards(folder, keep={report.slug for report in reports})
        text = html.fill_marks(_page(reports), html.TEXT_ONLY, switch=_switch(reports, None))
        content.write_whole(folder / "index.html", text.encode("utf-8", "replace"))
        return folder / "index.html"


def _remove_boards(folder: Path, *, keep: set[str]) -> None:
    """Remove the pages of earlier reports in this folder, to which no page links any more."""
    for page in folder.glob("*/index.html"):
        board = page.parent
        if board.name not in keep and _SWITCH in page.read_text("utf-8", errors="replace"):
            for kind in ("csv", "json", "md"):
                (board / f"leaderboard.{kind}").unlink(missing_ok=True)
            output.remove_folder_report(board)


def _switch(reports: Sequence[ModelReport], shown: ModelReport | None) -> Markup:
    """Links to all pages, with a mark on the one that is shown."""
    up = "../" if shown else ""
    pages = [
        ("Side by side", f"{up}index.html", shown is None),
        *((board.name, f"{up}{board.slug}/index.html", board is shown) for board in reports),
    ]
    link = Markup('<li><a href="{}"{}>{}</a></li>')
    links = Markup("").join(
        link.format(address, Markup(' aria-current="page"') if here else "", name)
        for name, address, here in pages
    )
    return Markup("{}<ul>{}</ul></nav>").format(_SWITCH, links)


def _page(reports: Sequence[ModelReport]) -> str:
    methods = list(dict.fromkeys(method for board in reports for method in board.summary.methods))
    steering = [method for method in methods if method != UNSTEERED]
    tones = {method: k + 1 for k, method in enumerate(steering)}
    leaderboards = [board.summary.leaderboard for board in reports]
    return (
        html.templates(tones)
        .get_template("merged.html")
        .render(
            boards=reports,
            methods=methods,
            lines=[{line.method: line for line in board} for board in leaderboards],
            costs=[{cost.method: cost for cost in board.summary.costs} for board in reports],
            metrics=METRICS,
            headline=HEADLINE,
            ends={
                metric: [leaderboard.shared_scale(board, metric) for board in leaderboards]
                for metric in METRICS
            },
        )
    )


def _write_leaderboards(reports: Sequence[ModelReport], folder: Path) -> None:
    """Write the rows of every report, each with the name of its report."""
    rows = [
        {"board": board.name, **row}
        for board in reports
        for row in leaderboard_files.rows(board.summary)
    ]
    table = io.StringIO(newline="")
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ["board"]
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(leaderboard_files.csv_row, rows))
    content.write_whole(folder / "leaderboard.csv", table.getvalue().encode("utf-8", "replace"))
    content.write_whole(
        folder / "leaderboard.json",
        (json.dumps({"lines": rows}, indent=1, ensure_ascii=False) + "\n").encode(
            "utf-8", "replace"
        ),
    )
