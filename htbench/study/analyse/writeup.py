"""The files of a study's result: Markdown, JSON, and votes for `htbench judge --humans`."""

import gc
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from htbench.core import content
from htbench.core.errors import Missing, Refused
from htbench.core.tables import TextTable
from htbench.run.study_result import StudyRecord
from htbench.stats import crossed
from htbench.stats.durations import Interval
from htbench.stats.families import MIN_CLUSTERS
from htbench.study import answer, manifest, records, task
from htbench.study.analyse import publish
from htbench.study.analyse.agreement import pair_votes_of
from htbench.study.analyse.evaluators import read_evaluators
from htbench.study.analyse.reliability import Reliability
from htbench.study.analyse.report_text import (
    escape,
    interval_text,
    name_text,
    number_text,
    one_line,
    own_text,
    share_text,
    times_text,
)
from htbench.study.analyse.result import (
    CriterionResult,
    Preference,
    RaterInfluence,
    StudyResult,
    compute_result,
)
from htbench.study.analyse.task_result import TaskResult
from htbench.study.analyse.tasks import compute_task, refuse_other_run
from htbench.study.answer import Answer
from htbench.study.collect import intake
from htbench.study.collect.log import ImportLog
from htbench.study.exclusions import Flow, Rules, apply_rules

FILES = REPORT_FILE, JSON_FILE, VOTES_FILE, RESULTS_FILE = (
    "report.md",
    "report.json",
    "votes.csv",
    "results.csv",
)
"""`votes.csv` is of choices between two methods, `results.csv` of the other tasks."""
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


class About(BaseModel):
    """The user's own words about a study, `about.toml`."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    task: str = ""
    interface: str = ""
    recruitment: str = ""
    qualification: str = ""
    pay: str = ""
    consent: str = ""


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
    if not (folder / intake.ANSWERS_FILE).exists():
        raise Missing(
            f"no answers in study {str(folder)!r}", remedy="htbench study import reads them."
        )
    with records.locked(folder), _without_cycle_search():
        return _write(folder, run, rounds=rounds, seed=seed)


@contextmanager
def _without_cycle_search() -> Iterator[None]:
    """Leave Python's search for cycles out, which takes a fifth of the time of a large study.

    Answers are kept until the end anyway, and have no cycles.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _write(folder: Path, run: Path | None, *, rounds: int, seed: int) -> StudyResult:
    answers = list(answer.read(folder / intake.ANSWERS_FILE))
    if not answers:
        raise Refused(
            f"{str(folder / intake.ANSWERS_FILE)!r} has no answers",
            remedy="Import the votes again.",
        )
    rules, log = Rules.read(folder / intake.RULES_FILE), ImportLog.read(folder)
    if log is None:
        raise Refused(f"study {str(folder)!r} has no log of imports", remedy="Import again.")
    origin, about = manifest.read(folder), _about(folder)
    asked = task.find(origin.task)
    evaluators = []
    if run and (pairs := pair_votes_of(answers, asked)):
        evaluators = read_evaluators(run, pairs, strength=origin.strength)
    elif run:
        refuse_other_run(run, {name for each in answers for name in each.shown}, asked)
    flow = apply_rules(
        answers, rules, statuses=intake.read_statuses(folder), sides_known=log.sides == "shown"
    )
    if asked.name == "pairs":
        result = compute_result(flow, evaluators, origin.families, rounds=rounds, seed=seed)
        answer.write_rows(folder / VOTES_FILE, _VOTE_COLUMNS, _votes(flow.kept))
    else:
        found = compute_task(
            flow, asked, origin.families, evaluators=evaluators, rounds=rounds, seed=seed
        )
        result = StudyResult(flow=flow, criteria=(), without_exclusions=(), task=found)
        answer.write_rows(folder / RESULTS_FILE, found.columns, found.rows)
    changed = log.rules != rules.digest
    facts = {
        "rehearsal": origin.rehearsal,
        "rules": rules.model_dump(),
        "rules_changed": changed,
        "withdrawn": len(log.withdrawn),
    }
    serialised = json.dumps(
        content.without_nan({**facts, **_facts(result)}), indent=1, sort_keys=True, allow_nan=False
    )
    content.write_whole(folder / JSON_FILE, f"{serialised}\n")
    report = text(result, answers[0].study, rules, log, about)
    notice = _REHEARSAL_NOTICE if origin.rehearsal else ""
    content.write_whole(folder / REPORT_FILE, notice + report)
    if run and not origin.rehearsal:
        publish.write_to_run(result, run, study=folder, rules_changed=changed)
    return result


def record(result: StudyResult, folder: Path) -> StudyRecord:
    """The result of the study in `folder` as its page and its run's report show it."""
    log = ImportLog.read(folder)
    changed = log is not None and log.rules != Rules.read(folder / intake.RULES_FILE).digest
    return publish.study_record(result, study=folder, rules_changed=changed)


def text(result: StudyResult, study: str, rules: Rules, log: ImportLog, about: About) -> str:
    """The report of the study of a name as Markdown."""
    changed = log.rules != rules.digest
    parts = [f"# Study {escape(study)}", "", *_flow(result, rules, changed=changed)]
    if log.withdrawn:
        people = "1 person" if len(log.withdrawn) == 1 else f"{len(log.withdrawn):,} people"
        parts += ["", f"{people} withdrew; their answers were removed and are in no number here."]
    if reason := nobody_left(result.flow):
        parts += ["", f"**{reason[0].upper()}{reason[1:]}.**"]
    everybody = {criterion.name: criterion for criterion in result.without_exclusions}
    for criterion in result.criteria:
        lines = _criterion(criterion, everybody[criterion.name], sides=log.sides)
        parts += ["", f"## {escape(criterion.name)}", "", *lines]
    if result.task:
        parts += ["", *_task(result.task)]
    return "\n".join([*parts, "", *_reporting_template(result, about)]) + "\n"


def nobody_left(flow: Flow) -> str:
    """The rule that left out the last answers, in words without a stop; empty if some are left."""
    if flow.kept:
        return ""
    last = next(step for step in flow.steps if not step.answers)
    before = flow.steps[flow.steps.index(last) - 1]
    return (
        f"no answer is left: the rule {last.name!r} left out the last {before.answers:,} "
        f"of {before.people:,} people"
    )


def headline(preference: Preference) -> str:
    """The odds of the better method in both conventions for ties, as a line of text."""
    forced, decided = _often(preference.forced_ratio), _often(preference.decided_ratio)
    return (
        f"{one_line(preference.one)} over {one_line(preference.two)}: {forced} with ties as half "
        f"votes, {decided} with ties dropped ({preference.votes:,} votes, {preference.ties:,} ties)"
    )


def preference_table(criterion: CriterionResult) -> TextTable:
    """The odds of `headline` for all pairs of methods, as a table for a terminal."""
    return TextTable(
        title=f"{one_line(criterion.name, max_length=60)}: times as often that the first of a pair "
        "is preferred, with ties as half votes and with ties dropped [95 % interval]",
        columns=("Pair", "Times as often", "Ties dropped", "Votes", "Ties"),
        rows=[
            (
                f"{one_line(each.one)} over {one_line(each.two)}",
                times_text(each.forced_ratio),
                times_text(each.decided_ratio),
                f"{each.votes:,}",
                f"{each.ties:,}",
            )
            for each in criterion.preferences
        ],
    )


def _often(ratio: Interval) -> str:
    if math.isnan(ratio.value):
        return "not known"
    return times_text(ratio) if math.isinf(ratio.value) else f"{times_text(ratio)} as often"


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
        return [f"Not ranked: {escape(criterion.unranked_reason)}"]
    overall = without_exclusions.ranking.entries if without_exclusions.ranking else ()
    overall_ratings = {entry.name: interval_text(entry.rating) for entry in overall}
    lines = [
        "| method | rank | tier | rating | win rate | votes | without exclusions | Davidson |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for entry in criterion.ranking.entries:
        cells = (
            name_text(entry.name),
            entry.rank_range,
            entry.tier,
            f"{entry.limit} all" if entry.limit else interval_text(entry.rating),
            interval_text(entry.win_rate),
            entry.votes,
            overall_ratings.get(entry.name, "-"),
            f"{criterion.davidson[entry.name]:.3f}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    warnings = (f"\n{escape(warning)}" for warning in criterion.ranking.warnings)
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
            f"{name_text(each.one)} to {name_text(each.two)}",
            interval_text(each.forced),
            times_text(each.forced_ratio),
            interval_text(each.decided),
            times_text(each.decided_ratio),
            "-" if math.isnan(each.naive[0]) else f"[{each.naive[0]:.3f}, {each.naive[1]:.3f}]",
            f"{each.votes:,} ({each.ties:,} ties)",
            number_text(each.power.least),
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
    alpha = "not estimable, no two people answered the same pair"
    if reliability.alike:
        alpha = "not estimable, everybody gave the same answer"
    elif not math.isnan(reliability.alpha.value):
        alpha = interval_text(reliability.alpha)
        if math.isnan(reliability.alpha.low):
            alpha += f" [{crossed.NO_INTERVAL}]"
    left = "not estimable, the sides that were shown are not known"
    if sides == "shown":
        left = share_text(criterion.left_share)
    answers, overlap = f"{reliability.answers_each:.1f}", f"{reliability.overlap:,}"
    lines = [
        f"- Krippendorff's alpha (nominal): {alpha}",
        f"- Gwet's AC1: {number_text(reliability.ac1)}",
        f"- Two people who decide agree in {share_text(reliability.ceiling)}: "
        "the ceiling for judges",
        f"- Swapped repeats answered alike: {share_text(reliability.self_agreement)}",
        f"- Instructions followed: {share_text(criterion.checks)}",
        f"- Picture chosen over noise: {share_text(criterion.catch_trials)}",
        f"- Answers a pair: {answers}; {overlap} pairs have two or more",
        f"- Left picture preferred: {left}",
    ]
    return [*lines, _influence(criterion.influence)] if criterion.influence else lines


def _alpha(reliability: Reliability) -> str:
    return "-" if reliability.alike else number_text(reliability.alpha.value)


def _influence(influences: Sequence[RaterInfluence]) -> str:
    moved, shift = influences[0].moved, max(each.shift for each in influences)
    changes = any(each.first for each in influences)
    first = "another method comes first" if changes else "the first place stays"
    return (
        f"- Leaving one person out at a time: no rank moves by more than {moved}, "
        f"no rating by more than {shift:.3f}; {first}"
    )


def _task(result: TaskResult) -> list[str]:
    """The tables of another task than pairs, and the notes on them."""
    lines = [f"## {escape(result.criterion)}"]
    for table in result.tables:
        lines += ["", escape(table.title), "", f"| {' | '.join(table.columns)} |"]
        lines.append("|---" * len(table.columns) + "|")
        name = name_text if table.is_of_methods else escape
        lines += [f"| {' | '.join([name(row[0]), *map(escape, row[1:])])} |" for row in table.rows]
    return [*lines, "", *(f"- {escape(note)}" for note in result.notes)]


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
        source = f"{each.source} {escape(each.name)}"
        if each.source == "person":
            source = "one person, of the others: the ceiling"
        measures = map(interval_text, (each.accuracy, each.kappa, each.ac1))
        lines.append(f"| {' | '.join((source, f'{each.compared:,}', *measures))} |")
    note = (
        "Intervals are for new concepts and new people; there is none below "
        f"{MIN_CLUSTERS} of either, or where all agree. A judge or metric is compared with "
        "the majority on each pair of pictures, a tie being a verdict too."
    )
    return [*lines, "", note]


def _reporting_template(result: StudyResult, about: About) -> list[str]:
    """The facts to report about a study of people.

    References:
        Otani et al. Toward Verifiable and Reproducible Human Evaluation for Text-to-Image
        Generation. 2023. https://arxiv.org/abs/2304.01816
    """
    kept = result.flow.kept
    votes = [each for each in kept if each.kind == "vote"]
    pictures = {
        (each.concept, each.prompt, each.seed, side) for each in votes for side in each.shown
    }
    pairs = {each.pair for each in votes}
    timed = sorted(each.rt_ms for each in votes if each.rt_ms is not None)
    agreement = "; ".join(
        f"{escape(criterion.name)}: alpha {_alpha(criterion.reliability)}, "
        f"AC1 {number_text(criterion.reliability.ac1)}"
        for criterion in result.criteria
    )
    time = f"{timed[len(timed) // 2] / 1000:.1f} s" if timed else "not known"
    concepts = f"{len({each.concept for each in votes}):,}"
    raters = f"{len({each.rater for each in kept}):,} of {result.flow.steps[0].people:,}"
    criteria = [each.name for each in result.criteria] or [
        *filter(None, {each.criterion for each in votes})
    ]
    rows = [
        *((title, own_text(getattr(about, name))) for name, title in _ABOUT_TITLES.items()),
        ("Criteria", ", ".join(map(escape, criteria)) or "-"),
        ("Raters", raters),
        ("Concepts, pictures, pairs", f"{concepts}, {len(pictures):,}, {len(pairs):,}"),
        ("Votes", f"{len(votes):,}, {len(votes) / max(1, len(pairs)):.1f} a pair"),
        ("Median time an answer", time),
        ("Agreement", agreement or "-"),
    ]
    return [
        "## Reporting template",
        "",
        "| | |",
        "|---|---|",
        *(f"| {title} | {value} |" for title, value in rows),
    ]


def _facts(result: StudyResult) -> dict[str, object]:
    if result.task:
        return {
            "flow": [asdict(step) for step in result.flow.steps],
            "task": result.task.task,
            "criterion": result.task.criterion,
            **result.task.facts,
            "notes": list(result.task.notes),
        }
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


def _votes(answers: Sequence[Answer]) -> Iterator[tuple[object, ...]]:
    cells = attrgetter(*_VOTE_COLUMNS)
    return (cells(each) for each in answers if each.kind == "vote" and each.choice != "skip")


def _about(folder: Path) -> About:
    about = records.read_toml(
        folder / intake.ABOUT_FILE, About, noun="file", remedy="Mend it: the report quotes it."
    )
    return about or About()
