"""`htbench report`: from a run's folder to HTML."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import Json, Out, RunName, run_folder


def report(
    run: RunName,
    out: Out = Path("runs"),
    folder: Annotated[bool, typer.Option("--folder", help="A folder with its pictures beside it, even where one file could hold them all.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Show the report at an address of this machine alone, drawn anew while the run goes on.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of --serve; another one if it is taken.")] = 8642,
    as_json: Json = False,
) -> None:
    """Write the HTML report of a run, finished or not; needs neither GPU nor network."""
    from htbench import report
    from htbench.serve import serve as show

    where = run_folder(run, out)
    if serve:
        show(where, port=port)
        return
    page = report.write_folder(where) if folder else report.write(where)
    raise typer.Exit(finish(where, page, as_json=as_json))


def finish(folder: Path, page: Path, *, as_json: bool) -> int:
    """Print the tables; 3 if cells or their scores are missing."""
    from htbench import readings, table
    from htbench.leaderboard import Summary
    from htbench.store import Store

    with Store.read(folder) as store:
        summary = Summary(store)
        boards = readings.collect(summary)
        if as_json:
            readings.print_lines(boards)
            table.print_lines(summary, page)
        else:
            table.show(summary)
            readings.show(boards)
            beside = "" if page.name != "index.html" else " (with its folder, which holds the pictures)"
            sys.stdout.write(f"Report: {os.path.relpath(page)}{beside}\n")
        return 0 if summary.done == summary.planned and all(board.done == board.planned for board in boards) else 3
