"""The summary at the end of a run, for a terminal."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from htbench.core.display import print_json, printable, stdout_console
from htbench.core.types import UNSTEERED, encoder_name
from htbench.report import leaderboard_files
from htbench.report.format import duration, estimate, fit_seed_spread, interval_basis
from htbench.report.sections import equal_preservation, kinds, speed, strengths
from htbench.report.sections.equal_preservation import EqualPreservation
from htbench.report.speed_up import COLUMNS, saving_cells
from htbench.run.costs import MethodCost
from htbench.run.summary import HEADLINE, METRICS, LeaderboardRow, Summary

_CIRCULAR = "°"


def show(summary: Summary) -> None:
    """Print the leaderboard, the cost table and what is missing to stdout."""
    console = stdout_console()
    console.print(
        _scores(
            summary.leaderboard, f"Mean over concepts with 95 % interval, by {_scorer(summary)}"
        )
    )
    _print_lines(console, interval_basis(row.headline for row in summary.leaderboard))
    matched = equal_preservation.collect(summary)
    console.print(_beside_strength_1(summary, matched))
    _print_lines(
        console,
        *(f"{own.method} {own.note}" for own in matched.methods if own.note),
        f"Gain at equal image preservation needs two strengths above 0: {matched.advice}"
        if matched.advice
        else "",
    )
    if summary.tuned:
        console.print(
            _scores(
                summary.tuned,
                "At the strength chosen on dev concepts; regret: gain less the best gain that "
                f"keeps {strengths.preservation_floor(summary):g} of the image",
                more={"Regret": {line.method: _regret(summary, line) for line in summary.tuned}},
            )
        )
    console.print(_costs(summary))
    for cost in summary.costs:
        if cost.comparisons:
            console.print(
                printable(speed.verdict(cost), max_length=2000), markup=False, highlight=False
            )
    for line in summary.leaderboard:
        if line.method != UNSTEERED and line.unranked and not line.circular:
            console.print(
                f"{printable(line.method)} is not ranked: {line.unranked}{_bounds(line)}",
                markup=False,
                highlight=False,
            )
    for line in summary.leaderboard:
        if sentence := fit_seed_spread(line.headline):
            console.print(f"{printable(line.method)}: {sentence}", markup=False, highlight=False)
    if any(line.circular for line in summary.leaderboard):
        console.print(
            f"{_CIRCULAR} reads concepts with the encoder that scores here: listed, not ranked",
            markup=False,
            highlight=False,
        )
    for problem in summary.failures:
        console.print(
            f"{problem.cells} cells failed: {printable(problem.message, max_length=300)}",
            markup=False,
            highlight=False,
        )
    for method, flaws in summary.blank_images.items():
        if shown := ", ".join(f"{number} {flaw}" for flaw, number in flaws.items() if number):
            console.print(
                f"{printable(method)} has cells with nothing to see: {shown}",
                markup=False,
                highlight=False,
            )
    console.print(f"Cells done: {summary.done}/{summary.planned}", highlight=False)
    done, planned = (sum(cells.values()) for cells in (summary.done_cells, summary.planned_cells))
    if planned > summary.planned:
        further = f"{done - summary.done}/{planned - summary.planned}"
        console.print(f"Cells done at further fit seeds: {further}", highlight=False)


def print_lines(summary: Summary, page: Path) -> None:
    """Print the figures of `show` as lines of JSON."""
    for board, lines in (("leaderboard", summary.leaderboard), ("tuned", summary.tuned)):
        for line in lines:
            print_json(event=board, **asdict(line))
    for row in leaderboard_files.headlines(summary):
        print_json(event="headline", **row)
    for cost in summary.costs:
        print_json(event="cost", **cost.facts())
    for problem in summary.failures:
        print_json(event="problem", **asdict(problem))
    print_json(
        event="end",
        done=summary.done,
        planned=summary.planned,
        flaws=summary.blank_images,
        report=str(page),
    )


def _scorer(summary: Summary) -> str:
    return printable(encoder_name(summary.scorer) or "an unknown encoder", max_length=60)


def _print_lines(console: Console, *lines: str) -> None:
    for line in lines:
        if line:
            console.print(printable(line, max_length=600), markup=False, highlight=False)


def _beside_strength_1(summary: Summary, matched: EqualPreservation) -> Table:
    """Gain with equal weight for every kind, and where equally much of the image is kept."""
    table = Table(
        title=Text("Concept gain with equal weight for kinds, and at equal image preservation"),
        title_justify="left",
        show_edge=False,
    )
    kept = f"Where {matched.level:g} is kept"
    for column in ("Method", "Mean of kinds", "Near the floor", kept, "Rank", "Tier", "Strength"):
        table.add_column(column, justify="left" if column == "Method" else "right")
    for line in summary.leaderboard:
        macro, own = kinds.macro_mean(summary, line.method, line.strength), matched.get(line.method)
        if line.method == UNSTEERED or not macro:
            continue
        place, found = (own.rank, own.matched) if own else (None, None)
        floor = "" if macro.near_floor is None else f"{macro.near_floor} of {macro.gain.n}"
        table.add_row(
            _name(line.method),
            Text(estimate(macro.gain, "{:.3f}".format)),
            floor,
            Text(estimate(found.gain if found else None, "{:.3f}".format)),
            place.rank_range if place else "-",
            str(place.tier) if place else "-",
            f"{found.strength:.2f}" if found else "-",
        )
    return table


def _regret(summary: Summary, line: LeaderboardRow) -> str:
    found, kept = strengths.regret(summary, line.method), line.scores["image_preservation"]
    below = kept and kept.mean < strengths.preservation_floor(summary)
    number = f"{found.value:+.3f}" if found else "-"
    return f"{number}, does not keep it" if below else number


def _scores(
    lines: list[LeaderboardRow], title: str, more: Mapping[str, Mapping[str, str]] | None = None
) -> Table:
    """The table of a leaderboard, with `more` columns of text by method."""
    more = more or {}
    table = Table(title=Text(title), title_justify="left", show_edge=False)
    for column in ("Method", "Strength", *METRICS.values(), *more, "Done"):
        table.add_column(column, justify="left" if column == "Method" else "right")
    for line in lines:
        cells = [Text(estimate(line.scores[metric], "{:.3f}".format)) for metric in METRICS]
        table.add_row(
            _name(line.method) + (_CIRCULAR if line.circular else ""),
            f"{line.strength:g}",
            *cells,
            *(texts[line.method] for texts in more.values()),
            f"{line.done}/{line.planned}",
        )
    return table


def _name(method: str) -> Text:
    return Text(printable(method, max_length=60))


def _bounds(line: LeaderboardRow) -> str:
    """The headline with failed cells as the worst and as the best values."""
    best = line.best_case[HEADLINE]
    if best is None or line.headline is None:
        return ""
    ends = f"{line.headline.mean:.3f} to {best:.3f}"
    return (
        f"; with failed cells as the worst and as the best, {METRICS[HEADLINE].lower()} is {ends}"
    )


def _costs(summary: Summary) -> Table:
    title = "Time a concept, and the speed-up of trained methods"
    table = Table(title=Text(title), title_justify="left", show_edge=False)
    for column in ("Method", "Training C", "A concept", "against", *COLUMNS, "Timed"):
        table.add_column(column, justify="left" if column in ("Method", "against") else "right")
    for cost in summary.costs:
        if cost.method != UNSTEERED:
            for k, (fit, *cells) in enumerate(_comparisons(cost)):
                timed = f"{cost.concept.n if cost.concept else 0}/{summary.concepts}"
                first = [_name(cost.method), *_times(cost)] if k == 0 else ["", "", ""]
                table.add_row(*first, fit, *cells, timed if k == 0 else "")
    return table


def _times(cost: MethodCost) -> list[str]:
    tuning = f" (tuning {duration(cost.tuning)})" if cost.tuning else ""
    return [
        duration(cost.training) + tuning if cost.training else "0",
        duration(cost.concept.median) if cost.concept else "-",
    ]


def _comparisons(cost: MethodCost) -> list[list[str]]:
    """The fit and the cells of every comparison; one row of empty cells where there is none."""
    rows = [
        [
            printable(f"{each.fit} ({each.rule})", max_length=60),
            *(
                cell.value
                for cell in saving_cells(
                    each.saving.point_estimate, ratio="{:.3g}x".format, count="{:.1f}".format
                )
            ),
        ]
        for each in cost.comparisons
    ]
    return rows or [[""] * (1 + len(COLUMNS))]
