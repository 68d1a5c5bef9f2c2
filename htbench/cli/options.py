"""What commands share: options, and where a run is kept."""

from pathlib import Path
from typing import Annotated

import typer

from htbench.errors import UnknownName, UsageError

Out = Annotated[Path, typer.Option(help="Folder that runs are kept in.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="Lines of JSON on stdout, for machines.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr what is being done.")]
RunName = Annotated[str, typer.Argument(help="Folder of a run, or its name below --out.")]


def run_folder(run: str, out: Path) -> Path:
    """The folder of the run that a user named.

    Raises:
        UnknownName: if there is none, with the nearest names below `out`.
    """
    found = next((folder for folder in (Path(run), out / run) if len(run) < 1000 and (folder / "run.sqlite").is_file()), None)
    if found is None:
        raise UnknownName("run", run, [path.parent.name for path in out.glob("*/run.sqlite")], remedy="See: htbench list runs")
    return found


def numbers(option: str, text: str) -> list[float]:
    """Numbers separated by commas."""
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UsageError(f"--{option} {text[:60]!r} is not a list of numbers", remedy=f"Write it as --{option} 0,0.5,1") from None
    if not found:
        raise UsageError(f"--{option} is empty", remedy=f"Write it as --{option} 0,0.5,1")
    return found
