"""A bundle on the board: its figures, made from its scores and held against its own table.

Means and intervals are made here, by the code of the report. Ranks, tiers and times are those of
`leaderboard.csv` in the bundle, which `htbench verify` makes again: resampling for them would take
longer than all the rest.
"""

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from htbench.board import cells
from htbench.board.cells import BundledCells
from htbench.board.mark import Mark
from htbench.board.row import COLUMNS, Recorded, Row, parse_number, read_strength
from htbench.board.samples import Sample, choose_samples
from htbench.board.terms import Terms
from htbench.bundles.archive import LEADERBOARD, PART, Archive
from htbench.core import csv_files
from htbench.run.fact_table import Facts, MethodFacts
from htbench.run.score_totals import ScoreTotals, over_fit_seeds
from htbench.scorers.metric_table import METRIC_TABLE, RANGES
from htbench.stats import fit_seeds
from htbench.stats.estimates import Estimate

_TOLERANCE = 1e-6
"""Largest relative difference of a figure from the one that is made here."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?(\.\d{1,6})?(\+00:00|Z)?")
_MAX_TABLE = 1 << 26


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A bundle that was read."""

    path: Path
    sha256: str
    """Digest of the file, as `htbench pack` prints it."""
    htbench: str
    """Version of htbench that packed it."""
    made: str
    """Time at which the last session of the run ended, in UTC; empty where it is not known."""
    facts: Facts
    terms: Terms
    cells: int
    """Number of planned cells."""
    rows: Sequence[Row]
    """The bundle's leaderboard, `none` included."""
    recorded: Sequence[Recorded]
    """All rows of its table, of every strength."""
    concept_means: Mapping[str, Mapping[str, Sequence[float | None]]]
    """Means of a concept at the leaderboard's strength, by method and concept, in the order of
    `METRIC_TABLE`."""
    samples: Mapping[str, Sequence[Sample]]
    """Pictures to show, by method."""
    mark: Mark

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.name

    @property
    def compared(self) -> int:
        """Number of methods that the bundle ranks."""
        return sum(row.rank is not None for row in self.rows)

    def method(self, name: str) -> MethodFacts:
        """The facts of a method."""
        return self.facts.methods.get(name, MethodFacts())


def read(path: Path, *, sha256: str, mark: Mark) -> Entry:
    """The bundle at `path`, whose tables are read once.

    Raises:
        UsageError: if it is no bundle.
        Refused: if it is not as it was packed, or its table does not follow from its scores.
    """
    with Archive.open(path) as archive:
        own = cells.read(archive)
        if own.facts.plan.task != "add":
            raise archive.refuse(
                f"its task is {own.facts.plan.task!r}, and a board is of methods that add concepts"
            )
        totals = _with_fit_seeds(archive, own)
        recorded = _table(archive)
        estimates = _estimates(own, totals, recorded)
        rows = [
            Row.of(row, estimates[row["method"], read_strength(row)])
            for row in recorded
            if row["ranked_by"]
        ]
        _check(archive, recorded, totals, estimates)
        concept_means = {row.method: _concept_means(totals, row) for row in rows}
        return Entry(
            path=path,
            sha256=sha256,
            htbench=archive.manifest.htbench,
            made=_made(own.facts),
            facts=own.facts,
            terms=Terms.of(own),
            cells=len(own.table.ids),
            rows=rows,
            recorded=recorded,
            concept_means=concept_means,
            samples=choose_samples(own.table, rows, concept_means)
            if archive.manifest.pictures
            else {},
            mark=mark,
        )


def _with_fit_seeds(archive: Archive, own: BundledCells) -> ScoreTotals:
    """The totals of the run and of its further fit seeds, as a report has them."""
    seeds = dict.fromkeys(seed for each in own.facts.fit_seeds.values() for seed in each[1:])
    parts = [f"run/fit-seeds/{seed}" for seed in seeds]
    present = {found[0] for name in archive.names if (found := re.match(PART, name))}
    further = [cells.read(archive, part) for part in parts if part in present]
    repeats = [each.totals for each in further if each.facts.repeats == own.facts.grid]
    return over_fit_seeds(own.totals, repeats, own.facts.fit_seeds) if repeats else own.totals


def _table(archive: Archive) -> list[Recorded]:
    """The rows of the bundle's `leaderboard.csv`, texts as they were before the file was written.

    Raises:
        Refused: if it is no such table.
    """
    if LEADERBOARD not in archive.manifest.files:
        raise archive.refuse(f"it has no {LEADERBOARD}")
    size = archive.file.getinfo(LEADERBOARD).file_size
    if size > _MAX_TABLE:
        raise archive.refuse(f"its {LEADERBOARD} has {size:,} bytes")
    data = b"".join(archive.pieces(LEADERBOARD))
    try:
        lines = list(csv.DictReader(StringIO(data.decode()), strict=True))
    except (csv.Error, UnicodeError) as error:
        raise archive.refuse(f"its {LEADERBOARD} is no table: {error}") from None
    rows: list[Recorded] = []
    for number, line in enumerate(lines, start=2):
        if None in line or None in line.values():
            raise archive.refuse(f"line {number} of its {LEADERBOARD} has other columns")
        rows.append({name: csv_files.original(value) for name, value in line.items()})
    lacking = sorted(COLUMNS - rows[0].keys()) if rows else ["rows"]
    if lacking:
        raise archive.refuse(f"its {LEADERBOARD} has no {lacking[0]}")
    return rows


def _estimates(
    own: BundledCells, totals: ScoreTotals, recorded: Sequence[Recorded]
) -> dict[tuple[str, float], dict[str, Estimate | None]]:
    """The scores of the leaderboard's rows with their intervals, by method and strength.

    They are over concepts, as in `Summary.leaderboard_row`.
    """
    keys = {(row["method"], read_strength(row)) for row in recorded if row["ranked_by"]}
    return {
        key: {
            metric: fit_seeds.over_concepts(
                totals.means.get((*key, metric), {}), own.facts.families, within=within
            )
            for metric, within in RANGES.items()
            if metric in recorded[0]
        }
        for key in keys
    }


def _check(
    archive: Archive,
    recorded: Sequence[Recorded],
    totals: ScoreTotals,
    estimates: Mapping[tuple[str, float], Mapping[str, Estimate | None]],
) -> None:
    """Hold the bundle's table against its scores: all means, and the intervals of the leaderboard.

    Raises:
        Refused: at the first figure that is another one.
    """
    metrics = [metric for metric in RANGES if metric in recorded[0]]
    done: dict[tuple[str, float], int] = {}
    for (method, strength, _), number in totals.done.items():
        done[method, strength] = done.get((method, strength), 0) + number
    for row in recorded:
        key = row["method"], read_strength(row)
        figures = {"done": float(done.get(key, 0))}
        for metric in metrics:
            means = [math.fsum(v) / len(v) for v in totals.means.get((*key, metric), {}).values()]
            figures[metric] = math.fsum(means) / len(means) if means else math.nan
            if key in estimates:
                estimate = estimates[key][metric]
                figures[f"{metric}_low"] = estimate.low if estimate else math.nan
                figures[f"{metric}_high"] = estimate.high if estimate else math.nan
        for name, figure in figures.items():
            if not _same(parse_number(row.get(name, "")), figure):
                raise archive.refuse(
                    f"{LEADERBOARD} does not follow from its scores: {name} of "
                    f"{row['method'][:80]!r} at {key[1]:g} is {row.get(name, '')[:40]!r} there, "
                    f"and {figure:.6g} by the scores"
                )


def _concept_means(totals: ScoreTotals, row: Row) -> dict[str, tuple[float | None, ...]]:
    columns = [
        totals.means.get((row.method, row.strength, metric.name), {}) for metric in METRIC_TABLE
    ]
    concepts = dict.fromkeys(concept for column in columns for concept in column)
    return {
        concept: tuple(
            math.fsum(column[concept]) / len(column[concept]) if concept in column else None
            for column in columns
        )
        for concept in concepts
    }


def _made(facts: Facts) -> str:
    """The end of the last session, or its start; empty for what is no time in UTC."""
    for session in reversed(facts.sessions):
        for text in (session.ended, session.started):
            if _DATE.fullmatch(text):
                return f"{text[:10]} {text[11:16]}"
    return ""


def _same(one: float, two: float) -> bool:
    if math.isnan(one) or math.isnan(two):
        return math.isnan(one) and math.isnan(two)
    return math.isclose(one, two, rel_tol=_TOLERANCE, abs_tol=1e-9)
