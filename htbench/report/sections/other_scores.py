"""What gauges read, as numbers: from the store alone, beside the leaderboard's scores and never mixed with them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from htbench.core.display import plain, print_json
from htbench.run.summary import Summary
from htbench.stats import estimates


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One method at full strength."""

    method: str
    strength: float
    estimate: estimates.Estimate | None
    done: int
    planned: int
    """Cells."""


@dataclass(frozen=True, kw_only=True)
class Board:
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
    lines: list[Reading]
    done: int
    planned: int
    reasons: dict[str, int]
    """Why pictures have no score, by how many."""

    @property
    def title(self) -> str:
        """With the direction, without which a number says nothing."""
        return f"{self.name}: {self.better} is better"


def collect(summary: Summary) -> list[Board]:
    """A board a gauge, methods in the order of the plan."""
    return [_board(summary, fact) for fact in summary.facts.get("gauges", []) if isinstance(fact, dict)]


def show(boards: list[Board]) -> None:
    """Print them to stdout."""
    console = Console(width=None if Console().is_terminal else 140)
    for board in boards:
        table = Table(title=Text(plain(board.title, longest=100)), title_justify="left", show_edge=False)
        for column in ("Method", "Strength", plain(board.name, longest=40), "Done"):
            table.add_column(column, justify="left" if column == "Method" else "right")
        for line in board.lines:
            table.add_row(Text(plain(line.method, longest=60)), f"{line.strength:g}", _interval(line.estimate), f"{line.done}/{line.planned}")
        console.print(table)
        for reason, number in board.reasons.items():
            console.print(f"{number} without a score: {plain(reason, longest=300)}", markup=False, highlight=False)


def print_lines(boards: list[Board]) -> None:
    """The same as lines of JSON."""
    for board in boards:
        print_json(event="gauge", **asdict(board))


def _interval(estimate: estimates.Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate.mean:.4g}" + (f" \\[{estimate.low:.4g}, {estimate.high:.4g}]" if estimate.low == estimate.low else "")


def _board(summary: Summary, fact: Mapping[str, Any]) -> Board:
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
    at = [(method, 0.0 if method == "none" else summary.full) for method in summary.methods]
    lines = [
        Reading(method=key[0], strength=key[1], estimate=estimates.over_concepts(means[key]), done=counts[key], planned=planned[key])
        for key in at
        if planned[key]
    ]  # fmt: skip
    words = {name: str(fact.get(name) or "") for name in ("name", "summary", "better", "against", "version", "weights", "licence", "paper")}
    reasons = {str(reason): int(number) for reason, number in (fact.get("reasons") or {}).items()}
    command = " ".join(map(str, fact.get("command") or ()))
    return Board(**words, command=command, lines=lines, done=sum(counts.values()), planned=summary.planned, reasons=reasons)
