"""Rules that a run has to keep, such as `concept_gain[mine] >= 0.2`, for continuous integration.

A rule is kept if the unfavourable end of the 95 % interval keeps it: the lower end for `>=` and
`>`, the upper end for `<=` and `<`. Without an interval it is broken.
"""

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from htbench.core.errors import HtbenchError, UnknownName, UsageError
from htbench.judging.leaderboard import CriterionLeaderboard, read_result
from htbench.judging.ledger import Ledger
from htbench.report.sections import other_scores, task
from htbench.report.sections.task import TaskSection
from htbench.run.costs import IMAGE_COUNTS
from htbench.run.summary import METRICS, Summary
from htbench.stats.durations import Interval
from htbench.stats.estimates import Estimate

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_RULE = re.compile(
    r"\s*(?P<quantity>[^\s\[\]<>=]+)\s*(?:\[(?P<of>[^\[\]]*)\])?\s*(?P<op>>=|<=|>|<)"
    r"\s*(?P<limit>\S+)\s*"
)
_SPEED_UPS = {"S" if not m else f"S({m})": m for m in IMAGE_COUNTS}
_REMEDY = 'Write it as "concept_gain[METHOD] >= 0.2", "S[FIT] >= 1000" or "win_rate[METHOD] > 0.5".'


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule as it was written, and its parts."""

    text: str
    quantity: str
    of: tuple[str, ...]
    """Methods in the brackets; a method may be followed by `@` and a strength."""
    op: str
    limit: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on a rule."""

    rule: Rule
    kept: bool
    reason: str
    """The figures that keep or break it, in words."""


@dataclass(frozen=True, kw_only=True)
class _Figure:
    """A figure that a rule is about."""

    name: str
    """The part of the rule that it belongs to, where there are several; empty: all of it."""
    interval: Interval | None
    problem: str = ""
    """The reason why the figure may not be used; empty: it may be."""
    is_count: bool = False
    """True for a number that is exact, so that it has no interval."""


def parse(text: str) -> Rule:
    """The rule in a text.

    Raises:
        UsageError: if it is none.
    """
    found = _RULE.fullmatch(text[:1000])
    shown = text[:80]
    if found is None:
        raise UsageError(f"{shown!r} is no rule", remedy=_REMEDY)
    try:
        limit = float(found["limit"])
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise UsageError(f"{found['limit'][:40]!r} in {shown!r} is no number", remedy=_REMEDY)
    of = tuple(part.strip() for part in (found["of"] or "").split(",") if part.strip())
    return Rule(
        text=" ".join(text.split()), quantity=found["quantity"], of=of, op=found["op"], limit=limit
    )


def check(summary: Summary, rules: Sequence[Rule]) -> list[Verdict]:
    """The verdict on each rule.

    Raises:
        UnknownName: for a figure, method, fit or criterion that the run does not have, with the
            nearest names.
    """
    return [_verdict(rule, list(_figures(summary, rule))) for rule in rules]


def _verdict(rule: Rule, figures: Sequence[_Figure]) -> Verdict:
    reasons = [(figure, *_judge(rule, figure)) for figure in figures]
    broken = [(figure, reason) for figure, is_kept, reason in reasons if not is_kept]
    chosen = broken or [(figure, reason) for figure, _, reason in reasons]
    texts = [f"{figure.name}: {reason}" if figure.name else reason for figure, reason in chosen]
    return Verdict(rule=rule, kept=not broken, reason="; ".join(texts))


def _judge(rule: Rule, figure: _Figure) -> tuple[bool, str]:
    """True if a figure keeps the rule, and the figure in words."""
    if figure.problem or figure.interval is None:
        return False, figure.problem or "it was not measured"
    value = figure.interval.value
    is_kept = _OPERATORS[rule.op]
    if figure.is_count:
        return is_kept(value, rule.limit), f"it is {value:g}"
    is_lower = rule.op in (">=", ">")
    end = figure.interval.low if is_lower else figure.interval.high
    if math.isnan(end):
        return False, f"it is {value:.4g} without an interval: too few independent values"
    side = "lower" if is_lower else "upper"
    words = f"it is {value:.4g}, and {end:.4g} at the {side} end of its interval"
    return is_kept(end, rule.limit), words


def _figures(summary: Summary, rule: Rule) -> Iterator[_Figure]:
    boards = {board.name: board for board in other_scores.collect(summary)}
    quantity, _, criterion = rule.quantity.partition(".")
    section = task.collect(summary)
    measures = [each.name for each in section.task.measures] if section else []
    if section and rule.quantity in measures:
        yield _measure(summary, section, rule)
    elif rule.quantity in METRICS:
        yield _score(summary, rule)
    elif rule.quantity in boards:
        yield _other_score(summary, rule, boards[rule.quantity])
    elif rule.quantity in _SPEED_UPS or rule.quantity == "N*":
        yield from _speed_ups(summary, rule)
    elif quantity == "win_rate":
        yield from _win_rates(summary, rule, criterion)
    elif rule.quantity == "failed":
        yield _failed(summary, rule)
    else:
        known = [*measures, *METRICS, *boards, *_SPEED_UPS, "N*", "win_rate", "failed"]
        raise UnknownName("figure", rule.quantity, known, remedy=_REMEDY)


def _score(summary: Summary, rule: Rule) -> _Figure:
    """A score of the leaderboard, at its strength or at the one after `@`."""
    method, at = _method(summary, rule)
    if at is None:
        rows = {row.method: row for row in summary.leaderboard}
        row = rows[method]
    else:
        row = summary.leaderboard_row(method, at)
    return _Figure(name="", interval=_interval(row.scores[rule.quantity]), problem=row.unranked)


def _measure(summary: Summary, section: TaskSection, rule: Rule) -> _Figure:
    """A measure of the run's task, at the strength of its leaderboard or at the one after `@`."""
    method, at = _method(summary, rule)
    row = next(
        row
        for row in (*section.rows, *section.others)
        if row.method == method and at in (None, row.strength)
    )
    return _Figure(name="", interval=_interval(row.scores[rule.quantity]), problem=row.unranked)


def _other_score(summary: Summary, rule: Rule, board: other_scores.ScoreTable) -> _Figure:
    """A score by a scorer that is no encoder, at full strength."""
    method, at = _method(summary, rule)
    lines = {line.method: line for line in board.lines}
    if method not in lines:
        return _Figure(name="", interval=None, problem=f"{method} has no such score")
    if at is not None and at != lines[method].strength:
        raise UsageError(
            f"{rule.quantity} is known at strength {lines[method].strength:g} alone",
            remedy=f"Leave out @{at:g}.",
        )
    line = lines[method]
    rest = line.planned - line.done - line.failed
    problem = f"{rest:,} of {line.planned:,} cells have no scores yet" if rest else board.problem
    if line.circular:
        problem = f"{method} reads concepts with an encoder of {board.judge}"
    return _Figure(name="", interval=_interval(line.estimate), problem=problem)


def _speed_ups(summary: Summary, rule: Rule) -> Iterator[_Figure]:
    """Each speed-up, or break-even point, of trained methods over methods that fit."""
    found = {
        (cost.method, comparison.fit): comparison.saving
        for cost in summary.costs
        for comparison in cost.comparisons
    }
    for name in rule.of:
        known = {name for pair in found for name in pair}
        if name not in known:
            raise UnknownName("method with a speed-up", name, known, remedy=_REMEDY)
    chosen = {pair: saving for pair, saving in found.items() if set(rule.of) <= set(pair)}
    if not chosen:
        problem = "no speed-up is known: time a method that fits beside one that is trained"
        yield _Figure(name="", interval=None, problem=problem)
    for (method, fit), saving in chosen.items():
        interval = (
            saving.break_even
            if rule.quantity == "N*"
            else saving.speedup(_SPEED_UPS[rule.quantity])
        )
        yield _Figure(name=f"{method} over {fit}" if len(chosen) > 1 else "", interval=interval)


def _win_rates(summary: Summary, rule: Rule, criterion: str) -> Iterator[_Figure]:
    """Rates at which a method is preferred by the last judge: over all others, or over another."""
    boards = _judged(summary)
    if not boards:
        yield _Figure(name="", interval=None, problem="no judge has compared the images")
        return
    if criterion and criterion not in boards:
        raise UnknownName("criterion", criterion, boards)
    names = {name for board in boards.values() for name in board.votes.names}
    if len(rule.of) not in (1, 2):
        raise UsageError(f"{rule.text[:80]!r} names no method", remedy=_REMEDY)
    for name in rule.of:
        if name not in names:
            raise UnknownName("judged method", name, names)
    for name, board in boards.items():
        if criterion in ("", name):
            yield _win_rate(board, rule.of, name=name if len(boards) > 1 else "")


def _win_rate(board: CriterionLeaderboard, of: Sequence[str], *, name: str) -> _Figure:
    if board.ranking is None or of[0] in board.circular:
        problem = board.unranked or f"{of[0]} reads concepts with the judge's encoder"
        return _Figure(name=name, interval=None, problem=problem)
    if len(of) == 2:
        interval = board.preference_rate(*of)
        return _Figure(name=name, interval=interval, problem="" if interval else "they never met")
    rates = {entry.name: entry.win_rate for entry in board.ranking.entries}
    return _Figure(name=name, interval=rates.get(of[0]))


def _judged(summary: Summary) -> Mapping[str, CriterionLeaderboard]:
    """The leaderboards of the tournament that began last, by criterion."""
    with suppress(HtbenchError), Ledger.read(summary.store.folder) as ledger:
        if tournaments := ledger.tournaments():
            result = read_result(ledger, list(tournaments)[-1])
            return {each.name: each for each in result.criteria}
    return {}


def _failed(summary: Summary, rule: Rule) -> _Figure:
    """The number of cells without an image after a try, of a method or of all."""
    if rule.of:
        method, at = _method(summary, rule)
        groups = [
            group
            for group in summary.planned_cells
            if group[0] == method and at in (None, group[1])
        ]
    else:
        groups = list(summary.planned_cells)
    number = float(sum(summary.failed_cells.get(group, 0) for group in groups))
    interval = Interval(value=number, low=number, high=number)
    return _Figure(name="", interval=interval, is_count=True)


def _method(summary: Summary, rule: Rule) -> tuple[str, float | None]:
    """The method of a rule, and the strength after `@`; None where there is none.

    Raises:
        UnknownName: for a method that the run does not have.
        UsageError: for no method, several, or a strength that it was not run at.
    """
    if len(rule.of) != 1:
        raise UsageError(f"{rule.text[:80]!r} names no method, or several", remedy=_REMEDY)
    name, strength = rule.of[0], None
    if name not in summary.methods and "@" in name:
        name, _, text = name.rpartition("@")
        with suppress(ValueError):
            strength = float(text)
        own = sorted(at for method, at in summary.planned_by_row if method == name)
        if name in summary.methods and strength not in own:
            raise UsageError(
                f"{name} was not run at strength {text[:40]!r}",
                remedy=f"It was at {', '.join(f'{at:g}' for at in own)}.",
            )
    if name not in summary.methods:
        raise UnknownName("method of the run", name, summary.methods)
    return name, strength


def _interval(estimate: Estimate | None) -> Interval | None:
    if estimate is None:
        return None
    return Interval(value=estimate.mean, low=estimate.low, high=estimate.high)
