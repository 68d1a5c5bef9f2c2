"""The pictures that stand for a method: the same concepts for every method of a bundle.

The concepts are spread evenly by their headline score, averaged over ranked methods, so that nobody
picks those that look best.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from htbench.board.row import Row
from htbench.core.types import UNSTEERED
from htbench.run.cell_table import CellTable
from htbench.scorers.metric_table import METRIC_TABLE

_SHARES = (0.125, 0.375, 0.625, 0.875)
"""Places of the concepts, from the highest score to the lowest."""
_NONE: Sequence[float | None] = (None,) * len(METRIC_TABLE)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A picture of a method, at the first prompt and seed of the run."""

    concept: str
    prompt: str
    file: str
    """Name of the image in the bundle."""


def choose_samples(
    table: CellTable,
    rows: Sequence[Row],
    means: Mapping[str, Mapping[str, Sequence[float | None]]],
) -> dict[str, list[Sample]]:
    """The pictures by method; `none` has one, as its picture is the same for every concept."""
    concepts = _spread(rows, means)
    first = table.image.numbers == 0
    samples: dict[str, list[Sample]] = {}
    for row in rows:
        own = table.method_cells(row.method)
        chosen = own[first[own] & np.isclose(table.strength[own], row.strength)]
        files = {
            table.concept.names[table.concept.numbers[k]]: table.file.names[table.file.numbers[k]]
            for k in chosen.tolist()
        }
        wanted = list(files)[:1] if row.method == UNSTEERED else concepts
        samples[row.method] = [
            Sample(concept=concept, prompt=table.image.names[0][0], file=file)
            for concept in wanted
            if (file := files.get(concept))
        ]
    return samples


def _spread(
    rows: Sequence[Row], means: Mapping[str, Mapping[str, Sequence[float | None]]]
) -> list[str]:
    """The concepts, by the first metric that every ranked method has of them."""
    ranked = [means[row.method] for row in rows if row.rank] or [
        means[row.method] for row in rows if row.method != UNSTEERED
    ]
    for k in range(len(METRIC_TABLE)):
        totals = {
            concept: math.fsum(values)
            for concept in dict.fromkeys(name for own in ranked for name in own)
            if len(
                values := [
                    value for own in ranked if (value := own.get(concept, _NONE)[k]) is not None
                ]
            )
            == len(ranked)
        }
        if totals:
            order = sorted(totals, key=lambda concept: (-totals[concept], concept))
            return list(dict.fromkeys(order[math.floor(share * len(order))] for share in _SHARES))
    return []
