"""The leaderboard of a run's task other than adding concepts: its measures, from stored scores."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from htbench.core.types import UNSTEERED
from htbench.report import format
from htbench.report.once import once
from htbench.run import tasks
from htbench.run.cell_table import IS_FAILURE
from htbench.run.fit_seeds import further_runs
from htbench.run.ranking import MIN_KEPT
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.run.tasks.task import Measure, Task
from htbench.stats import estimates
from htbench.stats.estimates import Estimate
from htbench.stats.families import MIN_CLUSTERS
from htbench.stats.ranking.ranks import ContenderRank, Ranks, rank_by_scores

Outcomes = Mapping[str, Mapping[str, Sequence[float]]]
"""Values of a method's cells at one strength, by measure and concept."""
_FileRow = dict[str, str | float | int | bool | None]


@dataclass(frozen=True, kw_only=True)
class TaskRow:
    """A method at a strength."""

    method: str
    strength: float
    scores: Mapping[str, Estimate | None]
    """Means over concepts by measure; None where nothing was scored."""
    means: Mapping[str, float]
    """Each concept's mean of the headline."""
    done: int
    failed: int
    planned: int
    circular: bool
    unranked: str
    """The reason in words why the row has no rank; empty if it may have one."""


@dataclass(frozen=True, kw_only=True)
class TaskSection:
    """The section of a task."""

    task: Task
    rows: Sequence[TaskRow]
    """Every method at the strength of the leaderboard, the best first, and `none` last."""
    others: Sequence[TaskRow]
    """The methods at the other strengths."""
    ranks: Ranks | None
    """The ranks by the headline; None for fewer than two methods that can be ranked."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that any method has."""
        scored = {name for row in self.rows for name, value in row.scores.items() if value}
        return tuple(each for each in self.task.measures if each.name in scored)

    def rank(self, row: TaskRow) -> ContenderRank | None:
        """The rank of a row of the leaderboard."""
        is_listed = any(row is each for each in self.rows)
        return self.ranks.get(row.method) if self.ranks and is_listed else None

    @property
    def ranked_by(self) -> str:
        """The measure that ranks, with its strength."""
        strengths = [row.strength for row in self.rows if row.method != UNSTEERED]
        at = f" at strength {strengths[0]:g}" if strengths else ""
        return f"{self.task.headline.title.lower()}{at}"

    @property
    def conclusion(self) -> str:
        """A sentence on the first tier; empty where no two methods are ranked."""
        ranks = self.ranks
        if ranks is None:
            return ""
        if ranks.concepts < 2 or ranks.clusters < MIN_CLUSTERS:
            return "Too few concepts for an interval: this run cannot say which method is better."
        means = {row.method: row.scores[self.task.headline.name] for row in self.rows}
        shown = format.join_names(
            [
                f"{name} ({format.score(mean.mean)})"
                for name in ranks.first_tier
                if (mean := means[name])
            ]
        )
        if len(ranks.first_tier) == 1:
            return f"{shown} {self.task.best}, significantly more than others."
        title = self.task.headline.title.lower()
        return f"{shown} tie for first: they do not differ significantly in {title}."


@once
def collect(summary: Summary) -> TaskSection | None:
    """The section of a run; None where methods add concepts."""
    task = tasks.TASKS.get(summary.facts.task.name)
    if task is None or not task.parts:
        return None
    outcomes = _outcomes(summary, task)
    full = summary.full_strength
    board = [
        _row(summary, task, method, 0.0 if method == UNSTEERED else full, outcomes)
        for method in summary.methods
    ]
    headline = task.headline.name
    ranked = {
        row.method: row.means
        for row in board
        if row.method != UNSTEERED and not row.unranked and row.means
    }

    def place(row: TaskRow) -> tuple[bool, bool, float]:
        own = row.scores[headline]
        return row.method == UNSTEERED, bool(row.unranked), -own.mean if own else math.inf

    others = [
        _row(summary, task, method, strength, outcomes)
        for method in summary.methods
        for strength in summary.strengths
        if method != UNSTEERED and strength not in (0.0, full)
    ]
    return TaskSection(
        task=task,
        rows=sorted(board, key=place),
        others=[row for row in others if row.planned],
        ranks=rank_by_scores(ranked, summary.families),
    )


def _row(
    summary: Summary,
    task: Task,
    method: str,
    strength: float,
    outcomes: Mapping[tuple[str, float], Outcomes],
) -> TaskRow:
    own = outcomes.get((method, strength), {})
    line = summary.leaderboard_row(method, strength)
    scores = {
        each.name: estimates.over_concepts(
            own.get(each.name, {}), summary.families, within=each.range
        )
        for each in task.measures
    }
    kept = scores[task.floor] if task.floor else None
    destroyed = ""
    if kept and kept.mean < MIN_KEPT:
        title = task.measure(task.floor).title.lower()
        destroyed = f"destroys the image ({title} {format.score(kept.mean)})"
    return TaskRow(
        method=method,
        strength=strength,
        scores=scores,
        means={
            concept: math.fsum(values) / len(values)
            for concept, values in own.get(task.headline.name, {}).items()
        },
        done=line.done,
        failed=line.failed,
        planned=line.planned,
        circular=line.circular,
        unranked="" if method == UNSTEERED else line.unranked or destroyed,
    )


def _outcomes(summary: Summary, task: Task) -> dict[tuple[str, float], Outcomes]:
    """Values of all cells by method and strength; failed cells have the worst value.

    Those of further fit seeds stand beside the first: a concept's mean is over all.
    """
    values: dict[tuple[str, float], dict[str, dict[str, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    _add(values, summary, task, summary.store, summary.methods)
    if not summary.first_fit_seed_only:
        for store in further_runs(summary.store, summary.facts):
            _add(values, summary, task, store, list(summary.facts.fit_seeds))
    return dict(values)


def _add(
    values: dict[tuple[str, float], dict[str, dict[str, list[float]]]],
    summary: Summary,
    task: Task,
    store: Store,
    methods: Sequence[str],
) -> None:
    """Add the values of one store's cells of these methods."""
    metrics = sorted({name for each in task.measures for name in (each.metric, *each.together)})
    query = f"""SELECT method, strength, concept, prompt, seed, metric, value,
                       coalesce({IS_FAILURE}, 0)
                FROM cells JOIN images ON images.key = image
                LEFT JOIN failures ON failures.key = image
                LEFT JOIN scores ON file IS NOT NULL AND cell = cells.id AND encoder = ?
                     AND metric IN ({", ".join("?" * len(metrics))})
                ORDER BY place"""
    rows = store.select(query, summary.scorer, *metrics)
    plain = {
        (*cell, metric): value
        for method, _, *cell, metric, value, failed in rows
        if method == UNSTEERED and value is not None and not failed
    }
    chosen, parts = set(methods), summary.facts.task.parts
    members = summary.facts.task.members
    alone = _alone(rows, members)
    by_metric: dict[str, list[Measure]] = defaultdict(list)
    for measure in task.measures:
        for name in measure.together or (measure.metric,):
            by_metric[name].append(measure)
    for method, strength, concept, prompt, seed, metric, value, failed in rows:
        if method not in chosen:
            continue
        own = values[method, strength]
        part = parts.get(concept, {}).get(prompt, "")
        for measure in task.measures if failed else by_metric[metric or ""]:
            if part not in measure.parts:
                continue
            if failed:
                own[measure.name][concept].append(measure.worst)
            elif value is not None and measure.together:
                by_score = dict(zip(measure.together, members.get(concept, ()), strict=False))
                one = alone.get((method, strength, by_score.get(metric), prompt, seed), {})
                if None in one:
                    own[measure.name][concept].append(measure.worst)
                elif measure.metric in one:
                    own[measure.name][concept].append(one[measure.metric] - value)
            elif value is not None and not measure.is_fall:
                own[measure.name][concept].append(value)
            elif value is not None and (concept, prompt, seed, metric) in plain:
                own[measure.name][concept].append(plain[concept, prompt, seed, metric] - value)


def _alone(
    rows: Sequence[Sequence[Any]], members: Mapping[str, Sequence[str]]
) -> dict[tuple[Any, ...], dict[str | None, float]]:
    """Scores of the cells of concepts that are members of pairs; those of a failed one have None.

    Cells are named by method, strength, concept, prompt and seed.
    """
    names = {name for own in members.values() for name in own}
    scores: dict[tuple[Any, ...], dict[str | None, float]] = defaultdict(dict)
    for *cell, metric, value, failed in rows:
        if cell[2] in names and (failed or value is not None):
            scores[tuple(cell)][None if failed else metric] = value
    return scores


def file_rows(summary: Summary, section: TaskSection) -> Iterator[_FileRow]:
    """Rows of `leaderboard.csv`: the leaderboard, then the other strengths."""
    costs = {cost.method: cost for cost in summary.costs}
    for row in (*section.rows, *section.others):
        place, cost = section.rank(row), costs.get(row.method)
        scores: dict[str, float | None] = {}
        for name, value in row.scores.items():
            ends = (value.mean, value.low, value.high) if value else (math.nan,) * 3
            scores |= {
                name + end: each if math.isfinite(each) else None
                for end, each in zip(("", "_low", "_high"), ends, strict=True)
            }
        yield {
            "task": section.task.name,
            "method": row.method,
            "strength": row.strength,
            "rank": place.rank if place else None,
            "rank_high": place.highest if place else None,
            "rank_low": place.lowest if place else None,
            "tier": place.tier if place else None,
            **scores,
            "concepts": len(row.means),
            "done": row.done,
            "failed": row.failed,
            "planned": row.planned,
            "circular": row.circular,
            "unranked": row.unranked,
            "concept_seconds": cost.concept.median if cost and cost.concept else None,
            "training_seconds": cost.training if cost else None,
            "ranked_by": section.ranked_by if any(row is each for each in section.rows) else "",
        }


def text_rows(summary: Summary, section: TaskSection) -> tuple[list[str], list[list[str]]]:
    """The leaderboard as text: headings, and a row per method."""
    times = summary.times
    head = ["method", "rank", "tier", *(each.title.lower() for each in section.measures), "time"]
    rows = []
    for row in section.rows:
        place, time = section.rank(row), times.get(row.method)
        rows.append(
            [
                row.method + ("°" if row.circular else ""),
                *((place.rank_range, str(place.tier)) if place else ("", "")),
                *(
                    format.estimate(row.scores[each.name], format.score, missing="")
                    for each in section.measures
                ),
                format.duration(time.median) if time else "",
            ]
        )
    return head, rows


def notes(section: TaskSection) -> list[str]:
    """Sentences on the measures and on rows without a rank."""
    measures = [
        f"{each.title}: {each.definition} ({each.better} is better)." for each in section.measures
    ]
    unranked = [
        f"{row.method} is not ranked: {row.unranked}." for row in section.rows if row.unranked
    ]
    return [*measures, *unranked]
