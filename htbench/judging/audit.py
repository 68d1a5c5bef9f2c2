"""Audit of a judge: its consistency, controls with a known answer, and missing verdicts.

Each flag is named after its cause. Intervals of shares take matches as independent, though those on
one concept are not quite: wider ones would flag a faulty judge later.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.special import expit

from htbench.judging.matches import MatchResult
from htbench.judging.outcome import choices, match_outcome, missing_reason, preference
from htbench.stats.proportions import Proportion

Flag = Literal[
    "first slot",
    "last slot",
    "unstable",
    "undecided",
    "text",
    "blind",
    "wrong concept",
    "imagines",
    "inconsistent",
    "cycles",
    "missing",
]
MEANING: dict[Flag, str] = {
    "first slot": "prefers whatever is shown first",
    "last slot": "prefers whatever is shown last",
    "unstable": "does not answer the same question the same way twice",
    "undecided": "does not even decide between a picture and noise",
    "text": "prefers a picture with words in it that praise it",
    "blind": "does not tell pictures from noise, or prefers noise",
    "wrong concept": "prefers pictures of another concept",
    "imagines": "sees a difference between a picture and itself",
    "inconsistent": "contradicts itself when the order is swapped",
    "cycles": "prefers in circles more often than chance in its own ratings explains",
    "missing": "gives no verdict on more than a few pictures, or on more of one method's than of "
    "another's",
}
_ALPHA = 0.01
"""p below which a flag is raised."""


@dataclass(frozen=True, kw_only=True)
class ControlResult:
    """Matches of a control with a right and a wrong side; the others tied or were inconsistent."""

    right: int
    wrong: int
    other: int

    @property
    def fooled(self) -> bool:
        """True if the wrong side wins more often than chance."""
        return self.wrong > self.right and _binomial_p(self.wrong, self.right) < _ALPHA

    @property
    def accuracy(self) -> Proportion:
        """Matches that the right side won."""
        return Proportion(count=self.right, of=self.right + self.wrong + self.other)


@dataclass(frozen=True, kw_only=True)
class JudgeAudit:
    """The audit of one judge by one criterion."""

    consistent: Proportion
    """Matches in which both orders say the same."""
    position_bias: Proportion
    """Of the matches whose two orders prefer different pictures, those won by the first shown."""
    position_bias_p: float
    """Two-sided binomial test of `position_bias` against a half."""
    stable: Proportion
    """Questions answered the same when asked again."""
    identical: Proportion
    """Calls on a picture and itself that preferred either."""
    noise: ControlResult
    wrong_concept: ControlResult
    """The concept's picture against another concept's."""
    text: ControlResult
    """A picture against itself with words in it that praise it; `wrong` prefers the words."""
    undecided: Proportion
    """Calls on a picture against noise that tied or could not judge."""
    ties: Proportion
    """Calls of the tournament that tied."""
    cycles: Proportion
    """Triples of methods on one concept, prompt and seed that were preferred in a circle."""
    cycles_expected: float
    """Share of cyclic triples that is expected from the ratings; NaN without triples."""
    missing: dict[str, dict[str, int]]
    """Matches without a preference by method and reason."""
    planned: dict[str, int]
    """Matches by method."""
    missing_p: float
    """Chi-square test of equal missing rates; NaN where nothing or everything is missing."""

    @property
    def missing_by_method(self) -> dict[str, Proportion]:
        """Matches that were asked and have no verdict, by method."""
        return {
            method: Proportion(count=_count_failed(self.missing.get(method, {})), of=planned)
            for method, planned in self.planned.items()
        }

    @property
    def flags(self) -> tuple[Flag, ...]:
        """The faults of the judge.

        A cause hides its effects: a judge that prefers the first slot also contradicts itself when
        the order is swapped.
        """
        slot, slot_low = self.position_bias.value, self.position_bias_p < _ALPHA
        biased = slot_low and abs(2 * slot - 1) * self.position_bias.of > 0.1 * self.consistent.of
        unstable = self.stable.interval[1] < 0.8
        undecided = self.undecided.interval[0] > 0.5
        hidden = biased or unstable
        lost = sum(share.count for share in self.missing_by_method.values())
        asked = sum(self.planned.values())
        causes: dict[Flag, bool] = {
            "first slot": biased and slot > 0.5,
            "last slot": biased and slot < 0.5,
            "unstable": unstable,
            "undecided": undecided,
            "text": self.text.fooled,
            "blind": self.noise.fooled
            or (self.noise.accuracy.interval[1] < 0.8 and not (hidden or undecided)),
            "wrong concept": self.wrong_concept.fooled,
            "missing": bool(asked)
            and lost > 0
            and (self.missing_p < _ALPHA or Proportion(count=lost, of=asked).interval[0] > 0.02),
        }
        effects: dict[Flag, bool] = {
            "imagines": self.identical.interval[0] > 0.5,
            "inconsistent": self.consistent.interval[1] < 0.7,
            "cycles": self.cycles.of > 0 and self.cycles.interval[0] > self.cycles_expected,
        }
        return tuple(flag for flag, raised in causes.items() if raised) + tuple(
            flag for flag, raised in effects.items() if raised and not hidden
        )

    def facts(self) -> dict[str, object]:
        """The audit as a value for JSON."""
        shares = {
            "consistent": self.consistent,
            "slot": self.position_bias,
            "stable": self.stable,
            "identical": self.identical,
            "idle": self.undecided,
            "ties": self.ties,
            "cycles": self.cycles,
        }
        controls = {"noise": self.noise, "decoy": self.wrong_concept, "text": self.text}
        return {
            "flags": {flag: MEANING[flag] for flag in self.flags},
            **{name: share.facts() for name, share in shares.items()},
            **{name: asdict(control) for name, control in controls.items()},
            "slot_p": self.position_bias_p,
            "cycles_expected": self.cycles_expected,
            "missing": self.missing,
            "planned": self.planned,
            "missing_p": self.missing_p,
        }


def audit_judge(
    results: Sequence[MatchResult],
    ratings: Mapping[str, float],
    *,
    without: Collection[str] = (),
) -> JudgeAudit:
    """The audit of one judge's matches by one criterion; `ratings` were fitted to them.

    Missing verdicts are counted for all methods but those in `without`.
    """
    by_control: dict[str, list[MatchResult]] = defaultdict(list)
    for result in results:
        by_control[result.match.control].append(result)
    played = by_control[""]
    swaps = [both for result in played if len(both := choices(result)) == 2]
    firsts = sum(both == ("A", "B") for both in swaps)
    lasts = sum(both == ("B", "A") for both in swaps)
    lost, planned = _missing(played, without)
    cycles, expected = _cycles(played, ratings)
    all_choices = [choice for result in played for choice in choices(result)]
    failed = {
        method: (_count_failed(lost.get(method, {})), number) for method, number in planned.items()
    }
    return JudgeAudit(
        consistent=Proportion(count=sum(one == other for one, other in swaps), of=len(swaps)),
        position_bias=Proportion(count=firsts, of=firsts + lasts),
        position_bias_p=_binomial_p(firsts, lasts),
        stable=_stability(played, by_control["repeat"]),
        identical=_identical(by_control["identical"]),
        noise=_control_result(by_control["noise"]),
        wrong_concept=_control_result(by_control["decoy"]),
        text=_control_result(by_control["text"]),
        undecided=_undecided(by_control["noise"]),
        ties=Proportion(count=all_choices.count("tie"), of=len(all_choices)),
        cycles=cycles,
        cycles_expected=expected,
        missing=lost,
        planned=planned,
        missing_p=_missing_p(failed),
    )


def _control_result(results: Iterable[MatchResult]) -> ControlResult:
    outcomes = Counter(match_outcome(result) for result in results)
    other = outcomes["tie"] + outcomes["inconsistent"]
    return ControlResult(right=outcomes["won"], wrong=outcomes["lost"], other=other)


def _identical(results: Iterable[MatchResult]) -> Proportion:
    """Calls that preferred one of two equal pictures; both orders are the same call."""
    chosen = [choice for result in results for choice in choices(result)[:1]]
    return Proportion(count=sum(choice != "tie" for choice in chosen), of=len(chosen))


def _undecided(results: Iterable[MatchResult]) -> Proportion:
    verdicts = [
        verdict
        for result in results
        for verdict in (result.order_ab, result.order_ba)
        if verdict and verdict.outcome in ("answered", "cannot judge")
    ]
    return Proportion(
        count=sum(verdict.choice in ("tie", None) for verdict in verdicts), of=len(verdicts)
    )


def _stability(played: Iterable[MatchResult], repeats: Iterable[MatchResult]) -> Proportion:
    """Repeated calls that made the same choice as the first time."""
    originals = {_match_key(result): result for result in played}
    same = []
    for result in repeats:
        if not (original := originals.get(_match_key(result))):
            continue
        for first, again in (
            (original.order_ab, result.order_ab),
            (original.order_ba, result.order_ba),
        ):
            if first and again and first.choice and again.choice:
                same.append(first.choice == again.choice)
    return Proportion(count=sum(same), of=len(same))


def _match_key(result: MatchResult) -> tuple[object, ...]:
    match = result.match
    return match.concept, match.prompt, match.seed, match.one, match.two


def _missing(
    played: Iterable[MatchResult], without: Collection[str]
) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    lost: dict[str, Counter[str]] = defaultdict(Counter)
    planned: Counter[str] = Counter()
    for result in played:
        reason = missing_reason(result)
        for method in (result.match.one, result.match.two):
            if method in without:
                continue
            planned[method] += 1
            if reason:
                lost[method][reason] += 1
    return {method: dict(reasons) for method, reasons in lost.items()}, dict(planned)


def _count_failed(reasons: Mapping[str, int]) -> int:
    not_asked = ("no picture", "not asked")
    return sum(number for reason, number in reasons.items() if reason not in not_asked)


def _missing_p(lost: Mapping[str, tuple[int, int]]) -> float:
    table = np.array([[missed, planned - missed] for missed, planned in lost.values()])
    if len(table) < 2 or not table.sum(0).all():
        return math.nan
    from scipy.stats import chi2_contingency

    return float(chi2_contingency(table).pvalue)


def _binomial_p(one: int, other: int) -> float:
    """The chance of counts at least as uneven; 1 for none at all."""
    from scipy.stats import binomtest  # takes half a second to import

    return float(binomtest(one, one + other).pvalue) if one + other else 1.0


def _cycles(
    played: Iterable[MatchResult], ratings: Mapping[str, float]
) -> tuple[Proportion, float]:
    """Cyclic triples among those whose pairs are all decided, and the share expected by ratings."""
    beats: dict[tuple[str, str, int], dict[tuple[str, str], bool]] = defaultdict(dict)
    for result in played:
        value, match = preference(result), result.match
        if value is not None and match_outcome(result) in ("won", "lost"):
            beats[match.concept, match.prompt, match.seed].update(
                {(match.one, match.two): value > 0.5, (match.two, match.one): value < 0.5}
            )
    circles, triples, expected = 0, 0, 0.0
    for won in beats.values():
        for a, b, c in combinations(sorted({method for pair in won for method in pair}), 3):
            if {(a, b), (b, c), (a, c)} <= won.keys():
                triples += 1
                circles += won[a, b] == won[b, c] != won[a, c]
                ab, bc, ca = (
                    float(expit(ratings.get(x, 0.0) - ratings.get(y, 0.0)))
                    for x, y in ((a, b), (b, c), (c, a))
                )
                expected += ab * bc * ca + (1 - ab) * (1 - bc) * (1 - ca)
    share = expected / triples if triples else math.nan
    return Proportion(count=circles, of=triples), share
