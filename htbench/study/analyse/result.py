"""What a study's answers say: rankings, how often one method is preferred, and how much hangs on whom."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from htbench.stats.durations import Interval
from htbench.stats.power import DetectableEffect, SampleSize, detectable_effect, sample_size
from htbench.stats.proportions import Proportion
from htbench.stats.ranking.bradley_terry import fit
from htbench.stats.ranking.leaderboard import Ranking, rank
from htbench.stats.ranking.votes import Unrankable, Votes
from htbench.study.analyse.agreement import (
    MajorityAgreement,
    ceiling,
    collect_pair_votes,
    majority_agreement,
)
from htbench.study.analyse.evaluators import Evaluator
from htbench.study.analyse.reliability import Reliability, reliability
from htbench.study.answer import Answer, TrialKind
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
    power: DetectableEffect

    @property
    def forced_ratio(self) -> Interval:
        """How many times as often, of `forced`."""
        return _ratio(self.forced)

    @property
    def decided_ratio(self) -> Interval:
        """How many times as often, of `decided`."""
        return _ratio(self.decided)

    @property
    def sample_size(self) -> SampleSize | None:
        """What it takes to tell a rate like `decided` from a half, with votes on one concept as alike as here; None for a half."""
        rate, icc = self.decided.value, self.power.icc
        if math.isnan(rate) or rate == 0.5:
            return None
        each = max(1, round((self.votes - self.ties) / max(1, self.power.concepts)))
        return sample_size(
            rate,
            per_concept=each,
            icc=0.0 if math.isnan(icc) else max(0.0, icc),
            undecided=self.ties / self.votes,
        )


@dataclass(frozen=True, kw_only=True)
class RaterInfluence:
    """What happens to the ranking without one person."""

    rater: str
    moved: int
    """Largest change of a rank."""
    first: bool
    """Whether another method comes first."""
    shift: float
    """Largest change of a rating, in log-odds."""


@dataclass(frozen=True, kw_only=True)
class CriterionResult:
    """One question's result."""

    name: str
    ranking: Ranking | None
    unranked_reason: str
    """Why there is no ranking."""
    davidson: dict[str, float]
    """Ratings where a tie is an outcome of its own."""
    preferences: tuple[Preference, ...]
    reliability: Reliability
    left_share: Proportion
    """How often the left picture won, among votes that decide."""
    influence: tuple[RaterInfluence, ...]
    """The most influential person first."""
    checks: Proportion
    """Of explicit instructions, how many were followed."""
    catch_trials: Proportion
    """Of pictures beside noise, how often the picture was chosen."""
    agreement: tuple[MajorityAgreement, ...]
    """With the majority: of one person, the ceiling; then of the run's judges and metrics."""


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """A study's."""

    flow: Flow
    criteria: tuple[CriterionResult, ...]
    without_exclusions: tuple[CriterionResult, ...]
    """Without exclusions."""


def compute_result(
    flow: Flow, evaluators: Sequence[Evaluator] = (), *, rounds: int = 1000, seed: int = 0
) -> StudyResult:
    """With exclusions and without, criterion by criterion, and beside judges and metrics."""
    kept, everybody = (
        _criteria(answers, evaluators, rounds=rounds, seed=seed)
        for answers in (flow.kept, flow.unique)
    )
    return StudyResult(flow=flow, criteria=kept, without_exclusions=everybody)


def collect_votes(answers: Sequence[Answer]) -> Votes:
    """Votes on which a ranking rests; repeats and checks are none."""
    cast = sorted(
        (answer for answer in answers if answer.kind == "vote"),
        key=lambda answer: (answer.rater, answer.pair),
    )
    return Votes.collect(
        first=[answer.left for answer in cast],
        second=[answer.right for answer in cast],
        outcome=[answer.value for answer in cast],
        concept=[answer.concept for answer in cast],
        rater=[answer.rater for answer in cast],
        names=sorted({name for answer in cast for name in (answer.left, answer.right)}),
    )


def preferences(
    votes: Votes, ranking: Ranking, *, rounds: int, seed: int
) -> tuple[Preference, ...]:
    """Of all methods that met, the better first, by `ranking`, which is of the votes with ties as halves."""
    decisive = votes.where(votes.outcome != 0.5)
    try:
        matrix = (
            rank(decisive, rounds=rounds, seed=seed).win_rates
            if (votes.outcome == 0.5).any()
            else ranking.win_rates
        )
    except Unrankable:
        matrix = None
    found, names = [], [standing.name for standing in ranking.entries]
    for k, one in enumerate(names):
        for two in names[k + 1 :]:
            met = votes.among((one, two))
            if not met.valid.any():
                continue
            won, lost = float(met.tally().wins[0, 1]), float(met.tally().wins[1, 0])
            exact = binomtest(round(won), round(won + lost)).proportion_ci() if won + lost else None
            found.append(
                Preference(
                    one=one,
                    two=two,
                    forced=_pair_interval(
                        ranking.win_rates.rate,
                        ranking.win_rates.low,
                        ranking.win_rates.high,
                        votes.names,
                        one,
                        two,
                    ),
                    decided=_pair_interval(
                        matrix.rate, matrix.low, matrix.high, votes.names, one, two
                    )
                    if matrix
                    else _nan_interval(),
                    naive=(float(exact.low), float(exact.high)) if exact else (math.nan, math.nan),
                    votes=int(met.valid.sum()),
                    ties=int((met.outcome == 0.5).sum()),
                    power=detectable_effect(one, two, _by_concept(met)),
                )
            )
    return tuple(found)


def rater_influence(votes: Votes) -> tuple[RaterInfluence, ...]:
    """Of each person, whose votes are left out in turn; the most influential first."""
    whole = fit(votes)
    place = np.argsort(whole.order)
    found = []
    for rater in votes.raters:
        try:
            rest = fit(votes.without("rater", rater))
        except Unrankable:
            continue
        moved, shift = (
            np.abs(np.argsort(rest.order) - place).max(),
            np.abs(rest.ratings - whole.ratings).max(),
        )
        found.append(
            RaterInfluence(
                rater=rater,
                moved=int(moved),
                first=rest.order[0] != whole.order[0],
                shift=float(shift),
            )
        )
    return tuple(sorted(found, key=lambda each: (-each.moved, -each.shift)))


def _criteria(
    answers: Sequence[Answer], evaluators: Sequence[Evaluator], *, rounds: int, seed: int
) -> tuple[CriterionResult, ...]:
    by_name: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_name[answer.criterion].append(answer)
    return tuple(
        _criterion(name, own, evaluators, rounds=rounds, seed=seed)
        for name, own in sorted(by_name.items())
    )


def _criterion(
    name: str, answers: list[Answer], evaluators: Sequence[Evaluator], *, rounds: int, seed: int
) -> CriterionResult:
    votes = collect_votes(answers)
    ranking, unranked, davidson = None, "", {}
    try:
        ranking = rank(votes, rounds=rounds, seed=seed)
        tied = fit(votes, ties="davidson")
        davidson = dict(zip(tied.names, map(float, tied.ratings), strict=True))
    except Unrankable as error:
        unranked = str(error)
    sides = [
        answer.choice
        for answer in answers
        if answer.kind == "vote" and answer.choice in ("left", "right")
    ]
    return CriterionResult(
        name=name,
        ranking=ranking,
        unranked_reason=unranked,
        davidson=davidson,
        preferences=preferences(votes, ranking, rounds=rounds, seed=seed) if ranking else (),
        reliability=reliability(answers, seed=seed),
        left_share=Proportion(count=sides.count("left"), of=len(sides)),
        influence=rater_influence(votes) if ranking else (),
        checks=_share_correct(answers, "check"),
        catch_trials=_share_correct(answers, "sentinel"),
        agreement=_agreement(answers, evaluators, rounds=rounds, seed=seed),
    )


def _share_correct(answers: Sequence[Answer], kind: TrialKind) -> Proportion:
    own = [answer for answer in answers if answer.kind == kind]
    return Proportion(count=sum(answer.choice == answer.expected for answer in own), of=len(own))


def _agreement(
    answers: Sequence[Answer], evaluators: Sequence[Evaluator], *, rounds: int, seed: int
) -> tuple[MajorityAgreement, ...]:
    people = collect_pair_votes(answers)
    found = [ceiling(people, rounds=rounds, seed=seed)]
    found += [
        majority_agreement(
            each.source, each.name, each.preferences, people, rounds=rounds, seed=seed
        )
        for each in evaluators
    ]
    return tuple(each for each in found if each)


def _pair_interval(
    rate: np.ndarray, low: np.ndarray, high: np.ndarray, names: Sequence[str], one: str, two: str
) -> Interval:
    at = names.index(one), names.index(two)
    return Interval(value=float(rate[at]), low=float(low[at]), high=float(high[at]))


def _nan_interval() -> Interval:
    return Interval(value=math.nan, low=math.nan, high=math.nan)


def _ratio(rate: Interval) -> Interval:
    value, low, high = (
        math.inf if each == 1 else each / (1 - each) for each in (rate.value, rate.low, rate.high)
    )
    return Interval(value=value, low=low, high=high)


def _by_concept(votes: Votes) -> dict[str, list[float]]:
    """Votes for the first of two names."""
    found: dict[str, list[float]] = defaultdict(list)
    for first, outcome, concept in zip(votes.first, votes.outcome, votes.concept, strict=True):
        if not np.isnan(outcome):
            found[votes.concepts[concept]].append(float(outcome if first == 0 else 1 - outcome))
    return found
