"""The report of several runs: a page that sets their models side by side, and each one's own report behind a switch."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from htbench.core import content
from htbench.core.errors import UsageError
from htbench.core.types import UNSTEERED
from htbench.report import chart, files, format, html, output
from htbench.report.merge import ModelReport
from htbench.report.sections import leaderboard
from htbench.run.summary import HEADLINE, METRICS


def write(reports: Sequence[ModelReport], folder: Path) -> Path:
    """Write one leaderboard like that of a run; several as `folder/index.html`, a folder a board, and `leaderboard.csv` and `.json` of all.

    Raises:
        UsageError: if the folder cannot be written, or is a run's.
    """
    if (folder / "run.sqlite").exists():
        raise UsageError(
            f"{str(folder)[:300]!r} is a run's own folder",
            remedy="Choose another --out for the report of several.",
        )
    with output.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if len(reports) == 1:
            return output.write_summary(reports[0].summary, folder)
        for board in reports:
            (folder / board.slug).mkdir(exist_ok=True)
            output.write_linked_page(
                board.summary, folder / board.slug, switch=_switch(reports, board)
            )
        _write_leaderboards(reports, folder)
        text = html.fill_marks(_page(reports), html.TEXT_ONLY, switch=_switch(reports, None))
        output.write_whole(folder / "index.html", text.encode("utf-8", "replace"))
        return folder / "index.html"


def _switch(reports: Sequence[ModelReport], shown: ModelReport | None) -> Markup:
    """Links to the other pages; the one that is shown is marked."""
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
    return Markup('<nav class="switch" aria-label="Model"><ul>{}</ul></nav>').format(links)


def _page(reports: Sequence[ModelReport]) -> str:
    environment = Environment(
        loader=FileSystemLoader(content.folder("reports") / "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    methods = list(dict.fromkeys(method for board in reports for method in board.summary.methods))
    tones = {
        method: k
        for k, method in enumerate(
            [UNSTEERED, *(method for method in methods if method != UNSTEERED)]
        )
    }
    environment.filters.update(format.FILTERS)
    environment.globals.update(
        interval=chart.interval_bar,
        swatch=lambda method: chart.swatch(tones[method]),
        tone=lambda method: tones[method],
    )
    leaderboards = [board.summary.leaderboard for board in reports]
    return environment.get_template("merged.html").render(
        style=html.style(),
        policy=html.POLICY_MARK,
        data=html.DATA_MARK,
        switch=html.SWITCH_MARK,
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


def _write_leaderboards(reports: Sequence[ModelReport], folder: Path) -> None:
    """The lines of every board, each with its board's name."""
    rows = [{"board": board.name, **row} for board in reports for row in files.rows(board.summary)]
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(rows[0]) if rows else ["board"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    output.write_whole(folder / "leaderboard.csv", table.getvalue().encode("utf-8", "replace"))
    output.write_whole(
        folder / "leaderboard.json",
        (json.dumps({"lines": rows}, indent=1, ensure_ascii=False) + "\n").encode(
            "utf-8", "replace"
        ),
    )
