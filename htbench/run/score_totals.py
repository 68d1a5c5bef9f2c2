"""The scores of a run, added up in SQL by method, strength and concept.

A cell whose image could not be made scores the worst value of each metric; a cell that was not
tried yet is left out.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from htbench.run.store import Store
from htbench.scorers.metric_table import METRIC_TABLE, Metric

CellGroup = tuple[str, float, str]
"""Method, strength and concept."""
ScoreKey = tuple[str, float, str]
"""Method, strength and metric."""
IS_FAILURE = "file IS NULL AND kind != 'damaged'"
"""A row of `images` joined with `failures` has failed: a file that was damaged later is made again,
and says nothing about the method."""


@dataclass(frozen=True, kw_only=True)
class FailedCells:
    """The failed cells of one method, strength and concept."""

    place: int
    """Place of the first in the plan."""
    cells: int


@dataclass(frozen=True, kw_only=True)
class ScoreTotals:
    """The scores of one encoder."""

    done: Mapping[CellGroup, int]
    """Numbers of cells that have their image and all their scores."""
    means: Mapping[ScoreKey, Mapping[str, list[float]]]
    """Each concept's mean at each fit seed by method, strength and metric, failed cells as the
    worst value."""
    failed_shares: Mapping[ScoreKey, Mapping[str, float]]
    """The share of failed cells in those means, for concepts that have any."""


def failed_cells(store: Store) -> dict[CellGroup, FailedCells]:
    """The cells whose last try failed, by method, strength and concept."""
    query = f"""SELECT method, strength, concept, min(place), count(*)
                FROM failures JOIN images USING (key) JOIN cells ON image = key
                WHERE {IS_FAILURE} GROUP BY 1, 2, 3"""
    return {
        (method, strength, concept): FailedCells(place=place, cells=cells)
        for method, strength, concept, place, cells in store.select(query)
    }


def add_up(store: Store, scorer: str, failed: Mapping[CellGroup, FailedCells]) -> ScoreTotals:
    """Add up the scores of `scorer`; with none at all, failures count for nothing either.

    Scores lie in the order of cells, so turning them into columns first needs no sorting: a third
    of the time for a million cells.
    """
    columns = ", ".join(
        f"max(CASE metric WHEN '{metric.name}' THEN value END) AS {metric.name}"
        for metric in METRIC_TABLE
    )
    averages = ", ".join(f"avg({metric.name}), count({metric.name})" for metric in METRIC_TABLE)
    query = f"""SELECT method, strength, concept, min(place), sum(scored >= {len(METRIC_TABLE)}),
                       {averages}
                FROM (
                  SELECT cell, count(value) AS scored, {columns} FROM scores
                  WHERE encoder = ? GROUP BY cell
                ) JOIN cells ON id = cell JOIN images ON key = image
                WHERE file IS NOT NULL GROUP BY 1, 2, 3"""
    rows = {
        (method, strength, concept): values
        for method, strength, concept, *values in store.select(query, scorer)
    }
    places = {group: values[0] for group, values in rows.items()}
    for group, cells in failed.items() if rows else ():
        places[group] = min(cells.place, places.get(group, cells.place))
    unscored = [0, 0, *[None, 0] * len(METRIC_TABLE)]
    done: dict[CellGroup, int] = {}
    means: dict[ScoreKey, dict[str, list[float]]] = defaultdict(dict)
    shares: dict[ScoreKey, dict[str, float]] = defaultdict(dict)
    for group in sorted(places, key=places.__getitem__):
        method, strength, concept = group
        _, done[group], *values = rows.get(group, unscored)
        failures = failed[group].cells if group in failed else 0
        for metric, mean, scored in zip(METRIC_TABLE, values[::2], values[1::2], strict=True):
            key = method, strength, metric.name
            if failures:
                total = metric.worst * failures + (mean * scored if scored else 0.0)
                means[key][concept] = [total / (scored + failures)]
                shares[key][concept] = failures / (scored + failures)
            elif scored:
                means[key][concept] = [mean]
    return ScoreTotals(done=done, means=means, failed_shares=shares)


def over_fit_seeds(first: ScoreTotals, further: Sequence[ScoreTotals]) -> ScoreTotals:
    """The totals of a run and of its further fit seeds together.

    A fit seed counts for a mean once it has all concepts of the first.
    """
    done = Counter(first.done)
    for each in further:
        done.update(each.done)
    means: dict[ScoreKey, dict[str, list[float]]] = {}
    shares: dict[ScoreKey, dict[str, float]] = {}
    for key, own in first.means.items():
        complete = [
            first,
            *(each for each in further if own.keys() <= each.means.get(key, {}).keys()),
        ]
        means[key] = {
            concept: [value for each in complete for value in each.means[key][concept]]
            for concept in own
        }
        failed = [each.failed_shares.get(key, {}) for each in complete]
        shares[key] = {
            concept: sum(each.get(concept, 0.0) for each in failed) / len(complete)
            for concept in own
            if any(concept in each for each in failed)
        }
    return ScoreTotals(done=done, means=means, failed_shares=shares)


@dataclass(frozen=True, kw_only=True)
class SharedMeans:
    """Means of several methods over the cells that all of them have."""

    means: Mapping[str, Mapping[str, float]]
    """Each concept's mean, by method; equal concepts in equal order for all."""
    cells: int
    """Number of shared cells, each a concept, a prompt and a seed."""


def shared_means(
    store: Store, scorer: str, strengths: Mapping[str, float], metric: Metric
) -> SharedMeans:
    """Means of a score over the cells that every method has at its strength, scored or failed."""
    places = ", ".join("(?, ?)" for _ in strengths)
    query = f"""WITH outcomes AS (
                  SELECT method, concept, prompt, seed, place,
                         CASE WHEN file IS NULL THEN {metric.worst} ELSE value END AS outcome
                  FROM cells JOIN images ON images.key = image
                  LEFT JOIN failures ON failures.key = image
                  LEFT JOIN scores ON cell = cells.id AND metric = ? AND encoder = ?
                  WHERE (method, strength) IN (VALUES {places})
                  AND (({IS_FAILURE}) OR (file IS NOT NULL AND value IS NOT NULL))
                )
                SELECT method, concept, avg(outcome), count(*)
                FROM outcomes JOIN (
                  SELECT concept, prompt, seed FROM outcomes
                  GROUP BY 1, 2, 3 HAVING count(*) = {len(strengths)}
                ) USING (concept, prompt, seed)
                GROUP BY 1, 2 ORDER BY min(place)"""
    pairs = [part for pair in strengths.items() for part in pair]
    means: dict[str, dict[str, float]] = {method: {} for method in strengths}
    cells = 0
    for method, concept, mean, count in store.select(query, metric.name, scorer, *pairs):
        means[method][concept] = mean
        cells += count
    return SharedMeans(means=means, cells=cells // max(1, len(strengths)))
