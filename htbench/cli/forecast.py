"""The size of a run in words, before it begins: `htbench run --dry-run`, and one line."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from htbench.run.forecast import RunForecast
    from htbench.run.plan import ResolvedPlan

_LONG_RUN = 60.0
"""Seconds from which a run is announced."""
_MANY_METHODS = 3
"""Methods above which those whose times are unknown are counted, not named."""
_MANY_IMAGES = 100
"""Images from which a run of unknown duration is announced."""


def announce(plan: "ResolvedPlan", folder: Path, *, against: str = "") -> str:
    """A line on the size of a long run and the time that is left of it; empty for a short one."""
    from htbench.report.format import duration
    from htbench.run.forecast import forecast

    expected = forecast(plan, folder=folder, runs=folder.parent, against=against)
    seconds = expected.seconds
    if (expected.images < _MANY_IMAGES) if seconds is None else (seconds < _LONG_RUN):
        return ""
    if seconds is None:
        time = "time not known"
    elif expected.lacking:
        time = f"about {duration(seconds)} and {_lacking_in_short(expected)}"
    else:
        time = f"about {duration(seconds)}"
    fit_seeds = f" × {plan.settings.fit_seeds} fit seeds" if plan.settings.fit_seeds > 1 else ""
    return (
        f"{len(plan.concepts):,} concepts × {len(plan.cards)} methods{fit_seeds}, "
        f"{expected.images:,} images to make, {time} on one worker; "
        "Ctrl-C is safe: the same command continues"
    )


def print_forecast(
    plan: "ResolvedPlan", folder: Path, runs: Path, *, as_json: bool, against: str = ""
) -> None:
    """Print the work, time and disk space that a run takes."""
    from htbench.core.display import print_json
    from htbench.run.forecast import forecast

    expected = forecast(plan, folder=folder, runs=runs, against=against)
    if as_json:
        print_json(folder=str(folder), **asdict(expected))
        return
    typer.echo(f"Folder: {folder}\nCells: {expected.cells:,}\nImages to make: {expected.images:,}")
    if expected.tuning_concepts:
        typer.echo(
            f"Of these, to choose strengths on {expected.tuning_concepts} dev concepts: "
            f"{expected.tuning_cells:,} cells, {expected.tuning_images:,} images"
        )
    if expected.seconds is None:
        model = plan.settings.model
        typer.echo(f"Time and disk: not known, since no run in {runs} has used {model}")
        return
    _print_time(expected)


def _lacking_in_short(expected: "RunForecast") -> str:
    """The parts of the work of which no seconds are known; of many methods, their number."""
    *parts, last = expected.lacking
    if len(expected.unknown) > _MANY_METHODS:
        last = f"learning of {len(expected.unknown)} more methods"
    return " and ".join(f"the {part}" for part in [*parts, last])


def _print_time(expected: "RunForecast") -> None:
    from htbench.report.format import duration

    parts = ", ".join(f"{name} {duration(value)}" for name, value in expected.stages.items())
    typer.echo(f"Time: about {duration(expected.seconds or 0.0)} of one worker ({parts})")
    if expected.lacking:
        typer.echo(f"Not known, since no earlier run timed it: {', '.join(expected.lacking)}")
    disk = "not known" if expected.bytes is None else f"about {expected.bytes / 1e6:,.0f} MB"
    typer.echo(f"Disk: {disk}\nFrom: {', '.join(expected.basis)}")
