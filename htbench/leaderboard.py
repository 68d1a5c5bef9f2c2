"""What a run found, as numbers: from the store to estimates, with neither GPU nor network nor torch."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from htbench import stats
from htbench.store import Row, Store

METRICS = {
    "concept_gain": "Concept gain",
    "presence": "Presence",
    "prompt_preservation": "Prompt preservation",
    "image_preservation": "Image preservation",
}
"""The scores of a leaderboard and what people call them; higher is better in each."""
HEADLINE = "concept_gain"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One method at one strength."""

    method: str
    strength: float
    scores: dict[str, stats.Estimate | None]
    """By metric; None where nothing was scored."""
    done: int
    planned: int
    """Cells of this line."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one method costs, in seconds, and what it saves against the slowest per-concept method of the run."""

    method: str
    training: float
    concept: stats.Spread | None
    """From a concept to its intervention."""
    amortisation: stats.Amortisation | None
    """Against `Summary.slowest`; None for that method itself and where there is nothing to compare."""


@dataclass(frozen=True)
class Summary:
    """All that tables, charts and the gallery are made from."""

    store: Store

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The run's facts."""
        return self.store.facts()

    @cached_property
    def rows(self) -> list[Row]:
        """All planned cells."""
        return self.store.rows()

    @cached_property
    def scores(self) -> dict[int, dict[str, float]]:
        """Defined scores of each cell by metric, by the run's scorer."""
        found: dict[int, dict[str, float]] = defaultdict(dict)
        scorer = self.facts.get("scorer")
        name = scorer.get("name") if isinstance(scorer, dict) else None
        for cell, metric, encoder, value in self.store.scores():
            if value is not None and encoder == name:
                found[cell][metric] = value
        return found

    @cached_property
    def methods(self) -> list[str]:
        """Methods in the order of the plan."""
        return list(dict.fromkeys(row.method for row in self.rows))

    @cached_property
    def strengths(self) -> list[float]:
        """Strengths of the plan, ascending."""
        return sorted({row.strength for row in self.rows})

    @property
    def done(self) -> int:
        """Cells that have their image and all their scores."""
        return sum(self._complete(row) for row in self.rows)

    @cached_property
    def problems(self) -> dict[str, int]:
        """Why cells have no image, with their numbers."""
        found: dict[str, int] = defaultdict(int)
        for row in self.rows:
            if row.problem:
                found[row.problem] += 1
        return dict(found)

    def line(self, method: str, strength: float) -> Line:
        """One line of a leaderboard."""
        rows = [row for row in self.rows if row.method == method and row.strength == strength]
        return Line(
            method=method,
            strength=strength,
            scores={metric: stats.over_concepts(self._by_concept(rows, metric)) for metric in METRICS},
            done=sum(self._complete(row) for row in rows),
            planned=len(rows),
        )

    @cached_property
    def leaderboard(self) -> list[Line]:
        """Every method at strength 1 (or the largest of the plan), `none` at 0; the best headline score first."""
        full = 1.0 if 1.0 in self.strengths else max(self.strengths, default=0.0)
        lines = [self.line(method, 0.0 if method == "none" else full) for method in self.methods]

        def rank(line: Line) -> float:
            score = line.scores[HEADLINE]
            return -score.mean if score else float("inf")

        return sorted(lines, key=rank)

    @cached_property
    def slowest(self) -> str | None:
        """The method with the longest median time a concept among those that were not trained beforehand."""
        medians = {method: sample.median for method in self.methods if (sample := self._concept_seconds(method)) and not self.training(method)}
        return max(medians, key=lambda method: medians[method], default=None)

    @cached_property
    def costs(self) -> list[Cost]:
        """What each method that was timed costs."""
        generate = stats.spread(self.store.image_seconds())
        reference = self._concept_seconds(self.slowest) if self.slowest else None
        found = []
        for method in self.methods:
            sample = self._concept_seconds(method)
            comparable = sample and reference and generate and method not in ("none", self.slowest)
            saving = (
                stats.Amortisation(training=self.training(method), fit=reference.median, predict=sample.median, generate=generate.median)
                if comparable and sample and reference and generate
                else None
            )
            found.append(Cost(method=method, training=self.training(method), concept=sample, amortisation=saving))
        return found

    def training(self, method: str) -> float:
        """Seconds of learning before the first concept."""
        methods: Any = self.facts.get("methods", {})
        return float(methods.get(method, {}).get("training", {}).get("seconds", 0.0))

    def _concept_seconds(self, method: str | None) -> stats.Spread | None:
        return stats.spread([seconds for phase, name, _, seconds, _ in self.store.timings() if phase == "towards" and name == method])

    def _by_concept(self, rows: Iterable[Row], metric: str) -> dict[str, list[float]]:
        groups: dict[str, list[float]] = defaultdict(list)
        for row in rows:
            value = self.scores.get(row.id, {}).get(metric)
            if value is not None:
                groups[row.concept].append(value)
        return groups

    def _complete(self, row: Row) -> bool:
        return row.file is not None and METRICS.keys() <= self.scores.get(row.id, {}).keys()
