"""Boards, one per model, concept set and its version, with a table for each equal terms."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from htbench.board import addresses
from htbench.board.entry import Entry
from htbench.board.row import Row
from htbench.board.terms import Terms
from htbench.core.types import UNSTEERED
from htbench.run.summary import METRICS


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a bundle's leaderboard in a table of several bundles."""

    entry: Entry
    row: Row
    kind: str
    """Kind of the method on its card; empty where it is not known."""
    is_latest: bool
    """True in the latest bundle of the table that has the method."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The figures of all bundles on the same terms."""

    terms: Terms
    entries: Sequence[Entry]
    """The latest first."""

    @property
    def id(self) -> str:
        """Its anchor on the page."""
        return f"terms-{self.terms.digest}"

    @cached_property
    def metrics(self) -> dict[str, str]:
        """Titles of the scores that any of its bundles has, by name."""
        own = {metric for entry in self.entries for row in entry.rows for metric in row.scores}
        return {name: title for name, title in METRICS.items() if name in own}

    @cached_property
    def kinds(self) -> set[str]:
        """The kinds of its methods."""
        return {line.kind for line in self.lines} - {""}

    @property
    def headline(self) -> str:
        """The score that its lines are sorted by."""
        return next(iter(self.metrics), "")

    @cached_property
    def lines(self) -> list[Line]:
        """All methods of all bundles but `none`, by the headline; those without a rank last."""
        seen: set[str] = set()
        lines = []
        for entry in self.entries:
            for row in entry.rows:
                if row.method != UNSTEERED:
                    kind = entry.method(row.method).kind
                    is_latest = row.method not in seen
                    lines.append(Line(entry=entry, row=row, kind=kind, is_latest=is_latest))
            seen |= {row.method for row in entry.rows}
        return sorted(lines, key=self._order)

    @property
    def best(self) -> Line | None:
        """The ranked line with the highest headline; None where no bundle ranks a method."""
        return next((line for line in self.lines if line.row.rank), None)

    def lines_of(self, method: str) -> list[Line]:
        """The history of a method: its lines, the latest first."""
        order = {entry.sha256: k for k, entry in enumerate(self.entries)}
        own = [line for line in self.lines if line.row.method == method]
        return sorted(own, key=lambda line: order[line.entry.sha256])

    def _order(self, line: Line) -> tuple[bool, float, str, str]:
        score = line.row.scores.get(self.headline)
        mean = -score.mean if score else float("inf")
        return bool(line.row.unranked), mean, line.row.method, line.entry.sha256


@dataclass(frozen=True, kw_only=True)
class Board:
    """All tables of a model, a concept set and its version."""

    model: str
    concept_set: str
    version: str
    tables: Sequence[Table]
    """The table with the most concepts first."""

    @property
    def address(self) -> str:
        """The path of its page, without its ending."""
        return addresses.board_address(self.model, self.concept_set, self.version)

    @property
    def title(self) -> str:
        """Its name in words."""
        return f"{self.model or 'an unnamed model'} on {self.concepts_title}"

    @property
    def concepts_title(self) -> str:
        """The concept set and its version in words."""
        return " ".join(
            part for part in (self.concept_set or "unnamed concepts", self.version) if part
        )

    @property
    def entries(self) -> list[Entry]:
        """Its bundles."""
        return [entry for table in self.tables for entry in table.entries]

    @property
    def latest(self) -> str:
        """The time of its latest bundle; empty where it is not known."""
        return max(entry.made for entry in self.entries)


def boards(entries: Iterable[Entry]) -> list[Board]:
    """The boards of bundles, by model, set and version; `entries` come the latest first."""
    by_terms: dict[Terms, list[Entry]] = {}
    for entry in entries:
        by_terms.setdefault(entry.terms, []).append(entry)
    tables = sorted(
        (Table(terms=terms, entries=own) for terms, own in by_terms.items()),
        key=lambda table: (-table.terms.concepts, -table.terms.prompts, table.terms.digest),
    )
    keys = sorted({table.terms.board for table in tables})
    return [
        Board(
            model=model,
            concept_set=concept_set,
            version=version,
            tables=[
                table for table in tables if table.terms.board == (model, concept_set, version)
            ],
        )
        for model, concept_set, version in keys
    ]
