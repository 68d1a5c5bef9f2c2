"""Each claim of the paper beside what this run found: by rules that are stated in `reports/claims`, from the store, the ledger and studies alone."""

import math
import shlex
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from htbench.stats.paired import PairedComparison, compare

ClaimStatus = Literal["supported", "not supported", "not tested here"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim, and what became of it."""

    claim: str
    conditions: str
    """Of the paper."""
    rule: str
    """By which a run supports it."""
    status: ClaimStatus
    reason: str
    findings: list[str]
    command: str
    """What tests it, or tests it better; empty where this run does."""


@dataclass(frozen=True, kw_only=True)
class ClaimsSection:
    """The section."""

    paper: str
    name: str
    claims: list[Claim]


@dataclass(frozen=True, kw_only=True)
class RuleResult:
    """What a rule came to."""

    status: ClaimStatus
    reason: str
    findings: Sequence[str] = ()
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that a rule may look at."""

    summary: Summary
    roles: Roles
    judged: JudgesSection
    people: People
    strength: StrengthSection
    novelty: Sequence[Novelty]
    thresholds: dict[str, Any]
    """Its numbers."""

    @property
    def paper_method(self) -> str | None:
        """The paper's method, by words if the run has that."""
        return next(iter([*self.roles.by_words, *self.roles.by_pictures]), None)


def load_claims() -> dict[str, Any]:
    """What the paper claims, and the rules."""
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
    """Every claim of the paper."""
    paper = load_claims()
    found = []
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
        came = (
            rule(evidence)
            if evidence.paper_method
            else RuleResult(
                status=_UNTESTED,
                reason=f"No method of {paper['name']} is in this run.",
                command=_QUICKSTART,
            )
        )
        texts = {part: str(paper[name][part]) for part in ("claim", "conditions", "rule")}
        found.append(
            Claim(
                **texts,
                status=came.status,
                reason=came.reason,
                findings=list(came.findings),
                command=came.command,
            )
        )
    return ClaimsSection(paper=paper["paper"], name=paper["name"], claims=found)


def check_speed(evidence: Evidence) -> RuleResult:
    """Times by `htbench time` if the run has any, else those of the run itself."""
    times, how = _times(evidence.summary)
    own = next(
        (
            method
            for method in (*evidence.roles.by_words, *evidence.roles.by_pictures)
            if method in times
        ),
        None,
    )
    fits = sorted(
        (method for method in evidence.roles.per_concept if method in times),
        key=lambda method: -_median(times[method]),
    )
    model = str(format.as_mapping(evidence.summary.facts.get("model")).get("name") or "MODEL")
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
        f"{format.quantity(ratio.value)}× {_interval_text(ratio, format.quantity)} over {fit}: {_times_text(times[fit], times[own])}"
        for fit, ratio in ratios.items()
    ]
    low, high = (slowest.value if math.isnan(end) else end for end in (slowest.low, slowest.high))
    why = f"Over {fits[0]}, the slowest fit here, {own} is {format.quantity(slowest.value)} times as fast; {how}."
    if low < least <= high:
        why += f" {_INCONCLUSIVE}"
    return RuleResult(
        status=_status(low >= least),
        reason=why,
        findings=texts,
        command="" if "htbench time" in how else command,
    )


def check_match(evidence: Evidence) -> RuleResult:
    """Paired with the best per-concept method, within a margin."""
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
    compared = (
        compare({method: of for method, of in scores.items() if of}, reference=own)
        if scores.get(own)
        else []
    )
    best = max(compared, key=lambda one: one.difference.mean, default=None)
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
    tests = [one for one in compare(scores, reference=own, margin=margin) if one.equivalence]
    texts = [
        f"{own} against {one.first}: {_difference_text(one)}; {_equivalence_text(one, margin)}"
        for one in sorted(tests, key=lambda one: -one.difference.mean)
    ]
    decisive = next((one for one in tests if one.first == best.first), None)
    if decisive is None or decisive.equivalence is None:
        return RuleResult(status=_UNTESTED, reason="One concept gives no interval.", findings=texts)
    worst = -decisive.equivalence.high
    share = 1 - best.difference.mean / reference
    why = f"{own} reaches {format.percent(share)} of the concept gain of {best.first}, the best per-concept method here, at strength {format.strength(at)}."
    if worst <= -margin and -decisive.equivalence.low >= -margin:
        why += f" {_INCONCLUSIVE}"
    texts += _preservation(summary, dict.fromkeys((own, best.first), at))
    return RuleResult(
        status=_status(worst > -margin),
        reason=why,
        findings=[*texts, *_by_novelty(evidence, own), *_at_tuned_strengths(evidence, own)],
    )


def check_judges(evidence: Evidence) -> RuleResult:
    """Pairs with prompting, by every judge; a CLIP is no vision-language model, and a flagged judge is no evidence."""
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
    """Pairs with prompting, by people."""
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
                texts.append(
                    f"{study.study}, {criterion.name}: {_preference_text(rate)}, {pair.votes:,} votes"
                )
                decisive = rate if decisive is None or criterion.name == "overall" else decisive
    if decisive is None:
        return RuleResult(
            status=_UNTESTED, reason="No study with people has compared them.", command=command
        )
    return _preference_result(
        _preference_ratio(decisive), float(evidence.thresholds["times"]), texts, who="People prefer"
    )


def check_strength(evidence: Evidence) -> RuleResult:
    """How gain answers to strengths from 0 to 1."""
    own = _rankable_method(evidence)
    if own is None:
        return _circular(evidence)
    within = [
        value for value in strengths_section.strengths(evidence.summary, own) if 0 <= value <= 1
    ]
    found = strengths_section.dose_response(evidence.summary, own, within)
    if found is None or found.spearman is None or found.backstep is None:
        why = (
            "Nothing changes with the strength."
            if found
            else f"Between 0 and 1 the run has {len(within)} strengths; a curve needs three."
        )
        return RuleResult(
            status=_status(False) if found and found.flat else _UNTESTED,
            reason=why,
            command=_finer_command(evidence),
        )
    monotone, back = found.spearman, found.backstep
    if math.isnan(monotone.low):
        return RuleResult(status=_UNTESTED, reason="One concept gives no interval.")
    held = monotone.low >= float(evidence.thresholds["correlation"]) and back.high <= float(
        evidence.thresholds["backstep"]
    )
    texts = [
        f"{title} {_estimate_text(value)}"
        for title, value in (("rank correlation", monotone), ("share that goes back", back))
        if value
    ]
    texts += [
        f"{title} {_estimate_text(value)}"
        for title, value in (
            ("R² of a straight line", found.linearity),
            ("largest step", found.largest_step),
        )
        if value
    ]
    shown = ", ".join(map(format.strength, within))
    why = f"Over strengths {shown}, of {found.curves:,} curves {found.flat:,} are flat and {found.incomplete:,} broken; a curve is one picture’s."
    return RuleResult(
        status=_status(held),
        reason=why,
        findings=texts,
        command="" if len(within) > 3 else _finer_command(evidence),
    )


def check_pictures(evidence: Evidence) -> RuleResult:
    """Gain by pictures, and how far it is that of words."""
    by_pictures = next(
        (method for method in evidence.roles.by_pictures if method not in evidence.roles.circular),
        None,
    )
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
    by_words = next(
        (method for method in evidence.roles.by_words if method not in evidence.roles.circular),
        None,
    )
    beside = next(
        (
            one
            for one in strengths_section.compare_modalities(summary, evidence.roles)
            if (one.by_pictures, one.by_words) == (by_pictures, by_words)
        ),
        None,
    )
    texts = [f"concept gain {_estimate_text(gain)}"]
    if beside:
        both = beside.agreement
        texts.append(
            f"difference from that by words: {_estimate_text(both.difference, signed=True)}"
        )
        texts.append(
            f"agreement over concepts {format.score(both.concordance)} [{format.score(both.low)}, {format.score(both.high)}] (Lin’s concordance)"
        )
        if both.equivalence:
            said = "equivalent" if both.equivalence.holds else "not shown equivalent"
            texts.append(
                f"{said} within a tenth of it, ±{format.score(both.equivalence.margin)} (TOST {_p_text(both.equivalence.p)})"
            )
    why = f"Steered by pictures, {by_pictures} {'brings' if gain.low > 0 else 'does not clearly bring'} the concept at strength {format.strength(at)}."
    return RuleResult(status=_status(gain.low > 0), reason=why, findings=texts)


_UNTESTED: ClaimStatus = "not tested here"
_INCONCLUSIVE = "The interval leaves it open: this run can neither show nor exclude it."
_QUICKSTART = "htbench run quickstart"
_RULES: dict[str, Callable[[Evidence], RuleResult]] = {
    "speed": check_speed, "match": check_match, "judges": check_judges, "people": check_people, "strength": check_strength, "pictures": check_pictures,
}  # fmt: skip


def _status(held: bool) -> ClaimStatus:
    return "supported" if held else "not supported"


def _rankable_method(evidence: Evidence) -> str | None:
    """The paper's method, by words if it can be, that the headline's scorer can judge."""
    own = [*evidence.roles.by_words, *evidence.roles.by_pictures]
    return next((method for method in own if method not in evidence.roles.circular), None)


def _circular(evidence: Evidence) -> RuleResult:
    scorer = encoder_name(evidence.summary.scorer)
    return RuleResult(
        status=_UNTESTED,
        reason=f"It reads concepts with {scorer}, which scores here: give --scorer another encoder.",
    )


def _finer_command(evidence: Evidence) -> str:
    return commands.with_strengths(evidence.summary, 0, 0.25, 0.5, 0.75, 1)


def _times(summary: Summary) -> tuple[dict[str, Sequence[float]], str]:
    session = figures.latest(summary.store)
    if session and session.comparisons:
        return {
            pace.method: pace.seconds for pace in session.method_times
        }, "measured by htbench time"
    found: dict[str, list[float]] = {}
    for phase, method, _, seconds, _ in summary.store.timings():
        if phase == "towards":
            found.setdefault(method, []).append(seconds)
    return dict(found), "timed once a concept while the run was made, whatever else the machine did"


def _ratio(fit: Sequence[float], predict: Sequence[float]) -> Interval:
    return durations.Saving(
        training=0.0, fit=tuple(fit), predict=tuple(predict), generate=tuple(predict)
    ).speedup()


def _median(seconds: Sequence[float]) -> float:
    found = durations.quartiles(seconds)
    return found.median if found else 0.0


def _times_text(fit: Sequence[float], predict: Sequence[float]) -> str:
    return f"{format.duration(_median(fit))} / {format.duration(_median(predict))}"


def _preservation(summary: Summary, strengths: Mapping[str, float]) -> list[str]:
    """What it costs: a method that wipes pictures out gains, too."""
    lines = {
        method: summary.leaderboard_row(method, at).scores["image_preservation"]
        for method, at in strengths.items()
    }
    known = [f"{method} {format.score(score.mean)}" for method, score in lines.items() if score]
    return [f"image preservation meanwhile: {', '.join(known)}"] if known else []


def _by_novelty(evidence: Evidence, own: str) -> list[str]:
    """Against the best per-concept method, apart for concepts in words that training had and for others."""
    one = next((one for one in evidence.novelty if one.method == own), None)
    sorts = (
        {"in words that it was trained with": one.known, "with a new word": one.novel}
        if one
        else {}
    )
    texts = [
        f"on {part.score.n:,} concepts {sort} {_estimate_text(part.difference, signed=True)}"
        for sort, part in sorts.items()
        if part and part.difference
    ]
    return [f"{own} against {one.reference}: {'; '.join(texts)}"] if one and texts else []


def _at_tuned_strengths(evidence: Evidence, own: str) -> list[str]:
    """Against the best per-concept method where each has the strength that dev concepts chose, at which they keep more alike."""
    summary, rivals = (
        evidence.summary,
        set(evidence.roles.per_concept) - set(evidence.roles.circular),
    )
    chosen = {
        line.method: line.strength
        for line in summary.tuned
        if line.method == own or line.method in rivals
    }
    scores = {method: summary.means(method, at) for method, at in chosen.items()}
    best = max(
        compare(scores, reference=own) if own in scores else [],
        key=lambda one: one.difference.mean,
        default=None,
    )
    if best is None:
        return []
    apart = f"{own} ({format.strength(chosen[own])}) against {best.first} ({format.strength(chosen[best.first])}): {_difference_text(best)}"
    return [
        f"at the strengths chosen on dev concepts, {apart}",
        *_preservation(summary, {method: chosen[method] for method in (own, best.first)}),
    ]


def _difference_text(one: PairedComparison) -> str:
    """The other way round: of the reference."""
    low, high = -one.difference.high, -one.difference.low
    return f"{format.score(-one.difference.mean, signed=True)} [{format.score(low, signed=True)}, {format.score(high, signed=True)}]"


def _equivalence_text(one: PairedComparison, margin: float) -> str:
    assert one.equivalence, "tests without an interval were left out"
    said = "equivalent" if one.equivalence.holds else "not shown equivalent"
    return f"{said} within ±{format.score(margin)} (TOST {_p_text(one.equivalence.p)})"


def _p_text(p: float) -> str:
    return f"p {format.p_value(p)}" if p < 0.001 else f"p = {format.p_value(p)}"


def _preference_ratio(rate: Interval) -> Interval:
    """How many times as often one is preferred, from how often it is."""
    value, low, high = (
        math.inf if part == 1 else part / (1 - part) for part in (rate.value, rate.low, rate.high)
    )
    return Interval(value=value, low=low, high=high)


def _preference_text(rate: Interval) -> str:
    ratio = _preference_ratio(rate)
    times = "always" if math.isinf(ratio.value) else f"{ratio.value:.2f} times as often"
    return f"preferred in {format.percent(rate.value, 1)} [{format.percent(rate.low, 1)}, {format.percent(rate.high, 1)}], {times}"


def _preference_result(ratio: Interval, times: float, texts: list[str], *, who: str) -> RuleResult:
    shown = "always" if math.isinf(ratio.value) else f"{ratio.value:.2f} times as often"
    held, open_ = ratio.low > 1 and ratio.high >= times, ratio.low <= 1 and ratio.high >= times
    return RuleResult(
        status=_status(held),
        reason=f"{who} it {shown}.{f' {_INCONCLUSIVE}' if open_ else ''}",
        findings=texts,
    )


def _estimate_text(value: estimates.Estimate, *, signed: bool = False) -> str:
    return f"{format.score(value.mean, signed=signed)} [{format.score(value.low, signed=signed)}, {format.score(value.high, signed=signed)}]"


def _interval_text(ratio: Interval, shown: Callable[[float], str]) -> str:
    return "" if math.isnan(ratio.low) else f"[{shown(ratio.low)}, {shown(ratio.high)}]"
