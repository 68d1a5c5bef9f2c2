"""Verdicts on claims, the values that satisfy a claim, and the evidence that a rule may use."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from htbench.core.types import encoder_name
from htbench.report import format
from htbench.report.roles import Roles
from htbench.report.sections.judges import JudgesSection
from htbench.report.sections.novelty import Novelty
from htbench.report.sections.people import People
from htbench.run.summary import Summary
from htbench.stats.durations import Interval
from htbench.stats.estimates import Estimate

Verdict = Literal["supported", "contradicted", "inconclusive", "mixed", "not tested"]
MEANING: dict[Verdict, str] = {
    "supported": "the whole 95 % interval satisfies the rule",
    "contradicted": "the whole 95 % interval violates the rule",
    "inconclusive": "part of the interval satisfies the rule and part of it violates it",
    "mixed": "judges, or studies with people, come to different verdicts",
    "not tested": "the run lacks the evidence, or the claim is about other models",
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """The values that satisfy a claim: from `least` to `most`, both included."""

    least: float = -math.inf
    most: float = math.inf

    def verdict(self, interval: Interval | Estimate) -> Verdict:
        """The verdict by the whole interval; `not tested` without one (NaN)."""
        low, high = interval.low, interval.high
        if math.isnan(low) or math.isnan(high):
            return "not tested"
        if self.least <= low and high <= self.most:
            return "supported"
        return "contradicted" if high < self.least or low > self.most else "inconclusive"

    def position(
        self, interval: Interval | Estimate, number: Callable[[float], str] = format.strength
    ) -> str:
        """The place of the interval beside the limits, such as `wholly below 1.5`."""
        limits = [number(end) for end in (self.least, self.most) if math.isfinite(end)]
        verdict = self.verdict(interval)
        if verdict == "contradicted":
            below = interval.high < self.least
            return f"wholly below {limits[0]}" if below else f"wholly above {limits[-1]}"
        if len(limits) == 2:
            extent = "wholly" if verdict == "supported" else "only partly"
            return f"{extent} within {limits[0]} to {limits[1]}"
        if verdict == "supported":
            side = "above" if math.isfinite(self.least) else "below"
            return f"wholly at or {side} {limits[0]}"
        return f"on both sides of {limits[0]}"


def all_of(verdicts: Collection[Verdict]) -> Verdict:
    """The verdict on a claim that holds if each of its parts does."""
    for verdict in ("not tested", "contradicted", "inconclusive"):
        if verdict in verdicts:
            return verdict
    return "supported"


@dataclass(frozen=True, kw_only=True)
class RuleResult:
    """The outcome of one rule."""

    verdict: Verdict
    reason: str
    """The numbers that decided, in sentences."""
    findings: Sequence[str] = ()
    command: str = ""
    """Command that tests the claim, or tests it better; empty where this run does."""
    beside: str = ""
    """Figure of this run beside the paper's, in place of a verdict, for a claim on other models."""


def not_tested(reason: str, *, findings: Sequence[str] = (), command: str = "") -> RuleResult:
    """The outcome where evidence is missing."""
    return RuleResult(verdict="not tested", reason=reason, findings=findings, command=command)


def too_few(estimate: Estimate) -> RuleResult:
    """The outcome where an estimate has no interval."""
    concepts = "1 concept" if estimate.n == 1 else f"{estimate.n} concepts"
    return not_tested(
        f"{concepts}, {estimate.clusters:.3g} independent of each other: too few for an interval."
    )


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The evidence that a rule may use."""

    summary: Summary
    roles: Roles
    judged: JudgesSection
    people: People
    novelty: Sequence[Novelty]
    numbers: Mapping[str, float]
    """The numbers of the rule, by name."""
    models: Sequence[str] = ()
    """The models that the claim is about; empty if it is about all."""
    reports: str = ""
    """The paper's figure for these models."""

    @property
    def is_on_other_model(self) -> bool:
        """True if the claim is not about the model of this run."""
        return bool(self.models) and self.summary.facts.model.name not in self.models

    @property
    def paper_method(self) -> str | None:
        """The method of the paper, conditioned on words if the run has that."""
        return next(iter([*self.roles.by_words, *self.roles.by_pictures]), None)

    @property
    def rankable_method(self) -> str | None:
        """The method of the paper, by words if possible, that the headline's scorer can judge."""
        return self.first_rankable([*self.roles.by_words, *self.roles.by_pictures])

    def first_rankable(self, methods: Sequence[str]) -> str | None:
        """The first of the methods that the headline's scorer can judge."""
        return next((method for method in methods if method not in self.roles.circular), None)


def circular(evidence: Evidence) -> RuleResult:
    """The outcome where the headline's scorer cannot judge the paper's method."""
    scorer = encoder_name(evidence.summary.scorer)
    return not_tested(
        f"The method reads concepts with {scorer}, which scores here; "
        "--scorer takes another encoder."
    )


def estimate_text(value: Estimate, *, signed: bool = False) -> str:
    """A mean with its interval, in two decimals."""
    return format.estimate(value, partial(format.score, signed=signed))


def preservation(summary: Summary, strengths: Mapping[str, float]) -> list[str]:
    """Image preservation beside the gain: a method that wipes pictures out gains, too."""
    lines = {
        method: summary.leaderboard_row(method, at).scores["image_preservation"]
        for method, at in strengths.items()
    }
    known = [f"{method} {format.score(score.mean)}" for method, score in lines.items() if score]
    return [f"image preservation at these strengths: {', '.join(known)}"] if known else []
