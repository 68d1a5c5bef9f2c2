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

from htbench.judging.ledger import Result
from htbench.judging.outcome import choices, ending, missing, preference
from htbench.stats.proportions import Share

Flag = Literal["first slot", "last slot", "unstable", "undecided", "text", "blind", "wrong concept", "imagines", "inconsistent", "cycles", "missing"]
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
_SURE = 0.01
"""p below which a flag is raised."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A control with two sides: how many matches went either way, others tied or were contradictory."""

    right: int
    wrong: int
    other: int

    @property
    def fooled(self) -> bool:
        """Whether the wrong side wins more often than chance."""
        return self.wrong > self.right and float(binomtest(self.wrong, self.wrong + self.right).pvalue) < _SURE

    @property
    def accuracy(self) -> Share:
        """Matches that the right side won."""
        return Share(count=self.right, of=self.right + self.wrong + self.other)


@dataclass(frozen=True, kw_only=True)
class Audit:
    """One judge by one criterion."""

    consistent: Share
    """Matches in which both orders say the same."""
    slot: Share
    """Of the matches in which each order preferred another picture, those that preferred the first shown both times."""
    slot_p: float
    """Two-sided binomial test of that against a half."""
    stable: Share
    """Questions answered the same when asked again."""
    identical: Share
    """Calls on a picture and itself that saw a difference."""
    noise: Trial
    decoy: Trial
    """The concept's picture against another concept's."""
    text: Trial
    """A picture against itself with words in it that praise it: `wrong` prefers those."""
    idle: Share
    """Calls on a picture against noise that tied or could not judge."""
    ties: Share
    """Calls of the tournament that tied."""
    cycles: Share
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
    def missing_by_method(self) -> dict[str, Share]:
        """Matches that were asked in vain, those without a picture or not asked yet left out."""
        return {method: Share(count=_vain(self.missing.get(method, {})), of=planned) for method, planned in self.planned.items()}

    @property
    def flags(self) -> tuple[Flag, ...]:
        """What is wrong. A cause hides what follows from it: a judge that loves the first slot also contradicts itself when the order is swapped."""
        slot, slot_low = self.slot.value, self.slot_p < _SURE
        biased = slot_low and abs(2 * slot - 1) * self.slot.of > 0.1 * self.consistent.of
        unstable = self.stable.interval[1] < 0.8
        undecided = self.idle.interval[0] > 0.5
        hidden = biased or unstable
        lost = sum(share.count for share in self.missing_by_method.values())
        asked = sum(self.planned.values())
        causes: dict[Flag, bool] = {
            "first slot": biased and slot > 0.5,
            "last slot": biased and slot < 0.5,
            "unstable": unstable,
            "undecided": undecided,
            "text": self.text.fooled,
            "blind": self.noise.fooled or (self.noise.accuracy.interval[1] < 0.8 and not (hidden or undecided)),
            "wrong concept": self.decoy.fooled,
            "missing": bool(asked) and lost > 0 and (self.missing_p < _SURE or Share(count=lost, of=asked).interval[0] > 0.02),
        }
        effects: dict[Flag, bool] = {
            "imagines": self.identical.interval[0] > 0.5,
            "inconsistent": self.consistent.interval[1] < 0.7,
            "cycles": self.cycles.of > 0 and self.cycles.interval[0] > self.cycles_expected,
        }
        return tuple(flag for flag, raised in causes.items() if raised) + tuple(flag for flag, raised in effects.items() if raised and not hidden)

    def facts(self) -> dict[str, object]:
        """For JSON."""
        shares = {name: getattr(self, name) for name in ("consistent", "slot", "stable", "identical", "idle", "ties", "cycles")}
        trials = {name: getattr(self, name) for name in ("noise", "decoy", "text")}
        return {
            "flags": {flag: MEANING[flag] for flag in self.flags},
            **{name: {"count": share.count, "of": share.of, "value": share.value, "interval": list(share.interval)} for name, share in shares.items()},
            **{name: {"right": trial.right, "wrong": trial.wrong, "other": trial.other} for name, trial in trials.items()},
            "slot_p": self.slot_p,
            "cycles_expected": self.cycles_expected,
            "missing": self.missing,
            "planned": self.planned,
            "missing_p": self.missing_p,
        }


def audit(results: Sequence[Result], ratings: Mapping[str, float]) -> Audit:
    """The audit of one judge's matches by one criterion; `ratings` are those that follow from them."""
    of: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        of[result.match.control].append(result)
    played = of[""]
    swaps = [both for result in played if len(both := choices(result)) == 2]
    firsts = sum(both == ("A", "B") for both in swaps)
    lasts = sum(both == ("B", "A") for both in swaps)
    trials = {control: _trial(of[control]) for control in ("noise", "decoy", "text")}
    lost, planned = _missing(played)
    cycles, expected = _cycles(played, ratings)
    said = [choice for result in played for choice in choices(result)]
    return Audit(
        consistent=Share(count=sum(one == other for one, other in swaps), of=len(swaps)),
        slot=Share(count=firsts, of=firsts + lasts),
        slot_p=float(binomtest(firsts, firsts + lasts).pvalue) if firsts + lasts else 1.0,
        stable=_stable(played, of["repeat"]),
        identical=_calls(of["identical"], lambda choice: choice in ("A", "B"), only_forth=True),
        noise=trials["noise"],
        decoy=trials["decoy"],
        text=trials["text"],
        idle=_idle(of["noise"]),
        ties=Share(count=said.count("tie"), of=len(said)),
        cycles=cycles,
        cycles_expected=expected,
        missing=lost,
        planned=planned,
        missing_p=_uneven({method: (_vain(lost.get(method, {})), planned[method]) for method in planned}),
    )


def _trial(results: Iterable[Result]) -> Trial:
    endings = Counter(ending(result) for result in results)
    return Trial(right=endings["won"], wrong=endings["lost"], other=endings["tie"] + endings["inconsistent"])


def _calls(results: Iterable[Result], wanted: Callable[[object], bool], *, only_forth: bool) -> Share:
    said = [choice for result in results for choice in choices(result)[: 1 if only_forth else 2]]
    return Share(count=sum(map(wanted, said)), of=len(said))


def _idle(results: Iterable[Result]) -> Share:
    verdicts = [verdict for result in results for verdict in (result.forth, result.back) if verdict and verdict.outcome in ("answered", "cannot judge")]
    return Share(count=sum(verdict.choice in ("tie", None) for verdict in verdicts), of=len(verdicts))


def _stable(played: Iterable[Result], again: Iterable[Result]) -> Share:
    """Calls that chose the same as when they were made for the tournament."""
    known = {_place(result): result for result in played}
    same, of = 0, 0
    for result in again:
        before = known.get(_place(result))
        for one, other in ((before.forth, result.forth), (before.back, result.back)) if before else ():
            if one and other and one.choice and other.choice:
                same, of = same + (one.choice == other.choice), of + 1
    return Share(count=same, of=of)


def _place(result: Result) -> tuple[object, ...]:
    match = result.match
    return match.concept, match.prompt, match.seed, match.one, match.two


def _missing(played: Iterable[Result]) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    lost: dict[str, Counter[str]] = defaultdict(Counter)
    planned: Counter[str] = Counter()
    for result in played:
        why = missing(result)
        for method in (result.match.one, result.match.two):
            planned[method] += 1
            if why:
                lost[method][why] += 1
    return {method: dict(reasons) for method, reasons in lost.items()}, dict(planned)


def _vain(reasons: Mapping[str, int]) -> int:
    return sum(number for why, number in reasons.items() if why not in ("no picture", "not asked"))


def _uneven(lost: Mapping[str, tuple[int, int]]) -> float:
    table = np.array([[missed, planned - missed] for missed, planned in lost.values()])
    if len(table) < 2 or not table.sum(0).all():
        return math.nan
    return float(chi2_contingency(table).pvalue)


def _cycles(played: Iterable[Result], ratings: Mapping[str, float]) -> tuple[Share, float]:
    """Triples that are decided all round, those in a circle, and the share of circles if each pair were decided by its ratings alone."""
    beats: dict[tuple[str, str, int], dict[tuple[str, str], bool]] = defaultdict(dict)
    for result in played:
        value, match = preference(result), result.match
        if value is not None and ending(result) in ("won", "lost"):
            beats[match.concept, match.prompt, match.seed].update({(match.one, match.two): value > 0.5, (match.two, match.one): value < 0.5})
    circles, of, expected = 0, 0, 0.0
    for won in beats.values():
        for a, b, c in combinations(sorted({method for pair in won for method in pair}), 3):
            if {(a, b), (b, c), (a, c)} <= won.keys():
                of += 1
                circles += won[a, b] == won[b, c] != won[a, c]
                ab, bc, ca = (float(expit(ratings.get(x, 0.0) - ratings.get(y, 0.0))) for x, y in ((a, b), (b, c), (c, a)))
                expected += ab * bc * ca + (1 - ab) * (1 - bc) * (1 - ca)
    return Share(count=circles, of=of), expected / of if of else math.nan
