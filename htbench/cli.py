"""The command line: `htbench run | report | list`."""

import errno
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from htbench import plan as plans
from htbench import registry
from htbench.errors import HtbenchError, Missing, UnknownName, UsageError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Benchmark activation steering of text-to-image models: how good, and how much cheaper, is amortised steering?",
)  # fmt: skip
Out = Annotated[Path, typer.Option(help="Folder that runs are kept in.", show_default=True)]


@app.command()
def run(
    plan: Annotated[str | None, typer.Argument(help="A shipped plan such as quickstart, or a TOML file; options override it.")] = None,
    model: Annotated[str | None, typer.Option(help="See: htbench list models")] = None,
    method: Annotated[list[str] | None, typer.Option(help="A baseline or the path of its card; repeat for several.")] = None,
    concepts: Annotated[str | None, typer.Option(help="Split (train, dev, test) or concept ids, separated by commas.")] = None,
    concept_set: Annotated[str | None, typer.Option(help="See: htbench list concepts")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many concepts.")] = None,
    strength: Annotated[str | None, typer.Option(help="Strengths separated by commas: 0,0.5,1")] = None,
    prompts: Annotated[int | None, typer.Option(help="Evaluation prompts a concept.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Images a prompt.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images generated at once.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of learning and resampling.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:1; the GPU if there is one.")] = None,
    out: Out = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Folder of this run below --out; from the plan if not given.")] = None,
    allow_leak: Annotated[bool, typer.Option("--allow-leak", help="Run methods on concepts that they were trained on; the report says so.")] = False,
) -> None:
    """Run methods on concepts, score the images and write the report; the same command again continues where it stopped."""
    options: dict[str, object] = {
        "model": model, "methods": method, "concepts": concepts, "concept_set": concept_set, "limit": limit, "prompts": prompts, "seeds": seeds,
        "batch": batch, "seed": seed, "strengths": None if strength is None else _numbers("strength", strength),
    }  # fmt: skip
    chosen = plans.build(plans.read(plan) if plan else {}, options)
    plans.check(chosen)
    folder = out / (name or _name(plan, options, chosen))
    from htbench import report, runner

    runner.run(chosen, folder, device=device, allow_leak=allow_leak)
    raise typer.Exit(_finish(folder, report.write(folder)))


@app.command()
def report(run: Annotated[str, typer.Argument(help="Folder of a run, or its name below --out.")], out: Out = Path("runs")) -> None:
    """Write the HTML report of a run, finished or not; needs neither GPU nor network."""
    from htbench import report

    folder = Path(run) if Path(run).is_dir() else out / run
    if not folder.is_dir():
        known = [path.parent.name for path in out.glob("*/run.sqlite")]
        raise UnknownName("run", run, known, remedy="See: htbench list runs")
    raise typer.Exit(_finish(folder, report.write(folder)))


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help="methods, models, encoders, concepts, plans or runs")], out: Out = Path("runs")) -> None:
    """List what there is, a line each."""
    listings: dict[str, Callable[[], list[tuple[str, str]]]] = {
        "methods": lambda: [(name, card.summary) for name, card in registry.cards().items()],
        "models": lambda: [(name, entry.value) for name, entry in sorted(registry.plugins("models").items())],
        "encoders": lambda: [(name, entry.value) for name, entry in sorted(registry.plugins("encoders").items())],
        "concepts": _concepts,
        "plans": lambda: [(name, f"htbench run {name}") for name in plans.names()],
        "runs": lambda: [(path.parent.name, str(path.parent)) for path in sorted(out.glob("*/run.sqlite"))],
    }
    if what not in listings:
        raise UnknownName("list", what, listings)
    rows = listings[what]()
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        typer.echo(f"{name:<{width}}  {text}")


def main() -> None:
    """Entry point: a user's mistake is two lines on stderr and an exit code, a bug is a traceback."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app(prog_name="htbench")
    except HtbenchError as error:
        _fail(error)
    except _Interrupted:
        sys.stderr.write("htbench: interrupted; what was finished is kept\nThe same command continues.\n")
        sys.exit(130)
    except (OSError, sqlite3.OperationalError) as error:
        if getattr(error, "errno", None) != errno.ENOSPC and "full" not in str(error):
            raise
        _fail(Missing("no space left on the disk; what was finished is kept", remedy="Make room; the same command continues."))


class _Interrupted(BaseException):
    """Ctrl-C, under a name that the command-line library does not answer with exit code 1."""


def _interrupt(*_: object) -> None:
    raise _Interrupted


def _fail(error: HtbenchError) -> None:
    sys.stderr.write(f"htbench: {error}\n" + (f"{error.remedy}\n" if error.remedy else ""))
    sys.exit(error.exit_code)


def _numbers(option: str, text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UsageError(f"--{option} {text[:60]!r} is not a list of numbers", remedy=f"Write it as --{option} 0,0.5,1") from None
    if not numbers:
        raise UsageError(f"--{option} is empty", remedy=f"Write it as --{option} 0,0.5,1")
    return numbers


def _name(plan: str | None, options: dict[str, object], chosen: plans.Plan) -> str:
    """A plan's own name if it is run as it stands; else one that differs when the settings do."""
    from htbench import content

    start = Path(plan).stem if plan else chosen.model
    return start if plan and all(value is None for value in options.values()) else f"{start}-{content.digest(chosen.model_dump(mode='json'))[:8]}"


def _concepts() -> list[tuple[str, str]]:
    from htbench import concept

    sets = [concept.load(name) for name in concept.names()]
    return [(each.name, f"version {each.version}: " + ", ".join(f"{len(each.splits[split])} {split}" for split in concept.SPLITS)) for each in sets]


def _finish(folder: Path, page: Path) -> int:
    """Print the table; 3 if cells are missing."""
    from htbench import table
    from htbench.store import Store

    with Store.read(folder) as store:
        complete = table.show(store)
    sys.stdout.write(f"Report: {os.path.relpath(page)}\n")
    return 0 if complete else 3


if __name__ == "__main__":
    main()
