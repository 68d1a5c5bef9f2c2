"""`htbench report`: from a run's folder to HTML."""

import os
import sys
from pathlib import Path

import typer

from htbench.cli.options import Out, RunName, run_folder


def report(run: RunName, out: Out = Path("runs")) -> None:
    """Write the HTML report of a run, finished or not; needs neither GPU nor network."""
    from htbench import report

    folder = run_folder(run, out)
    raise typer.Exit(finish(folder, report.write(folder)))


def finish(folder: Path, page: Path) -> int:
    """Print the table; 3 if cells are missing."""
    from htbench import table
    from htbench.store import Store

    with Store.read(folder) as store:
        complete = table.show(store)
    sys.stdout.write(f"Report: {os.path.relpath(page)}\n")
    return 0 if complete else 3
