"""The claim on speed: the time of a per-concept fit over the time of a prediction."""

from htbench.report import commands, format
from htbench.report.sections.claims.verdict import Evidence, RuleResult, Target, not_tested
from htbench.run.costs import FitComparison, FitRule

_CHOICES: dict[FitRule, str] = {
    "equal quality": "the quickest fit with at least its concept gain in this run",
    "best quality": "the fit with the highest concept gain in this run, though below its own",
    "paper's setting": "the slowest fit with published figures",
}


def check_speed(evidence: Evidence) -> RuleResult:
    """Time per concept: by `htbench time` if the run has a session, else while the run was made."""
    summary, roles = evidence.summary, evidence.roles
    compared = {cost.method: cost.comparisons for cost in summary.costs if cost.comparisons}
    own = next((name for name in (*roles.by_words, *roles.by_pictures) if name in compared), None)
    command = commands.time(summary)
    if own is None:
        return not_tested(
            "No prediction of the method was timed beside a per-concept fit.", command=command
        )
    decisive, *others = compared[own]
    target = Target(least=evidence.numbers["least"])
    speed_up = decisive.saving.speedup()
    verdict = target.verdict(speed_up)
    if verdict == "not tested":
        ending, beside = "; fewer than three timings give no interval", ""
    elif evidence.is_on_other_model:
        verdict, ending = "not tested", ""
        figure = f"{format.quantity(speed_up.value)}×"
        beside = f"{figure} here; the paper reports {evidence.reports}"
    else:
        ending, beside = f": {target.position(speed_up, format.quantity)}", ""
    by_protocol = summary.timed_session is not None and summary.timed_session.protocol
    how = (
        "measured by htbench time"
        if by_protocol
        else "measured during the run, one per concept, on a machine that may have been busy"
    )
    return RuleResult(
        verdict=verdict,
        reason=f"A prediction by {own} is {_ratio_text(decisive)} as fast as a fit by "
        f"{decisive.fit}, {_CHOICES[decisive.rule]}{ending}. Times were {how}.",
        findings=[
            f"{_ratio_text(other)} over {other.fit}, {_CHOICES[other.rule]}: "
            f"{_times_text(other)}; its concept gain: {_gain_text(other)}"
            for other in (decisive, *others)
        ],
        command="" if by_protocol else command,
        beside=beside,
    )


def _times_text(comparison: FitComparison) -> str:
    times = comparison.saving.point_estimate
    return f"{format.duration(times.fit)} / {format.duration(times.predict)}"


def _gain_text(comparison: FitComparison) -> str:
    return format.score(comparison.gain.mean) if comparison.gain else "not scored"


def _ratio_text(comparison: FitComparison) -> str:
    ratio = comparison.saving.speedup()
    has_interval = ratio.low == ratio.low
    around = f" {format.interval(ratio.low, ratio.high, format.quantity)}" if has_interval else ""
    return f"{format.quantity(ratio.value)}×{around}"
