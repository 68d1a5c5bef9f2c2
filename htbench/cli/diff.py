"""`htbench diff`: two runs compared cell by cell."""

import math
from dataclasses import asdict
from pathlib import Path

import typer

from htbench.cli.options import Json, Out, RunName, run_folder


def diff(first: RunName, second: RunName, out: Out = Path("runs"), as_json: Json = False) -> None:
    """Compare two runs cell by cell: mean differences, second minus first, with 95 % intervals that resample concepts."""
    from htbench.core.display import print_json, printable
    from htbench.run.diff import compare_runs
    from htbench.run.store import Store
    from htbench.run.summary import METRICS, Summary

    with Store.read(run_folder(first, out)) as before, Store.read(run_folder(second, out)) as after:
        found = compare_runs(Summary(before), Summary(after))
    if as_json:
        for change in found.changes:
            print_json(event="change", **asdict(change))
        print_json(
            event="end",
            settings=found.settings,
            paired=found.paired,
            only_first=found.only_first,
            only_second=found.only_second,
        )
        return
    for name, (one, two) in found.settings.items():
        typer.echo(f"{name}: {printable(one, max_length=100)} -> {printable(two, max_length=100)}")
    typer.echo(
        f"Cells in both: {found.paired:,}; only in the first: {found.only_first:,}; only in the second: {found.only_second:,}"
    )
    for change in found.changes:
        estimate, name = change.estimate, printable(change.method, max_length=40)
        interval = (
            "one concept, no interval"
            if math.isnan(estimate.low)
            else f"[{estimate.low:+.4f}, {estimate.high:+.4f}]"
        )
        typer.echo(
            f"{name:<22} {change.strength:<5g} {METRICS[change.metric]:<20} {estimate.mean:+.4f} {interval:<22} "
            f"{estimate.n} concepts, {change.pairs} pairs, {change.same_images} of the same image"
        )
