"""Methods and concepts of a board: where each has figures, over all leaderboards."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from htbench.board import addresses
from htbench.board.entry import Entry
from htbench.board.tables import Board, Line, Table
from htbench.core.types import UNSTEERED
from htbench.report import format
from htbench.run.fact_table import ConceptFacts, MethodFacts

_CARD = ("kind", "cost", "reads", "settings", "paper", "given")
"""Facts of a method that its page shows."""
_SCHEME = re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A table in which a method or a concept has figures."""

    board: Board
    table: Table


@dataclass(frozen=True, kw_only=True)
class MethodSubject:
    """A method over all leaderboards."""

    name: str
    places: Sequence[Place]
    latest: Entry
    """The latest bundle that has it."""
    bundles: int
    """Number of bundles that have it."""

    @property
    def facts(self) -> MethodFacts:
        """Its facts in the latest bundle."""
        return self.latest.method(self.name)

    @property
    def card(self) -> dict[str, str]:
        """Its card in the latest bundle, as text in which no address is a link."""
        stored = self.facts.stored
        return {
            name: _SCHEME.sub("", format.plain(stored[name])) for name in _CARD if stored.get(name)
        }

    @property
    def boards(self) -> int:
        """Number of leaderboards that have it."""
        return len({place.board.address for place in self.places})

    @property
    def address(self) -> str:
        """The path of its page, without its ending."""
        return addresses.method_address(self.name)


@dataclass(frozen=True, kw_only=True)
class ConceptSubject:
    """A concept of one version of a set, over all models."""

    concept: str
    concept_set: str
    version: str
    places: Sequence[Place]
    facts: ConceptFacts
    """Its facts in the latest bundle."""

    @property
    def address(self) -> str:
        """The path of its page, without its ending."""
        return addresses.concept_address(self.concept_set, self.version, self.concept)

    @property
    def set_title(self) -> str:
        """Its set and version in words."""
        return self.places[0].board.concepts_title


def method_subjects(boards: Iterable[Board]) -> list[MethodSubject]:
    """All methods but `none`, by name."""
    places: dict[str, list[Place]] = {}
    entries: dict[str, dict[str, Entry]] = {}
    for board in boards:
        for table in board.tables:
            for name in dict.fromkeys(line.row.method for line in table.lines):
                places.setdefault(name, []).append(Place(board=board, table=table))
            for entry in table.entries:
                for row in entry.rows:
                    if row.method != UNSTEERED:
                        entries.setdefault(row.method, {})[entry.sha256] = entry
    return [
        MethodSubject(
            name=name,
            places=places[name],
            latest=max(entries[name].values(), key=lambda each: (each.made, each.sha256)),
            bundles=len(entries[name]),
        )
        for name in sorted(places)
    ]


def concept_subjects(boards: Iterable[Board]) -> list[ConceptSubject]:
    """All concepts by set, version and name."""
    places: dict[tuple[str, str, str], list[Place]] = {}
    latest: dict[tuple[str, str, str], Entry] = {}
    for board in boards:
        for table in board.tables:
            for entry in table.entries:
                for concept in dict.fromkeys(
                    name for own in entry.concept_means.values() for name in own
                ):
                    key = board.concept_set, board.version, concept
                    own = places.setdefault(key, [])
                    if not own or own[-1].table is not table:
                        own.append(Place(board=board, table=table))
                    before = latest.setdefault(key, entry)
                    if (entry.made, entry.sha256) > (before.made, before.sha256):
                        latest[key] = entry
    return [
        ConceptSubject(
            concept=concept,
            concept_set=concept_set,
            version=version,
            places=places[concept_set, version, concept],
            facts=latest[concept_set, version, concept].facts.concepts.get(concept, ConceptFacts()),
        )
        for concept_set, version, concept in sorted(places)
    ]


def lines_of_concept(table: Table, concept: str) -> list[tuple[Line, Sequence[float | None]]]:
    """The lines of a table that have figures of a concept, with its means, the highest first."""
    rows = [
        (line, means)
        for line in table.lines
        if (means := line.entry.concept_means[line.row.method].get(concept))
    ]
    return sorted(rows, key=lambda pair: _descending(pair[1]))


def _descending(means: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(float("inf") if value is None else -value for value in means)
