"""The results of a run as numbers: from its store to estimates, without GPU, network or torch."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from htbench.core.types import UNSTEERED, encoder_name, strength_of
from htbench.run import cell_table, score_totals, wording_runs
from htbench.run.cell_table import CellGroup, CellTable
from htbench.run.costs import (
    MethodCost,
    TimedSession,
    compare_with_fits,
    fit_times,
    latest_times,
)
from htbench.run.fact_table import Facts
from htbench.run.fit_seeds import further_runs
from htbench.run.ranking import MIN_KEPT, Ranking
from htbench.run.score_totals import ScoreTotals, SharedMeans, shared_means
from htbench.run.store import CellRow, Store
from htbench.scorers.metric_table import METRIC_TABLE, PAIRED, RANGES, Metric
from htbench.stats import durations, estimates, fit_seeds
from htbench.stats.ranking.ranks import Ranks, rank_by_scores
from htbench.steering.wording import WORDINGS, Wording

METRICS = {metric.name: metric.title for metric in METRIC_TABLE}
"""Titles of the leaderboard's scores by name; higher is better in each."""
HEADLINE, UNPAIRED_HEADLINE = "concept_gain", "presence"
"""The score that ranks methods, and the one that does where no image has an unsteered one."""
MAX_MISSING = 0.02
"""Largest share of a row's planned cells that may be missing or failed if it is to be ranked."""
CIRCULAR = "reads concepts with the encoder that scores here"


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
    failed: int = 0
    """Number of cells without an image after a try; in `scores` they have the worst values."""
    best_case: dict[str, float | None] = field(default_factory=dict)
    """Means if the failed cells had each metric's best value; None where none failed."""
    unranked: str = ""
    """The reason in words why the row has no rank; empty if it may have one."""
    ranked_by: str = HEADLINE
    """The metric that ranks, see `Summary.headline`."""
    bundle: str = ""
    """SHA-256 digest of the bundle that its cells are from; empty: the run made them."""

    @property
    def headline(self) -> estimates.Estimate | None:
        """The estimate that ranks."""
        return self.scores[self.ranked_by]

    @property
    def destroyed(self) -> str:
        """The reason in words why its images count as destroyed; empty if they do not."""
        kept = self.scores["image_preservation"]
        if kept is None or kept.mean >= MIN_KEPT:
            return ""
        return f"keeps almost nothing of the image ({kept.mean:.2f})".replace("0.", ".")


@dataclass(frozen=True, kw_only=True)
class FailureGroup:
    """Cells that have no image for the same reason."""

    kind: str
    message: str
    trace: str
    cells: int


@dataclass(frozen=True, kw_only=True)
class WordingCells:
    """Numbers of cells in a wording."""

    done: int
    failed: int
    planned: int


@dataclass(frozen=True)
class Summary:
    """The figures behind tables, charts and the gallery.

    They are computed from arrays, so that a million cells take seconds. Scores of methods with
    several fit seeds are means over these; numbers of cells are those of all fit seeds where that
    is said.
    """

    store: Store
    first_fit_seed_only: bool = False
    """Leave further fit seeds out."""

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
    def metrics(self) -> Mapping[str, str]:
        """Titles of the scores that the run can have, by name.

        All of `METRICS`, but for those of pairs where no imported picture has an unsteered one.
        """
        imported = self.facts.imported
        lacking = PAIRED if self.facts.is_imported and not imported.paired else ()
        return {name: title for name, title in METRICS.items() if name not in lacking}

    @property
    def headline(self) -> str:
        """The metric that ranks methods: `HEADLINE`, or presence in a run without pairs."""
        return HEADLINE if HEADLINE in self.metrics else UNPAIRED_HEADLINE

    @cached_property
    def times(self) -> Mapping[str, durations.Quartiles | None]:
        """The time of a new concept by method, which the run took.

        Of imported pictures the time of an image at full strength, where their source told it.
        """
        if not self.facts.is_imported:
            return {cost.method: cost.concept for cost in self.costs}
        seconds: dict[str, list[float]] = {method: [] for method in self.methods}
        query = """SELECT method, seconds FROM cells JOIN images ON key = image
                   WHERE seconds BETWEEN 0 AND 1e9 AND (strength = ? OR method = ?)"""
        for method, each in self.store.select(query, self.full_strength, UNSTEERED):
            seconds[method].append(each)
        return {method: durations.quartiles(each) for method, each in seconds.items()}

    @cached_property
    def timed(self) -> str:
        """The thing that `times` are of: `concept`, `image`, or empty where there are none."""
        if not self.facts.is_imported:
            return "concept"
        return "image" if any(self.times.values()) else ""

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
        """Number of concepts; those of a pair count, and the pair does not."""
        planned, pairs = {concept for _, _, concept in self.planned_cells}, self.facts.task.members
        return len({each for concept in planned for each in pairs.get(concept, [concept])})

    @cached_property
    def families(self) -> Mapping[str, Sequence[str]]:
        """Families of the run's concepts, see `Facts.families`."""
        return self.facts.families

    @cached_property
    def planned(self) -> int:
        """Number of planned cells of the first fit seed."""
        return self.store.count()

    @cached_property
    def done(self) -> int:
        """Number of cells of the first fit seed that have their image and all their scores."""
        return sum(self.of_first_fit_seed.done_cells.values())

    @cached_property
    def is_complete(self) -> bool:
        """True if all cells of all fit seeds and wordings have their image and all their scores."""
        return sum(self.done_cells.values()) == sum(self.planned_cells.values()) and all(
            cells.done == cells.planned for cells in self.wording_cells.values()
        )

    @cached_property
    def wording_cells(self) -> dict[Wording, WordingCells]:
        """Numbers of cells in each wording other than the canonical one."""
        cells = {
            wording: WordingCells(done=0, failed=0, planned=self.facts.wordings[wording])
            for wording in WORDINGS
            if wording in self.facts.plan.wording and wording in self.facts.wordings
        }
        for wording, store in wording_runs.further_runs(self.store, self.facts):
            unscored = store.unscored_count(self.scorer, len(METRIC_TABLE))
            table = cell_table.read(store)
            cells[wording] = WordingCells(
                done=store.count() - unscored,
                failed=int(table.failed.sum()),
                planned=store.count(),
            )
        return cells

    @cached_property
    def failures(self) -> list[FailureGroup]:
        """Cells of the first fit seed without an image, grouped by reason."""
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
        key = method, strength, self.scorer if scorer is None else scorer
        if key not in self._rows_by_key:
            self._rows_by_key[key] = self._leaderboard_row(*key)
        return self._rows_by_key[key]

    @cached_property
    def _rows_by_key(self) -> dict[tuple[str, float, str], LeaderboardRow]:
        return {}

    def _leaderboard_row(self, method: str, strength: float, scorer: str) -> LeaderboardRow:
        totals, circular = self._totals(scorer), method in self.circular_methods(scorer)
        scores = {
            metric: fit_seeds.over_concepts(
                totals.means.get((method, strength, metric), {}), self.families, within=within
            )
            for metric, within in RANGES.items()
        }
        groups = [
            (method, strength, concept)
            for concept in self.planned_by_row.get((method, strength), {})
        ]
        done, failed, planned = (
            sum(cells.get(group, 0) for group in groups)
            for cells in (totals.done, self.failed_cells, self.planned_cells)
        )
        return LeaderboardRow(
            method=method,
            strength=strength,
            scores=scores,
            done=done,
            planned=planned,
            circular=circular,
            failed=failed,
            best_case={
                metric.name: _best_case(
                    metric,
                    scores[metric.name],
                    totals.failed_shares.get((method, strength, metric.name), {}),
                )
                for metric in METRIC_TABLE
            },
            unranked=CIRCULAR if circular else _missing_cells(done, failed, planned),
            ranked_by=self.headline,
            bundle=self.facts.bundle_of(method),
        )

    @cached_property
    def full_strength(self) -> float:
        """The strength of the leaderboard: 1, or the largest of the run."""
        return 1.0 if 1.0 in self.strengths else max(self.strengths, default=0.0)

    @cached_property
    def at_full_strength(self) -> list[LeaderboardRow]:
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
    def leaderboard(self) -> list[LeaderboardRow]:
        """Every method in the order and at the strength of the default ranking, then `none`."""
        rows = [
            replace(
                self.leaderboard_row(method, strength),
                unranked=self.ranking.left_out.get(method, ""),
            )
            for method, strength in self.ranking.strengths.items()
        ]
        return [*rows, *(row for row in self.at_full_strength if row.method == UNSTEERED)]

    @cached_property
    def ranking(self) -> Ranking:
        """The default ranking: by the headline, without methods that destroy the images.

        Methods are compared at the strengths chosen on dev concepts, which keep half of the image
        where a method can; at full strength in a run without such a choice.
        """
        chosen = {row.method: row.strength for row in self.tuned}
        score = METRICS[self.headline].lower()
        basis = f"{score} at the strength chosen on dev concepts"
        return self.rank_by(
            self.headline,
            chosen,
            name="gain" if self.headline == HEADLINE else self.headline,
            title="Gain" if self.headline == HEADLINE else METRICS[self.headline],
            basis=basis if chosen else f"{score} at strength {self.full_strength:g}",
            reasons={
                row.method: reason
                for row in self._rows_at(chosen)
                if (reason := row.destroyed or _not_chosen(row, chosen))
            },
        )

    def rank_by(
        self,
        metric: str,
        strengths: Mapping[str, float] | None = None,
        *,
        name: str,
        title: str,
        basis: str,
        reasons: Mapping[str, str] | None = None,
    ) -> Ranking:
        """Rank all methods but `none` by a score at these strengths, on the cells that all have.

        Methods that are not in `strengths` stand at full strength. Methods in `reasons` are left
        out, and so are rows with a reason in `unranked`.
        """
        rows = _sorted_by_headline(self._rows_at(strengths or {}))
        left_out = {
            row.method: row.unranked or (reasons or {}).get(row.method, "")
            for row in rows
            if row.unranked or not row.headline or row.method in (reasons or {})
        }
        at = {row.method: row.strength for row in rows}
        shared = self.paired_means(
            {method: strength for method, strength in at.items() if method not in left_out}, metric
        )
        ranks = rank_by_scores(shared.means, self.families)
        order = [place.name for place in ranks.ranks] if ranks else list(shared.means)
        return Ranking(
            name=name,
            title=title,
            basis=basis,
            strengths={method: at[method] for method in (*order, *left_out)},
            ranks=ranks,
            left_out=left_out,
            cells=shared.cells,
        )

    def _rows_at(self, strengths: Mapping[str, float]) -> list[LeaderboardRow]:
        return [
            self.leaderboard_row(method, strengths.get(method, self.full_strength))
            for method in self.methods
            if method != UNSTEERED
        ]

    @property
    def ranks(self) -> Ranks | None:
        """Ranks of the default ranking; None where fewer than two methods may be ranked."""
        return self.ranking.ranks

    @property
    def ranked_by(self) -> str:
        """The score of the default ranking, such as `concept gain at strength 1`."""
        return self.ranking.basis

    @property
    def ranked_cells(self) -> int:
        """Number of cells, each a concept, prompt and seed, that all ranked methods have."""
        return self.ranking.cells or 0

    def means(self, method: str, strength: float, metric: str | None = None) -> dict[str, float]:
        """Each concept's mean of a score, by the headline's scorer; failed cells score worst.

        The score is that of the headline unless another is named.
        """
        values = self.values(method, strength, metric or self.headline)
        return {concept: math.fsum(each) / len(each) for concept, each in values.items()}

    def paired_means(
        self, strengths: Mapping[str, float], metric: str | None = None
    ) -> SharedMeans:
        """Means of several methods, by name with a strength each, for comparing them.

        They are over the cells that all of the methods have, scored or failed; failed cells score
        worst. While cells are missing, they are those of the first fit seed alone.
        """
        metric = metric or self.headline
        planned = [self._finished_cells(*item) for item in strengths.items()]
        if planned and all(cells and cells == planned[0] for cells in planned):
            means = {method: self.means(method, at, metric) for method, at in strengths.items()}
            return SharedMeans(means=means, cells=sum(planned[0].values()))
        if not strengths or not self._totals(self.scorer).means:
            return SharedMeans(means={method: {} for method in strengths}, cells=0)
        (definition,) = (each for each in METRIC_TABLE if each.name == metric)
        return shared_means(self.store, self.scorer, strengths, definition)

    def _finished_cells(self, method: str, strength: float) -> dict[str, int]:
        """Numbers of planned cells of a fit seed by concept.

        Empty unless all, of all fit seeds, are scored or failed.
        """
        cells, done, failed = {}, self.done_cells, self.failed_cells
        for concept, number in self.planned_by_row.get((method, strength), {}).items():
            group = method, strength, concept
            if done.get(group, 0) + failed.get(group, 0) < number:
                return {}
            cells[concept] = number // self.fit_seeds(method)
        return cells

    @cached_property
    def planned_by_row(self) -> Mapping[tuple[str, float], Mapping[str, int]]:
        """Numbers of planned cells by concept, by method and strength."""
        rows: dict[tuple[str, float], dict[str, int]] = defaultdict(dict)
        for (method, strength, concept), cells in self.planned_cells.items():
            rows[method, strength][concept] = cells
        return rows

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
        others = sorted({scorer.id for scorer in self.facts.scorers} - {self.scorer})
        is_stored = "SELECT EXISTS (SELECT 1 FROM scores WHERE encoder = ?)"
        return {
            name: _sorted_by_headline(
                [
                    self.leaderboard_row(
                        method, strength_of(method, self.full_strength), scorer=name
                    )
                    for method in self.methods
                ]
            )
            for name in others
            if self.store.select(is_stored, name) == [(1,)]
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
    def timed_session(self) -> TimedSession | None:
        """The times that speed is told by; None where no times may be compared."""
        return latest_times(self.store, self.facts)

    @cached_property
    def costs(self) -> list[MethodCost]:
        """The cost of every method, in the order of the plan; then methods that were only timed."""
        session, times = self.timed_session, fit_times(self.store)
        gains = {row.method: row.headline for row in self.at_full_strength}
        return [
            MethodCost(
                method=method,
                training=self.training_seconds(method) + self.tuning_seconds(method),
                trained_on=card.training.device if (card := self.facts.methods.get(method)) else "",
                tuning=self.tuning_seconds(method),
                concept=durations.quartiles(times[method].seconds if method in times else ()),
                together=times[method].together if method in times else 1,
                gain=gains.get(method),
                comparisons=compare_with_fits(
                    session, method, gains=gains, gaps=self._gaps(method, session.fits)
                )
                if session
                else (),
            )
            for method in dict.fromkeys([*self.methods, *(session.predictions if session else ())])
        ]

    def training_seconds(self, method: str) -> float:
        """Seconds of training before the first concept."""
        card = self.facts.methods.get(method)
        return card.training.seconds if card and math.isfinite(card.training.seconds) else 0.0

    def tuning_seconds(self, method: str) -> float:
        """Seconds that choosing a strength, or learning a scale, on dev concepts took."""
        choice = self.facts.tuned.get(method) or self.facts.strength_scales.get(method)
        return choice.seconds if choice else 0.0

    def values(self, method: str, strength: float, metric: str) -> Mapping[str, list[float]]:
        """Each concept's mean of a score at each fit seed, by the headline's scorer.

        Failed cells score worst.
        """
        return self._totals(self.scorer).means.get((method, strength, metric), {})

    def fit_seeds(self, method: str) -> int:
        """Number of seeds that a method is to be trained and fitted with."""
        return 1 if self.first_fit_seed_only else len(self.facts.fit_seeds.get(method, (0,)))

    @cached_property
    def planned_cells(self) -> dict[CellGroup, int]:
        """Numbers of planned cells, of all fit seeds."""
        counts = self.table.group_counts()
        return {group: cells * self.fit_seeds(group[0]) for group, cells in counts.items()}

    @cached_property
    def failed_cells(self) -> Mapping[CellGroup, int]:
        """Numbers of cells without an image after a try, of all fit seeds."""
        counts = Counter(self.table.group_counts(self.table.failed))
        for table in map(cell_table.read, self._further_runs()):
            counts.update(
                {
                    group: cells
                    for group, cells in table.group_counts(table.failed).items()
                    if group[0] in self.facts.fit_seeds
                }
            )
        return counts

    @cached_property
    def table(self) -> CellTable:
        """The planned cells of the first fit seed as arrays."""
        return cell_table.read(self.store)

    @cached_property
    def table_scores(self) -> Float[np.ndarray, "cells metrics"]:
        """Scores by the headline's scorer in the order of `table`; NaN where a cell has none."""
        return cell_table.read_scores(self.store, self.table, self.scorer)

    @cached_property
    def parts(self) -> dict[object, Any]:
        """Whatever else was computed from this summary, by the function that did it."""
        return {}

    @cached_property
    def of_first_fit_seed(self) -> "Summary":
        """The summary without further fit seeds; this one where there are none."""
        return replace(self, first_fit_seed_only=True) if self.facts.fit_seeds else self

    @property
    def done_cells(self) -> Mapping[CellGroup, int]:
        """Numbers of cells that have their image and all their scores, of all fit seeds."""
        return self._totals(self.scorer).done

    def _gaps(self, method: str, fits: Iterable[str]) -> dict[str, float]:
        """Headline scores of ranked fits less that of the method, over the cells that both have."""
        rows = {row.method: row for row in self.at_full_strength}
        if method not in rows or rows[method].circular:
            return {}
        gaps = {}
        for fit in fits:
            if fit in rows and not rows[fit].unranked and not rows[fit].destroyed:
                both = self.paired_means({name: rows[name].strength for name in (method, fit)})
                own, other = (list(both.means[name].values()) for name in (method, fit))
                if own:
                    gaps[fit] = math.fsum(other) / len(other) - math.fsum(own) / len(own)
        return gaps

    def _totals(self, scorer: str) -> ScoreTotals:
        if scorer not in self._totals_by_scorer:
            scores = (
                self.table_scores
                if scorer == self.scorer
                else cell_table.read_scores(self.store, self.table, scorer)
            )
            first = score_totals.add_up(self.table, scores)
            further = [score_totals.read(store, scorer) for store in self._further_runs()]
            methods = self.facts.fit_seeds
            totals = score_totals.over_fit_seeds(first, further, methods) if further else first
            self._totals_by_scorer[scorer] = totals
        return self._totals_by_scorer[scorer]

    def _further_runs(self) -> Iterator[Store]:
        return iter(()) if self.first_fit_seed_only else further_runs(self.store, self.facts)

    @cached_property
    def _totals_by_scorer(self) -> dict[str, ScoreTotals]:
        return {}


def _best_case(
    metric: Metric, score: estimates.Estimate | None, failed_shares: Mapping[str, float]
) -> float | None:
    """The mean over concepts if failed cells had the best value in place of the worst."""
    if score is None or not failed_shares:
        return None
    gap = (metric.best - metric.worst) * math.fsum(failed_shares.values())
    return score.mean + gap / score.n


def _missing_cells(done: int, failed: int, planned: int) -> str:
    """The reason why a row is not ranked; empty if enough of its planned cells have scores."""
    if planned - done <= MAX_MISSING * planned:
        return ""
    reasons = {"failed": failed, "have no scores yet": planned - done - failed}
    counts = [f"{n:,} of {planned:,} cells {what}" for what, n in reasons.items() if n]
    return " and ".join(counts)


def _not_chosen(row: LeaderboardRow, chosen: Mapping[str, float]) -> str:
    missing = chosen and row.method not in chosen
    return "no strength was chosen for it on dev concepts" if missing else ""


def _sorted_by_headline(lines: list[LeaderboardRow]) -> list[LeaderboardRow]:
    def rank(line: LeaderboardRow) -> tuple[bool, float]:
        score = line.headline
        return line.circular, -score.mean if score else float("inf")

    return sorted(lines, key=rank)
