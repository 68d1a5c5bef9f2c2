"""Options that commands share, and the runs and models that they name."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from htbench.core import registry
from htbench.core.errors import UnknownName, UsageError

RUNS_DIR = Path("runs")
"""Folder where runs are, unless a command is told another."""
MACHINE, OUTPUT = "Machine", "Output"
"""Panels of help pages."""

RunsDir = Annotated[
    Path,
    typer.Option(
        "--runs-dir",
        envvar="HTBENCH_RUNS",
        metavar="FOLDER",
        help="Folder where runs are; also HTBENCH_RUNS.",
        rich_help_panel=OUTPUT,
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print lines of JSON, for programs.", rich_help_panel=OUTPUT),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Say on stderr what is being done.", rich_help_panel=OUTPUT
    ),
]
Wide = Annotated[
    bool,
    typer.Option(
        "--wide",
        help="Print every score with its interval, as on terminals of 120 columns and more.",
        rich_help_panel=OUTPUT,
    ),
]
Open = Annotated[
    bool,
    typer.Option("--open", help="Open the report in the browser.", rich_help_panel=OUTPUT),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="WHERE",
        help="Weights of the model: `hub`, as htbench fetch downloads them; `random`, untrained; "
        "`tiny`, untrained and with few channels, to rehearse on any machine; or a folder.",
        rich_help_panel=MACHINE,
    ),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model-option",
        metavar="NAME=VALUE",
        help="How the model is loaded: size=512, dtype=bfloat16. Repeatable.",
        rich_help_panel=MACHINE,
    ),
]
ModelName = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Text-to-image model by name, or ./card.toml; see htbench list models."
    ),
]
ConceptSetName = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Concept set, shipped or your own file; see htbench list concepts."
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="cpu, cuda or cuda:1.",
        show_default="the GPU if there is one",
        rich_help_panel=MACHINE,
    ),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        envvar="HF_ENDPOINT",
        metavar="ADDRESS",
        help="Address of the model hub; also HF_ENDPOINT.",
        show_default="that of huggingface_hub",
        rich_help_panel=MACHINE,
    ),
]
MethodCard = Annotated[
    str,
    typer.Argument(metavar="METHOD", help="Name of a method, or the path of its card."),
]
RunOrBundle = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Name of a run, or the path of its folder or of a bundle."),
]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="Name of a run, or the path of its folder.")
]


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


def run_folder(run: str, runs_dir: Path) -> Path:
    """The folder of the run that a user named.

    Raises:
        UnknownName: if there is none, with the nearest names in `runs_dir`.
    """
    for folder in (Path(run), runs_dir / run):
        if len(run) < 1000 and (folder / "run.sqlite").is_file():
            return folder
    names = [path.parent.name for path in runs_dir.glob("*/run.sqlite")]
    raise UnknownName("run", run, names, remedy="See: htbench list runs")


@contextmanager
def open_run(run: str, runs_dir: Path) -> Iterator[Path]:
    """The folder of the run or the bundle that a user named; that of a bundle is temporary.

    Raises:
        UnknownName: if there is neither.
        Refused: if a bundle is not as it was packed.
    """
    from htbench.bundles.archive import is_bundle

    if len(run) < 1000 and is_bundle(Path(run)):
        from htbench.bundles.unpack import unpacked

        with unpacked(Path(run)) as folder:
            yield folder
    else:
        yield run_folder(run, runs_dir)


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


def parse_wordings(text: str) -> list[str]:
    """Names of wordings separated by commas."""
    from htbench.steering.wording import WORDINGS

    named = [part.strip() for part in text.split(",") if part.strip()]
    for name in named:
        if name not in WORDINGS:
            remedy = f"Wordings are {', '.join(WORDINGS)}."
            raise UnknownName("wording", name, WORDINGS, remedy=remedy)
    if not named:
        raise UsageError("--wording is empty", remedy="Write it as --wording canonical,synonym")
    return named


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
