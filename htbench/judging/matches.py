"""Matches of a tournament: as they are planned, asked for, and answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from sys import intern

from htbench.judging.judge import Choice, Outcome, Verdict
from htbench.judging.records import MatchRecord
from htbench.judging.schedule import Match

MATCH_COLUMNS = (
    *("control", "seed", "criterion", "concept", "prompt", "one", "two", "other"),
    *("matches.first IS NOT NULL AND second IS NOT NULL", "back IS NOT NULL"),
    *("f.outcome", "f.choice", "f.first", "f.covered"),
    *("b.outcome", "b.choice", "b.first", "b.covered"),
)
"""Columns of a `MatchRecord`."""
COMPARED_COLUMNS = ("matches.first", "second", "forth", "back", "f.reason", "b.reason")
"""Further columns of a `Comparison`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedMatch:
    """A match with the pictures and keys of its two calls; without pictures it has no calls."""

    match: Match
    first: str | None = None
    second: str | None = None
    order_ab: str | None = None
    order_ba: str | None = None
    """None: only one order is judged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingCall:
    """A call without a verdict."""

    place: int
    key: str
    criterion: str
    concept: str
    prompt: str
    first: str
    second: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchResult:
    """A match with its verdicts."""

    match: Match
    has_pictures: bool
    """True if both pictures exist."""
    both_orders: bool
    """True if both orders are judged."""
    order_ab: Verdict | None
    """None: no verdict yet; likewise `order_ba`."""
    order_ba: Verdict | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A match of two methods with its pictures, and what the judge said in each order.

    Each of the pairs has the order with the picture of `one` first, then the other order.
    """

    result: MatchResult
    files: tuple[str | None, str | None]
    """Names of the pictures of `one` and of `two`; None where there is none."""
    keys: tuple[str | None, str | None]
    """Keys of the calls; None where there is no call."""
    reasons: tuple[str, str]
    """Reasons that the judge gave; empty where it gave none."""


def match_columns(planned: PlannedMatch) -> tuple[object, ...]:
    """The columns of the table of matches from `control` on."""
    match = planned.match
    task = (match.control, match.criterion, match.concept, match.prompt, match.seed)
    sides = (match.one, match.two, match.other_concept, planned.first, planned.second)
    return (*task, *sides, planned.order_ab, planned.order_ba)


def match_result(record: MatchRecord) -> MatchResult:
    names = {"criterion": record.criterion, "concept": record.concept, "prompt": record.prompt}
    methods = {"one": record.one, "two": record.two, "other_concept": record.other}
    shared = {name: intern(text) for name, text in {**names, **methods}.items()}
    return MatchResult(
        match=Match(control=record.control, seed=record.seed, **shared),
        has_pictures=record.has_pictures,
        both_orders=record.both_orders,
        order_ab=_verdict(*record[10:14]),
        order_ba=_verdict(*record[14:18]),
    )


def _verdict(
    outcome: Outcome | None,
    choice: Choice | None,
    preference: float | None,
    coverage: float | None,
) -> Verdict | None:
    """A verdict from the columns of a match; None where there is none yet."""
    if outcome is None:
        return None
    return Verdict(outcome=outcome, choice=choice, preference=preference, coverage=coverage)


def read_comparison(record: MatchRecord, more: Sequence[object]) -> Comparison:
    """The comparison of a record and its `COMPARED_COLUMNS`, of which a damaged one is None."""
    first, second, order_ab, order_ba, reason_ab, reason_ba = (
        value if isinstance(value, str) else None for value in more
    )
    return Comparison(
        result=match_result(record),
        files=(first, second),
        keys=(order_ab, order_ba),
        reasons=(reason_ab or "", reason_ba or ""),
    )
