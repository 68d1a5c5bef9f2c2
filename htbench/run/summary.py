"""The results of a run as numbers: from its store to estimates, without GPU, network or torch."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from htbench.core.types import UNSTEERED, encoder_name, strength_of
from htbench.run.fact_table import Facts
from htbench.run.store import CellRow, Store
from htbench.scorers.metric_table import METRIC_TABLE
from htbench.stats import durations, estimates
from htbench.stats.ranking.ranks import Ranks, rank_by_scores
from htbench.steering import words

METRICS = {metric.name: metric.title for metric in METRIC_TABLE}
"""Titles of the leaderboard's scores by name; higher is better in each."""
HEADLINE = "concept_gain"


@dataclass(frozen=True, kw_only=True)
class LeaderboardRow:
    """One method at one strength."""

    method: str
    strength: float
    scores: dict[str, estimates.Estimate | None]
    """Estimates by metric; None where nothing was scored."""
    done: int
    planned: int
    """Number of planned cells of this row."""
    circular: bool = False
    """Reads concepts with the encoder that scores here, so it is listed but not ranked."""


@dataclass(frozen=True, kw_only=True)
class MethodCost:
    """The cost of a method in seconds, and its saving against the slowest per-concept method."""

    method: str
    training: float
    """Training before the first concept, and choosing a strength on dev concepts."""
    tuning: float
    """The part of `training` spent on choosing the strength."""
    concept: durations.Quartiles | None
    """Time from a concept to its intervention."""
    amortisation: durations.Amortisation | None
    """Saving against `Summary.slowest`; None for that method and where no other was timed."""


@dataclass(frozen=True, kw_only=True)
class FailureGroup:
    """Cells that have no image for the same reason."""

    kind: str
    message: str
    trace: str
    cells: int


CellGroup = tuple[str, float, str]
"""Method, strength and concept."""


@dataclass(frozen=True)
class Summary:
    """The figures behind tables, charts and the gallery.

    They are added up in SQL, so that a million cells take seconds.
    """

    store: Store

    @cached_property
    def facts(self) -> Facts:
        """The facts of the run."""
        return Facts.read(self.store)

    @cached_property
    def rows(self) -> list[CellRow]:
        """The planned cells."""
        return self.store.rows()

    @cached_property
    def scores(self) -> dict[int, dict[str, float]]:
        """Scores of each cell by metric, by the headline's scorer; undefined ones are left out."""
        scores: dict[int, dict[str, float]] = defaultdict(dict)
        for cell, metric, value in self.store.select(
            "SELECT cell, metric, value FROM scores WHERE encoder = ? AND value IS NOT NULL",
            self.scorer,
        ):
            scores[cell][metric] = value
        return scores

    @cached_property
    def scorer(self) -> str:
        """Id of the encoder of the headline; empty if it is not known."""
        return self.facts.scorer.id

    @cached_property
    def methods(self) -> list[str]:
        """Methods in the order of the plan."""
        return [
            method
            for method, _ in self.store.select(
                "SELECT method, min(place) FROM cells GROUP BY method ORDER BY 2"
            )
        ]

    @cached_property
    def strengths(self) -> list[float]:
        """Strengths of the run, ascending."""
        return [
            strength
            for (strength,) in self.store.select("SELECT DISTINCT strength FROM cells ORDER BY 1")
        ]

    @cached_property
    def concepts(self) -> int:
        """Number of concepts."""
        return len({concept for _, _, concept in self.planned_cells})

    @cached_property
    def families(self) -> Mapping[str, Sequence[str]]:
        """Families of the run's concepts: concepts that share one are not independent.

        Runs of version 0.1.0 do not store them; there they are the concepts' words.
        """
        concepts = self.facts.concepts
        by_words = words.families({name: (each.kind, each.text) for name, each in concepts.items()})
        return {
            name: by_words[name] if each.families is None else each.families
            for name, each in concepts.items()
        }

    @cached_property
    def planned(self) -> int:
        """Number of planned cells."""
        return self.store.count()

    @cached_property
    def done(self) -> int:
        """Number of cells that have their image and all their scores."""
        query = """SELECT count(*) FROM (
                     SELECT cell FROM scores WHERE encoder = ?
                     GROUP BY cell HAVING count(value) >= ?
                   ) JOIN cells ON id = cell JOIN images ON key = image WHERE file IS NOT NULL"""
        ((number,),) = self.store.select(query, self.scorer, len(METRICS))
        return int(number)

    @cached_property
    def failures(self) -> list[FailureGroup]:
        """Cells without an image, grouped by reason."""
        query = """SELECT kind, message, min(trace), count(*) FROM failures
                   JOIN cells ON image = key JOIN images USING (key)
                   WHERE file IS NULL GROUP BY kind, message ORDER BY min(place)"""
        return [
            FailureGroup(kind=kind, message=message, trace=trace, cells=cells)
            for kind, message, trace, cells in self.store.select(query)
        ]

    @cached_property
    def blank_images(self) -> dict[str, dict[str, int]]:
        """Numbers of cells whose image shows nothing, by method and flaw (nan, black, constant)."""
        counts: dict[str, dict[str, int]] = {
            method: {"nan": 0, "black": 0, "constant": 0} for method in self.methods
        }
        query = """SELECT method, coalesce(flaw, kind), count(*)
                   FROM cells JOIN images ON images.key = image
                   LEFT JOIN failures ON failures.key = image
                   WHERE flaw IS NOT NULL OR (file IS NULL AND kind = 'nan') GROUP BY 1, 2"""
        for method, flaw, cells in self.store.select(query):
            counts[method][flaw] = cells
        return counts

    def leaderboard_row(
        self, method: str, strength: float, *, scorer: str | None = None
    ) -> LeaderboardRow:
        """One row of a leaderboard, by the headline's scorer unless another is named."""
        scorer = self.scorer if scorer is None else scorer
        means = self._means(scorer)
        return LeaderboardRow(
            method=method,
            strength=strength,
            scores={
                metric: estimates.over_concepts(
                    means.get((method, strength, metric), {}), self.families
                )
                for metric in METRICS
            },
            done=sum(
                cells
                for (name, at, _), cells in self.done_cells.items()
                if (name, at) == (method, strength)
            ),
            planned=sum(
                cells
                for (name, at, _), cells in self.planned_cells.items()
                if (name, at) == (method, strength)
            ),
            circular=method in self.circular_methods(scorer),
        )

    @cached_property
    def full_strength(self) -> float:
        """The strength of the leaderboard: 1, or the largest of the run."""
        return 1.0 if 1.0 in self.strengths else max(self.strengths, default=0.0)

    @cached_property
    def leaderboard(self) -> list[LeaderboardRow]:
        """Every method at full strength and `none` at 0, the best headline score first.

        Methods that the scorer cannot judge come last.
        """
        return _sorted_by_headline(
            [
                self.leaderboard_row(method, strength_of(method, self.full_strength))
                for method in self.methods
            ]
        )

    @cached_property
    def ranks(self) -> Ranks | None:
        """Ranks of the leaderboard's methods by the headline, on the concepts that all have.

        `none` and circular methods are not ranked; None where fewer than two are left.
        """
        ranked = [
            line
            for line in self.leaderboard
            if line.method != UNSTEERED and not line.circular and line.scores[HEADLINE]
        ]
        return rank_by_scores(
            {line.method: self.means(line.method, line.strength) for line in ranked},
            self.families,
        )

    def means(self, method: str, strength: float, metric: str = HEADLINE) -> dict[str, float]:
        """Each concept's mean of a score, by the headline's scorer."""
        return {concept: mean for concept, (mean,) in self.values(method, strength, metric).items()}

    @cached_property
    def tuned(self) -> list[LeaderboardRow]:
        """Every method at its strength chosen on dev concepts; empty if none was chosen."""
        choices = self.facts.tuned
        return _sorted_by_headline(
            [
                self.leaderboard_row(method, choices[method].strength)
                for method in self.methods
                if method in choices and math.isfinite(choices[method].strength)
            ]
        )

    @cached_property
    def by_scorer(self) -> dict[str, list[LeaderboardRow]]:
        """The leaderboard by each encoder other than the headline's."""
        stored = [
            name for (name,) in self.store.select("SELECT DISTINCT encoder FROM scores ORDER BY 1")
        ]
        current = [scorer.id for scorer in self.facts.scorers]
        return {
            name: _sorted_by_headline(
                [
                    self.leaderboard_row(
                        method, strength_of(method, self.full_strength), scorer=name
                    )
                    for method in self.methods
                ]
            )
            for name in stored
            if name != self.scorer and name in current
        }

    def circular_methods(self, scorer: str) -> list[str]:
        """Methods that read concepts with the encoder `scorer`, so that it cannot judge them."""
        name = encoder_name(scorer)
        return [
            method
            for method, card in self.facts.methods.items()
            if name and name in card.training.encoders
        ]

    @cached_property
    def slowest(self) -> str | None:
        """The method with the longest median time per concept among those without training."""
        medians = {
            method: sample.median
            for method in self.methods
            if (sample := self._fit_seconds(method)) and not self.training_seconds(method)
        }
        return max(medians, key=lambda method: medians[method], default=None)

    @cached_property
    def costs(self) -> list[MethodCost]:
        """The cost of every method."""
        generate = durations.quartiles(self.store.image_seconds())
        reference = self._fit_seconds(self.slowest) if self.slowest else None
        return [self._cost(method, reference, generate) for method in self.methods]

    def training_seconds(self, method: str) -> float:
        """Seconds of training before the first concept."""
        card = self.facts.methods.get(method)
        return card.training.seconds if card and math.isfinite(card.training.seconds) else 0.0

    def tuning_seconds(self, method: str) -> float:
        """Seconds that choosing a strength on dev concepts took."""
        choice = self.facts.tuned.get(method)
        return choice.seconds if choice else 0.0

    def values(self, method: str, strength: float, metric: str) -> Mapping[str, list[float]]:
        """Each concept's mean of a score, by the headline's scorer."""
        return self._means(self.scorer).get((method, strength, metric), {})

    @cached_property
    def planned_cells(self) -> dict[CellGroup, int]:
        """Numbers of planned cells."""
        return _cells_by_group(
            self.store.select(
                "SELECT method, strength, concept, count(*) FROM cells GROUP BY 1, 2, 3"
            )
        )

    @property
    def done_cells(self) -> dict[CellGroup, int]:
        """Numbers of cells that have their image and all their scores."""
        return self._totals(self.scorer).done

    def _means(self, scorer: str) -> dict[tuple[str, float, str], dict[str, list[float]]]:
        """Each concept's mean by method, strength and metric."""
        return self._totals(scorer).means

    def _totals(self, scorer: str) -> "_ScoreTotals":
        if scorer not in self._totals_by_scorer:
            self._totals_by_scorer[scorer] = _score_totals(self.store, scorer)
        return self._totals_by_scorer[scorer]

    @cached_property
    def _totals_by_scorer(self) -> dict[str, "_ScoreTotals"]:
        return {}

    def _cost(
        self,
        method: str,
        reference: durations.Quartiles | None,
        generate: durations.Quartiles | None,
    ) -> MethodCost:
        sample, tuning = self._fit_seconds(method), self.tuning_seconds(method)
        training = self.training_seconds(method) + tuning
        saving = None
        if sample and reference and generate and method not in (UNSTEERED, self.slowest):
            saving = durations.Amortisation(
                training=training,
                fit=reference.median,
                predict=sample.median,
                generate=generate.median,
            )
        return MethodCost(
            method=method, training=training, tuning=tuning, concept=sample, amortisation=saving
        )

    def _fit_seconds(self, method: str | None) -> durations.Quartiles | None:
        return durations.quartiles(
            [
                seconds
                for phase, name, _, seconds, _ in self.store.timings()
                if phase == "towards" and name == method
            ]
        )


@dataclass(frozen=True, kw_only=True)
class _ScoreTotals:
    """The scores of one encoder, added up by method, strength and concept."""

    done: dict[CellGroup, int]
    means: dict[tuple[str, float, str], dict[str, list[float]]]


def _score_totals(store: Store, scorer: str) -> _ScoreTotals:
    """Add up the scores of `scorer`.

    Scores lie in the order of cells, so turning them into columns first needs no sorting: a third
    of the time for a million cells.
    """
    columns = ", ".join(
        f"max(CASE metric WHEN '{metric}' THEN value END) AS {metric}" for metric in METRICS
    )
    averages = ", ".join(f"avg({metric})" for metric in METRICS)
    query = f"""SELECT method, strength, concept, sum(scored >= {len(METRICS)}), {averages}
                FROM (
                  SELECT cell, count(value) AS scored, {columns} FROM scores
                  WHERE encoder = ? GROUP BY cell
                ) JOIN cells ON id = cell JOIN images ON key = image
                WHERE file IS NOT NULL GROUP BY 1, 2, 3 ORDER BY min(place)"""
    done: dict[CellGroup, int] = {}
    means: dict[tuple[str, float, str], dict[str, list[float]]] = defaultdict(dict)
    for method, strength, concept, complete, *values in store.select(query, scorer):
        done[method, strength, concept] = complete
        for metric, value in zip(METRICS, values, strict=True):
            if value is not None:
                means[method, strength, metric][concept] = [value]
    return _ScoreTotals(done=done, means=means)


def _sorted_by_headline(lines: list[LeaderboardRow]) -> list[LeaderboardRow]:
    def rank(line: LeaderboardRow) -> tuple[bool, float]:
        score = line.scores[HEADLINE]
        return line.circular, -score.mean if score else float("inf")

    return sorted(lines, key=rank)


def _cells_by_group(rows: Iterable[tuple[Any, ...]]) -> dict[CellGroup, int]:
    return {(method, strength, concept): cells for method, strength, concept, cells in rows}
