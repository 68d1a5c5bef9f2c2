"""The cells of a bundle as a store and arrays, read from its tables in one pass.

All tables but those of scores and times are restored as the database that a report reads. Scores,
nine tenths of all rows, become an array at once, by the same rules.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import Float

from htbench.bundles import tables
from htbench.bundles.archive import Archive
from htbench.core.errors import HtbenchError, Refused
from htbench.run import cell_table, score_totals
from htbench.run.cell_table import CellTable
from htbench.run.fact_table import Facts
from htbench.run.score_totals import ScoreTotals
from htbench.run.store import Store
from htbench.scorers.metric_table import METRIC_TABLE

_RESTORED = ("sessions", "facts", "images", "failures", "cells")
_SCORE = ["cell", "metric", "encoder", "value"]
_MAX_SCORE = 1e9
"""The largest absolute score that a run may have written, as in a store."""


@dataclass(frozen=True, kw_only=True)
class BundledCells:
    """The planned cells of a bundle's run, or of one of its further fit seeds."""

    facts: Facts
    table: CellTable
    totals: ScoreTotals
    """The scores by the headline's scorer, added up."""


@contextmanager
def restored(archive: Archive, part: str = "run") -> Iterator[Store]:
    """The store of a part of a bundle, without its scores and times.

    Raises:
        Refused: if a table is damaged, or a row refers to none.
    """
    with TemporaryDirectory(prefix="htbench-") as temporary:
        folder = Path(temporary)
        lines = {
            table: archive.lines(_entry(archive, part, table))
            if table in _RESTORED
            else tables.no_rows(Store.schema, table)
            for table in tables.names(Store.schema)
        }
        tables.restore(folder / Store.schema.file, Store.schema, lines)
        with Store.read(folder) as store:
            if store.problems:
                raise Refused(store.problems[0])
            yield store


def read(archive: Archive, part: str = "run") -> BundledCells:
    """The cells of a part of a bundle, with their scores by its headline's scorer.

    Raises:
        Refused: if a table is damaged, or a row refers to none.
    """
    try:
        with restored(archive, part) as store:
            facts, table = Facts.read(store), cell_table.read(store)
        lines = archive.lines(_entry(archive, part, "scores"))
        scores = _scores(tables.rows("scores", lines), table, facts.scorer.id)
    except HtbenchError as error:
        if str(archive.path) in str(error):
            raise
        raise archive.refuse(f"{part}: {error}") from None
    return BundledCells(facts=facts, table=table, totals=score_totals.add_up(table, scores))


def _entry(archive: Archive, part: str, table: str) -> str:
    name = f"{part}/tables/{table}.jsonl"
    if name not in archive.manifest.files:
        raise archive.refuse(f"it has no {name}")
    return name


def _scores(
    rows: Iterator[list[Any]], cells: CellTable, scorer: str
) -> Float[np.ndarray, "cells metrics"]:
    """The scores of the leaderboard's metrics by `scorer`; NaN where a cell has none."""
    if next(rows, None) != _SCORE:
        raise Refused(f"table scores has other columns than {', '.join(_SCORE)}")
    places = {id_: place for place, id_ in enumerate(cells.ids.tolist())}
    columns = {(metric.name, scorer): k for k, metric in enumerate(METRIC_TABLE)}
    scores = np.full((len(places), len(columns) + 1), np.nan)
    try:
        every = list(rows)
        ids, metrics, scorers, values = zip(*every, strict=True) if every else ((),) * 4
        down = [places[id_] for id_ in ids]
        across = [columns.get(key, -1) for key in zip(metrics, scorers, strict=True)]
        scores[down, across] = np.array(values, float)
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(f"table scores has a row that no run has: {error}"[:200]) from None
    scores = scores[:, :-1]  # the last column has all others
    if (np.abs(scores) > _MAX_SCORE).any():
        raise Refused("table scores has rows with impossible values")
    return scores
