"""`htbench diff`: two runs compared cell by cell."""

import math
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from htbench.cli.options import RUNS_DIR, Json, RunOrBundle, RunsDir, open_run

if TYPE_CHECKING:
    from htbench.run.diff import RunDiff


def diff(
    first: RunOrBundle, second: RunOrBundle, runs_dir: RunsDir = RUNS_DIR, as_json: Json = False
) -> None:
    """Compare two runs cell by cell: whether they are identical, else mean differences, second
    minus first, with 95 % intervals that resample concepts.
    """
    from htbench.core.display import print_json
    from htbench.run.diff import compare_runs
    from htbench.run.store import Store
    from htbench.run.summary import Summary

    with (
        open_run(first, runs_dir) as one,
        open_run(second, runs_dir) as two,
        Store.read(one) as before,
        Store.read(two) as after,
    ):
        result = compare_runs(Summary(before), Summary(after))
    if as_json:
        for change in result.changes:
            print_json(event="change", **asdict(change))
        print_json(
            event="end",
            summary=result.sentence,
            identical=result.identical,
            settings=result.settings,
            paired=result.paired,
            only_first=result.only_first,
            only_second=result.only_second,
        )
        return
    _print_diff(result)


def _print_diff(result: "RunDiff") -> None:
    from htbench.core.display import printable
    from htbench.report.format import concept_count
    from htbench.run.summary import METRICS

    typer.echo(result.sentence)
    if result.only_first or result.only_second:
        typer.echo(
            f"Cells only in the first run: {result.only_first:,}; only in the second: "
            f"{result.only_second:,}"
        )
    for name, (one, two) in result.settings.items():
        typer.echo(f"{name}: {printable(one, max_length=100)} -> {printable(two, max_length=100)}")
    has_wordings = any(change.wording != "canonical" for change in result.changes)
    for change in result.changes:
        estimate, name = change.estimate, printable(change.method, max_length=40)
        wording = f"{change.wording:<10} " if has_wordings else ""
        interval = (
            "too few independent concepts, no interval"
            if math.isnan(estimate.low)
            else f"[{estimate.low:+.4f}, {estimate.high:+.4f}]"
        )
        typer.echo(
            f"{name:<22} {change.strength:<5g} {wording}{METRICS[change.metric]:<20} "
            f"{estimate.mean:+.4f} {interval:<22} "
            f"{concept_count(estimate)}, {change.pairs} pairs, "
            f"{change.same_images} of the same image"
            + (f", {change.failed} with a failed cell" if change.failed else "")
        )
