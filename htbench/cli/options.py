"""What commands share: options, and where a run is kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from htbench.core.errors import UnknownName, UsageError

Out = Annotated[Path, typer.Option(help="Folder that runs are kept in.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="Lines of JSON on stdout, for machines.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr what is being done.")]
Weights = Annotated[
    str | None,
    typer.Option(
        help="The model's weights: hub, as htbench fetch gets them; random: its architecture without what it learnt; or a folder."
    ),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(help="How the model is loaded: size=512, dtype=bfloat16; repeat for several."),
]
RunName = Annotated[str, typer.Argument(help="Folder of a run, or its name below --out.")]


def load_options(weights: str | None, options: Sequence[str] | None) -> dict[str, str]:
    """How a model is loaded, by option, from --weights and --model-option."""
    given: dict[str, str] = {}
    for option in options or ():
        name, _, value = option.partition("=")
        if not (name.strip() and value.strip()):
            raise UsageError(
                f"--model-option {option[:60]!r} is not an option",
                remedy="Write it as --model-option size=512",
            )
        given[name.strip()] = value.strip()
    return {**given, "weights": weights} if weights else given


def run_folder(run: str, out: Path) -> Path:
    """The folder of the run that a user named.

    Raises:
        UnknownName: if there is none, with the nearest names below `out`.
    """
    found = next(
        (
            folder
            for folder in (Path(run), out / run)
            if len(run) < 1000 and (folder / "run.sqlite").is_file()
        ),
        None,
    )
    if found is None:
        raise UnknownName(
            "run",
            run,
            [path.parent.name for path in out.glob("*/run.sqlite")],
            remedy="See: htbench list runs",
        )
    return found


def parse_numbers(option: str, text: str) -> list[float]:
    """Numbers separated by commas; `0,0.25,...,1` goes on in equal steps, three dots or an ellipsis alike."""
    remedy = f"Write it as --{option} 0,0.5,1 or --{option} 0,0.25,...,1"
    parts = [part.strip().replace("…", "...") for part in text.split(",") if part.strip()]
    try:
        found = _expand(parts) if "..." in parts else [float(part) for part in parts]
    except ValueError:
        raise UsageError(
            f"--{option} {text[:60]!r} is not a list of numbers", remedy=remedy
        ) from None
    if not found:
        raise UsageError(f"--{option} is empty", remedy=remedy)
    return found


def _expand(parts: Sequence[str]) -> list[float]:
    """`a, b, ..., z` in full; raises `ValueError` where steps of b - a do not lead from a to z."""
    dots = parts.index("...")
    first, second, last = (
        (float(parts[k]) for k in (dots - 2, dots - 1, dots + 1))
        if 2 <= dots == len(parts) - 2
        else (0.0, 0.0, 1.0)
    )
    steps = round((last - first) / (second - first)) if second != first else 0
    if not 2 <= steps <= 1000 or abs(first + steps * (second - first) - last) > 1e-9:
        raise ValueError(parts)
    return [
        *(float(part) for part in parts[: dots - 2]),
        *(round(first + k * (second - first), 9) for k in range(steps)),
        last,
    ]
