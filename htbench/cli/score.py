"""`htbench score`: more scores for the images of a run."""

from typing import Annotated

import typer

from htbench.cli.options import (
    RUNS_DIR,
    Device,
    Json,
    RunName,
    RunsDir,
    Verbose,
    Wide,
    run_folder,
)
from htbench.cli.report import write_and_print


def score(
    run: RunName,
    scorer: Annotated[
        list[str],
        typer.Option(metavar="NAME", help="Encoder, installed scorer, or ./card.toml. Repeatable."),
    ],
    device: Device = None,
    runs_dir: RunsDir = RUNS_DIR,
    wide: Wide = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Score the images of a run by more scorers and write its report. Nothing is fitted or
    generated; the model is loaded by scorers of activations alone.
    """
    folder = run_folder(run, runs_dir)

    from htbench.core.display import Display
    from htbench.run.add_scores import add_scores  # imports torch

    display = Display(verbose=verbose, as_json=as_json)
    added = add_scores(folder, scorer, device=device, display=display)
    display.note(f"{folder}: {added}")
    raise typer.Exit(write_and_print(folder, wide=wide, as_json=as_json))
