"""The summary at the end of a run, for a terminal."""

import math

from rich.console import Console
from rich.table import Table

from htbench.chart import duration
from htbench.leaderboard import METRICS, Cost, Summary
from htbench.stats import Estimate
from htbench.store import Store


def show(store: Store) -> bool:
    """Print the leaderboard and the cost table to stdout; gives whether every planned cell is done."""
    summary = Summary(store)
    console = Console(width=None if Console().is_terminal else 140)
    console.print(_scores(summary))
    console.print(_costs(summary))
    complete = summary.done == len(summary.rows)
    for problem, count in summary.problems.items():
        console.print(f"{count} cells failed: {problem}", markup=False)
    console.print(f"Cells done: {summary.done}/{len(summary.rows)}", highlight=False)
    return complete


def _scores(summary: Summary) -> Table:
    table = Table(title="Mean over concepts with 95 % interval", title_justify="left", show_edge=False)
    for column in ("Method", "Strength", *METRICS.values(), "Done"):
        table.add_column(column, justify="left" if column == "Method" else "right")
    for line in summary.leaderboard:
        cells = [_interval(line.scores[metric]) for metric in METRICS]
        table.add_row(line.method, f"{line.strength:g}", *cells, f"{line.done}/{line.planned}")
    return table


def _interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    around = "" if math.isnan(estimate.low) else f" [{estimate.low:.3f}, {estimate.high:.3f}]"
    return f"{estimate.mean:.3f}{around}"


def _costs(summary: Summary) -> Table:
    table = Table(title=f"Time a concept, and the speed-up against {summary.slowest or 'nothing'}", title_justify="left", show_edge=False)
    for column in ("Method", "Training C", "A concept", "n", "S", "S(1)", "S(10)", "S(100)", "N*"):
        table.add_column(column, justify="left" if column == "Method" else "right")
    for cost in summary.costs:
        if cost.method != "none":
            table.add_row(*_cost(cost))
    return table


def _cost(cost: Cost) -> list[str]:
    sample, saving = cost.concept, cost.amortisation
    times = [duration(cost.training) if cost.training else "0", duration(sample.median) if sample else "-", str(sample.n) if sample else "0"]
    if saving is None:
        return [cost.method, *times, "", "", "", "", ""]
    ratios = [f"{saving.speedup(images):.3g}x" for images in (0, 1, 10, 100)]
    return [cost.method, *times, *ratios, "never" if math.isinf(saving.break_even) else f"{saving.break_even:.1f}"]
