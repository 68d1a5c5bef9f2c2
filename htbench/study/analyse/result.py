"""What a study's answers say: rankings, how often one method is preferred, and how much hangs on whom."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from htbench.stats.durations import Interval
from htbench.stats.power import Detectable, Need, detectable, need
from htbench.stats.proportions import Share
from htbench.stats.ranking.bradley_terry import fit
from htbench.stats.ranking.leaderboard import Ranking, rank
from htbench.stats.ranking.votes import Unrankable, Votes
from htbench.study.analyse.agreement import Agreement, ceiling, said, with_majority
from htbench.study.analyse.evaluators import Verdicts
from htbench.study.analyse.reliability import Reliability, reliability
from htbench.study.answer import Answer, Kind
from htbench.study.exclusions import Flow


@dataclass(frozen=True, kw_only=True)
class Preference:
    """How often one method is preferred to another, in both conventions."""

    one: str
    two: str
    forced: Interval
    """Rate of `one` with a tie as half a vote each way, as if the choice had been forced; interval over concepts and raters."""
    decided: Interval
    """Rate of `one` among votes that decide; ties are dropped."""
    naive: tuple[float, float]
    """Clopper and Pearson's interval of `decided`, which takes all votes for independent: too narrow, for comparison."""
    votes: int
    ties: int
    power: Detectable

    @property
    def forced_ratio(self) -> Interval:
        """How many times as often, of `forced`."""
        return _ratio(self.forced)

    @property
    def decided_ratio(self) -> Interval:
        """How many times as often, of `decided`."""
        return _ratio(self.decided)

    @property
    def needed(self) -> Need | None:
        """What it takes to tell a rate like `decided` from a half, with votes on one concept as alike as here; None for a half."""
        rate, icc = self.decided.value, self.power.icc
        if math.isnan(rate) or rate == 0.5:
            return None
        each = max(1, round((self.votes - self.ties) / max(1, self.power.concepts)))
        return need(rate, per_concept=each, icc=0.0 if math.isnan(icc) else max(0.0, icc), undecided=self.ties / self.votes)


@dataclass(frozen=True, kw_only=True)
class Influence:
    """What happens to the ranking without one person."""

    rater: str
    moved: int
    """Largest change of a rank."""
    first: bool
    """Whether another method comes first."""
    shift: float
    """Largest change of a rating, in log-odds."""


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One question's result."""

    name: str
    ranking: Ranking | None
    unranked: str
    """Why there is no ranking."""
    davidson: dict[str, float]
    """Ratings where a tie is an outcome of its own."""
    preferences: tuple[Preference, ...]
    reliability: Reliability
    left: Share
    """How often the left picture won, among votes that decide."""
    influence: tuple[Influence, ...]
    """The most influential person first."""
    checks: Share
    """Of explicit instructions, how many were followed."""
    sentinels: Share
    """Of pictures beside noise, how often the picture was chosen."""
    agreement: tuple[Agreement, ...]
    """With the majority: of one person, the ceiling; then of the run's judges and metrics."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A study's."""

    flow: Flow
    criteria: tuple[Criterion, ...]
    everybody: tuple[Criterion, ...]
    """Without exclusions."""


def result(flow: Flow, verdicts: Sequence[Verdicts] = (), *, rounds: int = 1000, seed: int = 0) -> Result:
    """With exclusions and without, criterion by criterion, and beside judges and metrics."""
    kept, everybody = (_criteria(answers, verdicts, rounds=rounds, seed=seed) for answers in (flow.kept, flow.unique))
    return Result(flow=flow, criteria=kept, everybody=everybody)


def votes_of(answers: Sequence[Answer]) -> Votes:
    """Votes on which a ranking rests; repeats and checks are none."""
    cast = sorted((answer for answer in answers if answer.kind == "vote"), key=lambda answer: (answer.rater, answer.pair))
    return Votes.collect(
        first=[answer.left for answer in cast],
        second=[answer.right for answer in cast],
        outcome=[answer.value for answer in cast],
        concept=[answer.concept for answer in cast],
        rater=[answer.rater for answer in cast],
        names=sorted({name for answer in cast for name in (answer.left, answer.right)}),
    )


def preferences(votes: Votes, ranking: Ranking, *, rounds: int, seed: int) -> tuple[Preference, ...]:
    """Of all methods that met, the better first, by `ranking`, which is of the votes with ties as halves."""
    decisive = votes.where(votes.outcome != 0.5)
    try:
        matrix = rank(decisive, rounds=rounds, seed=seed).matrix if (votes.outcome == 0.5).any() else ranking.matrix
    except Unrankable:
        matrix = None
    found, names = [], [standing.name for standing in ranking.standings]
    for k, one in enumerate(names):
        for two in names[k + 1 :]:
            met = votes.among((one, two))
            if not met.cast.any():
                continue
            won, lost = float(met.tally().wins[0, 1]), float(met.tally().wins[1, 0])
            exact = binomtest(round(won), round(won + lost)).proportion_ci() if won + lost else None
            found.append(
                Preference(
                    one=one,
                    two=two,
                    forced=_cell(ranking.matrix.rate, ranking.matrix.low, ranking.matrix.high, votes.names, one, two),
                    decided=_cell(matrix.rate, matrix.low, matrix.high, votes.names, one, two) if matrix else _nothing(),
                    naive=(float(exact.low), float(exact.high)) if exact else (math.nan, math.nan),
                    votes=int(met.cast.sum()),
                    ties=int((met.outcome == 0.5).sum()),
                    power=detectable(one, two, _by_concept(met)),
                )
            )
    return tuple(found)


def influence(votes: Votes) -> tuple[Influence, ...]:
    """Of each person, whose votes are left out in turn; the most influential first."""
    whole = fit(votes)
    place = np.argsort(whole.order)
    found = []
    for rater in votes.raters:
        try:
            rest = fit(votes.without("rater", rater))
        except Unrankable:
            continue
        moved, shift = np.abs(np.argsort(rest.order) - place).max(), np.abs(rest.ratings - whole.ratings).max()
        found.append(Influence(rater=rater, moved=int(moved), first=rest.order[0] != whole.order[0], shift=float(shift)))
    return tuple(sorted(found, key=lambda each: (-each.moved, -each.shift)))


def _criteria(answers: Sequence[Answer], verdicts: Sequence[Verdicts], *, rounds: int, seed: int) -> tuple[Criterion, ...]:
    by_name: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_name[answer.criterion].append(answer)
    return tuple(_criterion(name, own, verdicts, rounds=rounds, seed=seed) for name, own in sorted(by_name.items()))


def _criterion(name: str, answers: list[Answer], verdicts: Sequence[Verdicts], *, rounds: int, seed: int) -> Criterion:
    votes = votes_of(answers)
    ranking, unranked, davidson = None, "", {}
    try:
        ranking = rank(votes, rounds=rounds, seed=seed)
        tied = fit(votes, ties="davidson")
        davidson = dict(zip(tied.names, map(float, tied.ratings), strict=True))
    except Unrankable as error:
        unranked = str(error)
    sides = [answer.choice for answer in answers if answer.kind == "vote" and answer.choice in ("left", "right")]
    return Criterion(
        name=name,
        ranking=ranking,
        unranked=unranked,
        davidson=davidson,
        preferences=preferences(votes, ranking, rounds=rounds, seed=seed) if ranking else (),
        reliability=reliability(answers, seed=seed),
        left=Share(count=sides.count("left"), of=len(sides)),
        influence=influence(votes) if ranking else (),
        checks=_right(answers, "check"),
        sentinels=_right(answers, "sentinel"),
        agreement=_agreement(answers, verdicts, rounds=rounds, seed=seed),
    )


def _right(answers: Sequence[Answer], kind: Kind) -> Share:
    own = [answer for answer in answers if answer.kind == kind]
    return Share(count=sum(answer.choice == answer.expected for answer in own), of=len(own))


def _agreement(answers: Sequence[Answer], verdicts: Sequence[Verdicts], *, rounds: int, seed: int) -> tuple[Agreement, ...]:
    people = said(answers)
    found = [ceiling(people, rounds=rounds, seed=seed)]
    found += [with_majority(each.source, each.name, each.preferences, people, rounds=rounds, seed=seed) for each in verdicts]
    return tuple(each for each in found if each)


def _cell(rate: np.ndarray, low: np.ndarray, high: np.ndarray, names: Sequence[str], one: str, two: str) -> Interval:
    at = names.index(one), names.index(two)
    return Interval(value=float(rate[at]), low=float(low[at]), high=float(high[at]))


def _nothing() -> Interval:
    return Interval(value=math.nan, low=math.nan, high=math.nan)


def _ratio(rate: Interval) -> Interval:
    value, low, high = (math.inf if each == 1 else each / (1 - each) for each in (rate.value, rate.low, rate.high))
    return Interval(value=value, low=low, high=high)


def _by_concept(votes: Votes) -> dict[str, list[float]]:
    """Votes for the first of two names."""
    found: dict[str, list[float]] = defaultdict(list)
    for first, outcome, concept in zip(votes.first, votes.outcome, votes.concept, strict=True):
        if not np.isnan(outcome):
            found[votes.concepts[concept]].append(float(outcome if first == 0 else 1 - outcome))
    return found
