"""`htbench report`: from a run's folder to HTML."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import OUTPUT, RUNS_DIR, Json, Open, RunsDir, Wide, open_run
from htbench.core.errors import UsageError

if TYPE_CHECKING:
    from htbench.run.summary import Summary

_SEVERAL_REMEDY = "Write: htbench report RUN RUN --out FOLDER"


def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN...",
            help="Name of a run, or the path of its folder or of a bundle. Several become one "
            "report.",
            show_default=False,
        ),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the report of several runs, or of a bundle.",
            show_default="beside the bundle",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    folder: Annotated[
        bool,
        typer.Option(
            "--folder",
            help="Write a folder with the images beside the page, also where one file could hold "
            "them all.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Show the report at an address of this machine, up to date while the run goes on.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            metavar="N",
            help="Port of --serve; the next free one if it is taken.",
            rich_help_panel=OUTPUT,
        ),
    ] = 8642,
    index: Annotated[
        bool,
        typer.Option(
            "--index",
            help="Write the start page of the folder of runs, with a line and a link per run.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    wide: Wide = False,
    open_: Open = False,
    as_json: Json = False,
) -> None:
    """Write the HTML report of a run, finished or not, or of several. It needs neither GPU nor
    network.
    """
    from htbench.report import runs_index
    from htbench.report.current import find_current_page
    from htbench.report.serve import serve as show

    if index:
        sys.stdout.write(f"Runs: {os.path.relpath(runs_index.write(runs_dir))}\n")
        return
    if not runs:
        raise UsageError(
            "no run is named", remedy="Write: htbench report RUN, or htbench report --index"
        )
    if serve and len(runs) > 1:
        raise UsageError("several runs are not served", remedy=_SEVERAL_REMEDY)
    into = _report_folder(runs, out)
    with ExitStack() as stack:
        folders = [stack.enter_context(open_run(run, runs_dir)) for run in runs]
        if serve:
            show(folders[0], port=port)
            return
        shown: Path | None
        if into and len(folders) > 1:
            shown, code = _report_several(folders, into, wide=wide, as_json=as_json)
        else:
            code = write_and_print(
                folders[0], into=into, as_folder=folder, wide=wide, as_json=as_json
            )
            shown = _page_of(into) if into else find_current_page(folders[0])
        if open_:
            open_page(shown)
    raise typer.Exit(code)


def _report_folder(runs: list[str], out: Path | None) -> Path | None:
    """The folder for the report of several runs or of a bundle; None for a run, whose own it is.

    Raises:
        UsageError: if `out` is missing or has no use.
    """
    from htbench.bundles import archive

    if len(runs) > 1:
        if out is None:
            raise UsageError("several runs need a folder for their report", remedy=_SEVERAL_REMEDY)
        return out
    run = Path(runs[0])
    if archive.is_bundle(run):
        name = run.name.removesuffix(".zip").removesuffix(".bundle")
        return out or run.with_name(f"{name}-report")
    if out is not None:
        raise UsageError(
            "--out is for the report of several runs or of a bundle: that of one run is in its own "
            "folder",
            remedy="The folder where runs are is --runs-dir.",
        )
    return None


def _page_of(folder: Path) -> Path | None:
    from htbench.report import current

    pages = [folder / name for name in current.PAGES]
    return next((page for page in pages if page.is_file()), None)


def _report_several(
    folders: list[Path], out: Path, *, wide: bool, as_json: bool
) -> tuple[Path, int]:
    """Write and print a report of several runs; gives its page, and 3 if cells or scores are
    missing, else 0.
    """
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
                terminal.show(report.summary, wide=wide)
        if not as_json:
            print_path(page)
        return page, 0 if all(report.summary.is_complete for report in reports) else 3


def write_and_print(
    run: Path,
    *,
    page: Path | None = None,
    into: Path | None = None,
    as_folder: bool = False,
    wide: bool = False,
    as_json: bool,
) -> int:
    """Write a run's report and print its tables; gives 3 if cells or scores are missing, else 0.

    It is written to the run's folder, or `into` another. A `page` that is there and up to date is
    not written again.
    """
    from htbench import report

    write = report.write_summary_folder if as_folder else report.write_summary
    with report.open_run(run) as summary:
        for problem in summary.store.problems:
            sys.stderr.write(f"htbench: left out: {problem}\n")
        if into:
            _make_folder(into)
        page = page or write(summary, into or run)
        return _print_tables(summary, page, wide=wide, as_json=as_json)


def _make_folder(path: Path) -> None:
    """Make a folder for a report, unless it is there.

    Raises:
        UsageError: if there is something else, or the folder cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write report {str(path)[:300]!r}: {error.strerror}",
            remedy="Choose another folder with --out.",
        ) from None


def _print_tables(summary: "Summary", page: Path, *, wide: bool, as_json: bool) -> int:
    from htbench.report import terminal
    from htbench.report.sections import claims, losses, other_scores, requested

    boards = other_scores.collect(summary)
    if as_json:
        other_scores.print_lines(boards)
        requested.print_lines(requested.collect(summary))
        losses.print_lines(losses.collect(summary))
        claims.print_lines(claims.from_summary(summary))
        terminal.print_lines(summary, page)
    else:
        terminal.show(summary, wide=wide)
        other_scores.show(boards)
        requested.show(requested.collect(summary))
        losses.show(losses.collect(summary))
        print_path(page)
    is_scored = all(board.judge or board.done == board.planned for board in boards)
    return 0 if summary.is_complete and is_scored else 3


def print_path(page: Path) -> None:
    """Print the path of a page, as a link on terminals that have links."""
    from rich.text import Text

    from htbench.core.display import stdout_console

    beside = (
        " (its folder belongs to it: the pictures are there)" if page.name == "index.html" else ""
    )
    line = Text("Report: ").append(os.path.relpath(page), f"link {page.resolve().as_uri()}")
    stdout_console().print(line.append(beside), soft_wrap=True)


def open_page(page: Path | None) -> None:
    """Open a page in the browser; a warning where there is no browser or no page."""
    import webbrowser

    if page is None or not webbrowser.open(page.resolve().as_uri()):
        sys.stderr.write("htbench: no browser opened the report\n")
