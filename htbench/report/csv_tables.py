"""All numbers of a run as a folder of CSV files."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.core.csv_files import cell as csv_cell
from htbench.report import leaderboard_files, section_tables
from htbench.report.once import once
from htbench.report.sections import (
    claims,
    judges,
    losses,
    people,
    requested,
    strength_ranges,
    strength_scales,
    task_tables,
    wording,
)
from htbench.report.sections.vote_charts import Bounded
from htbench.run import activation_rows, cell_sets, wording_runs
from htbench.run.export import new_folder
from htbench.run.summary import HEADLINE, Summary
from htbench.steering.wording import CANONICAL

_CELLS_AT_ONCE = 5000
_Value = str | float | int | bool | None
_Row = Sequence[_Value]


@dataclass(frozen=True, kw_only=True)
class CsvTable:
    """One file; its rows are read once, so that they need not be in memory together."""

    name: str
    head: Sequence[str]
    rows: Iterator[_Row]


def write(summary: Summary, folder: Path) -> list[Path]:
    """Write the tables to the new or empty `folder`, whole or not at all; return the files.

    Raises:
        UsageError: if the folder holds something or cannot be written.
        Missing: if the disk is full.
    """
    names = []
    with new_folder(folder) as fresh:
        for table in tables(summary):
            names.append(f"{table.name}.csv")
            path = fresh / names[-1]
            with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(table.head)
                writer.writerows(map(_cell, row) for row in table.rows)
    return [folder / name for name in names]


def _cell(value: _Value) -> _Value:
    """A value as a cell: no text is taken for a formula, and NaN and infinity are empty."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return csv_cell(value) if isinstance(value, str) else value


def tables(summary: Summary) -> Iterator[CsvTable]:
    """All tables that the run has something for; their rows are not read yet."""
    lines = leaderboard_files.rows(summary)
    yield CsvTable(
        name="leaderboard",
        head=list(lines[0]) if lines else ["method"],
        rows=(list(line.values()) for line in lines),
    )
    yield CsvTable(
        name="concepts",
        head=["concept", "kind", "text"],
        rows=iter([name, each.kind, each.text] for name, each in summary.facts.concepts.items()),
    )
    yield CsvTable(
        name="cells",
        head=[
            *("cell", "method", "concept", "prompt", "seed", "strength", "file", "flaw"),
            *("failure", "message", *summary.metrics, "wording", "words"),
        ],
        rows=_cells(summary),
    )
    yield CsvTable(
        name="scores",
        head=["cell", "metric", "scorer", "value", "wording"],
        rows=_in_every_wording(
            summary, "SELECT cell, metric, encoder, value FROM scores ORDER BY 1, 2"
        ),
    )
    yield CsvTable(
        name="timings",
        head=["phase", "method", "concept", "seconds", "together", "device", "wording"],
        rows=_in_every_wording(
            summary,
            "SELECT phase, method, concept, seconds, together, device FROM timings ORDER BY id",
        ),
    )
    yield CsvTable(
        name="votes",
        head=["judge", "criterion", "concept", "prompt", "seed", "one", "two", "prefers_one"],
        rows=_votes(summary),
    )
    yield CsvTable(
        name="ratings",
        head=[
            *("source", "criterion", "method", "rank", "tier", "votes"),
            *(f"{name}{end}" for name in ("rating", "win_rate") for end in ("", "_low", "_high")),
        ],
        rows=_ratings(summary),
    )
    if section := wording.collect(summary):
        yield CsvTable(name="wording", head=wording.csv_head(), rows=wording.csv_rows(section))
    if of_task := task_tables.collect(summary):
        yield CsvTable(
            name="task", head=task_tables.FILE_COLUMNS, rows=task_tables.file_rows(of_task)
        )
    if (lost := losses.collect(summary)) and lost.flaws.thresholds:
        yield CsvTable(name="flaws", head=losses.csv_head(), rows=losses.csv_rows(lost))
    if attributes := requested.collect(summary):
        yield CsvTable(
            name="requested", head=requested.csv_head(), rows=requested.csv_rows(attributes)
        )
    if summary.facts.set_scores:
        yield CsvTable(
            name="set_scores", head=cell_sets.FILE_COLUMNS, rows=cell_sets.file_rows(summary.facts)
        )
    if summary.facts.activation_scores:
        yield CsvTable(
            name="activation_scores",
            head=activation_rows.FILE_COLUMNS,
            rows=activation_rows.file_rows(summary.facts),
        )
    if ranges := strength_ranges.collect(summary):
        yield CsvTable(
            name="strength_ranges",
            head=strength_ranges.csv_head(),
            rows=strength_ranges.csv_rows(ranges),
        )
    if scales := strength_scales.collect(summary):
        yield CsvTable(
            name="strength_scale",
            head=strength_scales.csv_head(),
            rows=strength_scales.csv_rows(scales),
        )
    if HEADLINE in summary.metrics:
        yield CsvTable(
            name="strength_policies",
            head=section_tables.POLICIES,
            rows=section_tables.policy_rows(summary),
        )
        yield CsvTable(
            name="dose_response",
            head=section_tables.RESPONSES,
            rows=section_tables.response_rows(summary),
        )
        yield CsvTable(
            name="kinds", head=section_tables.KINDS, rows=section_tables.kind_rows(summary)
        )
    if summary.facts.is_imported:
        return
    yield CsvTable(name="costs", head=section_tables.COSTS, rows=section_tables.cost_rows(summary))
    yield CsvTable(
        name="claims",
        head=["claim", "verdict", "evidence"],
        rows=iter([c.claim, c.verdict, c.reason] for c in claims.from_summary(summary).claims),
    )


def _cells(summary: Summary) -> Iterator[_Row]:
    """The planned cells in order, each with its scores by the headline's scorer."""
    for name, store in wording_runs.every_run(summary.store, summary.facts):
        own = summary if name == CANONICAL else Summary(store)
        said = wording_runs.SaidWords(own.facts)
        ids = [id_ for (id_,) in store.select("SELECT id FROM cells ORDER BY place")]
        for start in range(0, len(ids), _CELLS_AT_ONCE):
            for cell in store.cells(ids[start : start + _CELLS_AT_ONCE]):
                scores = own.scores.get(cell.id, {})
                words = said.of(cell.concept, cell.prompt, cell.seed) if cell.is_steered else ""
                yield [
                    *(cell.id, cell.method, cell.concept, cell.prompt, cell.seed, cell.strength),
                    *(cell.file, cell.blank, cell.failure_kind, cell.failure_message),
                    *(scores.get(metric) for metric in summary.metrics),
                    *(name, words),
                ]


def _in_every_wording(summary: Summary, query: str) -> Iterator[_Row]:
    """The rows of the run itself and of its other wordings, each with the wording at its end."""
    for name, store in wording_runs.every_run(summary.store, summary.facts):
        for row in store.iterate(query):
            yield [*row, name]


def _votes(summary: Summary) -> Iterator[_Row]:
    """The preferences of judges between two methods; a half is a tie."""
    for result in once(judges.collect)(summary).results:
        for block in result.criteria:
            preferences = block.criterion.preferences
            for (one, two, concept, prompt, seed), value in preferences.items():
                yield [result.name, block.criterion.name, concept, prompt, seed, one, two, value]


def _ratings(summary: Summary) -> Iterator[_Row]:
    """The rankings of judges and of people; a rating that only the prior bounds is empty."""
    for result in once(judges.collect)(summary).results:
        for block in result.criteria:
            ranking = block.criterion.ranking
            for entry in ranking.entries if ranking else ():
                yield [
                    *(result.name, block.criterion.name, entry.name, entry.rank, entry.tier),
                    *(entry.votes, *_bounds(None if entry.limit else entry.rating)),
                    *_bounds(entry.win_rate),
                ]
    for study in once(people.collect)(summary).studies:
        for criterion in study.criteria:
            for standing in criterion.standings:
                yield [
                    *(study.study, criterion.name, standing.name, standing.rank, standing.tier),
                    *(standing.votes, *_bounds(None if standing.limit else standing.rating)),
                    *_bounds(standing.win_rate),
                ]


def _bounds(value: Bounded | None) -> _Row:
    return [value.value, value.low, value.high] if value else [None] * 3
