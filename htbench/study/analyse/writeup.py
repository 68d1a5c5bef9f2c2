"""The files of a study's result: Markdown, JSON, and votes for `htbench judge --humans`."""

import csv
import json
import math
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from htbench.core import content
from htbench.core.errors import Missing, Refused
from htbench.stats import crossed
from htbench.stats.durations import Interval
from htbench.stats.families import MIN_CLUSTERS
from htbench.stats.proportions import Proportion
from htbench.study import answer, manifest
from htbench.study.analyse import publish
from htbench.study.analyse.evaluators import read_evaluators
from htbench.study.analyse.result import (
    CriterionResult,
    Preference,
    RaterInfluence,
    StudyResult,
    compute_result,
)
from htbench.study.answer import Answer
from htbench.study.collect import intake
from htbench.study.exclusions import Rules, apply_rules

REPORT_FILE, JSON_FILE, VOTES_FILE = "report.md", "report.json", "votes.csv"
_VOTE_COLUMNS = ("criterion", "concept", "prompt", "seed", "left", "right", "choice", "rater")
_REHEARSAL_NOTICE = "**A rehearsal: these answers are made up.**\n\n"
_ABOUT_TITLES = {
    "task": "Task and instructions",
    "interface": "Interface",
    "recruitment": "How people were found",
    "qualification": "Qualification asked for",
    "pay": "Pay",
    "consent": "Consent and ethics approval",
}


def write(
    folder: Path, run: Path | None = None, *, rounds: int = 1000, seed: int = 0
) -> StudyResult:
    """Compute a study's result and write it beside its table.

    With a `run`, its judges and metrics are compared with people, and the result is also written
    into its folder, except that of a rehearsal.

    Raises:
        Missing: if nothing was imported.
        Refused: if the table or the log of imports is damaged.
        UsageError: if the run has none of the study's pairs of pictures.
    """
    if not (folder / intake.ANSWERS_FILE).is_file():
        raise Missing(
            f"no answers in study {str(folder)!r}", remedy="htbench study import reads them."
        )
    answers = list(answer.read(folder / intake.ANSWERS_FILE))
    rules, log = Rules.read(folder / intake.RULES_FILE), _log(folder)
    origin = manifest.read(folder)
    rehearsal = bool(origin.get("rehearsal"))
    pairs = {each.pair for each in answers if each.kind == "vote"}
    evaluators = read_evaluators(run, pairs, strength=origin.get("strength")) if run else []
    flow = apply_rules(answers, rules, statuses=_statuses(folder))
    families = origin.get("families") or {}
    result = compute_result(flow, evaluators, families, rounds=rounds, seed=seed)
    changed = log["rules"] != rules.digest
    _write_votes(folder / VOTES_FILE, flow.kept)
    facts = {"rehearsal": rehearsal, "rules": rules.model_dump(), "rules_changed": changed}
    serialised = json.dumps(
        content.without_nan({**facts, **_facts(result)}), indent=1, sort_keys=True, allow_nan=False
    )
    (folder / JSON_FILE).write_text(serialised + "\n", encoding="utf-8")
    report = text(result, answers, rules, log, _about(folder))
    notice = _REHEARSAL_NOTICE if rehearsal else ""
    (folder / REPORT_FILE).write_text(notice + report, encoding="utf-8")
    if run and not rehearsal:
        publish.write_to_run(result, run, study=folder, rules_changed=changed)
    return result


def text(
    result: StudyResult,
    answers: Sequence[Answer],
    rules: Rules,
    log: dict[str, object],
    about: dict[str, str],
) -> str:
    """The report as Markdown."""
    parts = [
        f"# Study {answers[0].study}",
        "",
        *_flow(result, rules, changed=log["rules"] != rules.digest),
    ]
    everybody = {criterion.name: criterion for criterion in result.without_exclusions}
    for criterion in result.criteria:
        lines = _criterion(criterion, everybody[criterion.name], sides=str(log["sides"]))
        parts += ["", f"## {criterion.name}", "", *lines]
    return "\n".join([*parts, "", *_reporting_template(result, about)]) + "\n"


def headline(preference: Preference) -> str:
    """The odds of the better method in both conventions for ties, as a line of text."""
    forced, decided = _times(preference.forced_ratio), _times(preference.decided_ratio)
    return (
        f"{preference.one} over {preference.two}: {forced} as often with ties as half votes, "
        f"{decided} with ties dropped ({preference.votes:,} votes, {preference.ties:,} ties)"
    )


def _flow(result: StudyResult, rules: Rules, *, changed: bool) -> list[str]:
    lines = [
        "## Who was left out",
        "",
        "| step | people | answers | people left out |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {step.name} | {step.people:,} | {step.answers:,} | {len(step.gone) or ''} |"
        for step in result.flow.steps
    ]
    note = (
        "**They were changed after the first import.**"
        if changed
        else "They are those that were declared at the first import."
    )
    return [*lines, "", f"Rules {rules.digest}; none looks at methods. {note}"]


def _criterion(
    criterion: CriterionResult, without_exclusions: CriterionResult, *, sides: str
) -> list[str]:
    if criterion.ranking is None:
        return [f"Not ranked: {criterion.unranked_reason}"]
    overall = without_exclusions.ranking.entries if without_exclusions.ranking else ()
    overall_ratings = {entry.name: _interval(entry.rating) for entry in overall}
    lines = [
        "| method | rank | tier | rating | win rate | votes | without exclusions | Davidson |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for entry in criterion.ranking.entries:
        cells = (
            f"`{entry.name}`",
            entry.rank_range,
            entry.tier,
            f"{entry.limit} all" if entry.limit else _interval(entry.rating),
            _interval(entry.win_rate),
            entry.votes,
            overall_ratings.get(entry.name, "-"),
            f"{criterion.davidson[entry.name]:.3f}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    warnings = (f"\n{warning}" for warning in criterion.ranking.warnings)
    lines += ["", criterion.ranking.caption, *warnings, "", *_preferences(criterion)]
    return [*lines, "", *_reliability(criterion, sides), "", *_agreement(criterion)]


def _preferences(criterion: CriterionResult) -> list[str]:
    titles = (
        "preferred to",
        "ties as halves",
        "times as often",
        "ties dropped",
        "times as often",
        "if independent",
        "votes",
        "would show",
        "would need",
    )
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for each in criterion.preferences:
        cells = (
            f"`{each.one}` to `{each.two}`",
            _interval(each.forced),
            _times(each.forced_ratio),
            _interval(each.decided),
            _times(each.decided_ratio),
            f"[{each.naive[0]:.3f}, {each.naive[1]:.3f}]",
            f"{each.votes:,} ({each.ties:,} ties)",
            _number(each.power.least),
            f"{each.sample_size.votes:,}" if each.sample_size else "-",
        )
        lines.append(f"| {' | '.join(cells)} |")
    note = (
        "Intervals resample concepts and raters. *If independent*: Clopper and Pearson's, too "
        "narrow. *Would show*: the rate that four of five such studies would tell from a half; "
        "*would need*: how many deciding votes, as alike on a concept as here, would tell this "
        "one's rate."
    )
    return [*lines, "", note]


def _reliability(criterion: CriterionResult, sides: str) -> list[str]:
    reliability = criterion.reliability
    alpha = "not estimable, nobody answered the same pair"
    if not math.isnan(reliability.alpha.value):
        alpha = _interval(reliability.alpha)
        if math.isnan(reliability.alpha.low):
            alpha += f" [{crossed.NO_INTERVAL}]"
    left = "not estimable, the sides that were shown are not known"
    if sides == "shown":
        left = _share(criterion.left_share)
    answers, overlap = f"{reliability.answers_each:.1f}", f"{reliability.overlap:,}"
    lines = [
        f"- Krippendorff's alpha (nominal): {alpha}",
        f"- Gwet's AC1: {_number(reliability.ac1)}",
        f"- Two people who decide agree in {_share(reliability.ceiling)}: the ceiling for judges",
        f"- Swapped repeats answered alike: {_share(reliability.self_agreement)}",
        f"- Instructions followed: {_share(criterion.checks)}",
        f"- Picture chosen over noise: {_share(criterion.catch_trials)}",
        f"- Answers a pair: {answers}; {overlap} pairs have two or more",
        f"- Left picture preferred: {left}",
    ]
    return [*lines, _influence(criterion.influence)] if criterion.influence else lines


def _influence(influences: Sequence[RaterInfluence]) -> str:
    moved, shift = influences[0].moved, max(each.shift for each in influences)
    changes = any(each.first for each in influences)
    first = "another method comes first" if changes else "the first place stays"
    return (
        f"- Leaving one person out at a time: no rank moves by more than {moved}, "
        f"no rating by more than {shift:.3f}; {first}"
    )


def _agreement(criterion: CriterionResult) -> list[str]:
    """Agreement of one person, of judges and of metrics with the majority of people."""
    if not criterion.agreement:
        return [
            "No two people answered the same pair, and no run was given: there is nothing to hold "
            "judges and metrics against."
        ]
    lines = [
        "| with the majority of people | compared | alike where both decide | kappa | AC1 |",
        "|---|---|---|---|---|",
    ]
    for each in criterion.agreement:
        source = f"{each.source} {each.name}"
        if each.source == "person":
            source = "one person, of the others: the ceiling"
        measures = map(_interval, (each.accuracy, each.kappa, each.ac1))
        lines.append(f"| {' | '.join((source, f'{each.compared:,}', *measures))} |")
    note = (
        "Intervals are for new concepts and new people; there is none below "
        f"{MIN_CLUSTERS} of either, or where all agree. A judge or metric is compared with "
        "the majority on each pair of pictures, a tie being a verdict too."
    )
    return [*lines, "", note]


def _reporting_template(result: StudyResult, about: dict[str, str]) -> list[str]:
    """The facts to report about a study of people.

    References:
        Otani et al. Toward Verifiable and Reproducible Human Evaluation for Text-to-Image
        Generation. 2023. https://arxiv.org/abs/2304.01816
    """
    kept = result.flow.kept
    votes = [each for each in kept if each.kind == "vote"]
    pictures = {
        (each.concept, each.prompt, each.seed, side)
        for each in votes
        for side in (each.left, each.right)
    }
    pairs = {each.pair for each in votes}
    timed = sorted(each.rt_ms for each in votes if each.rt_ms is not None)
    agreement = "; ".join(
        f"{criterion.name}: alpha {_number(criterion.reliability.alpha.value)}, "
        f"AC1 {_number(criterion.reliability.ac1)}"
        for criterion in result.criteria
    )
    time = f"{timed[len(timed) // 2] / 1000:.1f} s" if timed else "not known"
    concepts = f"{len({each.concept for each in votes}):,}"
    raters = f"{len({each.rater for each in kept}):,} of {result.flow.steps[0].people:,}"
    rows = [
        *((title, about.get(name) or "not stated") for name, title in _ABOUT_TITLES.items()),
        ("Criteria", ", ".join(each.name for each in result.criteria)),
        ("Raters", raters),
        ("Concepts, pictures, pairs", f"{concepts}, {len(pictures):,}, {len(pairs):,}"),
        ("Votes", f"{len(votes):,}, {len(votes) / max(1, len(pairs)):.1f} a pair"),
        ("Median time an answer", time),
        ("Agreement", agreement),
    ]
    return [
        "## Reporting template",
        "",
        "| | |",
        "|---|---|",
        *(f"| {title} | {value} |" for title, value in rows),
    ]


def _facts(result: StudyResult) -> dict[str, object]:
    return {
        "flow": [asdict(step) for step in result.flow.steps],
        "criteria": [_criterion_facts(each) for each in result.criteria],
        "without_exclusions": [_criterion_facts(each) for each in result.without_exclusions],
    }


def _criterion_facts(criterion: CriterionResult) -> dict[str, object]:
    return {
        "name": criterion.name,
        "ranking": criterion.ranking.facts() if criterion.ranking else None,
        "unranked": criterion.unranked_reason,
        "davidson": criterion.davidson,
        "preferences": [
            {
                **asdict(each),
                "forced_ratio": asdict(each.forced_ratio),
                "decided_ratio": asdict(each.decided_ratio),
            }
            for each in criterion.preferences
        ],
        "reliability": asdict(criterion.reliability),
        "left": asdict(criterion.left_share),
        "influence": [asdict(each) for each in criterion.influence],
        "checks": asdict(criterion.checks),
        "sentinels": asdict(criterion.catch_trials),
        "agreement": [asdict(each) for each in criterion.agreement],
    }


def _write_votes(path: Path, answers: Sequence[Answer]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_VOTE_COLUMNS)
        rows.writerows(
            [getattr(each, name) for name in _VOTE_COLUMNS]
            for each in answers
            if each.kind == "vote" and each.choice != "skip"
        )


def _statuses(folder: Path) -> dict[str, str]:
    if not (folder / intake.PARTICIPANTS_FILE).is_file():
        return {}
    with (folder / intake.PARTICIPANTS_FILE).open(newline="", encoding="utf-8") as file:
        return {row["rater"]: row["status"] for row in csv.DictReader(file)}


def _log(folder: Path) -> dict[str, object]:
    try:
        return dict(json.loads((folder / intake.LOG_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise Refused(
            f"{str(folder / intake.LOG_FILE)!r} is gone or damaged",
            remedy="Import the votes again.",
        ) from None


def _about(folder: Path) -> dict[str, str]:
    if not (folder / intake.ABOUT_FILE).is_file():
        return {}
    try:
        about = tomllib.loads((folder / intake.ABOUT_FILE).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{str(folder / intake.ABOUT_FILE)!r} cannot be read: {error}") from None
    return {name: str(value).replace("|", "/") for name, value in about.items()}


def _interval(interval: Interval) -> str:
    if math.isnan(interval.value):
        return "-"
    return (
        f"{interval.value:.3f}"
        if math.isnan(interval.low)
        else f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    )


def _times(ratio: Interval) -> str:
    return (
        f"{ratio.value:.2f}x"
        if math.isnan(ratio.low)
        else f"{ratio.value:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]"
    )


def _share(share: Proportion) -> str:
    if not share.of:
        return "nothing to tell it from"
    low, high = share.interval
    interval = crossed.NO_INTERVAL if math.isnan(low) else f"{low:.3f}, {high:.3f}"
    return f"{share.value:.3f} [{interval}] of {share.of:,}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
