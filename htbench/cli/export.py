"""`htbench export`: a run as tables, as figures, as a data set or in an experiment tracker."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htbench.cli.options import RUNS_DIR, RunName, RunsDir, run_folder
from htbench.core.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from htbench.run.summary import Summary

_TRACKERS = ("trackio", "wandb", "mlflow")
_FORMATS = ("csv", "latex", "markdown", "figures", "parquet", "datasets", *_TRACKERS)


def export(
    run: RunName,
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="csv: leaderboard, cells, scores, flaws, timings, votes, ratings and claims; "
            "latex or markdown: leaderboard, speed-up and claims for papers and notes; figures: "
            "all charts as PDF and SVG, one column wide; parquet: cells, scores and timings; "
            "datasets: a folder for Hugging Face datasets, with the images; trackio, wandb or "
            "mlflow: a run per method in an experiment tracker.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="New or empty folder to write.", show_default="RUN/FORMAT"
        ),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Project of trackio or wandb, or experiment of mlflow.",
            show_default="htbench",
        ),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Write a run as tables, as figures for papers, as a data set with its images, or to an
    experiment tracker.
    """
    from htbench.run.store import Store
    from htbench.run.summary import Summary

    if to not in _FORMATS:
        raise UnknownName("format", to, _FORMATS)
    if to in _TRACKERS and out:
        raise UsageError(f"--out has no meaning with --to {to}", remedy="Leave --out out.")
    if to not in _TRACKERS and project is not None:
        raise UsageError(f"--project has no meaning with --to {to}", remedy="Leave --project out.")
    folder = run_folder(run, runs_dir)
    with Store.read(folder) as store:
        if to in _TRACKERS:
            from htbench.report import trackers

            for line in trackers.write(
                Summary(store), to, "htbench" if project is None else project
            ):
                typer.echo(line)
            return
        for path in _writer(to)(Summary(store), out or folder / to):
            typer.echo(path)


def _writer(to: str) -> Callable[["Summary", Path], list[Path]]:
    """The function that writes a run in a format into a folder."""
    from htbench.report import csv_tables, figure_files, text_tables
    from htbench.run import export

    writers: dict[str, Callable[[Summary, Path], list[Path]]] = {
        "csv": csv_tables.write,
        "latex": lambda summary, folder: text_tables.write(summary, folder, "latex"),
        "markdown": lambda summary, folder: text_tables.write(summary, folder, "markdown"),
        "figures": figure_files.write,
        "parquet": lambda summary, folder: export.write(summary, folder, "parquet"),
        "datasets": lambda summary, folder: export.write(summary, folder, "datasets"),
    }
    return writers[to]
