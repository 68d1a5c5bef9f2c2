"""Options that commands share, and the runs and models that they name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from htbench.core import registry
from htbench.core.errors import UnknownName, UsageError

Out = Annotated[Path, typer.Option(help="Folder that runs are kept in.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="Lines of JSON on stdout, for machines.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr what is being done.")]
Weights = Annotated[
    str | None,
    typer.Option(
        help="The model's weights: hub, as htbench fetch gets them; random: its architecture "
        "without what it learnt; or a folder."
    ),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(help="How the model is loaded: size=512, dtype=bfloat16; repeat for several."),
]
RunName = Annotated[str, typer.Argument(help="Folder of a run, or its name below --out.")]


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A model that a command names: checked at once, loaded when its work begins."""

    name: str
    load_options: dict[str, str]

    def load(self, device: str | None) -> Any:
        """The model on `device`; None: on the GPU if there is one.

        Raises:
            UsageError: if there is no such device, or the model has no such options.
            Missing: without the model's weights, or without the memory for them.
        """
        from htbench.core import device as devices

        return registry.load_model(self.name, devices.choose(device), self.load_options)


def choose_model(name: str, weights: str | None, model_option: Sequence[str] | None) -> ModelChoice:
    """The model of --model, --weights and --model-option.

    Raises:
        UnknownName: if there is none of that name.
        UsageError: if an option has no value.
    """
    registry.check("models", name)
    return ModelChoice(name=name, load_options=load_options(weights, model_option))


def load_options(weights: str | None, options: Sequence[str] | None) -> dict[str, str]:
    """Settings to load a model with, by name, from --weights and --model-option."""
    values: dict[str, str] = {}
    for option in options or ():
        name, _, value = option.partition("=")
        if not (name.strip() and value.strip()):
            raise UsageError(
                f"--model-option {option[:60]!r} is not an option",
                remedy="Write it as --model-option size=512",
            )
        values[name.strip()] = value.strip()
    return {**values, "weights": weights} if weights else values


def run_folder(run: str, out: Path) -> Path:
    """The folder of the run that a user named.

    Raises:
        UnknownName: if there is none, with the nearest names below `out`.
    """
    for folder in (Path(run), out / run):
        if len(run) < 1000 and (folder / "run.sqlite").is_file():
            return folder
    names = [path.parent.name for path in out.glob("*/run.sqlite")]
    raise UnknownName("run", run, names, remedy="See: htbench list runs")


def parse_numbers(option: str, text: str) -> list[float]:
    """Numbers separated by commas; `0,0.25,...,1` continues in equal steps, up to the last.

    An ellipsis is as good as three dots.
    """
    remedy = f"Write it as --{option} 0,0.5,1 or --{option} 0,0.25,...,1"
    parts = [part.strip().replace("…", "...") for part in text.split(",") if part.strip()]
    try:
        numbers = _expand(parts) if "..." in parts else [float(part) for part in parts]
    except ValueError:
        raise UsageError(
            f"--{option} {text[:60]!r} is not a list of numbers", remedy=remedy
        ) from None
    if not numbers:
        raise UsageError(f"--{option} is empty", remedy=remedy)
    return numbers


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
