"""Presence and concept gain in each wording: how much is lost when a concept is said otherwise.

Scores ask about the canonical words whatever a method was given. So a change from the canonical
wording, concept by concept on images of the same prompts and seeds, is the effect of the wording.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.core.types import UNSTEERED
from htbench.report.charts import ForestPlot, ForestRow
from htbench.report.gallery import pictures
from htbench.report.once import once
from htbench.run import wording_runs
from htbench.run.cell_table import IS_FAILURE
from htbench.run.fact_table import Facts
from htbench.run.store import Store
from htbench.run.summary import METRICS, Summary
from htbench.scorers.metric_table import METRIC_TABLE, RANGES
from htbench.stats import estimates
from htbench.stats.estimates import Estimate
from htbench.steering.wording import CANONICAL, MEANING, WORDINGS, Treatment, Wording, treatment

WORDING_METRICS = ("presence", "concept_gain")
"""The scores that are shown for each wording."""
_MAX_SHOWN = 6
"""Largest number of methods of which pictures are shown."""
CellId = tuple[str, str, int]
"""Concept, prompt and seed."""
Outcomes = Mapping[CellId, float]
"""Scores of one method and metric; failed cells have the worst value."""


@dataclass(frozen=True, kw_only=True)
class WordingScore:
    """A score of a method in a wording."""

    score: Estimate
    """Over the concepts that have the wording."""
    change: Estimate | None
    """The score minus that in canonical words, by concept on the cells that both have."""


@dataclass(frozen=True, kw_only=True)
class WordingRow:
    """A method in a wording, at the strength of the leaderboard."""

    method: str
    strength: float
    wording: Wording
    treatment: Treatment
    scores: Mapping[str, WordingScore | None]
    """By metric; None where nothing was scored."""
    concepts: int
    """Number of concepts with a score."""


@dataclass(frozen=True, kw_only=True)
class WordingPicture:
    """A picture of the shown concept."""

    wording: Wording
    address: str
    """Its `data:` address; empty where there is no picture to show."""
    note: str = ""
    """The reason why there is none, in a word."""


@dataclass(frozen=True, kw_only=True)
class WordingPictures:
    """One concept said in each way: pictures of the same prompt and seed."""

    concept: str
    """Its canonical words."""
    prompt: str
    words: Mapping[Wording, str]
    """The words in each wording; empty for images."""
    rows: Mapping[str, Sequence[WordingPicture]]
    """Pictures by method, in the order of the wordings."""


@dataclass(frozen=True, kw_only=True)
class WordingSection:
    """The section on wordings."""

    wordings: Sequence[Wording]
    rows: Sequence[WordingRow]
    pictures: WordingPictures | None
    own_words: bool
    """True if per-concept methods were fitted on the words of each wording."""
    outcomes: Mapping[tuple[Wording, str, str], Outcomes]
    """Scores by wording, method and metric, of methods that are given the wording."""

    @property
    def meanings(self) -> dict[Wording, str]:
        """The wordings that occur, with their meaning."""
        return {wording: MEANING[wording] for wording in self.wordings}

    @property
    def methods(self) -> list[str]:
        """Methods in the order of the plan."""
        return list(dict.fromkeys(row.method for row in self.rows))

    def row(self, method: str, wording: Wording) -> WordingRow:
        """The row of a method in a wording."""
        return next(row for row in self.rows if row.method == method and row.wording == wording)

    def has(self, treatment: Treatment) -> list[str]:
        """Methods with this treatment in any wording other than the canonical one."""
        return list(
            dict.fromkeys(
                row.method
                for row in self.rows
                if row.treatment == treatment and row.wording != CANONICAL
            )
        )

    def charts(self, tones: Mapping[str, int]) -> dict[str, ForestPlot]:
        """The scores of methods that are given other wordings, a plot per metric."""
        return {
            metric: ForestPlot(
                title=f"{METRICS[metric]} by method and wording",
                label=METRICS[metric],
                estimates=[
                    ForestRow(
                        name=f"{row.wording}: {row.method}",
                        tone=tones.get(row.method, 0),
                        value=own.score.mean,
                        low=own.score.low,
                        high=own.score.high,
                    )
                    for row in self.rows
                    if row.method in self.has("given")
                    and row.treatment == "given"
                    and (own := row.scores[metric])
                ],
            )
            for metric in WORDING_METRICS
        }


@once
def collect(summary: Summary) -> WordingSection | None:
    """The section of a run; None where it has canonical words alone, or nothing is scored."""
    rows = (row for row in summary.leaderboard if row.method != UNSTEERED)
    return collect_at(summary, {row.method: row.strength for row in rows})


def collect_at(summary: Summary, strengths: Mapping[str, float]) -> WordingSection | None:
    """The same at these strengths, by method."""
    facts = summary.facts
    wordings = [wording for wording in WORDINGS if wording in facts.plan.wording]
    if len(wordings) < 2 or not strengths:
        return None
    order = [method for method in summary.methods if method in strengths]
    outcomes = {
        (CANONICAL, *key): own for key, own in _outcomes(summary, summary.store, strengths).items()
    }
    phrasings: dict[Wording, Mapping[str, Sequence[str]]] = {}
    files = {CANONICAL: _files(summary.store, strengths)}
    for wording, store in wording_runs.further_runs(summary.store, facts):
        part = _outcomes(summary, store, strengths)
        outcomes |= {(wording, *key): own for key, own in part.items()}
        phrasings[wording] = Facts.read(store).phrasings
        files[wording] = _files(store, strengths)
    own_words = facts.plan.per_concept_words == "own"
    treatments = {
        (method, wording): _treatment(summary, method, wording)
        for method in order
        for wording in wordings
    }
    rows = [
        _row(
            summary,
            outcomes,
            (method, strengths[method]),
            wording,
            treatments[method, wording],
            phrasings.get(wording, {}),
        )
        for method in order
        for wording in wordings
    ]
    if not any(score for row in rows for score in row.scores.values()):
        return None
    return WordingSection(
        wordings=wordings,
        rows=rows,
        pictures=_pictures(summary, rows, outcomes, files, phrasings),
        own_words=own_words,
        outcomes=outcomes,
    )


def difference(
    summary: Summary,
    section: WordingSection,
    pair: tuple[str, str],
    wording: Wording,
    metric: str,
) -> Estimate | None:
    """A score of the first of two methods minus that of the second, on the cells that both have."""
    own, other = (section.outcomes.get((wording, name, metric), {}) for name in pair)
    return _mean_difference(summary, own, other, metric)


def _treatment(summary: Summary, method: str, wording: Wording) -> Treatment:
    card = summary.facts.methods.get(method)
    if wording == CANONICAL or card is None:
        return "given"
    return treatment(
        wording,
        kind=card.kind,
        reads=card.reads,
        per_concept_words="own" if summary.facts.plan.per_concept_words == "own" else "canonical",
    )


def _row(
    summary: Summary,
    outcomes: Mapping[tuple[Wording, str, str], Outcomes],
    method: tuple[str, float],
    wording: Wording,
    how: Treatment,
    phrasings: Mapping[str, Sequence[str]],
) -> WordingRow:
    name, strength = method
    scores: dict[str, WordingScore | None] = {}
    for metric in WORDING_METRICS:
        canonical = outcomes.get((CANONICAL, name, metric), {})
        own: Outcomes = {}
        if how == "given":
            own = outcomes.get((wording, name, metric), {})
        elif how == "same":
            own = {cell: value for cell, value in canonical.items() if cell[0] in phrasings}
        mean = estimates.over_concepts(_by_concept(own), summary.families, within=RANGES[metric])
        change = None if wording == CANONICAL else _mean_difference(summary, own, canonical, metric)
        scores[metric] = WordingScore(score=mean, change=change) if mean else None
    return WordingRow(
        method=name,
        strength=strength,
        wording=wording,
        treatment=how,
        scores=scores,
        concepts=max((each.score.n for each in scores.values() if each), default=0),
    )


def _mean_difference(
    summary: Summary, own: Outcomes, other: Outcomes, metric: str
) -> Estimate | None:
    differences = {cell: own[cell] - other[cell] for cell in own if cell in other}
    low, high = RANGES[metric]
    return estimates.over_concepts(
        _by_concept(differences), summary.families, within=(low - high, high - low)
    )


def _by_concept(outcomes: Outcomes) -> dict[str, list[float]]:
    values: dict[str, list[float]] = defaultdict(list)
    for (concept, _, _), value in outcomes.items():
        values[concept].append(value)
    return values


def _outcomes(
    summary: Summary, store: Store, strengths: Mapping[str, float]
) -> dict[tuple[str, str], dict[CellId, float]]:
    """Scores of the cells at these strengths that are scored or failed, by method and metric."""
    worst = {metric.name: metric.worst for metric in METRIC_TABLE}
    found: dict[tuple[str, str], dict[CellId, float]] = defaultdict(dict)
    for metric in WORDING_METRICS:
        places = ", ".join("(?, ?)" for _ in strengths)
        query = f"""SELECT method, concept, prompt, seed,
                           CASE WHEN file IS NULL THEN {worst[metric]} ELSE value END
                    FROM cells JOIN images ON images.key = image
                    LEFT JOIN failures ON failures.key = image
                    LEFT JOIN scores ON cell = cells.id AND metric = ? AND encoder = ?
                    WHERE (method, strength) IN (VALUES {places})
                    AND (({IS_FAILURE}) OR (file IS NOT NULL AND value IS NOT NULL))
                    ORDER BY place"""
        pairs = [part for pair in strengths.items() for part in pair]
        for method, *cell, value in store.select(query, metric, summary.scorer, *pairs):
            concept, prompt, seed = cell
            found[method, metric][concept, prompt, seed] = value
    return found


def _files(store: Store, strengths: Mapping[str, float]) -> dict[tuple[str, CellId], Path]:
    """Paths of pictures at these strengths, by method and cell."""
    places = ", ".join("(?, ?)" for _ in strengths)
    query = f"""SELECT method, concept, prompt, seed, file
                FROM cells JOIN images ON images.key = image
                WHERE (method, strength) IN (VALUES {places}) AND file IS NOT NULL ORDER BY place"""
    pairs = [part for pair in strengths.items() for part in pair]
    return {
        (method, (concept, prompt, seed)): store.image_path(file)
        for method, concept, prompt, seed, file in store.select(query, *pairs)
    }


def _pictures(
    summary: Summary,
    rows: Sequence[WordingRow],
    outcomes: Mapping[tuple[Wording, str, str], Outcomes],
    files: Mapping[Wording, Mapping[tuple[str, CellId], Path]],
    phrasings: Mapping[Wording, Mapping[str, Sequence[str]]],
) -> WordingPictures | None:
    """The concept whose change of presence is in the middle, so that nobody picks it."""
    concept = _middle_concept(outcomes, phrasings)
    if concept is None:
        return None
    cell = next(cell for _, cell in files[CANONICAL] if cell[0] == concept)
    text = summary.facts.concepts[concept].text if concept in summary.facts.concepts else concept
    shown: dict[str, list[WordingPicture]] = {}
    for row in rows:
        if row.method not in shown and len(shown) == _MAX_SHOWN:
            continue
        source = CANONICAL if row.treatment == "same" else row.wording
        path = files.get(source, {}).get((row.method, cell))
        address = pictures.small_address(path) if path and row.treatment != "absent" else ""
        note = "" if address else "not read" if row.treatment == "absent" else "not made"
        shown.setdefault(row.method, []).append(
            WordingPicture(
                wording=row.wording,
                address=address,
                note="same" if row.treatment == "same" and address else note,
            )
        )
    words = {wording: (own.get(concept) or [""])[0] for wording, own in phrasings.items()}
    return WordingPictures(
        concept=text, prompt=cell[1], words={CANONICAL: text, **words}, rows=shown
    )


def _middle_concept(
    outcomes: Mapping[tuple[Wording, str, str], Outcomes],
    phrasings: Mapping[Wording, Mapping[str, Sequence[str]]],
) -> str | None:
    changes: dict[str, list[float]] = defaultdict(list)
    for (wording, method, metric), own in outcomes.items():
        canonical = outcomes.get((CANONICAL, method, metric), {})
        if wording != CANONICAL and metric == "presence":
            for cell, value in own.items():
                if cell in canonical:
                    changes[cell[0]].append(value - canonical[cell])
    in_all = [
        concept for concept in changes if all(concept in own for own in phrasings.values())
    ] or list(changes)
    means = {concept: math.fsum(changes[concept]) / len(changes[concept]) for concept in in_all}
    by_change = sorted(means, key=lambda concept: means[concept])
    return by_change[(len(by_change) - 1) // 2] if by_change else None


def csv_head() -> list[str]:
    """Columns of the CSV file."""
    return [
        *("method", "strength", "wording", "treatment", "concepts"),
        *(
            f"{metric}{part}{end}"
            for metric in WORDING_METRICS
            for part in ("", "_change")
            for end in ("", "_low", "_high")
        ),
    ]


def csv_rows(section: WordingSection) -> Iterator[list[str | float | int | None]]:
    """Rows of the CSV file, one per method and wording."""
    for row in section.rows:
        values: list[str | float | int | None] = []
        for metric in WORDING_METRICS:
            own = row.scores[metric]
            for each in (own.score if own else None, own.change if own else None):
                values += [each.mean, each.low, each.high] if each else [None] * 3
        yield [row.method, row.strength, row.wording, row.treatment, row.concepts, *values]
