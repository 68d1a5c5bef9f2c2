"""`htbench export`: a run as tables or as a data set."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from htbench.cli.options import Out, RunName, run_folder
from htbench.core.errors import UnknownName


def export(
    run: RunName,
    to: Annotated[
        str,
        typer.Option(
            help="parquet: tables of cells, scores and timings; datasets: a folder for "
            "Hugging Face datasets, with the images."
        ),
    ],
    out: Out = Path("runs"),
    into: Annotated[
        Path | None,
        typer.Option(help="New or empty folder; RUN/parquet or RUN/datasets if not given."),
    ] = None,
) -> None:
    """Write a run as Parquet files or as a data set with its images."""
    from htbench.run import export
    from htbench.run.store import Store
    from htbench.run.summary import Summary

    if to not in ("parquet", "datasets"):
        raise UnknownName("form", to, ["parquet", "datasets"])
    folder = run_folder(run, out)
    with Store.read(folder) as store:
        form: Literal["parquet", "datasets"] = "parquet" if to == "parquet" else "datasets"
        for path in export.write(Summary(store), into or folder / to, form):
            typer.echo(path)
