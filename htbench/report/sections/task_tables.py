"""Tables of a run's task beside its leaderboard: what a method does to each kind of concept.

They are of the first fit seed, at the strength of the leaderboard.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from htbench.core.types import UNSTEERED
from htbench.report import format
from htbench.report.once import once
from htbench.report.sections import task
from htbench.run.cell_table import IS_FAILURE
from htbench.run.summary import Summary
from htbench.run.tasks.task import BESIDE, PAIR_SCORES, Task
from htbench.stats import estimates
from htbench.stats.estimates import Estimate

FILE_COLUMNS = ("table", "method", "row", "column", "value", "low", "high", "concepts")
"""Columns of the tables as rows of a file; concepts are pairs where a task has pairs."""
LOCALITY = "emoji-locality"
"""The scorer of a table of its own, on the parts of the prompts that the task names."""
FIRST, SECOND, BOTH = PAIR_SCORES
_ORDERS = ("@sequence", "@backwards")
Values = Mapping[str, Sequence[float]]
"""Values of images by concept."""


@dataclass(frozen=True, kw_only=True)
class TaskTable:
    """A table of means over concepts."""

    name: str
    """Name in files."""
    title: str
    note: str
    """The meaning of a number, and of a row and a column, in sentences."""
    method: str = ""
    """The method that it is of; empty where each row is of one."""
    corner: str
    """Heading of the rows' names."""
    columns: tuple[str, ...]
    rows: Mapping[str, Mapping[str, Estimate | None]]

    def text_rows(self) -> tuple[list[str], list[list[str]]]:
        """Headings, and a row per row."""
        return [self.corner, *self.columns], [
            [
                name,
                *(
                    format.estimate(row.get(column), format.score, missing="")
                    for column in self.columns
                ),
            ]
            for name, row in self.rows.items()
        ]


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """An image of the leaderboard's strength, or an unsteered one, with its scores by metric."""

    concept: str
    prompt: str
    seed: int
    failed: bool
    scores: Mapping[str, float]


@once
def collect(summary: Summary) -> list[TaskTable]:
    """The tables of a run; none where methods add concepts one by one."""
    section = task.collect(summary)
    if section is None:
        return []
    tables: list[TaskTable] = []
    if section.task.harms:
        metrics = sorted({each.metric for each in section.task.harms})
        cells = _read(summary, metrics)
        tables = [_harms(summary, section.task, cells), *_locality(summary, section.task)]
    elif summary.facts.task.members:
        cells = _read(summary, ("presence", *PAIR_SCORES))
        tables = [
            _interference(summary, method, own)
            for method, own in cells.items()
            if method != UNSTEERED
        ]
        tables += [_order(summary, cells), *_locality(summary, section.task)]
    return [table for table in tables if table.rows]


def _harms(summary: Summary, task: Task, cells: Mapping[str, Sequence[_Cell]]) -> TaskTable:
    """Losses of what methods are to leave alone, by method."""
    own = summary.facts.task
    plain = {
        (cell.concept, cell.prompt, cell.seed): cell.scores
        for cell in cells.get(UNSTEERED, ())
        if not cell.failed
    }
    titles = [each.title for each in task.harms if BESIDE not in each.parts]
    kinds = sorted({kind for by_prompt in own.beside.values() for kind in by_prompt.values()})
    rows: dict[str, dict[str, Estimate | None]] = {}
    for method, steered in cells.items():
        values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for cell in steered if method != UNSTEERED else ():
            part = own.parts.get(cell.concept, {}).get(cell.prompt, "")
            before = plain.get((cell.concept, cell.prompt, cell.seed), {})
            for measure in task.harms:
                if part not in measure.parts:
                    continue
                kind = own.beside.get(cell.concept, {}).get(cell.prompt, "")
                column = kind if part == BESIDE else measure.title
                if cell.failed:
                    values[column][cell.concept].append(measure.worst)
                elif measure.metric in before and measure.metric in cell.scores:
                    loss = before[measure.metric] - cell.scores[measure.metric]
                    values[column][cell.concept].append(loss)
        if values:
            rows[method] = {
                column: _mean(summary, values[column], within=(-1, 1)) for column in values
            }
    return TaskTable(
        name="selectivity",
        title="Losses of what is to stay",
        note=" ".join(
            f"{each.title}: {each.definition}" + ("." if BESIDE not in each.parts else ", by kind.")
            for each in task.harms
        )
        + " 0 where nothing is lost.",
        corner="method",
        columns=(*titles, *kinds),
        rows=rows,
    )


def _locality(summary: Summary, task: Task) -> list[TaskTable]:
    """The locality of changes by method and kind of concept; none in a run that lacks the score.

    A failed cell has the worst value if another cell of its concept and prompt has one: else the
    concept may have no place.
    """
    scorer = next((each.id for each in summary.facts.gauges if each.name == LOCALITY), "")
    cells = _read(summary, (LOCALITY,), scorer=scorer) if scorer else {}
    scored = {(cell.concept, cell.prompt) for own in cells.values() for cell in own if cell.scores}
    rows: dict[str, dict[str, Estimate | None]] = {}
    kinds: set[str] = set()
    for method, own in cells.items():
        values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for cell in own:
            part = summary.facts.task.parts.get(cell.concept, {}).get(cell.prompt, "")
            if part not in task.local or (cell.concept, cell.prompt) not in scored:
                continue
            kind = summary.facts.concepts[cell.concept].kind
            for column in ("all", kind) if cell.failed or cell.scores else ():
                values[column][cell.concept].append(-1.0 if cell.failed else cell.scores[LOCALITY])
        if values:
            rows[method] = {
                key: _mean(summary, each, within=(-1, 1)) for key, each in values.items()
            }
            kinds |= values.keys() - {"all"}
    return [
        TaskTable(
            name="locality",
            title="Locality of the change",
            note="How far the picture changes where the concept belongs, against elsewhere: 1 "
            "where all of the change is in its place, 0 where it is spread evenly, -1 where all of "
            "it is elsewhere. Concepts whose place is the whole picture are left out, and so are "
            "pictures that did not change.",
            corner="method",
            columns=("all", *sorted(kinds)),
            rows=rows,
        )
    ]


def _interference(summary: Summary, method: str, cells: Sequence[_Cell]) -> TaskTable:
    """Changes of a concept's presence beside another one, by the kinds of both."""
    facts, members = summary.facts.concepts, summary.facts.task.members
    by_place = {(cell.concept, cell.prompt, cell.seed): cell for cell in cells}
    changes: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        pair = members.get(cell.concept, [])
        for own, other, metric in zip(pair, pair[::-1], (FIRST, SECOND), strict=False):
            alone = by_place.get((own, cell.prompt, cell.seed))
            if alone is None or own not in facts or other not in facts:
                continue
            kinds = facts[own].kind, facts[other].kind
            if cell.failed or alone.failed:
                changes[kinds][cell.concept].append(-1.0)
            elif metric in cell.scores and "presence" in alone.scores:
                change = cell.scores[metric] - alone.scores["presence"]
                changes[kinds][cell.concept].append(change)
    rows: dict[str, dict[str, Estimate | None]] = defaultdict(dict)
    for (own, other), values in changes.items():
        rows[own][other] = _mean(summary, values, within=(-1, 1))
    return TaskTable(
        name="interference",
        title="Interference by kind",
        note="The presence of a concept (row) beside one of another kind (column), less its "
        "presence where the method is given it alone: below 0 where the other takes from it.",
        method=method,
        corner="kind",
        columns=tuple(sorted({other for _, other in changes})),
        rows={own: rows[own] for own in sorted(rows)},
    )


def _order(summary: Summary, cells: Mapping[str, Sequence[_Cell]]) -> TaskTable:
    """The presence of both concepts by the order in which maps are applied."""
    columns = ("first, then second", "second, then first", "difference", "per image")
    rows: dict[str, dict[str, Estimate | None]] = {}
    for method in cells:
        base, orders = method.removesuffix(_ORDERS[0]), [*_ORDERS]
        if method == base or base + _ORDERS[1] not in cells:
            continue
        one, other = (_both_present(summary, cells[base + order]) for order in orders)
        shared = [place for place in one if place in other]
        values: list[dict[str, list[float]]] = [defaultdict(list) for _ in columns]
        for place in shared:
            difference = one[place] - other[place]
            four = (one[place], other[place], difference, abs(difference))
            for column, value in zip(values, four, strict=True):
                column[place[0]].append(value)
        rows[base] = {
            name: _mean(summary, column, within=(-1, 1))
            for name, column in zip(columns, values, strict=True)
        }
    return TaskTable(
        name="order",
        title="Order of the two maps",
        note="The presence of both concepts with the map of the first one before that of the "
        "second, and the other way round; their difference; and the size of the difference in each "
        "image, 0 where the order does not matter.",
        corner="method",
        columns=columns,
        rows=rows,
    )


def _both_present(summary: Summary, cells: Sequence[_Cell]) -> dict[tuple[str, str, int], float]:
    """The presence of both concepts of a pair, by place of the image; 0 of a failed one."""
    return {
        (cell.concept, cell.prompt, cell.seed): 0.0 if cell.failed else cell.scores[BOTH]
        for cell in cells
        if cell.concept in summary.facts.task.members and (cell.failed or BOTH in cell.scores)
    }


def _mean(summary: Summary, values: Values, *, within: tuple[float, float]) -> Estimate | None:
    return estimates.over_concepts(values, summary.families, within=within)


def _read(summary: Summary, metrics: Sequence[str], *, scorer: str = "") -> dict[str, list[_Cell]]:
    """The cells of each method at the strength of the leaderboard, and the unsteered ones.

    Their scores are by `scorer`; empty: by that of the headline.
    """
    query = f"""SELECT method, strength, concept, prompt, seed, metric, value,
                       coalesce({IS_FAILURE}, 0)
                FROM cells JOIN images ON images.key = image
                LEFT JOIN failures ON failures.key = image
                LEFT JOIN scores ON file IS NOT NULL AND cell = cells.id AND encoder = ?
                     AND metric IN ({", ".join("?" * len(metrics))})
                ORDER BY place"""
    scores: dict[tuple[str, str, str, int], dict[str, float]] = {}
    failures = set()
    for method, strength, *place, metric, value, failed in summary.store.select(
        query, scorer or summary.scorer, *metrics
    ):
        if method != UNSTEERED and strength != summary.full_strength:
            continue
        concept, prompt, seed = place
        own = scores.setdefault((method, concept, prompt, seed), {})
        if failed:
            failures.add((method, concept, prompt, seed))
        elif value is not None:
            own[metric] = value
    cells: dict[str, list[_Cell]] = {method: [] for method in summary.methods}
    for key, own in scores.items():
        method, concept, prompt, seed = key
        cells.setdefault(method, []).append(
            _Cell(concept=concept, prompt=prompt, seed=seed, failed=key in failures, scores=own)
        )
    return cells


def file_rows(tables: Sequence[TaskTable]) -> Iterator[list[str | float | int | None]]:
    """The numbers of all tables as rows of `FILE_COLUMNS`."""
    for table in tables:
        for name, row in table.rows.items():
            for column, value in row.items():
                if value:
                    ends = (value.mean, value.low, value.high)
                    yield [
                        *(table.name, table.method or name, name, column),
                        *(each if math.isfinite(each) else None for each in ends),
                        value.n,
                    ]
