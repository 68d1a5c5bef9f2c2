"""What gauges read, as numbers: from the store alone, beside the leaderboard's scores and never mixed with them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from htbench.core.display import print_json, printable
from htbench.core.types import strength_of
from htbench.run.summary import Summary
from htbench.stats import estimates


@dataclass(frozen=True, kw_only=True)
class MethodScore:
    """One method at full strength."""

    method: str
    strength: float
    estimate: estimates.Estimate | None
    done: int
    planned: int
    """Cells."""


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """All that one gauge read."""

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
    """Why pictures have no score, by how many."""

    @property
    def title(self) -> str:
        """With the direction, without which a number says nothing."""
        return f"{self.name}: {self.better} is better"


def collect(summary: Summary) -> list[ScoreTable]:
    """A board a gauge, methods in the order of the plan."""
    return [
        _score_table(summary, fact)
        for fact in summary.facts.get("gauges", [])
        if isinstance(fact, dict)
    ]


def show(tables: list[ScoreTable]) -> None:
    """Print them to stdout."""
    console = Console(width=None if Console().is_terminal else 140)
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
                _interval(line.estimate),
                f"{line.done}/{line.planned}",
            )
        console.print(table)
        for reason, number in board.reasons.items():
            console.print(
                f"{number} without a score: {printable(reason, max_length=300)}",
                markup=False,
                highlight=False,
            )


def print_lines(tables: list[ScoreTable]) -> None:
    """The same as lines of JSON."""
    for board in tables:
        print_json(event="gauge", **asdict(board))


def _interval(estimate: estimates.Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate.mean:.4g}" + (
        f" \\[{estimate.low:.4g}, {estimate.high:.4g}]" if estimate.low == estimate.low else ""
    )


def _score_table(summary: Summary, fact: Mapping[str, Any]) -> ScoreTable:
    means: dict[tuple[str, float], dict[str, list[float]]] = defaultdict(dict)
    counts: dict[tuple[str, float], int] = defaultdict(int)
    query = """SELECT method, strength, concept, count(value), avg(value) FROM scores JOIN cells ON id = cell JOIN images ON key = image
               WHERE encoder = ? AND value IS NOT NULL AND file IS NOT NULL GROUP BY 1, 2, 3 ORDER BY min(place)"""
    for method, strength, concept, number, mean in summary.store.select(query, str(fact.get("id"))):
        means[method, strength][concept] = [mean]
        counts[method, strength] += number
    planned: dict[tuple[str, float], int] = defaultdict(int)
    for (method, strength, _), cells in summary.planned_cells.items():
        planned[method, strength] += cells
    at = [(method, strength_of(method, summary.full_strength)) for method in summary.methods]
    lines = [
        MethodScore(method=key[0], strength=key[1], estimate=estimates.over_concepts(means[key]), done=counts[key], planned=planned[key])
        for key in at
        if planned[key]
    ]  # fmt: skip
    words = {
        name: str(fact.get(name) or "")
        for name in (
            "name",
            "summary",
            "better",
            "against",
            "version",
            "weights",
            "licence",
            "paper",
        )
    }
    reasons = {str(reason): int(number) for reason, number in (fact.get("reasons") or {}).items()}
    command = " ".join(map(str, fact.get("command") or ()))
    return ScoreTable(
        **words,
        command=command,
        lines=lines,
        done=sum(counts.values()),
        planned=summary.planned,
        reasons=reasons,
    )
