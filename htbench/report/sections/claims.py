"""Each claim of the paper beside the results of this run.

The rules are stated in `reports/claims`; the evidence is the store, the ledger and studies alone.
"""

import math
import shlex
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from htbench.core import content
from htbench.core.types import encoder_name
from htbench.report import commands, format
from htbench.report.roles import Roles
from htbench.report.sections import strengths as strengths_section
from htbench.report.sections.judges import JudgesSection
from htbench.report.sections.novelty import Novelty
from htbench.report.sections.people import People
from htbench.report.sections.strengths import StrengthSection
from htbench.run.summary import HEADLINE, Summary
from htbench.run.timing import figures
from htbench.stats import durations, estimates
from htbench.stats.durations import Interval
from htbench.stats.paired import PairedComparison, ScoreAgreement, compare

ClaimStatus = Literal["supported", "not supported", "not tested here"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the paper and its status in this run."""

    claim: str
    conditions: str
    """Conditions of the paper's own test."""
    rule: str
    """Rule by which a run supports the claim."""
    status: ClaimStatus
    reason: str
    findings: list[str]
    command: str
    """Command that tests the claim, or tests it better; empty where this run does."""


@dataclass(frozen=True, kw_only=True)
class ClaimsSection:
    """The section on claims."""

    paper: str
    """Its address."""
    name: str
    claims: list[Claim]


@dataclass(frozen=True, kw_only=True)
class RuleResult:
    """The outcome of one rule."""

    status: ClaimStatus
    reason: str
    findings: Sequence[str] = ()
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The evidence that a rule may use."""

    summary: Summary
    roles: Roles
    judged: JudgesSection
    people: People
    strength: StrengthSection
    novelty: Sequence[Novelty]
    thresholds: dict[str, Any]
    """The numbers of the rule."""

    @property
    def paper_method(self) -> str | None:
        """The method of the paper, conditioned on words if the run has that."""
        return next(iter([*self.roles.by_words, *self.roles.by_pictures]), None)


def load_claims() -> dict[str, Any]:
    """The claims of the paper and the rules that test them."""
    return tomllib.loads(
        (content.folder("reports") / "claims" / "hypertransport.toml").read_text(encoding="utf-8")
    )


def collect(
    summary: Summary,
    roles: Roles,
    *,
    judged: JudgesSection,
    people: People,
    strength: StrengthSection,
    novelty: Sequence[Novelty],
) -> ClaimsSection:
    """Test every claim of the paper."""
    paper = load_claims()
    tested = []
    for name, rule in _RULES.items():
        evidence = Evidence(
            summary=summary,
            roles=roles,
            judged=judged,
            people=people,
            strength=strength,
            novelty=novelty,
            thresholds=paper[name],
        )
        result = (
            rule(evidence)
            if evidence.paper_method
            else RuleResult(
                status=_UNTESTED,
                reason=f"No method of {paper['name']} is in this run.",
                command=_QUICKSTART,
            )
        )
        texts = {part: str(paper[name][part]) for part in ("claim", "conditions", "rule")}
        tested.append(
            Claim(
                **texts,
                status=result.status,
                reason=result.reason,
                findings=list(result.findings),
                command=result.command,
            )
        )
    return ClaimsSection(paper=paper["paper"], name=paper["name"], claims=tested)


def check_speed(evidence: Evidence) -> RuleResult:
    """Time per concept: by `htbench time` if the run has a session, else while the run was made."""
    roles = evidence.roles
    times, how = _times(evidence.summary)
    own = next((name for name in (*roles.by_words, *roles.by_pictures) if name in times), None)
    fits = sorted(
        (method for method in roles.per_concept if method in times),
        key=lambda method: -_median(times[method]),
    )
    model = evidence.summary.facts.model.name or "MODEL"
    command = shlex.join(
        ["htbench", "time", "--model", model, "--name", evidence.summary.store.folder.name]
    )
    if not own or not fits:
        return RuleResult(
            status=_UNTESTED,
            reason="No per-concept fit was timed beside it." if own else "It was not timed.",
            command=command,
        )
    ratios = {fit: _ratio(times[fit], times[own]) for fit in fits}
    least, slowest = float(evidence.thresholds["least"]), ratios[fits[0]]
    texts = [
        f"{_ratio_text(ratio)} over {fit}: {_times_text(times[fit], times[own])}"
        for fit, ratio in ratios.items()
    ]
    low, high = (slowest.value if math.isnan(end) else end for end in (slowest.low, slowest.high))
    factor = format.quantity(slowest.value)
    why = f"Over {fits[0]}, the slowest fit here, {own} is {factor} times as fast; {how}."
    if low < least <= high:
        why += f" {_INCONCLUSIVE}"
    return RuleResult(
        status=_status(low >= least),
        reason=why,
        findings=texts,
        command="" if "htbench time" in how else command,
    )


def check_match(evidence: Evidence) -> RuleResult:
    """Concept gain, paired with that of the best per-concept method, within a margin."""
    summary, own = evidence.summary, _rankable_method(evidence)
    command = commands.with_methods(summary, "linear-act", "lineas")
    if own is None:
        return _circular(evidence)
    at = summary.full_strength
    scores = {
        method: summary.means(method, at)
        for method in (*evidence.roles.per_concept, own)
        if method not in evidence.roles.circular
    }
    best = _best_rival(scores, own)
    if best is None:
        return RuleResult(
            status=_UNTESTED,
            reason="No per-concept method was scored on the same concepts.",
            command=command,
        )
    reference = math.fsum(scores[best.first].values()) / len(scores[best.first])
    margin = float(evidence.thresholds["margin"]) * reference
    if not margin > 0:
        return RuleResult(
            status=_UNTESTED,
            reason=f"The best per-concept method, {best.first}, has no gain that could be matched.",
        )
    tests = [pair for pair in compare(scores, reference=own, margin=margin) if pair.equivalence]
    texts = [
        f"{own} against {pair.first}: {_difference_text(pair)}; {_equivalence_text(pair, margin)}"
        for pair in sorted(tests, key=lambda pair: -pair.difference.mean)
    ]
    decisive = next((pair for pair in tests if pair.first == best.first), None)
    if decisive is None or decisive.equivalence is None:
        return RuleResult(status=_UNTESTED, reason="One concept gives no interval.", findings=texts)
    worst = -decisive.equivalence.high
    share = format.percent(1 - best.difference.mean / reference)
    rival = f"{best.first}, the best per-concept method here, at strength {format.strength(at)}"
    why = f"{own} reaches {share} of the concept gain of {rival}."
    if worst <= -margin and -decisive.equivalence.low >= -margin:
        why += f" {_INCONCLUSIVE}"
    texts += _preservation(summary, dict.fromkeys((own, best.first), at))
    return RuleResult(
        status=_status(worst > -margin),
        reason=why,
        findings=[*texts, *_by_novelty(evidence, own), *_at_tuned_strengths(evidence, own)],
    )


def check_judges(evidence: Evidence) -> RuleResult:
    """Preference over prompting, by every judge.

    A CLIP is no vision-language model, and a flagged judge is no evidence.
    """
    own, prompt = evidence.paper_method, evidence.roles.prompt
    command = commands.for_run(
        evidence.summary,
        "judge",
        "--judge",
        "openai",
        "--criterion",
        "overall",
        "--against",
        prompt or "prompt",
    )
    texts, decisive = [], None
    for judgement in evidence.judged.results:
        for block in judgement.criteria:
            rate = block.criterion.preference_rate(str(own), str(prompt))
            if rate is None:
                continue
            kind = "" if judgement.is_vlm else ", not a vision-language model"
            flags = f"; flagged {format.join_names(block.audit.flags)}" if block.audit.flags else ""
            texts.append(
                f"{judgement.name}{kind}, {block.criterion.name}: {_preference_text(rate)}{flags}"
            )
            if (
                judgement.is_vlm
                and not block.audit.flags
                and (decisive is None or block.criterion.name == "overall")
            ):
                decisive = rate
    if decisive is None:
        why = (
            "No vision-language judge without an audit flag has compared them."
            if texts
            else "No judge has compared them."
        )
        return RuleResult(status=_UNTESTED, reason=why, findings=texts, command=command)
    return _preference_result(
        _preference_ratio(decisive), float(evidence.thresholds["times"]), texts, who="Judges prefer"
    )


def check_people(evidence: Evidence) -> RuleResult:
    """Preference over prompting, by people."""
    own, prompt = evidence.paper_method, evidence.roles.prompt
    command = commands.for_run(
        evidence.summary, "study export", "--criterion", "overall", "--against", prompt or "prompt"
    )
    texts, decisive = [], None
    for study in evidence.people.studies:
        for criterion in study.criteria:
            for pair in criterion.preferences:
                if {pair.one, pair.two} != {own, prompt}:
                    continue
                value, low, high = pair.forced.value, pair.forced.low, pair.forced.high
                rate = (
                    Interval(value=value, low=low, high=high)
                    if pair.one == own
                    else Interval(value=1 - value, low=1 - high, high=1 - low)
                )
                votes = f"{pair.votes:,} votes"
                texts.append(f"{study.study}, {criterion.name}: {_preference_text(rate)}, {votes}")
                decisive = rate if decisive is None or criterion.name == "overall" else decisive
    if decisive is None:
        return RuleResult(
            status=_UNTESTED, reason="No study with people has compared them.", command=command
        )
    return _preference_result(
        _preference_ratio(decisive), float(evidence.thresholds["times"]), texts, who="People prefer"
    )


def check_strength(evidence: Evidence) -> RuleResult:
    """Dose-response of gain over strengths from 0 to 1."""
    own = _rankable_method(evidence)
    if own is None:
        return _circular(evidence)
    within = [
        value for value in strengths_section.strengths(evidence.summary, own) if 0 <= value <= 1
    ]
    response = strengths_section.dose_response(evidence.summary, own, within)
    if response is None or response.spearman is None or response.backstep is None:
        why = (
            "Nothing changes with the strength."
            if response
            else f"Between 0 and 1 the run has {len(within)} strengths; a curve needs three."
        )
        return RuleResult(
            status=_status(False) if response and response.flat else _UNTESTED,
            reason=why,
            command=_finer_command(evidence),
        )
    monotone, back = response.spearman, response.backstep
    if math.isnan(monotone.low):
        return RuleResult(status=_UNTESTED, reason="One concept gives no interval.")
    held = monotone.low >= float(evidence.thresholds["correlation"]) and back.high <= float(
        evidence.thresholds["backstep"]
    )
    texts = [
        f"{title} {_estimate_text(value)}"
        for title, value in (
            ("rank correlation", monotone),
            ("share that goes back", back),
            ("R² of a straight line", response.linearity),
            ("largest step", response.largest_step),
        )
        if value
    ]
    shown = ", ".join(map(format.strength, within))
    counts = f"{response.flat:,} are flat and {response.incomplete:,} broken"
    curves = f"of {response.curves:,} curves {counts}; a curve is one picture’s"
    why = f"Over strengths {shown}, {curves}."
    return RuleResult(
        status=_status(held),
        reason=why,
        findings=texts,
        command="" if len(within) > 3 else _finer_command(evidence),
    )


def check_pictures(evidence: Evidence) -> RuleResult:
    """Concept gain when steered by pictures, and its agreement with the gain by words."""
    by_pictures = _first_rankable(evidence, evidence.roles.by_pictures)
    command = commands.with_methods(evidence.summary, "hypertransport-image")
    if by_pictures is None:
        return (
            _circular(evidence)
            if evidence.roles.by_pictures
            else RuleResult(
                status=_UNTESTED, reason="No method reads pictures here.", command=command
            )
        )
    summary, at = evidence.summary, evidence.summary.full_strength
    gain = summary.leaderboard_row(by_pictures, at).scores[HEADLINE]
    if gain is None or math.isnan(gain.low):
        return RuleResult(
            status=_UNTESTED,
            reason="It is not scored yet." if gain is None else "One concept gives no interval.",
        )
    by_words = _first_rankable(evidence, evidence.roles.by_words)
    agreements = [
        _agreement_texts(pair.agreement)
        for pair in strengths_section.compare_modalities(summary, evidence.roles)
        if (pair.by_pictures, pair.by_words) == (by_pictures, by_words)
    ]
    texts = [f"concept gain {_estimate_text(gain)}", *(agreements[0] if agreements else [])]
    verb = "brings" if gain.low > 0 else "does not clearly bring"
    strength = format.strength(at)
    why = f"Steered by pictures, {by_pictures} {verb} the concept at strength {strength}."
    return RuleResult(status=_status(gain.low > 0), reason=why, findings=texts)


_UNTESTED: ClaimStatus = "not tested here"
_INCONCLUSIVE = "The interval leaves it open: this run can neither show nor exclude it."
_QUICKSTART = "htbench run quickstart"
_RULES: dict[str, Callable[[Evidence], RuleResult]] = {
    "speed": check_speed,
    "match": check_match,
    "judges": check_judges,
    "people": check_people,
    "strength": check_strength,
    "pictures": check_pictures,
}


def _status(held: bool) -> ClaimStatus:
    return "supported" if held else "not supported"


def _rankable_method(evidence: Evidence) -> str | None:
    """The paper's method, by words if possible, that the headline's scorer can judge."""
    return _first_rankable(evidence, [*evidence.roles.by_words, *evidence.roles.by_pictures])


def _first_rankable(evidence: Evidence, methods: Sequence[str]) -> str | None:
    return next((method for method in methods if method not in evidence.roles.circular), None)


def _best_rival(scores: Mapping[str, Mapping[str, float]], own: str) -> PairedComparison | None:
    """The comparison of `own` with the best other method that is scored."""
    if not scores.get(own):
        return None
    scored = {method: means for method, means in scores.items() if means}
    pairs = compare(scored, reference=own)
    return max(pairs, key=lambda pair: pair.difference.mean, default=None)


def _circular(evidence: Evidence) -> RuleResult:
    scorer = encoder_name(evidence.summary.scorer)
    why = f"It reads concepts with {scorer}, which scores here: give --scorer another encoder."
    return RuleResult(status=_UNTESTED, reason=why)


def _finer_command(evidence: Evidence) -> str:
    return commands.with_strengths(evidence.summary, 0, 0.25, 0.5, 0.75, 1)


def _times(summary: Summary) -> tuple[dict[str, Sequence[float]], str]:
    session = figures.latest(summary.store)
    if session and session.comparisons:
        return {row.method: row.seconds for row in session.method_times}, "measured by htbench time"
    fits: dict[str, list[float]] = {}
    for phase, method, _, seconds, _ in summary.store.timings():
        if phase == "towards":
            fits.setdefault(method, []).append(seconds)
    return dict(fits), "timed once a concept while the run was made, whatever else the machine did"


def _ratio(fit: Sequence[float], predict: Sequence[float]) -> Interval:
    return durations.Saving(
        training=0.0, fit=tuple(fit), predict=tuple(predict), generate=tuple(predict)
    ).speedup()


def _median(seconds: Sequence[float]) -> float:
    quartiles = durations.quartiles(seconds)
    return quartiles.median if quartiles else 0.0


def _times_text(fit: Sequence[float], predict: Sequence[float]) -> str:
    return f"{format.duration(_median(fit))} / {format.duration(_median(predict))}"


def _preservation(summary: Summary, strengths: Mapping[str, float]) -> list[str]:
    """Image preservation beside the gain: a method that wipes pictures out gains, too."""
    lines = {
        method: summary.leaderboard_row(method, at).scores["image_preservation"]
        for method, at in strengths.items()
    }
    known = [f"{method} {format.score(score.mean)}" for method, score in lines.items() if score]
    return [f"image preservation meanwhile: {', '.join(known)}"] if known else []


def _by_novelty(evidence: Evidence, own: str) -> list[str]:
    """Gain over the best per-concept method, on concepts in known words and on the others."""
    row = next((row for row in evidence.novelty if row.method == own), None)
    if row is None:
        return []
    parts = {"in words that it was trained with": row.known, "with a new word": row.novel}
    texts = [
        f"on {part.score.n:,} concepts {sort} {_estimate_text(part.difference, signed=True)}"
        for sort, part in parts.items()
        if part and part.difference
    ]
    return [f"{own} against {row.reference}: {'; '.join(texts)}"] if texts else []


def _at_tuned_strengths(evidence: Evidence, own: str) -> list[str]:
    """Gain over the best per-concept method, each at its strength chosen on dev concepts.

    At these strengths their image preservation differs less.
    """
    summary = evidence.summary
    rivals = set(evidence.roles.per_concept) - set(evidence.roles.circular)
    strengths = {
        line.method: line.strength
        for line in summary.tuned
        if line.method == own or line.method in rivals
    }
    scores = {method: summary.means(method, at) for method, at in strengths.items()}
    pairs = compare(scores, reference=own) if own in scores else []
    best = max(pairs, key=lambda pair: pair.difference.mean, default=None)
    if best is None:
        return []
    mine, other = (
        f"{method} ({format.strength(strengths[method])})" for method in (own, best.first)
    )
    difference = f"{mine} against {other}: {_difference_text(best)}"
    return [
        f"at the strengths chosen on dev concepts, {difference}",
        *_preservation(summary, {method: strengths[method] for method in (own, best.first)}),
    ]


def _difference_text(pair: PairedComparison) -> str:
    """The difference with its sign turned: the reference less the other method."""
    around = format.interval(-pair.difference.high, -pair.difference.low, _signed_score)
    return f"{_signed_score(-pair.difference.mean)} {around}"


def _equivalence_text(pair: PairedComparison, margin: float) -> str:
    assert pair.equivalence, "tests without an interval were left out"
    test = f"(TOST {_p_text(pair.equivalence.p)})"
    return f"{_holds_text(pair.equivalence)} within ±{format.score(margin)} {test}"


def _agreement_texts(agreement: ScoreAgreement) -> list[str]:
    around = format.interval(agreement.low, agreement.high)
    concordance = f"{format.score(agreement.concordance)} {around}"
    texts = [
        f"difference from that by words: {_estimate_text(agreement.difference, signed=True)}",
        f"agreement over concepts {concordance} (Lin’s concordance)",
    ]
    if test := agreement.equivalence:
        margin = f"±{format.score(test.margin)} (TOST {_p_text(test.p)})"
        texts.append(f"{_holds_text(test)} within a tenth of it, {margin}")
    return texts


def _holds_text(test: estimates.Equivalence) -> str:
    return "equivalent" if test.holds else "not shown equivalent"


def _p_text(p: float) -> str:
    return f"p {format.p_value(p)}" if p < 0.001 else f"p = {format.p_value(p)}"


def _preference_ratio(rate: Interval) -> Interval:
    """Odds of being preferred, from the rate of being preferred."""
    value, low, high = (
        math.inf if part == 1 else part / (1 - part) for part in (rate.value, rate.low, rate.high)
    )
    return Interval(value=value, low=low, high=high)


def _preference_text(rate: Interval) -> str:
    around = format.interval(rate.low, rate.high, partial(format.percent, decimals=1))
    times = _times_as_often(_preference_ratio(rate))
    return f"preferred in {format.percent(rate.value, 1)} {around}, {times}"


def _times_as_often(ratio: Interval) -> str:
    return "always" if math.isinf(ratio.value) else f"{ratio.value:.2f} times as often"


def _preference_result(ratio: Interval, times: float, texts: list[str], *, who: str) -> RuleResult:
    held, is_open = ratio.low > 1 and ratio.high >= times, ratio.low <= 1 and ratio.high >= times
    return RuleResult(
        status=_status(held),
        reason=f"{who} it {_times_as_often(ratio)}.{f' {_INCONCLUSIVE}' if is_open else ''}",
        findings=texts,
    )


def _estimate_text(value: estimates.Estimate, *, signed: bool = False) -> str:
    number = partial(format.score, signed=signed)
    return f"{number(value.mean)} {format.interval(value.low, value.high, number)}"


def _signed_score(value: float) -> str:
    return format.score(value, signed=True)


def _ratio_text(ratio: Interval) -> str:
    has_interval = not math.isnan(ratio.low)
    around = format.interval(ratio.low, ratio.high, format.quantity) if has_interval else ""
    return f"{format.quantity(ratio.value)}× {around}"
