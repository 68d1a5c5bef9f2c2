"""The scores of a run, added up by method, strength and concept.

A cell whose image could not be made scores the worst value of each metric; a cell that was not
tried yet is left out.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num

from htbench.run import cell_table
from htbench.run.cell_table import IS_FAILURE, CellGroup, CellTable
from htbench.run.store import Store
from htbench.scorers.metric_table import METRIC_TABLE, Metric

ScoreKey = tuple[str, float, str]
"""Method, strength and metric."""


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


def read(store: Store, scorer: str) -> ScoreTotals:
    """The scores of an encoder in a run, added up."""
    cells = cell_table.read(store)
    return add_up(cells, cell_table.read_scores(store, cells, scorer))


def add_up(cells: CellTable, scores: Float[np.ndarray, "cells metrics"]) -> ScoreTotals:
    """Add up the scores of an encoder.

    A metric that no cell has is not measured here: failures have no worst value of it, and a cell
    is done without it.
    """
    is_scored = cells.made[:, None] & ~np.isnan(scores)
    failed = _counts(cells, cells.failed & is_scored.any())
    measured = is_scored.any(0)
    means: dict[ScoreKey, dict[str, list[float]]] = defaultdict(dict)
    shares: dict[ScoreKey, dict[str, float]] = defaultdict(dict)
    known = [
        (k, cells.group.names[k])
        for k in np.flatnonzero(_counts(cells, is_scored.any(1)) + failed).tolist()
    ]
    for metric, values, known_values in zip(METRIC_TABLE, scores.T, is_scored.T, strict=True):
        if not known_values.any():
            continue
        scored = _counts(cells, known_values)
        totals = _counts(cells, np.where(known_values, values, 0.0)) + metric.worst * failed
        for k, (method, strength, concept) in known:
            count = scored[k] + failed[k]
            if not count:
                continue
            means[method, strength, metric.name][concept] = [float(totals[k] / count)]
            if failed[k]:
                shares[method, strength, metric.name][concept] = float(failed[k] / count)
    done = is_scored[:, measured].all(1) & measured.any()
    return ScoreTotals(done=cells.group_counts(done), means=means, failed_shares=shares)


def _counts(cells: CellTable, weights: Num[np.ndarray, " cells"]) -> Float[np.ndarray, " groups"]:
    return np.bincount(cells.group.numbers, weights, minlength=len(cells.group.names))


def over_fit_seeds(
    first: ScoreTotals, further: Sequence[ScoreTotals], methods: Collection[str]
) -> ScoreTotals:
    """The totals of a run and of its further fit seeds, at which `methods` were fitted anew.

    A fit seed counts for a mean once it has all concepts of the first.
    """
    done = Counter(first.done)
    for each in further:
        done.update({group: cells for group, cells in each.done.items() if group[0] in methods})
    means: dict[ScoreKey, dict[str, list[float]]] = {}
    shares: dict[ScoreKey, dict[str, float]] = {}
    for key, own in first.means.items():
        complete = [
            first,
            *(
                each
                for each in further
                if key[0] in methods and own.keys() <= each.means.get(key, {}).keys()
            ),
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
