"""What a run found, as numbers: from the store to estimates, with neither GPU nor network nor torch."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from htbench.core.types import UNSTEERED, encoder_name, strength_of
from htbench.run.store import CellRow, Store
from htbench.stats import durations, estimates
from htbench.stats.ranking.ranks import Ranks, rank_by_scores

METRICS = {
    "concept_gain": "Concept gain",
    "presence": "Presence",
    "identity": "Identity",
    "prompt_preservation": "Prompt preservation",
    "image_preservation": "Image preservation",
}
"""The scores of a leaderboard and what people call them; higher is better in each."""
HEADLINE = "concept_gain"


@dataclass(frozen=True, kw_only=True)
class LeaderboardRow:
    """One method at one strength."""

    method: str
    strength: float
    scores: dict[str, estimates.Estimate | None]
    """By metric; None where nothing was scored."""
    done: int
    planned: int
    """Cells of this line."""
    circular: bool = False
    """Whether the method reads concepts with the encoder that scores here: then it is listed, and not ranked."""


@dataclass(frozen=True, kw_only=True)
class MethodCost:
    """What one method costs, in seconds, and what it saves against the slowest per-concept method of the run."""

    method: str
    training: float
    """Learning before the first concept, and choosing a strength on dev concepts where that was done."""
    tuning: float
    """The part of `training` that choosing the strength took."""
    concept: durations.Quartiles | None
    """From a concept to its intervention."""
    amortisation: durations.Amortisation | None
    """Against `Summary.slowest`; None for that method itself and where there is nothing to compare."""


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
    """All that tables, charts and the gallery are made from; figures are added up in SQL, so that a million cells take seconds."""

    store: Store

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The run's facts."""
        return self.store.facts()

    @cached_property
    def rows(self) -> list[CellRow]:
        """All planned cells."""
        return self.store.rows()

    @cached_property
    def scores(self) -> dict[int, dict[str, float]]:
        """Defined scores of each cell by metric, by the headline's scorer."""
        found: dict[int, dict[str, float]] = defaultdict(dict)
        for cell, metric, value in self.store.select(
            "SELECT cell, metric, value FROM scores WHERE encoder = ? AND value IS NOT NULL",
            self.scorer,
        ):
            found[cell][metric] = value
        return found

    @cached_property
    def scorer(self) -> str:
        """Id of the encoder of the headline; empty if it is not known."""
        scorer = self.facts.get("scorer")
        return str(scorer.get("id") or "") if isinstance(scorer, dict) else ""

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
    def planned(self) -> int:
        """All cells."""
        return self.store.count()

    @cached_property
    def done(self) -> int:
        """Cells that have their image and all their scores."""
        query = """SELECT count(*) FROM (SELECT cell FROM scores WHERE encoder = ? GROUP BY cell HAVING count(value) >= ?)
                   JOIN cells ON id = cell JOIN images ON key = image WHERE file IS NOT NULL"""
        ((number,),) = self.store.select(query, self.scorer, len(METRICS))
        return int(number)

    @cached_property
    def failures(self) -> list[FailureGroup]:
        """Why cells have no image."""
        query = """SELECT kind, message, min(trace), count(*) FROM failures JOIN cells ON image = key JOIN images USING (key)
                   WHERE file IS NULL GROUP BY kind, message ORDER BY min(place)"""
        return [
            FailureGroup(kind=kind, message=message, trace=trace, cells=cells)
            for kind, message, trace, cells in self.store.select(query)
        ]

    @cached_property
    def blank_images(self) -> dict[str, dict[str, int]]:
        """Cells with nothing to see, by method: how many are black, of one colour, or no numbers at all."""
        found: dict[str, dict[str, int]] = {
            method: {"nan": 0, "black": 0, "constant": 0} for method in self.methods
        }
        query = """SELECT method, coalesce(flaw, kind), count(*) FROM cells JOIN images ON images.key = image LEFT JOIN failures ON failures.key = image
                   WHERE flaw IS NOT NULL OR (file IS NULL AND kind = 'nan') GROUP BY 1, 2"""
        for method, flaw, cells in self.store.select(query):
            found[method][flaw] = cells
        return found

    def leaderboard_row(
        self, method: str, strength: float, *, scorer: str | None = None
    ) -> LeaderboardRow:
        """One line of a leaderboard; by the headline's scorer unless another is named."""
        means = self._means(self.scorer if scorer is None else scorer)
        return LeaderboardRow(
            method=method,
            strength=strength,
            scores={
                metric: estimates.over_concepts(means.get((method, strength, metric), {}))
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
            circular=method in self.circular_methods(self.scorer if scorer is None else scorer),
        )

    @cached_property
    def full_strength(self) -> float:
        """The strength of the leaderboard: 1, or the largest of the run."""
        return 1.0 if 1.0 in self.strengths else max(self.strengths, default=0.0)

    @cached_property
    def leaderboard(self) -> list[LeaderboardRow]:
        """Every method at full strength, `none` at 0; the best headline score first, methods that the scorer cannot judge last."""
        return _sorted_by_headline(
            [
                self.leaderboard_row(method, strength_of(method, self.full_strength))
                for method in self.methods
            ]
        )

    @cached_property
    def ranks(self) -> Ranks | None:
        """Of the leaderboard's methods by the headline, on the concepts that all have; `none` and circular ones are not ranked, nor is one alone."""
        ranked = [
            line
            for line in self.leaderboard
            if line.method != UNSTEERED and not line.circular and line.scores[HEADLINE]
        ]
        return rank_by_scores(
            {line.method: self.means(line.method, line.strength) for line in ranked}
        )

    def means(self, method: str, strength: float, metric: str = HEADLINE) -> dict[str, float]:
        """Each concept's mean of a score, by the headline's scorer."""
        return {concept: mean for concept, (mean,) in self.values(method, strength, metric).items()}

    @cached_property
    def tuned(self) -> list[LeaderboardRow]:
        """Every method at the strength that was chosen for it on dev concepts; empty if none was."""
        found = _mapping(self.facts.get("tuned"))
        return _sorted_by_headline(
            [
                self.leaderboard_row(method, float(_mapping(found[method])["strength"]))
                for method in self.methods
                if method in found
            ]
        )

    @cached_property
    def by_scorer(self) -> dict[str, list[LeaderboardRow]]:
        """The leaderboard by each encoder other than the headline's."""
        known = [
            name for (name,) in self.store.select("SELECT DISTINCT encoder FROM scores ORDER BY 1")
        ]
        current = [str(_mapping(scorer).get("id")) for scorer in self.facts.get("scorers", [])]
        return {
            name: _sorted_by_headline(
                [
                    self.leaderboard_row(
                        method, strength_of(method, self.full_strength), scorer=name
                    )
                    for method in self.methods
                ]
            )
            for name in known
            if name != self.scorer and name in current
        }

    def circular_methods(self, scorer: str) -> list[str]:
        """Methods that read concepts with the encoder `scorer`, so that it cannot judge them."""
        name = encoder_name(scorer)
        encoders = {
            method: _mapping(_mapping(card).get("training")).get("encoders")
            for method, card in _mapping(self.facts.get("methods")).items()
        }
        return [
            method
            for method, names in encoders.items()
            if isinstance(names, list) and name and name in names
        ]

    @cached_property
    def slowest(self) -> str | None:
        """The method with the longest median time a concept among those that were not trained beforehand."""
        medians = {
            method: sample.median
            for method in self.methods
            if (sample := self._fit_seconds(method)) and not self.training_seconds(method)
        }
        return max(medians, key=lambda method: medians[method], default=None)

    @cached_property
    def costs(self) -> list[MethodCost]:
        """What each method that was timed costs."""
        generate = durations.quartiles(self.store.image_seconds())
        reference = self._fit_seconds(self.slowest) if self.slowest else None
        return [self._cost(method, reference, generate) for method in self.methods]

    def training_seconds(self, method: str) -> float:
        """Seconds of learning before the first concept."""
        training = _mapping(
            _mapping(_mapping(self.facts.get("methods")).get(method)).get("training")
        )
        return float(training.get("seconds") or 0.0)

    def tuning_seconds(self, method: str) -> float:
        """Seconds that choosing a strength on dev concepts took."""
        return float(_mapping(_mapping(self.facts.get("tuned")).get(method)).get("seconds") or 0.0)

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
    """What one encoder's scores add up to."""

    done: dict[CellGroup, int]
    means: dict[tuple[str, float, str], dict[str, list[float]]]


def _score_totals(store: Store, scorer: str) -> _ScoreTotals:
    """Scores lie in the order of cells, so that turning them into columns first needs no sorting: a third of the time for a million cells."""
    columns = [f"max(CASE metric WHEN '{metric}' THEN value END) AS {metric}" for metric in METRICS]
    query = f"""SELECT method, strength, concept, sum(scored >= {len(METRICS)}), {", ".join(f"avg({metric})" for metric in METRICS)}
                FROM (SELECT cell, count(value) AS scored, {", ".join(columns)} FROM scores WHERE encoder = ? GROUP BY cell)
                JOIN cells ON id = cell JOIN images ON key = image WHERE file IS NOT NULL GROUP BY 1, 2, 3 ORDER BY min(place)"""
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


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _cells_by_group(rows: Iterable[tuple[Any, ...]]) -> dict[CellGroup, int]:
    return {(method, strength, concept): cells for method, strength, concept, cells in rows}
