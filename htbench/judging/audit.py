"""Whether a judge can be believed: consistency, controls with a known answer, missing verdicts. What is found has one name, that of its cause."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.special import expit
from scipy.stats import binomtest, chi2_contingency

from htbench.judging.ledger import MatchResult
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
    "missing": "gives no verdict on some pictures, more on some methods' than on others'",
}
_ALPHA = 0.01
"""p below which a flag is raised."""


@dataclass(frozen=True, kw_only=True)
class ControlResult:
    """A control with two sides: how many matches went either way, others tied or were contradictory."""

    right: int
    wrong: int
    other: int

    @property
    def fooled(self) -> bool:
        """Whether the wrong side wins more often than chance."""
        return (
            self.wrong > self.right
            and float(binomtest(self.wrong, self.wrong + self.right).pvalue) < _ALPHA
        )

    @property
    def accuracy(self) -> Proportion:
        """Matches that the right side won."""
        return Proportion(count=self.right, of=self.right + self.wrong + self.other)


@dataclass(frozen=True, kw_only=True)
class JudgeAudit:
    """One judge by one criterion."""

    consistent: Proportion
    """Matches in which both orders say the same."""
    position_bias: Proportion
    """Of the matches in which each order preferred another picture, those that preferred the first shown both times."""
    position_bias_p: float
    """Two-sided binomial test of that against a half."""
    stable: Proportion
    """Questions answered the same when asked again."""
    identical: Proportion
    """Calls on a picture and itself that saw a difference."""
    noise: ControlResult
    wrong_concept: ControlResult
    """The concept's picture against another concept's."""
    text: ControlResult
    """A picture against itself with words in it that praise it: `wrong` prefers those."""
    undecided: Proportion
    """Calls on a picture against noise that tied or could not judge."""
    ties: Proportion
    """Calls of the tournament that tied."""
    cycles: Proportion
    """Triples of methods on one place that were preferred in a circle."""
    cycles_expected: float
    """Share of triples that the ratings lead to expect; NaN where there are none."""
    missing: dict[str, dict[str, int]]
    """Matches without a preference by method and reason."""
    planned: dict[str, int]
    """Matches by method."""
    missing_p: float
    """Chi-square test that all methods miss alike; NaN where nothing or everything is missing."""

    @property
    def missing_by_method(self) -> dict[str, Proportion]:
        """Matches that were asked in vain, those without a picture or not asked yet left out."""
        return {
            method: Proportion(count=_count_failed(self.missing.get(method, {})), of=planned)
            for method, planned in self.planned.items()
        }

    @property
    def flags(self) -> tuple[Flag, ...]:
        """What is wrong. A cause hides what follows from it: a judge that loves the first slot also contradicts itself when the order is swapped."""
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
        """For JSON."""
        shares = {
            "consistent": self.consistent, "slot": self.position_bias, "stable": self.stable, "identical": self.identical,
            "idle": self.undecided, "ties": self.ties, "cycles": self.cycles,
        }  # fmt: skip
        trials = {"noise": self.noise, "decoy": self.wrong_concept, "text": self.text}
        return {
            "flags": {flag: MEANING[flag] for flag in self.flags},
            **{
                name: {
                    "count": share.count,
                    "of": share.of,
                    "value": share.value,
                    "interval": list(share.interval),
                }
                for name, share in shares.items()
            },
            **{
                name: {"right": trial.right, "wrong": trial.wrong, "other": trial.other}
                for name, trial in trials.items()
            },
            "slot_p": self.position_bias_p,
            "cycles_expected": self.cycles_expected,
            "missing": self.missing,
            "planned": self.planned,
            "missing_p": self.missing_p,
        }


def audit_judge(results: Sequence[MatchResult], ratings: Mapping[str, float]) -> JudgeAudit:
    """The audit of one judge's matches by one criterion; `ratings` are those that follow from them."""
    of: dict[str, list[MatchResult]] = defaultdict(list)
    for result in results:
        of[result.match.control].append(result)
    played = of[""]
    swaps = [both for result in played if len(both := choices(result)) == 2]
    firsts = sum(both == ("A", "B") for both in swaps)
    lasts = sum(both == ("B", "A") for both in swaps)
    trials = {control: _control_result(of[control]) for control in ("noise", "decoy", "text")}
    lost, planned = _missing(played)
    cycles, expected = _cycles(played, ratings)
    said = [choice for result in played for choice in choices(result)]
    return JudgeAudit(
        consistent=Proportion(count=sum(one == other for one, other in swaps), of=len(swaps)),
        position_bias=Proportion(count=firsts, of=firsts + lasts),
        position_bias_p=float(binomtest(firsts, firsts + lasts).pvalue) if firsts + lasts else 1.0,
        stable=_stability(played, of["repeat"]),
        identical=_choice_proportion(
            of["identical"], lambda choice: choice in ("A", "B"), first_order_only=True
        ),
        noise=trials["noise"],
        wrong_concept=trials["decoy"],
        text=trials["text"],
        undecided=_undecided(of["noise"]),
        ties=Proportion(count=said.count("tie"), of=len(said)),
        cycles=cycles,
        cycles_expected=expected,
        missing=lost,
        planned=planned,
        missing_p=_missing_p(
            {method: (_count_failed(lost.get(method, {})), planned[method]) for method in planned}
        ),
    )


def _control_result(results: Iterable[MatchResult]) -> ControlResult:
    endings = Counter(match_outcome(result) for result in results)
    return ControlResult(
        right=endings["won"], wrong=endings["lost"], other=endings["tie"] + endings["inconsistent"]
    )


def _choice_proportion(
    results: Iterable[MatchResult], predicate: Callable[[object], bool], *, first_order_only: bool
) -> Proportion:
    said = [
        choice for result in results for choice in choices(result)[: 1 if first_order_only else 2]
    ]
    return Proportion(count=sum(map(predicate, said)), of=len(said))


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
    """Calls that chose the same as when they were made for the tournament."""
    known = {_match_key(result): result for result in played}
    same, of = 0, 0
    for result in repeats:
        before = known.get(_match_key(result))
        for one, other in (
            ((before.order_ab, result.order_ab), (before.order_ba, result.order_ba))
            if before
            else ()
        ):
            if one and other and one.choice and other.choice:
                same, of = same + (one.choice == other.choice), of + 1
    return Proportion(count=same, of=of)


def _match_key(result: MatchResult) -> tuple[object, ...]:
    match = result.match
    return match.concept, match.prompt, match.seed, match.one, match.two


def _missing(played: Iterable[MatchResult]) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    lost: dict[str, Counter[str]] = defaultdict(Counter)
    planned: Counter[str] = Counter()
    for result in played:
        why = missing_reason(result)
        for method in (result.match.one, result.match.two):
            planned[method] += 1
            if why:
                lost[method][why] += 1
    return {method: dict(reasons) for method, reasons in lost.items()}, dict(planned)


def _count_failed(reasons: Mapping[str, int]) -> int:
    return sum(number for why, number in reasons.items() if why not in ("no picture", "not asked"))


def _missing_p(lost: Mapping[str, tuple[int, int]]) -> float:
    table = np.array([[missed, planned - missed] for missed, planned in lost.values()])
    if len(table) < 2 or not table.sum(0).all():
        return math.nan
    return float(chi2_contingency(table).pvalue)


def _cycles(
    played: Iterable[MatchResult], ratings: Mapping[str, float]
) -> tuple[Proportion, float]:
    """Triples that are decided all round, those in a circle, and the share of circles if each pair were decided by its ratings alone."""
    beats: dict[tuple[str, str, int], dict[tuple[str, str], bool]] = defaultdict(dict)
    for result in played:
        value, match = preference(result), result.match
        if value is not None and match_outcome(result) in ("won", "lost"):
            beats[match.concept, match.prompt, match.seed].update(
                {(match.one, match.two): value > 0.5, (match.two, match.one): value < 0.5}
            )
    circles, of, expected = 0, 0, 0.0
    for won in beats.values():
        for a, b, c in combinations(sorted({method for pair in won for method in pair}), 3):
            if {(a, b), (b, c), (a, c)} <= won.keys():
                of += 1
                circles += won[a, b] == won[b, c] != won[a, c]
                ab, bc, ca = (
                    float(expit(ratings.get(x, 0.0) - ratings.get(y, 0.0)))
                    for x, y in ((a, b), (b, c), (c, a))
                )
                expected += ab * bc * ca + (1 - ab) * (1 - bc) * (1 - ca)
    return Proportion(count=circles, of=of), expected / of if of else math.nan
