"""Scores by scorers that are no encoders, and by judges of single pictures: a table each, never
mixed with the leaderboard's.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import permutations
from math import comb
from statistics import fmean

from htbench.core.display import print_json, printable
from htbench.core.errors import HtbenchError
from htbench.core.tables import TextTable, print_paragraph
from htbench.core.types import UNSTEERED, encoder_name, strength_of
from htbench.judging import pointwise_scores
from htbench.judging.pointwise_scores import PointwiseScores
from htbench.report import format
from htbench.report.once import once
from htbench.run.fact_table import ScorerFacts
from htbench.run.summary import MAX_MISSING, METRICS, Summary
from htbench.stats import estimates
from htbench.stats.families import FamiliesByConcept
from htbench.stats.paired import ScoreAgreement, score_agreement


@dataclass(frozen=True, kw_only=True)
class MethodScore:
    """One method at full strength."""

    method: str
    strength: float
    estimate: estimates.Estimate | None
    """None without scores, and where more than 2 % of the cells failed."""
    done: int
    planned: int
    """Numbers of cells, without those whose score is undefined."""
    failed: int = 0
    """Number of cells without an image, each of which has the worst score of the run."""
    circular: bool = False
    """True if the method reads concepts with an encoder of the judge that scored."""


@dataclass(frozen=True, kw_only=True)
class MethodAgreement:
    """Agreement of two scores over the concepts of one method at full strength."""

    method: str
    own: float
    counterpart: float
    """Means of the scorer's score and the leaderboard's, over the concepts that have both."""
    agreement: ScoreAgreement


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of a scorer with the score of the leaderboard that it measures in another way."""

    title: str
    """Title of the leaderboard's score."""
    encoder: str
    lines: list[MethodAgreement]
    overall: ScoreAgreement | None
    """Over concepts, each by its mean over the methods that steer; None for too few concepts."""
    concepts: int
    pairs: int
    """Number of pairs of methods, `none` included."""
    swapped: list[tuple[str, str]]
    """Pairs of which the first is better by the scorer here, and the second by the leaderboard."""

    @property
    def sentence(self) -> str:
        """The agreement of both scores on concepts and on the order of methods, in words."""
        parts = [f"Agreement with {self.title} by {self.encoder}"]
        if self.overall:
            concordance, low, high, correlation = (
                format.score(value)
                for value in (
                    self.overall.concordance,
                    self.overall.low,
                    self.overall.high,
                    self.overall.correlation,
                )
            )
            parts.append(
                f"over {self.concepts} concepts, concordance {concordance} [{low}, {high}] and "
                f"Spearman {correlation}"
            )
        if self.pairs:
            others = ", ".join(f"{one} above {other}" for one, other in self.swapped[:5])
            same = self.pairs - len(self.swapped)
            parts.append(
                f"{same} of {self.pairs} pairs of methods in the same order"
                + (f", not {others}" if others else "")
            )
        return "; ".join(parts)


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """The scores by one scorer."""

    name: str
    summary: str
    better: str
    """`higher` or `lower`."""
    against: str
    version: str
    weights: str
    licence: str
    paper: str
    command: str
    lines: list[MethodScore]
    done: int
    planned: int
    reasons: dict[str, int]
    """Numbers of pictures without a score, by reason."""
    undefined: int = 0
    """Number of cells whose prompt or concept the scorer does not know, or whose picture has no
    score by its definition; not among `planned`."""
    agreements: list[Agreement] = field(default_factory=list)
    """With each counterpart on the leaderboard."""
    judge: str = ""
    """The judge that was asked about each picture alone; empty for a scorer."""
    problem: str = ""
    """The reason why the scores are not to be relied on; empty if they are."""

    @property
    def title(self) -> str:
        """The name with the direction, without which a number says nothing."""
        return f"{self.name}: {self.better} is better"


@once
def collect(summary: Summary) -> list[ScoreTable]:
    """A table per scorer, methods in the order of the plan; then those of judges of one picture.

    Of a ledger that cannot be read there is none: the section on judges says why.
    """
    tables = [_score_table(summary, fact) for fact in summary.facts.gauges if fact.stored]
    with suppress(HtbenchError):
        scores = pointwise_scores.read_scores(summary)
        tables += [
            _judge_table(summary, each) for each in scores if each.strength == summary.full_strength
        ]
    return tables


def show(tables: list[ScoreTable]) -> None:
    """Print the tables to stdout."""
    for board in tables:
        print()
        TextTable(
            title=board.title,
            columns=("Method", "Strength", printable(board.name, max_length=40), "Done"),
            rows=[
                (
                    printable(line.method, max_length=200) + ("°" if line.circular else ""),
                    f"{line.strength:g}",
                    format.estimate(line.estimate, "{:.3g}".format),
                    f"{line.done}/{line.planned}"
                    + (f", {line.failed} failed" if line.failed else ""),
                )
                for line in board.lines
            ],
        ).print()
        if board.problem:
            print_paragraph(f"Do not rely on these scores: {printable(board.problem)}.")
        if any(line.circular for line in board.lines):
            print_paragraph(f"° reads concepts with an encoder of {printable(board.judge)}")
        for agreement in board.agreements:
            print_paragraph(agreement.sentence)
        for reason, number in board.reasons.items():
            print_paragraph(f"{number} without a score: {printable(reason, max_length=300)}")


def print_lines(tables: list[ScoreTable]) -> None:
    """Print the tables as lines of JSON."""
    for board in tables:
        print_json(event="gauge", **asdict(board))


def _agreement(
    summary: Summary, metric: str, means: Mapping[str, Mapping[str, float]], *, lower: bool
) -> Agreement:
    """The agreement of a scorer's `means`, by method and concept, with a leaderboard's score."""
    pairs: dict[str, tuple[dict[str, float], dict[str, float]]] = {}
    for method, mine in means.items():
        theirs = summary.means(method, strength_of(method, summary.full_strength), metric)
        both = [concept for concept in mine if concept in theirs]
        if both:
            pairs[method] = {c: mine[c] for c in both}, {c: theirs[c] for c in both}
    steered = [pair for method, pair in pairs.items() if method != UNSTEERED]
    here, there = (_mean_over_methods([pair[k] for pair in steered]) for k in (0, 1))
    averages = {
        method: (fmean(mine.values()), fmean(theirs.values()))
        for method, (mine, theirs) in pairs.items()
    }
    return Agreement(
        title=METRICS[metric],
        encoder=encoder_name(summary.scorer),
        lines=[
            MethodAgreement(
                method=method,
                own=averages[method][0],
                counterpart=averages[method][1],
                agreement=agreement,
            )
            for method, pair in pairs.items()
            if (agreement := score_agreement(pair[0], pair[1], summary.families))
        ],
        overall=score_agreement(here, there, summary.families),
        concepts=len(here),
        pairs=comb(len(averages), 2),
        swapped=_swapped(averages, lower=lower),
    )


def _swapped(averages: Mapping[str, tuple[float, float]], *, lower: bool) -> list[tuple[str, str]]:
    """Pairs of methods that two scores put in opposite orders; the first is better by the first.

    With `lower`, the first score is better where it is lower.
    """
    sign = -1 if lower else 1
    return [
        (one, other)
        for one, other in permutations(averages, 2)
        if sign * (averages[one][0] - averages[other][0]) > 0
        and averages[one][1] < averages[other][1]
    ]


def _mean_over_methods(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each concept's mean over the methods that have it."""
    values: dict[str, list[float]] = defaultdict(list)
    for by_concept in scores:
        for concept, value in by_concept.items():
            values[concept].append(value)
    return {concept: fmean(own) for concept, own in values.items()}


def _score_table(summary: Summary, fact: ScorerFacts) -> ScoreTable:
    summary = summary.of_first_fit_seed  # these scorers see its images alone
    sums: dict[tuple[str, float], dict[str, tuple[int, float]]] = defaultdict(dict)
    counts: dict[tuple[str, float], int] = defaultdict(int)
    undefined: dict[tuple[str, float], int] = defaultdict(int)
    query = """SELECT method, strength, concept, count(value), count(*), sum(value), min(value),
                      max(value)
               FROM scores JOIN cells ON id = cell JOIN images ON key = image
               WHERE encoder = ? AND file IS NOT NULL
               GROUP BY 1, 2, 3 ORDER BY min(place)"""
    ends: list[float] = []
    for method, strength, concept, number, asked, total, *low_high in summary.store.select(
        query, fact.id
    ):
        if number:
            sums[method, strength][concept] = number, total
            ends += low_high
        counts[method, strength] += number
        undefined[method, strength] += asked - number
    planned: dict[tuple[str, float], int] = defaultdict(int)
    for (method, strength, _), cells in summary.planned_cells.items():
        planned[method, strength] += cells
    failed: dict[tuple[str, float], dict[str, int]] = defaultdict(dict)
    for (method, strength, concept), cells in summary.failed_cells.items():
        failed[method, strength][concept] = cells
    within = _range(fact)
    worst = (max if fact.better == "lower" else min)(ends, default=math.nan)
    known = {row: cells - undefined[row] for row, cells in planned.items()}
    rows = [(method, strength_of(method, summary.full_strength)) for method in summary.methods]
    lines = [
        MethodScore(
            method=row[0],
            strength=row[1],
            estimate=_estimate(
                sums[row], failed[row], worst, known[row], summary.families, within=within
            ),
            done=counts[row],
            planned=known[row],
            failed=sum(failed[row].values()),
        )
        for row in rows
        if planned[row]
    ]
    full = {
        row[0]: {concept: total / number for concept, (number, total) in sums[row].items()}
        for row in rows
    }
    return ScoreTable(
        name=fact.name,
        summary=fact.summary,
        better=fact.better,
        against=fact.against,
        version=fact.version,
        weights=fact.weights,
        licence=fact.licence,
        paper=fact.paper,
        command=" ".join(fact.command),
        lines=lines,
        done=sum(counts.values()),
        planned=summary.planned - sum(undefined.values()),
        reasons=fact.reasons,
        undefined=sum(undefined.values()),
        agreements=[
            _agreement(summary, metric, full, lower=fact.better == "lower")
            for metric in fact.counterparts
            if metric in METRICS
        ],
    )


def _judge_table(summary: Summary, scores: PointwiseScores) -> ScoreTable:
    """The scores by a judge of single pictures, the best method first and circular ones last."""
    criterion = scores.criterion
    by_method: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in criterion.pictures:
        if each.yes is not None:
            by_method[each.method][each.concept].append(each.yes)
    means = {
        method: {concept: fmean(own) for concept, own in by_concept.items()}
        for method, by_concept in by_method.items()
    }
    same = [criterion.name] if criterion.name in summary.metrics else []
    missing = [each.missing for each in criterion.pictures if each.yes is None]
    return ScoreTable(
        name=scores.name,
        summary=f"The probability of yes to a question about {criterion.name}",
        better="higher",
        against="nothing",
        version=scores.version,
        weights=scores.model,
        licence="",
        paper="https://arxiv.org/abs/2404.01291",
        command="",
        lines=[
            MethodScore(
                method=row.method,
                strength=strength_of(row.method, summary.full_strength),
                estimate=row.score,
                done=row.answered,
                planned=row.pictures,
                circular=row.circular,
            )
            for row in criterion.methods
        ],
        done=len(criterion.pictures) - len(missing),
        planned=len(criterion.pictures),
        reasons=dict(Counter(missing)),
        agreements=[_agreement(summary, metric, means, lower=False) for metric in same],
        judge=scores.judge,
        problem=scores.problem,
    )


def _estimate(
    sums: Mapping[str, tuple[int, float]],
    failed: Mapping[str, int],
    worst: float,
    planned: int,
    families: FamiliesByConcept,
    *,
    within: tuple[float, float],
) -> estimates.Estimate | None:
    """The mean over concepts with each failed cell as the worst score of the run.

    The range of a foreign score is not known, so with many failures there is no mean.
    """
    if not sums or sum(failed.values()) > MAX_MISSING * planned:
        return None
    means = {}
    for concept in dict.fromkeys([*sums, *failed]):
        scored, total = sums.get(concept, (0, 0.0))
        failures = failed.get(concept, 0)
        means[concept] = [(total + worst * failures if failures else total) / (scored + failures)]
    return estimates.over_concepts(means, families, within=within)


def _range(fact: ScorerFacts) -> tuple[float, float]:
    """The least and the largest score; infinite where the scorer's card names none."""
    low, high = fact.range
    return -math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high
