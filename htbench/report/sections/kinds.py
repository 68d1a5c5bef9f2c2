"""Concept gain by kind of concept, and its mean with equal weight for every kind."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from htbench.core.types import UNSTEERED
from htbench.report.gallery import grid
from htbench.run.summary import Summary
from htbench.scorers.metric_table import RANGES
from htbench.stats import estimates, fit_seeds
from htbench.stats.families import Contrast, Families

NEAR_FLOOR, NEAR_CEILING = 0.1, 0.9
"""Shares of prompting's gain: a gain of at most the first is near the floor, one of at least the
second near the ceiling."""


@dataclass(frozen=True, kw_only=True)
class KindGains:
    """Concept gain of every method on one kind of concept at the leaderboard's strength."""

    name: str
    concepts: int
    clusters: float
    """Effective number of independent clusters of its concepts."""
    gains: dict[str, estimates.Estimate | None]
    scored: int
    planned: int
    """Numbers of cells."""
    failed: int = 0
    """Number of cells that failed, which count as the worst gain."""
    limit: str = ""
    """The reason in words why this kind tells methods apart badly: no method, or every method,
    steers it, as held against prompting."""


@dataclass(frozen=True, kw_only=True)
class MacroMean:
    """A method's concept gain with equal weight for every kind of concept."""

    gain: estimates.Estimate
    """Mean over kinds of the kinds' means; no interval where a kind has a single concept."""
    kinds: int
    near_floor: int | None
    """Number of concepts on which the method gains at most a tenth of what prompting gains; None
    without prompting."""


def macro_mean(summary: Summary, method: str, strength: float) -> MacroMean | None:
    """The macro-mean of a method at a strength; None where it has no scores."""
    gains = summary.means(method, strength)
    if not gains:
        return None
    facts = summary.facts.concepts
    kinds = tuple(facts[concept].kind if concept in facts else "" for concept in gains)
    sizes = Counter(kinds)
    macro = _mean_of_means(Families.of(list(gains), summary.families), kinds)
    gain = estimates.estimate(list(gains.values()), macro)
    gain = estimates.kept_within(gain, RANGES[summary.headline])
    if min(sizes.values()) == 1:  # nothing is known about how much its concepts differ
        gain = replace(gain, low=math.nan, high=math.nan, p=math.nan)
    return MacroMean(gain=gain, kinds=len(sizes), near_floor=_near_floor(summary, gains))


@lru_cache(maxsize=64)
def _mean_of_means(families: Families, kinds: tuple[str, ...]) -> Contrast:
    """The mean over kinds of the means of their concepts."""
    sizes = Counter(kinds)
    groups = {kind: k for k, kind in enumerate(sizes)}
    return Contrast(
        families=families,
        weights=np.array([1 / (len(sizes) * sizes[kind]) for kind in kinds]),
        groups=np.array([groups[kind] for kind in kinds]),
    )


def _near_floor(summary: Summary, gains: Mapping[str, float]) -> int | None:
    prompting = summary.means("prompt", summary.full_strength)
    if not prompting:
        return None
    return sum(
        gain <= NEAR_FLOOR * max(prompting[concept], 0.0)
        for concept, gain in gains.items()
        if concept in prompting
    )


def collect(summary: Summary) -> list[KindGains]:
    """The gains of every kind, sorted by name."""
    kinds = {name: label.kind for name, label in grid.concept_labels(summary).items()}
    rows: dict[str, KindGains] = {}
    for (method, strength, concept), planned in summary.planned_cells.items():
        if method == UNSTEERED or strength != summary.full_strength:
            continue
        name = kinds[concept]
        kind = rows.get(
            name, KindGains(name=name, concepts=0, clusters=0, gains={}, scored=0, planned=0)
        )
        done = summary.done_cells.get((method, strength, concept), 0)
        failed = summary.failed_cells.get((method, strength, concept), 0)
        rows[name] = replace(
            kind,
            scored=kind.scored + done,
            planned=kind.planned + planned,
            failed=kind.failed + failed,
        )
    for name, kind in rows.items():
        concepts = {concept for concept, its in kinds.items() if its == name}
        gains = {
            method: fit_seeds.over_concepts(
                {
                    concept: value
                    for concept, value in summary.values(
                        method, summary.full_strength, summary.headline
                    ).items()
                    if concept in concepts
                },
                summary.families,
                within=RANGES[summary.headline],
            )
            for method in summary.methods
            if method != UNSTEERED
        }
        rows[name] = replace(
            kind,
            concepts=len(concepts),
            clusters=Families.of(sorted(concepts), summary.families).clusters,
            gains=gains,
            limit=_limit(summary, gains),
        )
    return sorted(rows.values(), key=lambda kind: kind.name)


def _limit(summary: Summary, gains: Mapping[str, estimates.Estimate | None]) -> str:
    """The reason why gains on a kind are all near the floor or the ceiling, if they are.

    Methods that change the prompt do not count.
    """
    prompting, facts = gains.get("prompt"), summary.facts.methods
    others = [
        gain.mean
        for method, gain in gains.items()
        if gain and method in facts and facts[method].kind != "prompt"
    ]
    if not prompting or prompting.mean <= 0 or not others:
        return ""
    if max(others) <= NEAR_FLOOR * prompting.mean:
        return "no steering method reaches a tenth of prompting"
    if min(others) >= NEAR_CEILING * prompting.mean:
        return "all steering methods reach nine tenths of prompting"
    return ""
