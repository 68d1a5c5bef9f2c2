"""Scores by scorers that are no encoders: a table each, never mixed with the leaderboard's."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from htbench.core.display import print_json, printable, stdout_console
from htbench.core.types import strength_of
from htbench.report import format
from htbench.run.fact_table import ScorerFacts
from htbench.run.summary import MAX_MISSING, Summary
from htbench.stats import estimates
from htbench.stats.families import FamiliesByConcept


@dataclass(frozen=True, kw_only=True)
class MethodScore:
    """One method at full strength."""

    method: str
    strength: float
    estimate: estimates.Estimate | None
    """None without scores, and where more than 2 % of the cells failed."""
    done: int
    planned: int
    """Numbers of cells."""
    failed: int = 0
    """Number of cells without an image, each of which has the worst score of the run."""


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """The scores by one scorer."""

    name: str
    summary: str
    better: str
    """`higher` or `lower`."""
    against: str
    version: str
    weights: str
    licence: str
    paper: str
    command: str
    lines: list[MethodScore]
    done: int
    planned: int
    reasons: dict[str, int]
    """Numbers of pictures without a score, by reason."""

    @property
    def title(self) -> str:
        """The name with the direction, without which a number says nothing."""
        return f"{self.name}: {self.better} is better"


def collect(summary: Summary) -> list[ScoreTable]:
    """A table per scorer, methods in the order of the plan."""
    return [_score_table(summary, fact) for fact in summary.facts.gauges if fact.stored]


def show(tables: list[ScoreTable]) -> None:
    """Print the tables to stdout."""
    console = stdout_console()
    for board in tables:
        table = Table(
            title=Text(printable(board.title, max_length=100)),
            title_justify="left",
            show_edge=False,
        )
        for column in ("Method", "Strength", printable(board.name, max_length=40), "Done"):
            table.add_column(column, justify="left" if column == "Method" else "right")
        for line in board.lines:
            table.add_row(
                Text(printable(line.method, max_length=60)),
                f"{line.strength:g}",
                Text(format.estimate(line.estimate, "{:.4g}".format)),
                f"{line.done}/{line.planned}" + (f", {line.failed} failed" if line.failed else ""),
            )
        console.print(table)
        for reason, number in board.reasons.items():
            console.print(
                f"{number} without a score: {printable(reason, max_length=300)}",
                markup=False,
                highlight=False,
            )


def print_lines(tables: list[ScoreTable]) -> None:
    """Print the tables as lines of JSON."""
    for board in tables:
        print_json(event="gauge", **asdict(board))


def _score_table(summary: Summary, fact: ScorerFacts) -> ScoreTable:
    sums: dict[tuple[str, float], dict[str, tuple[int, float]]] = defaultdict(dict)
    counts: dict[tuple[str, float], int] = defaultdict(int)
    query = """SELECT method, strength, concept, count(value), sum(value), min(value), max(value)
               FROM scores JOIN cells ON id = cell JOIN images ON key = image
               WHERE encoder = ? AND value IS NOT NULL AND file IS NOT NULL
               GROUP BY 1, 2, 3 ORDER BY min(place)"""
    ends: list[float] = []
    for method, strength, concept, number, total, *low_high in summary.store.select(query, fact.id):
        sums[method, strength][concept] = number, total
        counts[method, strength] += number
        ends += low_high
    planned: dict[tuple[str, float], int] = defaultdict(int)
    for (method, strength, _), cells in summary.planned_cells.items():
        planned[method, strength] += cells
    failed: dict[tuple[str, float], dict[str, int]] = defaultdict(dict)
    for (method, strength, concept), cells in summary.failed_cells.items():
        failed[method, strength][concept] = cells
    worst = (max if fact.better == "lower" else min)(ends, default=math.nan)
    rows = [(method, strength_of(method, summary.full_strength)) for method in summary.methods]
    lines = [
        MethodScore(
            method=row[0],
            strength=row[1],
            estimate=_estimate(sums[row], failed[row], worst, planned[row], summary.families),
            done=counts[row],
            planned=planned[row],
            failed=sum(failed[row].values()),
        )
        for row in rows
        if planned[row]
    ]
    return ScoreTable(
        name=fact.name,
        summary=fact.summary,
        better=fact.better,
        against=fact.against,
        version=fact.version,
        weights=fact.weights,
        licence=fact.licence,
        paper=fact.paper,
        command=" ".join(fact.command),
        lines=lines,
        done=sum(counts.values()),
        planned=summary.planned,
        reasons=fact.reasons,
    )


def _estimate(
    sums: Mapping[str, tuple[int, float]],
    failed: Mapping[str, int],
    worst: float,
    planned: int,
    families: FamiliesByConcept,
) -> estimates.Estimate | None:
    """The mean over concepts with each failed cell as the worst score of the run.

    The range of a foreign score is not known, so with many failures there is no mean.
    """
    if not sums or sum(failed.values()) > MAX_MISSING * planned:
        return None
    means = {}
    for concept in dict.fromkeys([*sums, *failed]):
        scored, total = sums.get(concept, (0, 0.0))
        failures = failed.get(concept, 0)
        means[concept] = [(total + worst * failures if failures else total) / (scored + failures)]
    return estimates.over_concepts(means, families)
