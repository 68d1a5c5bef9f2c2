"""What strengths do: gain against preservation with fixed anchors, how even the answer to the strength is, and methods under three policies."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from htbench.core.types import UNSTEERED
from htbench.report import format
from htbench.report.roles import Roles
from htbench.run.summary import HEADLINE, Summary
from htbench.stats import durations
from htbench.stats.dose_response import (
    Curves,
    DoseResponse,
    EffectiveRange,
    effective_range,
    measure_dose_response,
)
from htbench.stats.paired import ScoreAgreement, score_agreement
from htbench.stats.tradeoff import Anchors, MatchedGain, Policy, TradeOff

_PRESERVATION, _FLOOR = "image_preservation", 0.5
_ROUNDS = 2000


@dataclass(frozen=True, kw_only=True)
class MethodStrengths:
    """What one method does with the strength."""

    method: str
    strengths: tuple[float, ...]
    response: DoseResponse | None
    """None for fewer than three strengths."""
    effective_range: EffectiveRange | None
    """Of the mean curve; None where gain never rises."""
    hypervolume: durations.Interval | None
    """None without prompting in the run, which is the anchor."""
    matched_gain: MatchedGain | None
    """The gain where preservation is at the floor; None where no curve passes it."""
    policies: dict[str, Policy]
    """By name, those that are known."""
    concepts: int
    mean_gain: tuple[float, ...]
    """Gain at each strength."""

    @property
    def calibration(self) -> durations.Interval | None:
        """How much concepts differ in gain at the strongest strength, as a share of the mean gain there; None where that is not above 0."""
        if not self.response:
            return None
        mean, spread = self.mean_gain[-1], self.response.concept_sd[-1]
        return (
            durations.Interval(
                value=spread.value / mean, low=spread.low / mean, high=spread.high / mean
            )
            if mean > 0
            else None
        )


@dataclass(frozen=True, kw_only=True)
class StrengthSection:
    """The section."""

    anchors: Anchors | None
    floor: float
    methods: list[MethodStrengths]

    def get(self, method: str) -> MethodStrengths | None:
        """One method's; None if it has no whole curve."""
        return next((answer for answer in self.methods if answer.method == method), None)

    @property
    def has_curves(self) -> bool:
        """Whether any method has three strengths."""
        return any(answer.response for answer in self.methods)


def collect(summary: Summary) -> StrengthSection:
    """Of every method but `none`, on its concepts that have all strengths."""
    floor = format.as_number(format.as_mapping(summary.facts.get("plan")).get("tune_floor"))
    floor = floor if math.isfinite(floor) else _FLOOR
    anchors = _anchors(summary)
    found = (
        _method_strengths(summary, method, anchors, floor)
        for method in summary.methods
        if method != UNSTEERED
    )
    return StrengthSection(
        anchors=anchors, floor=floor, methods=[answer for answer in found if answer]
    )


@dataclass(frozen=True, kw_only=True)
class ModalityComparison:
    """One paper's method by pictures beside the same by words."""

    by_pictures: str
    by_words: str
    strength: float
    agreement: ScoreAgreement


def compare_modalities(summary: Summary, roles: Roles) -> list[ModalityComparison]:
    """Of methods that were run both ways, at full strength; equivalence is within a tenth of the gain by words."""
    found = []
    for by_pictures in roles.by_pictures:
        for by_words in roles.by_words:
            own = summary.means(by_words, summary.full_strength)
            margin = 0.1 * math.fsum(own.values()) / len(own) if own else 0.0
            alike = score_agreement(
                summary.means(by_pictures, summary.full_strength),
                own,
                margin=margin if margin > 0 else None,
            )
            if alike:
                found.append(
                    ModalityComparison(
                        by_pictures=by_pictures,
                        by_words=by_words,
                        strength=summary.full_strength,
                        agreement=alike,
                    )
                )
    return found


def dose_response(summary: Summary, method: str, strengths: Sequence[float]) -> DoseResponse | None:
    """How a method's gain answers to these strengths; None for fewer than three."""
    return (
        measure_dose_response(
            _curves(summary, method, strengths), np.array(strengths), rounds=_ROUNDS
        )
        if len(strengths) > 2
        else None
    )


def strengths(summary: Summary, method: str) -> tuple[float, ...]:
    """Those that a method was run at, ascending."""
    return tuple(
        sorted({strength for name, strength, _ in summary.planned_cells if name == method})
    )


def _anchors(summary: Summary) -> Anchors | None:
    """Prompting's gain is 1, and an untouched image."""
    gains = list(summary.means("prompt", 1.0).values())
    return Anchors(gain=float(np.mean(gains))) if gains and np.mean(gains) > 0 else None


def _method_strengths(
    summary: Summary, method: str, anchors: Anchors | None, floor: float
) -> MethodStrengths | None:
    chosen = strengths(summary, method)
    gains, kept = (
        [summary.means(method, strength, metric) for strength in chosen]
        for metric in (HEADLINE, _PRESERVATION)
    )
    whole = [
        concept
        for concept in (gains[0] if gains else {})
        if all(concept in known for known in (*gains, *kept))
    ]
    if not whole:
        return None
    gain, preservation = (
        np.array([[at[concept] for at in known] for concept in whole]) for known in (gains, kept)
    )
    curve = TradeOff(strengths=chosen, gain=gain, preservation=preservation, rounds=_ROUNDS)
    mean, several = gain.mean(0), len(chosen) > 2
    return MethodStrengths(
        method=method,
        strengths=chosen,
        response=dose_response(summary, method, chosen),
        effective_range=effective_range(np.array(chosen), mean, preservation.mean(0), floor=floor)
        if several
        else None,
        hypervolume=curve.hypervolume(anchors) if anchors else None,
        matched_gain=curve.matched_gain(floor),
        policies={
            policy.name: policy for policy in curve.policies(floor=floor, dev=_dev(summary, method))
        },
        concepts=len(whole),
        mean_gain=tuple(map(float, mean)),
    )


def _dev(summary: Summary, method: str) -> TradeOff | None:
    """The means that dev concepts chose the strength by, as they were recorded."""
    recorded = format.as_list(
        format.as_mapping(format.as_mapping(summary.facts.get("tuned")).get(method)).get("curve")
    )
    rows = [[format.as_number(value) for value in format.as_list(row)] for row in recorded]
    known = sorted(row for row in rows if len(row) == 3 and all(map(math.isfinite, row)))
    if not known:
        return None
    at, gain, kept = zip(*known, strict=True)
    return TradeOff(strengths=at, gain=np.array([gain]), preservation=np.array([kept]))


def _curves(summary: Summary, method: str, at: Sequence[float]) -> dict[str, Curves]:
    """Gains of each concept's prompts and seeds at each strength; NaN where one is missing."""
    query = """SELECT concept, prompt, seed, strength, value FROM cells JOIN images ON key = image LEFT JOIN scores ON cell = id AND metric = ? AND encoder = ?
               WHERE method = ? ORDER BY place"""
    found: dict[str, dict[tuple[str, int], dict[float, float]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for concept, prompt, seed, strength, value in summary.store.select(
        query, HEADLINE, summary.scorer, method
    ):
        found[concept][prompt, seed][strength] = math.nan if value is None else value
    return {
        concept: np.array(
            [[one.get(strength, math.nan) for strength in at] for one in curves.values()]
        )
        for concept, curves in found.items()
    }
