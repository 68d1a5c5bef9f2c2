"""`htbench report`: from a run's folder to HTML."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import Json, run_folder
from htbench.core.errors import UsageError

if TYPE_CHECKING:
    from htbench.run.summary import Summary

_SEVERAL_REMEDY = "Write: htbench report RUN RUN --out FOLDER"


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Folder of a run, or its name below --out; several become one report.",
            metavar="RUN...",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder that runs are kept in, runs if not given; of several, where their report "
            "goes."
        ),
    ] = None,
    folder: Annotated[
        bool,
        typer.Option(
            "--folder",
            help="A folder with its pictures beside it, even where one file could hold them all.",
        ),
    ] = False,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Show the report at an address of this machine alone, drawn anew while the run "
            "goes on.",
        ),
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of --serve; another one if it is taken.")
    ] = 8642,
    as_json: Json = False,
) -> None:
    """Write the HTML report of a run, finished or not, or of several; needs neither GPU nor
    network.
    """
    from htbench.report.serve import serve as show

    if len(runs) > 1:
        if serve:
            raise UsageError("several runs are not served", remedy=_SEVERAL_REMEDY)
        if out is None:
            raise UsageError("several runs need a folder for their report", remedy=_SEVERAL_REMEDY)
        folders = [run_folder(run, Path("runs")) for run in runs]
        raise typer.Exit(_report_several(folders, out, as_json=as_json))
    run = run_folder(runs[0], out or Path("runs"))
    if serve:
        show(run, port=port)
        return
    raise typer.Exit(write_and_print(run, as_folder=folder, as_json=as_json))


def _report_several(folders: list[Path], out: Path, *, as_json: bool) -> int:
    """Write and print a report of several runs; gives 3 if cells or scores are missing, else 0."""
    from htbench.core.display import print_json, printable
    from htbench.report import merge, multi_run, terminal

    with merge.model_reports(folders) as reports:
        page = multi_run.write(reports, out)
        for report in reports:
            if as_json:
                print_json(event="board", name=report.name)
                terminal.print_lines(report.summary, page)
            else:
                sys.stdout.write(f"{printable(report.name, max_length=100)}\n")
                terminal.show(report.summary)
        if not as_json:
            print_path(page)
        return 0 if all(report.summary.is_complete for report in reports) else 3


def write_and_print(
    run: Path, *, page: Path | None = None, as_folder: bool = False, as_json: bool
) -> int:
    """Write a run's report and print its tables; gives 3 if cells or scores are missing, else 0.

    A `page` that is there and up to date is not written again.
    """
    from htbench import report

    write = report.write_summary_folder if as_folder else report.write_summary
    with report.open_run(run) as summary:
        for problem in summary.store.problems:
            sys.stderr.write(f"htbench: left out: {problem}\n")
        return _print_tables(summary, page or write(summary, run), as_json=as_json)


def _print_tables(summary: "Summary", page: Path, *, as_json: bool) -> int:
    from htbench.report import terminal
    from htbench.report.sections import claims, other_scores

    boards = other_scores.collect(summary)
    if as_json:
        other_scores.print_lines(boards)
        claims.print_lines(claims.from_summary(summary))
        terminal.print_lines(summary, page)
    else:
        terminal.show(summary)
        other_scores.show(boards)
        claims.show(claims.from_summary(summary))
        print_path(page)
    is_scored = all(board.done == board.planned for board in boards)
    return 0 if summary.is_complete and is_scored else 3


def print_path(page: Path) -> None:
    """Print the path of a page."""
    beside = (
        " (its folder belongs to it: the pictures are there)" if page.name == "index.html" else ""
    )
    sys.stdout.write(f"Report: {os.path.relpath(page)}{beside}\n")
