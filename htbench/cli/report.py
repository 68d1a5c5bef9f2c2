"""`htbench report`: from a run's folder to HTML."""

import os
import sys
from pathlib import Path

import typer

from htbench.cli.options import Json, Out, RunName, run_folder


def report(run: RunName, out: Out = Path("runs"), as_json: Json = False) -> None:
    """Write the HTML report of a run, finished or not; needs neither GPU nor network."""
    from htbench import report

    folder = run_folder(run, out)
    raise typer.Exit(finish(folder, report.write(folder), as_json=as_json))


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
            sys.stdout.write(f"Report: {os.path.relpath(page)}\n")
        return 0 if summary.done == summary.planned and all(board.done == board.planned for board in boards) else 3
