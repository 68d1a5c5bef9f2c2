"""The headline of a report: how good, how much cheaper, and how sure, in three cards."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from htbench.core.types import UNSTEERED
from htbench.report import format
from htbench.report.roles import Roles
from htbench.report.sections import equal_preservation, provenance
from htbench.report.sections.equal_preservation import EqualPreservation, MethodAtLevel
from htbench.report.speed_up import RULES
from htbench.run.costs import MethodCost
from htbench.run.summary import HEADLINE, METRICS, LeaderboardRow, Summary
from htbench.stats.durations import Saving
from htbench.stats.estimates import Estimate
from htbench.stats.families import MIN_CLUSTERS
from htbench.stats.ranking.ranks import Ranks

_PRESERVATION = "image_preservation"
_NO_AMORTISED = "No method that is trained once for all concepts is ranked in this run."


@dataclass(frozen=True, kw_only=True)
class Card:
    """A question with its answer: a number, its unit, and sentences."""

    question: str
    number: str
    """Empty where the run has none."""
    unit: str
    sentences: Sequence[str]


def collect(summary: Summary, roles: Roles) -> list[Card]:
    """The three cards, by the default ranking; of imported pictures those on quality alone."""
    if summary.facts.is_imported:
        return [_how_good_is_best(summary), _how_sure(summary)]
    own = _best(summary, "amortised")
    return [
        _how_good(summary, roles, own),
        _how_much_cheaper(summary, own),
        _how_sure(summary),
    ]


def _best(summary: Summary, kind: str) -> LeaderboardRow | None:
    """The best ranked method of a kind."""
    cards = summary.facts.methods
    return next(
        (
            row
            for row in summary.leaderboard
            if row.headline and not row.unranked and row.method in cards
            if cards[row.method].kind == kind
        ),
        None,
    )


def _how_good(summary: Summary, roles: Roles, own: LeaderboardRow | None) -> Card:
    fit = _best(summary, "per-concept")
    number, unit = "", ""
    sentences: list[str] = []
    if equal := _where_equally_kept(summary):
        number, unit, sentences = equal
    elif own and fit:
        number, unit = _share(own, fit)
        difference = _difference(summary.ranks, own.method, fit.method)
        sentences = [
            f"{own.method} gains {_gain(own)}, {fit.method} {_gain(fit)}{difference}.",
            f"They keep {_kept(own)} and {_kept(fit)} of the image.",
        ]
    elif best := own or fit:
        number, unit = _gain(best), f"concept gain of {best.method}"
        sentences = [
            f"It keeps {_kept(best)} of the image.",
            "No per-concept method is ranked in this run to compare it with."
            if own
            else _NO_AMORTISED,
        ]
    else:
        sentences = [_NO_AMORTISED]
    prompt = next((row for row in summary.leaderboard if row.method == roles.prompt), None)
    if prompt and prompt.headline:
        sentences.append(f"Prompting gains {_gain(prompt)} and keeps {_kept(prompt)}.")
    return Card(question="How good?", number=number, unit=unit, sentences=sentences)


def _where_equally_kept(summary: Summary) -> tuple[str, str, list[str]] | None:
    """The answer of a run that chose strengths, where both methods keep equally much of the image.

    At the chosen strengths, of a grid, the one that happens to keep less would be favoured. None
    without chosen strengths, or where one kind of method does not reach the level.
    """
    if not summary.tuned:
        return None
    found = equal_preservation.collect(summary)
    own, fit = (_best_at_level(found, summary, kind) for kind in ("amortised", "per-concept"))
    if not (own and own.matched and fit and fit.matched) or fit.matched.gain.mean <= 0:
        return None
    gain, reference = own.matched.gain.mean, fit.matched.gain.mean
    share = format.percent(gain / reference)
    gains = [format.score(value, signed=True) for value in (gain, reference)]
    difference = _difference(found.ranks, own.method, fit.method)
    sentences = [
        f"{own.method} gains {gains[0]}, {fit.method} {gains[1]}{difference}.",
        f"Both keep {format.score(found.level)} of the image, between strengths that were run.",
    ]
    return share, "of the concept gain of the best per-concept method", sentences


def _best_at_level(found: EqualPreservation, summary: Summary, kind: str) -> MethodAtLevel | None:
    """The best ranked method of a kind at the level."""
    cards = summary.facts.methods
    ranked = (each for each in found.methods if each.rank and each.method in cards)
    return next((each for each in ranked if cards[each.method].kind == kind), None)


def _how_good_is_best(summary: Summary) -> Card:
    """The best of all methods, where nobody says which are trained and which are fitted."""
    question = "How good?"
    best = next((row for row in summary.leaderboard if row.headline and not row.unranked), None)
    if best is None or best.method == UNSTEERED:
        return Card(question=question, number="", unit="", sentences=["No method is ranked."])
    score = METRICS[best.ranked_by].lower()
    kept = best.scores[_PRESERVATION]
    return Card(
        question=question,
        number=format.score(_mean(best, best.ranked_by), signed=best.ranked_by == HEADLINE),
        unit=f"{score} of {best.method}",
        sentences=[f"It keeps {_kept(best)} of the image."] if kept else [],
    )


def _share(own: LeaderboardRow, fit: LeaderboardRow) -> tuple[str, str]:
    """The gain of one method as a share of the other's, with what it is a share of."""
    gain, reference = _mean(own, HEADLINE), _mean(fit, HEADLINE)
    if not reference > 0:
        return _gain(own), f"concept gain of {own.method}"
    return format.percent(gain / reference), "of the concept gain of the best per-concept method"


def _mean(row: LeaderboardRow, metric: str) -> float:
    score = row.scores[metric]
    return score.mean if score else math.nan


def _gain(row: LeaderboardRow) -> str:
    return format.score(_mean(row, HEADLINE), signed=True)


def _kept(row: LeaderboardRow) -> str:
    return format.score(_mean(row, _PRESERVATION))


def _difference(ranks: Ranks | None, own: str, fit: str) -> str:
    """The verdict of the test of two ranked methods' gains; empty without a test."""
    tests = ranks.pairwise_tests if ranks else ()
    pair = next((pair for pair in tests if {pair.better, pair.worse} == {own, fit}), None)
    if pair is None or math.isnan(pair.p):
        return ""
    return " (a significant difference)" if pair.significant else " (no significant difference)"


def _how_much_cheaper(summary: Summary, own: LeaderboardRow | None) -> Card:
    question = "How much cheaper?"
    costs = {cost.method: cost for cost in summary.costs if cost.comparisons}
    cost = costs.get(own.method) if own else None
    if cost is None:
        return Card(question=question, number="", unit="", sentences=[_no_times(own)])
    comparison = cost.comparisons[0]
    saving, times = comparison.saving, comparison.saving.point_estimate
    once, ten = (format.quantity(saving.speedup(images).value) for images in (0, 10))
    return Card(
        question=question,
        number=f"{once}×",
        unit="faster for a new concept, S\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}c/h",
        sentences=[
            f"{cost.method} needs {format.duration(times.predict)} (h), {comparison.fit} "
            f"{format.duration(times.fit)} (c): {RULES[comparison.rule]}.",
            f"With ten images of each concept it is {ten}× faster: S(10).",
            _pay_off(cost, saving),
        ],
    )


def _no_times(own: LeaderboardRow | None) -> str:
    return f"{own.method} was not timed beside a per-concept method." if own else _NO_AMORTISED


def _pay_off(cost: MethodCost, saving: Saving) -> str:
    point = saving.break_even.value
    if math.isnan(point):
        training = f" of {format.duration(cost.training)}" if cost.training else ""
        return f"When its training{training} pays off was not measured in this run."
    if math.isinf(point):
        return "Its training never pays off."
    training = format.duration(saving.point_estimate.training)
    return f"Its {training} of training pay off after {format.quantity(point)} concepts."


def _how_sure(summary: Summary) -> Card:
    gains = [
        row.headline
        for row in summary.leaderboard
        if row.headline and row.method != UNSTEERED and not row.unranked
    ]
    warning = ": results say little about large generators" if provenance.is_small(summary) else ""
    score = "gain" if summary.headline == HEADLINE else METRICS[summary.headline].lower()
    sentences = [_precision(gains, score)] if gains else ["No method is ranked."]
    if summary.ranks:
        tiers = max(place.tier for place in summary.ranks.ranks)
        plural = "s" if tiers != 1 else ""
        methods = len(summary.ranks.ranks)
        sentences.append(f"The {methods} ranked methods fall into {tiers} tier{plural}.")
    if not summary.facts.is_imported:
        sentences.append(f"The model is {provenance.about_model(summary)}{warning}.")
    concepts = max((gain.n for gain in gains), default=summary.concepts)
    unit = "concept" if concepts == 1 else "concepts"
    return Card(question="How sure?", number=f"{concepts:,}", unit=unit, sentences=sentences)


def _precision(gains: Sequence[Estimate], name: str) -> str:
    """The number of independent concepts, and the typical interval of the score `name`."""
    independent, concepts = gains[0].clusters, gains[0].n
    if not independent >= MIN_CLUSTERS:
        return f"Only {independent:.1f} are independent of each other: too few for intervals."
    width = float(np.median([gain.high - gain.low for gain in gains]))
    precision = f"{name} is known to about ±{format.score(width / 2)} (95 % interval)."
    if independent > concepts - 0.05:
        return f"A {precision}"
    return f"{independent:.1f} are independent of each other, so that a {precision}"
