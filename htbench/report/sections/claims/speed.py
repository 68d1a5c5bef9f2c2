"""The claim on speed: the time of a per-concept fit over the time of a prediction."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from htbench.report import format
from htbench.report.sections.claims.verdict import Evidence, RuleResult, Target, not_tested
from htbench.run.summary import Summary
from htbench.run.timing import figures
from htbench.stats import durations
from htbench.stats.durations import Interval

Times = Mapping[str, Sequence[float]]
"""Seconds per concept, by method."""


@dataclass(frozen=True, kw_only=True)
class ReferenceFit:
    """The per-concept method whose time the claim is held against."""

    method: str
    description: str
    """The reason for its choice, as an apposition to its name."""


def check_speed(evidence: Evidence) -> RuleResult:
    """Time per concept: by `htbench time` if the run has a session, else while the run was made."""
    roles = evidence.roles
    times, how = _times(evidence.summary)
    own = next((name for name in (*roles.by_words, *roles.by_pictures) if name in times), None)
    model = evidence.summary.facts.model.name or "MODEL"
    command = shlex.join(
        ["htbench", "time", "--model", model, "--name", evidence.summary.store.folder.name]
    )
    reference = reference_fit(evidence, times)
    if own is None:
        return not_tested("No prediction of the method was timed.", command=command)
    if reference is None:
        return not_tested("No per-concept fit was timed beside it.", command=command)
    target = Target(least=evidence.numbers["least"])
    speed_up = _ratio(times[reference.method], times[own])
    verdict = target.verdict(speed_up)
    fits = sorted(
        (method for method in roles.per_concept if method in times),
        key=lambda method: -_median(times[method]),
    )
    ending = (
        "; fewer than three timings give no interval"
        if verdict == "not tested"
        else f": {target.position(speed_up, format.quantity)}"
    )
    return RuleResult(
        verdict=verdict,
        reason=f"A prediction by {own} is {_ratio_text(speed_up)} as fast as a fit by "
        f"{reference.method}, {reference.description}{ending}. Times are {how}.",
        findings=[
            f"{_ratio_text(_ratio(times[fit], times[own]))} over {fit}: "
            f"{_times_text(times[fit], times[own])}"
            for fit in fits
        ],
        command="" if "htbench time" in how else command,
    )


def reference_fit(evidence: Evidence, times: Times) -> ReferenceFit | None:
    """The slowest per-concept method that was timed; None without any."""
    fits = [method for method in evidence.roles.per_concept if method in times]
    if not fits:
        return None
    slowest = max(fits, key=lambda method: _median(times[method]))
    return ReferenceFit(method=slowest, description="the slowest fit here")


def _times(summary: Summary) -> tuple[Times, str]:
    session = figures.latest(summary.store)
    if session and session.comparisons:
        return {row.method: row.seconds for row in session.method_times}, "measured by htbench time"
    fits: dict[str, list[float]] = {}
    for phase, method, _, seconds, _ in summary.store.timings():
        if phase == "towards":
            fits.setdefault(method, []).append(seconds)
    return fits, "those of the run itself, one per concept, whatever else the machine did"


def _ratio(fit: Sequence[float], predict: Sequence[float]) -> Interval:
    return durations.Saving(
        training=0.0, fit=tuple(fit), predict=tuple(predict), generate=tuple(predict)
    ).speedup()


def _median(seconds: Sequence[float]) -> float:
    quartiles = durations.quartiles(seconds)
    return quartiles.median if quartiles else 0.0


def _times_text(fit: Sequence[float], predict: Sequence[float]) -> str:
    return f"{format.duration(_median(fit))} / {format.duration(_median(predict))}"


def _ratio_text(ratio: Interval) -> str:
    has_interval = ratio.low == ratio.low
    around = f" {format.interval(ratio.low, ratio.high, format.quantity)}" if has_interval else ""
    return f"{format.quantity(ratio.value)}×{around}"
