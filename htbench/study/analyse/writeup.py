"""A study's result on paper: Markdown for readers, JSON for machines, votes for `htbench judge --humans`."""

import csv
import json
import math
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from htbench.core.errors import Missing, Refused
from htbench.judging.tables import nan_to_null
from htbench.stats.durations import Interval
from htbench.stats.proportions import Proportion
from htbench.study import answer, manifest
from htbench.study.analyse import publish
from htbench.study.analyse.evaluators import read_evaluators
from htbench.study.analyse.result import CriterionResult, Preference, StudyResult, compute_result
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
    """Read a study's table, and write what it says beside it; of a `run`, also beside its judges and metrics, and into its folder.

    A rehearsal says of itself that it is one, and stays out of the run.

    Raises:
        Missing: if nothing was imported.
        Refused: if the table or the log of imports is damaged.
        UsageError: if the run has none of the study's pairs of pictures.
    """
    if not (folder / intake.ANSWERS_FILE).is_file():
        raise Missing(
            f"no answers in study {str(folder)!r}", remedy="htbench study import reads them."
        )
    answers, rules, log = (
        list(answer.read(folder / intake.ANSWERS_FILE)),
        Rules.read(folder / intake.RULES_FILE),
        _log(folder),
    )
    noted = manifest.read(folder)
    verdicts = (
        read_evaluators(
            run,
            {each.pair for each in answers if each.kind == "vote"},
            strength=noted.get("strength"),
        )
        if run
        else []
    )
    found = compute_result(
        apply_rules(answers, rules, statuses=_statuses(folder)), verdicts, rounds=rounds, seed=seed
    )
    changed = log["rules"] != rules.digest
    _write_votes(folder / VOTES_FILE, found.flow.kept)
    facts = nan_to_null(
        {
            "rehearsal": bool(noted.get("rehearsal")),
            "rules": rules.model_dump(),
            "rules_changed": changed,
            **_facts(found),
        }
    )
    (folder / JSON_FILE).write_text(
        json.dumps(facts, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8"
    )
    written = text(found, answers, rules, log, _about(folder))
    (folder / REPORT_FILE).write_text(
        _REHEARSAL_NOTICE + written if noted.get("rehearsal") else written, encoding="utf-8"
    )
    if run and not noted.get("rehearsal"):
        publish.write_to_run(found, run, study=folder, rules_changed=changed)
    return found


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
        parts += [
            "",
            f"## {criterion.name}",
            "",
            *_criterion(criterion, everybody[criterion.name], sides=str(log["sides"])),
        ]
    return "\n".join([*parts, "", *_reporting_template(result, about)]) + "\n"


def headline(preference: Preference) -> str:
    """How often the better one is preferred, in both conventions."""
    return (
        f"{preference.one} over {preference.two}: {_times(preference.forced_ratio)} as often with ties as half votes, "
        f"{_times(preference.decided_ratio)} with ties dropped ({preference.votes:,} votes, {preference.ties:,} ties)"
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
    overall = {
        each.name: each
        for each in (without_exclusions.ranking.entries if without_exclusions.ranking else ())
    }
    lines = [
        "| method | rank | tier | rating | win rate | votes | without exclusions | Davidson |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in criterion.ranking.entries:
        rating = f"{each.limit} all" if each.limit else _interval(each.rating)
        before = _interval(overall[each.name].rating) if each.name in overall else "-"
        cells = (
            f"`{each.name}`",
            each.rank_range,
            each.tier,
            rating,
            _interval(each.win_rate),
            each.votes,
            before,
            f"{criterion.davidson[each.name]:.3f}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += [
        "",
        criterion.ranking.caption,
        *(f"\n{warning}" for warning in criterion.ranking.warnings),
        "",
        *_preferences(criterion),
        "",
        *_reliability(criterion, sides),
    ]
    lines += ["", *_agreement(criterion)]
    return lines


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
            f"`{each.one}` to `{each.two}`", _interval(each.forced), _times(each.forced_ratio), _interval(each.decided), _times(each.decided_ratio),
            f"[{each.naive[0]:.3f}, {each.naive[1]:.3f}]", f"{each.votes:,} ({each.ties:,} ties)", _number(each.power.least),
            f"{each.sample_size.votes:,}" if each.sample_size else "-",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "Intervals resample concepts and raters. *If independent*: Clopper and Pearson's, too narrow. *Would show*: the rate that four of five such studies "
        "would tell from a half; *would need*: how many deciding votes, as alike on a concept as here, would tell this one's rate.",
    ]


def _reliability(criterion: CriterionResult, sides: str) -> list[str]:
    how = criterion.reliability
    lines = [
        f"- Krippendorff's alpha (nominal): {_interval(how.alpha) if not math.isnan(how.alpha.value) else 'not estimable, nobody answered the same pair'}",
        f"- Gwet's AC1: {_number(how.ac1)}",
        f"- Two people who decide agree in {_share(how.ceiling)}: the ceiling for judges",
        f"- Swapped repeats answered alike: {_share(how.self_agreement)}",
        f"- Instructions followed: {_share(criterion.checks)}",
        f"- Picture chosen over noise: {_share(criterion.catch_trials)}",
        f"- Answers a pair: {how.answers_each:.1f}; {how.overlap:,} pairs have two or more",
        f"- Left picture preferred: {_share(criterion.left_share) if sides == 'shown' else 'not estimable, the sides that were shown are not known'}",
    ]
    if criterion.influence:
        most = criterion.influence[0]
        first = (
            "another method comes first"
            if any(each.first for each in criterion.influence)
            else "the first place stays"
        )
        lines.append(
            f"- Leaving one person out at a time: no rank moves by more than {most.moved}, no rating by more than {_largest_shift(criterion)}; {first}"
        )
    return lines


def _agreement(criterion: CriterionResult) -> list[str]:
    """Judges and metrics with the majority of people, under the line that says how far one person agrees with it."""
    if not criterion.agreement:
        return [
            "No two people answered the same pair, and no run was given: there is nothing to hold judges and metrics against."
        ]
    lines = [
        "| with the majority of people | compared | alike where both decide | kappa | AC1 |",
        "|---|---|---|---|---|",
    ]
    for each in criterion.agreement:
        who = (
            "one person, of the others: the ceiling"
            if each.source == "person"
            else f"{each.source} {each.name}"
        )
        lines.append(
            f"| {who} | {each.compared:,} | {' | '.join(map(_interval, (each.accuracy, each.kappa, each.ac1)))} |"
        )
    return [
        *lines,
        "",
        "Intervals resample concepts. A judge or metric is compared with the majority on each pair of pictures, a tie being a verdict too.",
    ]


def _largest_shift(criterion: CriterionResult) -> str:
    return f"{max(each.shift for each in criterion.influence):.3f}"


def _reporting_template(result: StudyResult, about: dict[str, str]) -> list[str]:
    """What to say of a study of people.

    References:
        Otani et al. Toward Verifiable and Reproducible Human Evaluation for Text-to-Image Generation. 2023. https://arxiv.org/abs/2304.01816
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
        f"{each.name}: alpha {_number(each.reliability.alpha.value)}, AC1 {_number(each.reliability.ac1)}"
        for each in result.criteria
    )
    rows = [
        *((title, about.get(name) or "not stated") for name, title in _ABOUT_TITLES.items()),
        ("Criteria", ", ".join(each.name for each in result.criteria)),
        ("Raters", f"{len({each.rater for each in kept}):,} of {result.flow.steps[0].people:,}"),
        (
            "Concepts, pictures, pairs",
            f"{len({each.concept for each in votes}):,}, {len(pictures):,}, {len(pairs):,}",
        ),
        ("Votes", f"{len(votes):,}, {len(votes) / max(1, len(pairs)):.1f} a pair"),
        (
            "Median time an answer",
            f"{timed[len(timed) // 2] / 1000:.1f} s" if timed else "not known",
        ),
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
        found = tomllib.loads((folder / intake.ABOUT_FILE).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{str(folder / intake.ABOUT_FILE)!r} cannot be read: {error}") from None
    return {name: str(value).replace("|", "/") for name, value in found.items()}


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
    low, high = share.interval
    return (
        f"{share.value:.3f} [{low:.3f}, {high:.3f}] of {share.of:,}"
        if share.of
        else "nothing to tell it from"
    )


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
