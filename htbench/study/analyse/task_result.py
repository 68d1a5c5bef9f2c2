"""The result of a task that is no choice between two methods: tables, figures and a CSV file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from htbench.core.tables import TextTable
from htbench.run.study_result import NoticedRecord, TableRecord
from htbench.stats import crossed
from htbench.stats.durations import Interval
from htbench.stats.proportions import Proportion
from htbench.study.analyse.reliability import alpha, self_agreement
from htbench.study.answer import Answer, Pair, TrialKind
from htbench.study.task import TaskName


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """The result of one study with one of these tasks."""

    task: TaskName
    criterion: str
    tables: tuple[TableRecord, ...]
    """Tables for readers; the first has a row per method."""
    notes: tuple[str, ...]
    """The computation and the reliability of people, in a sentence each."""
    facts: Mapping[str, Any]
    """All figures, for JSON."""
    columns: tuple[str, ...]
    rows: tuple[Sequence[object], ...]
    """The figures of a CSV file."""
    noticed: tuple[NoticedRecord, ...] = ()
    """For a study of strengths: what the run's report needs for its claim."""


def text_table(table: TableRecord) -> TextTable:
    """A table for a terminal."""
    return TextTable(title=table.title, columns=table.columns, rows=table.rows)


def votes_of(answers: Sequence[Answer], choices: Sequence[str]) -> list[Answer]:
    """The votes with a decided choice, in an order that no file has an influence on."""
    votes = [each for each in answers if each.kind == "vote" and each.choice in choices]
    return sorted(votes, key=lambda each: (each.rater, each.pair, each.choice))


def units_of(votes: Sequence[Answer], code: Callable[[Answer], float]) -> list[crossed.Unit]:
    """Each thing that was shown, as its concept with the number of each person's choice."""
    units: dict[Pair, dict[str, float]] = {}
    for each in votes:
        units.setdefault(each.pair, {})[each.rater] = code(each)
    return [(pair.concept, votes) for pair, votes in units.items()]


def agreement_notes(
    answers: Sequence[Answer], units: Sequence[crossed.Unit], *, ordinal: bool = False
) -> list[str]:
    """Agreement of people on `units`, and how they answered the controls, in a sentence each."""
    agreed = alpha(units, ordinal=ordinal)
    known = "not estimable" if agreed.value != agreed.value else shown(agreed)
    return [
        f"Krippendorff's alpha ({'ordinal' if ordinal else 'nominal'}): {known}",
        f"Repeats answered alike: {share(self_agreement(answers))}",
        f"Instructions followed: {share(share_correct(answers, 'check'))}",
        f"Sentinels passed: {share(share_correct(answers, 'sentinel'))}",
    ]


def share_correct(answers: Sequence[Answer], kind: TrialKind) -> Proportion:
    """The share of a kind of trial that was answered as expected; people are independent."""
    own = [answer for answer in answers if answer.kind == kind]
    return crossed.clustered_share([(each.rater, each.choice == each.expected) for each in own])


def interval_facts(interval: Interval) -> dict[str, float]:
    """An interval for JSON."""
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def shown(interval: Interval, *, digits: int = 2, limit: str = "no limit") -> str:
    """A value with its interval, as text; NaN is `-`, and an infinite end is `limit`."""

    def number(value: float) -> str:
        return limit if value in (float("inf"), float("-inf")) else f"{value:.{digits}f}"

    if interval.value != interval.value:
        return "-"
    if interval.low != interval.low or interval.high != interval.high:
        return number(interval.value)
    return f"{number(interval.value)} [{number(interval.low)}, {number(interval.high)}]"


def share(proportion: Proportion) -> str:
    """A share with its interval and the number that it is of, as text."""
    if not proportion.of:
        return "not asked"
    low, high = proportion.interval
    interval = Interval(value=proportion.value, low=low, high=high)
    return f"{shown(interval)} of {proportion.of:,}"
