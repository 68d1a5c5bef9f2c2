"""`htbench check RUN`, `htbench diff`, `htbench export`: finished and half-finished runs looked at from outside."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import Json, Out, RunName, run_folder
from htbench.errors import Refused, UnknownName


def check(
    run: RunName,
    out: Out = Path("runs"),
    quick: Annotated[bool, typer.Option("--quick", help="Do not read the images, only look whether they are there.")] = False,
    as_json: Json = False,
) -> None:
    """Check a run: what is done, missing, failed or stale, and whether every file is what was written.

    Exit code 3 if cells are missing, 5 if anything is damaged.
    """
    from htbench import integrity
    from htbench.voice import plain, print_json

    folder = run_folder(run, out)
    found = integrity.check(folder, hashes=not quick)
    if as_json:
        print_json(run=str(folder), **asdict(found))
    else:
        parts = {"failed": found.failed, "not made yet": found.pending, "not scored yet": found.unscored}
        rest = "".join(f", {number:,} {what}" for what, number in parts.items() if number)
        typer.echo(f"Cells: {found.done:,}/{found.planned:,} done{rest}\nImages: {found.images:,} {'there' if quick else 'read'}")
        for finding in found.findings:
            typer.echo(f"{finding.kind}: {plain(finding.what, longest=300)}")
    if found.damaged:
        raise Refused(f"run {str(folder)!r} is damaged", remedy="Delete the images named above; then the command of the run makes them again.")
    raise typer.Exit(0 if found.done == found.planned else 3)


def diff(first: RunName, second: RunName, out: Out = Path("runs"), as_json: Json = False) -> None:
    """Compare two runs cell by cell: mean differences, second minus first, with 95 % intervals that resample concepts."""
    from htbench.difference import difference
    from htbench.leaderboard import METRICS, Summary
    from htbench.store import Store
    from htbench.voice import plain, print_json

    with Store.read(run_folder(first, out)) as before, Store.read(run_folder(second, out)) as after:
        found = difference(Summary(before), Summary(after))
    if as_json:
        for change in found.changes:
            print_json(event="change", **asdict(change))
        print_json(event="end", settings=found.settings, paired=found.paired, only_first=found.only_first, only_second=found.only_second)
        return
    for name, (one, two) in found.settings.items():
        typer.echo(f"{name}: {plain(one, longest=100)} -> {plain(two, longest=100)}")
    typer.echo(f"Cells in both: {found.paired:,}; only in the first: {found.only_first:,}; only in the second: {found.only_second:,}")
    for change in found.changes:
        estimate, name = change.estimate, plain(change.method, longest=40)
        interval = "one concept, no interval" if math.isnan(estimate.low) else f"[{estimate.low:+.4f}, {estimate.high:+.4f}]"
        typer.echo(
            f"{name:<22} {change.strength:<5g} {METRICS[change.metric]:<20} {estimate.mean:+.4f} {interval:<22} "
            f"{estimate.n} concepts, {change.pairs} pairs, {change.same_images} of the same image"
        )


def export(
    run: RunName,
    to: Annotated[str, typer.Option(help="parquet: tables of cells, scores and timings; datasets: a folder for Hugging Face datasets, with the images.")],
    out: Out = Path("runs"),
    into: Annotated[Path | None, typer.Option(help="New or empty folder; RUN/parquet or RUN/datasets if not given.")] = None,
) -> None:
    """Write a run as Parquet files or as a data set with its images."""
    from htbench import export
    from htbench.leaderboard import Summary
    from htbench.store import Store

    if to not in ("parquet", "datasets"):
        raise UnknownName("form", to, ["parquet", "datasets"])
    folder = run_folder(run, out)
    with Store.read(folder) as store:
        for path in export.write(Summary(store), into or folder / to, "parquet" if to == "parquet" else "datasets"):
            typer.echo(path)
