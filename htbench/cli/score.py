"""`htbench score`: more scores for the images of a run."""

from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import Json, Out, RunName, Verbose, run_folder
from htbench.cli.report import write_and_print


def score(
    run: RunName,
    scorer: Annotated[
        list[str],
        typer.Option(
            help="Encoder, installed scorer, or path of a scorer's card; repeat for several."
        ),
    ],
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or cuda:1; the GPU if there is one.")
    ] = None,
    out: Out = Path("runs"),
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Score the images of a run by more scorers and write its report; the model is not loaded and
    nothing is fitted or generated.
    """
    folder = run_folder(run, out)

    from htbench.core.display import Display
    from htbench.run.add_scores import add_scores  # imports torch

    display = Display(verbose=verbose, as_json=as_json)
    added = add_scores(folder, scorer, device=device, display=display)
    display.note(f"{folder}: {added}")
    raise typer.Exit(write_and_print(folder, as_json=as_json))
