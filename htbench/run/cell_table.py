"""The planned cells of a run and their scores as arrays, each read from the store in one pass."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from htbench.run.store import Store
from htbench.scorers.metric_table import METRIC_TABLE

IS_FAILURE = "file IS NULL AND kind != 'damaged'"
"""A row of `images` joined with `failures` has failed: a file that was damaged later is made again,
and says nothing about the method."""
_ROWS_AT_ONCE = 20_000
"""Number of rows that are Python objects at once."""
CellGroup = tuple[str, float, str]
"""Method, strength and concept."""
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, kw_only=True, eq=False)
class Codes(Generic[Name]):
    """A column of few different values: the values, and a number of one for each cell."""

    names: Sequence[Name]
    """The values in the order in which they first occur."""
    numbers: Int[np.ndarray, " cells"]

    def take(
        self, places: Int[np.ndarray, " chosen"]
    ) -> tuple[list[Name], Int[np.ndarray, " chosen"]]:
        """The values of some cells in the order in which they first occur there, and numbers."""
        values, first, numbers = np.unique(
            self.numbers[places], return_index=True, return_inverse=True
        )
        order = first.argsort()
        return [self.names[values[k]] for k in order], order.argsort()[numbers]


@dataclass(frozen=True, kw_only=True, eq=False)
class CellTable:
    """The planned cells, in the order of the plan."""

    ids: Int[np.ndarray, " cells"]
    method: Codes[str]
    concept: Codes[str]
    image: Codes[tuple[str, int]]
    """Prompt and seed."""
    strength: Float[np.ndarray, " cells"]
    file: Codes[str | None]
    """Name of the image's file; None without one."""
    problem: Codes[str | None]
    """Message of the failure; None without one."""
    failed: Bool[np.ndarray, " cells"]
    """True for a cell that has no image after a try."""

    @cached_property
    def made(self) -> Bool[np.ndarray, " cells"]:
        """True for a cell that has its image."""
        lacking = [number for number, name in enumerate(self.file.names) if name is None]
        return ~np.isin(self.file.numbers, lacking)

    @cached_property
    def group(self) -> Codes[CellGroup]:
        """The method, strength and concept of each cell."""
        strengths, strength = np.unique(self.strength, return_inverse=True)
        concepts = len(self.concept.names)
        codes = (self.method.numbers * len(strengths) + strength) * concepts + self.concept.numbers
        _, first, numbers = np.unique(codes, return_index=True, return_inverse=True)
        order = first.argsort()
        groups = [
            (
                self.method.names[self.method.numbers[k]],
                float(self.strength[k]),
                self.concept.names[self.concept.numbers[k]],
            )
            for k in first[order]
        ]
        return Codes(names=groups, numbers=order.argsort()[numbers])

    def group_counts(
        self, chosen: Bool[np.ndarray, " cells"] | None = None
    ) -> dict[CellGroup, int]:
        """Numbers of cells, or of the chosen ones, in each group that has any."""
        numbers = self.group.numbers if chosen is None else self.group.numbers[chosen]
        counts = np.bincount(numbers, minlength=len(self.group.names))
        return {self.group.names[k]: int(counts[k]) for k in np.flatnonzero(counts).tolist()}

    def method_cells(self, method: str) -> Int[np.ndarray, " own_cells"]:
        """The places of a method's cells."""
        number = self.method.names.index(method) if method in self.method.names else -1
        return np.flatnonzero(self.method.numbers == number)


def read(store: Store) -> CellTable:
    """The planned cells of a run."""
    query = f"""SELECT cells.id, method, concept, prompt, seed, strength, file, message,
                       coalesce({IS_FAILURE}, 0)
                FROM cells JOIN images ON images.key = image
                LEFT JOIN failures ON failures.key = image ORDER BY place"""
    return of_rows(store.iterate(query))


def of_rows(rows: Iterable[tuple[Any, ...]]) -> CellTable:
    """The cells of rows in the order of the plan.

    Each row is (id, method, concept, prompt, seed, strength, file, message of the failure, true
    for a failed cell).
    """
    numbers = [np.empty((0, 3))]
    coders: list[_Coder[Any]] = [_Coder() for _ in range(5)]
    for part in _in_parts(rows):
        ids, methods, concepts, prompts, seeds, strengths, files, problems, failed = zip(
            *part, strict=True
        )
        numbers.append(np.array([ids, strengths, failed], float).T)
        images = list(zip(prompts, seeds, strict=True))
        for coder, values in zip(coders, (methods, concepts, images, files, problems), strict=True):
            coder.add(values)
    id_, strength, has_failed = np.concatenate(numbers).T
    method, concept, image, file, problem = (coder.codes() for coder in coders)
    return CellTable(
        ids=id_.astype(int),
        method=method,
        concept=concept,
        image=image,
        strength=strength,
        file=file,
        problem=problem,
        failed=has_failed.astype(bool),
    )


def read_scores(store: Store, cells: CellTable, scorer: str) -> Float[np.ndarray, "cells metrics"]:
    """The scores of the leaderboard's metrics by `scorer`, in the order of `cells`.

    NaN where a cell has none. Scores are stored in the order of cells, so that turning them into
    columns needs no sorting.
    """
    columns = ", ".join(
        f"max(CASE metric WHEN '{metric.name}' THEN value END)" for metric in METRIC_TABLE
    )
    query = f"SELECT cell, {columns} FROM scores WHERE encoder = ? GROUP BY cell"
    return _in_order(store, cells, query, scorer, columns=len(METRIC_TABLE))


def read_values(store: Store, cells: CellTable, scorer: str) -> Float[np.ndarray, " cells"]:
    """The one score of each cell by a scorer that is no encoder, in the order of `cells`.

    NaN where a cell has none.
    """
    query = "SELECT cell, value FROM scores WHERE encoder = ?"
    return _in_order(store, cells, query, scorer, columns=1)[:, 0]


def _in_order(
    store: Store, cells: CellTable, query: str, scorer: str, *, columns: int
) -> Float[np.ndarray, "cells columns"]:
    """The rows of a query, each a cell and its values, in the order of `cells`."""
    scores = np.full((len(cells.ids), columns), np.nan)
    order = cells.ids.argsort()
    for part in _in_parts(store.iterate(query, scorer)) if len(order) else ():
        rows = np.array(part, float)
        places = cells.ids.searchsorted(rows[:, 0], sorter=order).clip(max=len(order) - 1)
        is_planned = cells.ids[order[places]] == rows[:, 0]
        scores[order[places[is_planned]]] = rows[is_planned, 1:]
    return scores


class _Coder(Generic[Name]):
    """Numbers values in the order in which they first occur."""

    def __init__(self) -> None:
        self._numbers: dict[Name, int] = {}
        self._parts = [np.empty(0, int)]

    def add(self, values: Iterable[Name]) -> None:
        numbers = self._numbers
        self._parts.append(np.array([numbers.setdefault(value, len(numbers)) for value in values]))

    def codes(self) -> Codes[Name]:
        return Codes(names=list(self._numbers), numbers=np.concatenate(self._parts))


def _in_parts(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    stored = iter(rows)
    while part := list(islice(stored, _ROWS_AT_ONCE)):
        yield part
