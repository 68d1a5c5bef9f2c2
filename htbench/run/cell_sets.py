"""The sets of pictures of a run: those of each method at each strength, and which have scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from htbench.core import content
from htbench.core.types import UNSTEERED
from htbench.run import cell_table
from htbench.run.cell_table import CellTable
from htbench.run.fact_table import Facts, SetScoreRowFacts
from htbench.run.store import Store

MAX_PICTURES = 20_000
"""The most pictures of a set; of a larger one every concept keeps the same prompts."""
RowKey = tuple[str, float]
"""Method and strength."""
FILE_COLUMNS = (
    *("score", "better", "encoder", "method", "strength", "value", "low", "high", "floor"),
    *("concepts", "clusters", "pictures", "planned", "reason"),
)
"""Columns of the scores of sets in files."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CellSet:
    """The cells of a method at a strength."""

    cells: Int[np.ndarray, " cells"]
    """Places, in the table of all cells, of those that are scored; at most `MAX_PICTURES`."""
    usable: int
    """Number of cells that have their picture and its unsteered one."""
    planned: int
    """Number of all cells."""
    digest: str
    """Digest of the pictures and of the families of their concepts."""


def read(table: CellTable, facts: Facts) -> dict[RowKey, CellSet]:
    """The sets of a run: methods in the order of the plan, each at its strengths, ascending.

    At strength 0 all methods have the same pictures: those of `none`, where the run has it.
    """
    unsteered = unsteered_files(table)
    paired = np.isin(table.image.numbers, list(unsteered))
    has_none = UNSTEERED in table.method.names
    sets: dict[RowKey, CellSet] = {}
    for method in table.method.names:
        own = table.method_cells(method)
        for strength in np.unique(table.strength[own]).tolist():
            if not strength and has_none and method != UNSTEERED:
                continue
            planned = own[table.strength[own] == strength]
            cells = planned[table.made[planned] & paired[planned]]
            sets[method, strength] = CellSet(
                cells=_drawn(table, cells),
                usable=len(cells),
                planned=len(planned),
                digest=_digest(table, cells, unsteered, facts),
            )
    return sets


def are_scored(store: Store, facts: Facts, names: Sequence[str]) -> bool:
    """True if every set of the run has its score, or no score for a reason, by these scorers."""
    sets = read(cell_table.read(store), facts)
    ids = {each.name: each.id for each in facts.set_scores if each.encoder == facts.scorer.id}
    return all(
        name in ids and scored_rows(facts, ids[name], sets).keys() == sets.keys() for name in names
    )


def scored_rows(
    facts: Facts, id_: str, sets: Mapping[RowKey, CellSet]
) -> dict[RowKey, SetScoreRowFacts]:
    """The stored scores that are of the present pictures."""
    return {
        key: row
        for each in facts.set_scores
        if each.id == id_
        for row in each.rows
        if (key := (row.method, row.strength)) in sets and row.digest == sets[key].digest
    }


def file_rows(facts: Facts) -> Iterator[list[str | float | int | None]]:
    """Rows of the scores of sets in files, one per score, method and strength."""
    for each in facts.set_scores:
        for row in each.rows:
            yield [
                *(each.name, each.better, each.encoder, row.method, row.strength),
                *(row.value, row.low, row.high, row.floor),
                *(row.concepts, row.clusters, row.pictures, row.planned, row.reason),
            ]


def unsteered_files(table: CellTable) -> dict[int, str]:
    """Files of the unsteered pictures, by number of the prompt and seed."""
    places = np.flatnonzero((table.strength == 0) & table.made)
    return {
        int(table.image.numbers[k]): str(table.file.names[table.file.numbers[k]]) for k in places
    }


def prompt_numbers(table: CellTable) -> Int[np.ndarray, " images"]:
    """Number of the prompt of each prompt and seed."""
    numbers: dict[str, int] = {}
    found = [numbers.setdefault(prompt, len(numbers)) for prompt, _ in table.image.names]
    return np.array(found, int)


def _drawn(table: CellTable, cells: Int[np.ndarray, " cells"]) -> Int[np.ndarray, " drawn"]:
    """The cells, or those of as many prompts as are allowed, the same prompts for all concepts."""
    if len(cells) <= MAX_PICTURES:
        return cells
    prompt = prompt_numbers(table)[table.image.numbers[cells]]
    counts = np.bincount(prompt)
    order = np.random.default_rng(0).permutation(len(counts))
    kept = order[np.cumsum(counts[order]) <= MAX_PICTURES]
    return cells[np.isin(prompt, kept if len(kept) else order[:1])]


def _digest(
    table: CellTable,
    cells: Int[np.ndarray, " cells"],
    unsteered: Mapping[int, str],
    facts: Facts,
) -> str:
    concepts, numbers = table.concept.take(cells)
    return content.digest(
        [
            [[name, sorted(facts.families.get(name, ()))] for name in concepts],
            numbers.tolist(),
            [table.file.names[number] for number in table.file.numbers[cells]],
            [
                [*table.image.names[image], unsteered[image]]
                for image in table.image.numbers[cells].tolist()
            ],
        ]
    )
