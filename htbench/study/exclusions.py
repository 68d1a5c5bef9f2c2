"""Rules of exclusion, declared before the answers are read; none of them looks at methods."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import binomtest

from htbench.core import content
from htbench.core.content import digest
from htbench.core.errors import Missing, UsageError
from htbench.core.types import Digest
from htbench.study.answer import Answer, TrialKind

_EXCLUDED_STATUSES = ("RETURNED", "TIMED-OUT", "TIMED OUT", "REJECTED")
_MIN_REPEATS = 4
"""Number of swapped repeats below which a person's consistency is not assessed."""


class Rules(BaseModel):
    """Rules of exclusion; 0 switches a rule off."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fastest_ms: int = Field(default=400, ge=0)
    """Excludes answers faster than this, and people with more than half of their answers so."""
    median_share: float = Field(default=0.33, ge=0, le=1)
    """Excludes people whose median time is below this share of the median person's."""
    failed_checks: int = Field(default=2, ge=0)
    """Excludes people who failed this number of attention checks or more."""
    failed_sentinels: int = Field(default=2, ge=0)
    """Excludes people who failed this number of catch trials or more."""
    answered: float = Field(default=0.5, ge=0, le=1)
    """Excludes people with fewer answers than this share of the median person's."""
    longest_run: int = Field(default=15, ge=0)
    """Excludes people who gave the same answer this number of times in a row."""
    side_p: float = Field(default=0.001, ge=0, le=1)
    """Excludes people whose binomial test of left against right has a p-value below this."""
    consistent: float = Field(default=0.25, ge=0, le=1)
    """Excludes people who answered less than this share of their swapped repeats alike."""

    @property
    def digest(self) -> Digest:
        """Digest of the rules, by which a later change is noticed."""
        return digest(self.model_dump())

    @classmethod
    def read(cls, path: Path) -> "Rules":
        """The rules in a TOML file.

        Raises:
            Missing: if there is no such file.
            UsageError: if it is not valid.
        """
        try:
            return content.read_card(path, cls)
        except FileNotFoundError:
            raise Missing(
                f"no rules {str(path)!r}", remedy="htbench study import writes the usual ones."
            ) from None
        except content.InvalidCard as error:
            raise UsageError(
                f"rules {str(path)!r}: {error}", remedy=f"Known: {', '.join(cls.model_fields)}."
            ) from None

    def text(self) -> str:
        """The rules as TOML."""
        return "\n".join(f"{name} = {value}" for name, value in self.model_dump().items()) + "\n"


@dataclass(frozen=True, kw_only=True)
class ExclusionStep:
    """One line of the flow of exclusions."""

    name: str
    people: int
    """Number of people left after it; likewise `answers`."""
    answers: int
    gone: tuple[str, ...] = ()
    """Pseudonyms of the people whom it excluded."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The flow of exclusions, with the answers that are left."""

    steps: tuple[ExclusionStep, ...]
    kept: tuple[Answer, ...]
    unique: tuple[Answer, ...]
    """All answers but duplicates, for results without exclusions."""


def apply_rules(
    answers: Iterable[Answer],
    rules: Rules,
    *,
    statuses: Mapping[str, str] | None = None,
    sides_known: bool = True,
) -> Flow:
    """Apply the rules one after the other.

    `statuses` has the final status of people on their platform, in capitals. Unless `sides_known`,
    left and right are not as they were shown, and rules on them do not apply.
    """
    if not sides_known:
        rules = rules.model_copy(update={"side_p": 0.0, "longest_run": 0})
    rows = list(answers)
    steps = [_step("all answers", rows)]
    unique = _first_answers(rows)
    steps.append(_step("duplicate answers, the first kept", unique, rows))
    rest = unique
    if statuses:
        rest = [row for row in unique if statuses.get(row.rater, "") not in _EXCLUDED_STATUSES]
        steps.append(_step("returned, timed out or rejected on the platform", rest, unique))
    if rules.fastest_ms:
        hasty = _raters_where(by_rater(rest), lambda own: _is_mostly_fast(own, rules))
        before, rest = rest, [answer for answer in rest if answer.rater not in hasty]
        steps.append(_step(f"mostly faster than {rules.fastest_ms} ms", rest, before))
        before, rest = rest, [answer for answer in rest if not _is_fast(answer, rules)]
        steps.append(_step(f"answers faster than {rules.fastest_ms} ms", rest, before))
    own = by_rater(rest)
    for name, raters_to_exclude in _exclusions(rules):
        excluded = raters_to_exclude(own)
        own = {rater: answers for rater, answers in own.items() if rater not in excluded}
        before, rest = rest, [answer for answer in rest if answer.rater not in excluded]
        steps.append(_step(name, rest, before))
    return Flow(steps=tuple(steps), kept=tuple(rest), unique=tuple(unique))


AnswersByRater = Mapping[str, list[Answer]]
Exclusion = Callable[[AnswersByRater], set[str]]


def _exclusions(rules: Rules) -> list[tuple[str, Exclusion]]:
    """The active rules on people, each with its name and the function that finds them."""
    exclusions: list[tuple[bool, str, Exclusion]] = [
        (
            rules.failed_checks > 0,
            f"failed {rules.failed_checks} attention checks or more",
            lambda people: _raters_failing(people, "check", rules.failed_checks),
        ),
        (
            rules.failed_sentinels > 0,
            f"failed {rules.failed_sentinels} sentinels or more",
            lambda people: _raters_failing(people, "sentinel", rules.failed_sentinels),
        ),
        (
            rules.answered > 0,
            f"fewer answers than {rules.answered:.0%} of the median person",
            lambda people: _raters_below(people, len, rules.answered),
        ),
        (
            rules.median_share > 0,
            f"faster than {rules.median_share:.0%} of the median person",
            lambda people: _raters_below(people, _median_time, rules.median_share),
        ),
        (
            rules.longest_run > 0,
            f"the same answer {rules.longest_run} times in a row",
            lambda people: _raters_where(
                people, lambda own: _longest_run(own) >= rules.longest_run
            ),
        ),
        (
            rules.side_p > 0,
            f"preferred one side too often (p < {rules.side_p:g})",
            lambda people: _raters_where(people, lambda own: _side_p_value(own) < rules.side_p),
        ),
        (
            rules.consistent > 0,
            f"same choice in less than {rules.consistent:.0%} of swapped pairs",
            lambda people: _raters_where(people, lambda own: _is_inconsistent(own, rules)),
        ),
    ]
    return [(name, exclusion) for active, name, exclusion in exclusions if active]


def by_rater(rows: Iterable[Answer]) -> dict[str, list[Answer]]:
    """The answers of each person, in the order in which they were given if that is known."""
    answers: dict[str, list[Answer]] = defaultdict(list)
    for answer in rows:
        answers[answer.rater].append(answer)
    return {
        rater: sorted(answers[rater], key=lambda answer: (answer.position or 0, answer.time))
        for rater in sorted(answers)
    }


def repeat_matches(answers: Sequence[Answer]) -> list[bool]:
    """For each swapped repeat, True if the answer is the same as the first time."""
    if not any(answer.kind == "repeat" for answer in answers):
        return []
    first = {answer.pair: _winner(answer) for answer in answers if answer.kind == "vote"}
    return [
        first[answer.pair] == _winner(answer)
        for answer in answers
        if answer.kind == "repeat" and answer.pair in first and answer.choice != "skip"
    ]


def _winner(answer: Answer) -> str:
    """The name of the chosen picture, or the answer about the only one."""
    if not answer.right and len(answer.shown) > 1 and answer.choice.isdecimal():
        return answer.shown[int(answer.choice) - 1]
    return {"left": answer.left, "right": answer.right}.get(answer.choice, answer.choice)


def _first_answers(rows: Sequence[Answer]) -> list[Answer]:
    seen: dict[tuple[object, ...], Answer] = {}
    for answer in sorted(rows, key=lambda row: (row.time, row.position or 0, row.source_row)):
        seen.setdefault((answer.rater, answer.kind, answer.pair), answer)
    return list(seen.values())


def _raters_where(people: AnswersByRater, predicate: Callable[[list[Answer]], bool]) -> set[str]:
    return {rater for rater, own in people.items() if predicate(own)}


def _raters_below(
    people: AnswersByRater, measure: Callable[[list[Answer]], float | None], share: float
) -> set[str]:
    sizes = {rater: value for rater, own in people.items() if (value := measure(own)) is not None}
    least = share * median(sizes.values()) if sizes else 0.0
    return {rater for rater, value in sizes.items() if value < least}


def _median_time(answers: list[Answer]) -> float | None:
    times = [answer.rt_ms for answer in answers if answer.rt_ms is not None]
    return median(times) if times else None


def _is_fast(answer: Answer, rules: Rules) -> bool:
    return answer.rt_ms is not None and answer.rt_ms < rules.fastest_ms


def _is_mostly_fast(answers: Sequence[Answer], rules: Rules) -> bool:
    return sum(_is_fast(answer, rules) for answer in answers) > len(answers) / 2


def _raters_failing(people: AnswersByRater, kind: TrialKind, limit: int) -> set[str]:
    return _raters_where(people, lambda own: _count_failed(own, kind) >= limit)


def _count_failed(answers: Sequence[Answer], kind: TrialKind) -> int:
    return sum(answer.kind == kind and answer.choice != answer.expected for answer in answers)


def _longest_run(answers: Sequence[Answer]) -> int:
    if any(answer.position is None for answer in answers):
        return 0
    choices = (answer.choice for answer in answers if answer.kind in ("vote", "repeat"))
    return max((len(list(group)) for _, group in groupby(choices)), default=0)


def _side_p_value(answers: Sequence[Answer]) -> float:
    sides = [
        answer.choice == "left"
        for answer in answers
        if answer.kind == "vote" and answer.choice in ("left", "right")
    ]
    return _binomial_p_value(sum(sides), len(sides)) if sides else 1.0


@cache
def _binomial_p_value(left: int, of: int) -> float:
    return float(binomtest(left, of).pvalue)


def _is_inconsistent(answers: Sequence[Answer], rules: Rules) -> bool:
    same = repeat_matches(answers)
    return len(same) >= _MIN_REPEATS and sum(same) < rules.consistent * len(same)


def _step(name: str, rows: Sequence[Answer], before: Sequence[Answer] = ()) -> ExclusionStep:
    people = {answer.rater for answer in rows}
    gone = {answer.rater for answer in before} - people if len(rows) < len(before) else ()
    return ExclusionStep(name=name, people=len(people), answers=len(rows), gone=tuple(sorted(gone)))
