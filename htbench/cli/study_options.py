"""Options that the commands of studies share."""

from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import OUTPUT

Study = Annotated[
    Path,
    typer.Option("--study", metavar="FOLDER", help="Folder of the study.", rich_help_panel=OUTPUT),
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Random seed.")]
Secret = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Secret that pseudonyms and links are made with; created if it is not there.",
        show_default="beside the study's folder",
    ),
]


def secret_file(study: Path, secret: Path | None) -> Path:
    """The file of a study's secret: the one that was given, or the one beside the folder."""
    return secret or study.with_name(f"{study.resolve().name}.secret")
