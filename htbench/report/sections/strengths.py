"""The section on strengths: gain against preservation, dose-response, and policies for choosing.

The trade-off has fixed anchors, and methods are compared under three policies.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from htbench.core.types import UNSTEERED
from htbench.report.once import once
from htbench.report.roles import Roles
from htbench.run.summary import HEADLINE, METRICS, Summary
from htbench.scorers.metric_table import METRIC_TABLE
from htbench.stats import durations
from htbench.stats.dose_response import (
    Curves,
    DoseResponse,
    EffectiveRange,
    effective_range,
    measure_dose_response,
)
from htbench.stats.families import Families
from htbench.stats.paired import ScoreAgreement, score_agreement
from htbench.stats.relative import RelativeMatch, relative_match
from htbench.stats.tradeoff import Anchors, Policy, TradeOff

_PRESERVATION, _FLOOR = "image_preservation", 0.5
_ROUNDS = 2000
_MARGIN = 0.1


@dataclass(frozen=True, kw_only=True)
class MethodStrengths:
    """The results of one method over its strengths."""

    method: str
    strengths: tuple[float, ...]
    response: DoseResponse | None
    """None for fewer than three strengths."""
    effective_range: EffectiveRange | None
    """Effective range of the mean curve; None where gain never rises."""
    hypervolume: durations.Interval | None
    """None where the run has no prompting, which is the anchor."""
    hypervolume_parts: dict[str, float]
    """Each concept's part in the hypervolume; empty without one."""
    regret: durations.Interval | None
    """Gain at the strength chosen on dev concepts less the best gain that keeps the floor; None
    where none was chosen, or none keeps the floor."""
    policies: dict[str, Policy]
    """The policies that apply, by name."""
    concepts: int
    mean_gain: tuple[float, ...]
    """Gain at each strength."""

    @property
    def calibration(self) -> durations.Interval | None:
        """Spread of gain over concepts at the largest strength, as a share of the mean gain there.

        None where that mean is not above 0.
        """
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
    """The section on strengths."""

    anchors: Anchors | None
    floor: float
    methods: list[MethodStrengths]

    def get(self, method: str) -> MethodStrengths | None:
        """The results of `method`; None if it has no complete curve."""
        return next((answer for answer in self.methods if answer.method == method), None)

    @property
    def has_curves(self) -> bool:
        """True if any method has three strengths."""
        return any(answer.response for answer in self.methods)


@once
def collect(summary: Summary) -> StrengthSection:
    """The results of every method but `none`, on its concepts that have all strengths."""
    floor = preservation_floor(summary)
    anchors = _anchors(summary)
    results = (
        _method_strengths(summary, method, anchors, floor)
        for method in summary.methods
        if method != UNSTEERED
    )
    return StrengthSection(
        anchors=anchors, floor=floor, methods=[result for result in results if result]
    )


@dataclass(frozen=True, kw_only=True)
class ModalityComparison:
    """A method conditioned on pictures beside the same method conditioned on words."""

    by_pictures: str
    by_words: str
    strength: float
    agreement: ScoreAgreement
    match: RelativeMatch | None
    """The gain by pictures, held against that by words within a tenth of it."""
    cells: int
    """Number of cells that both have."""


def compare_modalities(summary: Summary, roles: Roles) -> list[ModalityComparison]:
    """Every pair of methods by pictures and by words, at full strength."""
    pairs = []
    for by_pictures in roles.by_pictures:
        for by_words in roles.by_words:
            shared = summary.paired_means(
                dict.fromkeys((by_pictures, by_words), summary.full_strength)
            )
            pictures, worded = shared.means[by_pictures], shared.means[by_words]
            if agreement := score_agreement(pictures, worded, summary.families):
                pairs.append(
                    ModalityComparison(
                        by_pictures=by_pictures,
                        by_words=by_words,
                        strength=summary.full_strength,
                        agreement=agreement,
                        match=relative_match(pictures, worded, summary.families, margin=_MARGIN),
                        cells=shared.cells,
                    )
                )
    return pairs


def preservation_floor(summary: Summary) -> float:
    """The image preservation that a chosen strength must keep; that of the default plan if the run
    does not know its own.
    """
    floor = summary.facts.plan.tune_floor
    return floor if math.isfinite(floor) else _FLOOR


def unranked_at(summary: Summary, method: str, at: Sequence[float]) -> str:
    """The reason why a method is not ranked by its results at these strengths; empty if it is."""
    rows = (summary.leaderboard_row(method, strength) for strength in at)
    return next((f"{row.unranked} (strength {row.strength:g})" for row in rows if row.unranked), "")


def complete_concepts(summary: Summary, method: str, at: Sequence[float]) -> list[str]:
    """Concepts on which a method has gain and preservation at all these strengths."""
    columns = [
        summary.means(method, strength, metric)
        for strength in at
        for metric in (HEADLINE, _PRESERVATION)
    ]
    return [
        concept
        for concept in (columns[0] if columns else {})
        if all(concept in means for means in columns)
    ]


def trade_off(
    summary: Summary, method: str, at: Sequence[float], concepts: Sequence[str]
) -> TradeOff:
    """Gain and preservation of a method at these strengths on `concepts`, which have them all."""
    gain, preservation = (
        np.stack(
            [
                [means[concept] for concept in concepts]
                for means in (summary.means(method, strength, metric) for strength in at)
            ],
            axis=1,
        )
        for metric in (HEADLINE, _PRESERVATION)
    )
    return TradeOff(
        strengths=tuple(at),
        gain=gain,
        preservation=preservation,
        families=Families.of(concepts, summary.families),
        rounds=_ROUNDS,
    )


def regret(summary: Summary, method: str) -> durations.Interval | None:
    """The regret of the strength that was chosen for a method, see `TradeOff.regret`.

    None where none was chosen, or none keeps the floor.
    """
    choice = summary.facts.tuned.get(method)
    at = [strength for strength in strengths(summary, method) if strength > 0]
    complete = complete_concepts(summary, method, at)
    if not choice or not complete:
        return None
    curve = trade_off(summary, method, at, complete)
    return curve.regret(choice.strength, floor=preservation_floor(summary))


def dose_response(summary: Summary, method: str, strengths: Sequence[float]) -> DoseResponse | None:
    """The dose-response of a method's gain over these strengths; None for fewer than three."""
    return (
        measure_dose_response(
            gain_curves(summary, method, strengths),
            np.array(strengths),
            summary.families,
            rounds=_ROUNDS,
        )
        if len(strengths) > 2
        else None
    )


def strengths(summary: Summary, method: str) -> tuple[float, ...]:
    """The strengths that a method was run at, ascending."""
    return tuple(sorted(strength for name, strength in summary.planned_by_row if name == method))


def gain_curves(summary: Summary, method: str, at: Sequence[float]) -> dict[str, Curves]:
    """Gains of each concept's prompts and seeds at each strength; NaN where one is missing.

    Strengths ascend. A curve with a failed cell takes the worst course there is: it falls with
    every step, at last to the worst gain.
    """
    table = summary.table
    own = table.method_cells(method)
    curves, curve = np.unique(
        table.concept.numbers[own] * len(table.image.names) + table.image.numbers[own],
        return_inverse=True,
    )
    ascending = np.array(at)
    step = ascending.searchsorted(table.strength[own]).clip(max=len(at) - 1)
    is_asked = ascending[step] == table.strength[own]
    gains, failed = np.full((len(curves), len(at)), np.nan), np.zeros((len(curves), len(at)), bool)
    column = list(METRICS).index(HEADLINE)
    values = np.where(table.made[own], summary.table_scores[own, column], np.nan)
    gains[curve[is_asked], step[is_asked]] = values[is_asked]
    failed[curve[is_asked], step[is_asked]] = table.failed[own][is_asked]
    worst = next(metric.worst for metric in METRIC_TABLE if metric.name == HEADLINE)
    gains[(failed & (ascending != 0)).any(1)] = worst * np.linspace(0, 1, len(at)) ** 9
    concept = curves // max(1, len(table.image.names))
    return {table.concept.names[number]: gains[concept == number] for number in np.unique(concept)}


def _anchors(summary: Summary) -> Anchors | None:
    """The anchors of the hypervolume: the gain of prompting, and an untouched image."""
    gains = list(summary.means("prompt", 1.0).values())
    return Anchors(gain=float(np.mean(gains))) if gains and np.mean(gains) > 0 else None


def _method_strengths(
    summary: Summary, method: str, anchors: Anchors | None, floor: float
) -> MethodStrengths | None:
    run_at = strengths(summary, method)
    complete = complete_concepts(summary, method, run_at)
    if not complete:
        return None
    curve = trade_off(summary, method, run_at, complete)
    mean = curve.gain.mean(0)
    return MethodStrengths(
        method=method,
        strengths=run_at,
        response=dose_response(summary, method, run_at),
        effective_range=effective_range(
            np.array(run_at), mean, curve.preservation.mean(0), floor=floor
        )
        if len(run_at) > 2
        else None,
        hypervolume=curve.hypervolume(anchors) if anchors else None,
        hypervolume_parts=dict(
            zip(complete, curve.hypervolume_contributions(anchors).tolist(), strict=True)
        )
        if anchors
        else {},
        regret=regret(summary, method),
        policies={
            policy.name: policy for policy in curve.policies(floor=floor, dev=_dev(summary, method))
        },
        concepts=len(complete),
        mean_gain=tuple(map(float, mean)),
    )


def _dev(summary: Summary, method: str) -> TradeOff | None:
    """The stored means over dev concepts that the strength was chosen by."""
    choice = summary.facts.tuned.get(method)
    curve = choice.curve if choice else []
    points = sorted(row for row in curve if len(row) == 3 and all(map(math.isfinite, row)))
    if not points:
        return None
    at, gain, preservation = zip(*points, strict=True)
    return TradeOff(strengths=at, gain=np.array([gain]), preservation=np.array([preservation]))
