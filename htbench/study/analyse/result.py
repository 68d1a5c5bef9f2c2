"""The result of a study: rankings, preference rates, reliability and the influence of raters."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components
from scipy.stats import binomtest

from htbench.stats import crossed
from htbench.stats.durations import Interval
from htbench.stats.families import FamiliesByConcept
from htbench.stats.power import DetectableEffect, SampleSize, detectable_effect, sample_size
from htbench.stats.proportions import Proportion
from htbench.stats.ranking.bradley_terry import BradleyTerryFit, fit, solve_resamples
from htbench.stats.ranking.leaderboard import Ranking, rank
from htbench.stats.ranking.votes import Unrankable, Votes, VoteTally
from htbench.stats.ranking.win_rates import WinRates
from htbench.study.analyse.agreement import (
    MajorityAgreement,
    agreement_with_majority,
    collect_pair_votes,
)
from htbench.study.analyse.evaluators import Evaluator
from htbench.study.analyse.reliability import Reliability, reliability
from htbench.study.analyse.task_result import TaskResult, share_correct
from htbench.study.answer import Answer
from htbench.study.exclusions import Flow

_RATERS_AT_ONCE = 256
"""Number of raters whose votes are left out in one sum, to bound memory."""


@dataclass(frozen=True, kw_only=True)
class Preference:
    """The rate at which one method is preferred to another, in both conventions for ties."""

    one: str
    two: str
    forced: Interval
    """The rate of `one` with a tie as half a vote for each, as in a forced choice.

    Intervals resample concepts and raters.
    """
    decided: Interval
    """The rate of `one` among decided votes, with ties dropped."""
    naive: tuple[float, float]
    """Clopper and Pearson's interval of `decided`, too narrow: it takes votes as independent."""
    votes: int
    ties: int
    power: DetectableEffect

    @property
    def forced_ratio(self) -> Interval:
        """The odds of `forced`."""
        return _ratio(self.forced)

    @property
    def decided_ratio(self) -> Interval:
        """The odds of `decided`."""
        return _ratio(self.decided)

    @property
    def sample_size(self) -> SampleSize | None:
        """The votes that it takes to show the rate `decided`; None for a half.

        Votes on one concept are taken to be as correlated as here.
        """
        rate, icc = self.decided.value, self.power.icc
        if math.isnan(rate) or rate == 0.5:
            return None
        per_concept = max(1, round((self.votes - self.ties) / max(1, self.power.concepts)))
        return sample_size(
            rate,
            per_concept=per_concept,
            icc=0.0 if math.isnan(icc) else max(0.0, icc),
            undecided=self.ties / self.votes,
        )


@dataclass(frozen=True, kw_only=True)
class RaterInfluence:
    """The change of the ranking without one person."""

    rater: str
    moved: int
    """Largest change of a rank."""
    first: bool
    """True if another method comes first."""
    shift: float
    """Largest change of a rating, in log-odds."""


@dataclass(frozen=True, kw_only=True)
class CriterionResult:
    """The result for one criterion."""

    name: str
    ranking: Ranking | None
    unranked_reason: str
    """The reason why there is no ranking."""
    davidson: dict[str, float]
    """Ratings by Davidson's model, in which a tie is an outcome of its own."""
    preferences: tuple[Preference, ...]
    reliability: Reliability
    left_share: Proportion
    """Decided votes for the left picture."""
    influence: tuple[RaterInfluence, ...]
    """The most influential person first."""
    checks: Proportion
    """Attention checks whose instruction was followed."""
    catch_trials: Proportion
    """Catch trials in which the picture was chosen over noise."""
    agreement: tuple[MajorityAgreement, ...]
    """Agreement with the majority: of one person, the ceiling, then of judges and metrics."""


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """The result of a study, by criterion."""

    flow: Flow
    criteria: tuple[CriterionResult, ...]
    without_exclusions: tuple[CriterionResult, ...]
    """The same criteria without exclusions."""
    task: TaskResult | None = None
    """The result of a task that is no choice between two methods; there are no criteria then."""


def compute_result(
    flow: Flow,
    evaluators: Sequence[Evaluator] = (),
    families: FamiliesByConcept | None = None,
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> StudyResult:
    """The result with and without exclusions, compared with judges and metrics."""
    kept, everybody = (
        _criteria(answers, evaluators, families, rounds=rounds, seed=seed)
        for answers in (flow.kept, flow.unique)
    )
    return StudyResult(flow=flow, criteria=kept, without_exclusions=everybody)


def collect_votes(answers: Sequence[Answer], families: FamiliesByConcept | None = None) -> Votes:
    """The votes of a ranking; repeats, checks and sentinels are left out."""
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
        families=families,
    )


def preferences(
    votes: Votes, ranking: Ranking, *, rounds: int, seed: int
) -> tuple[Preference, ...]:
    """Preferences of all pairs of methods that met, the better of each pair first.

    `ranking` is that of the votes, with ties as halves.
    """
    decided = _decided_win_rates(votes, ranking, rounds=rounds, seed=seed)
    preferences = []
    for one, two in combinations([entry.name for entry in ranking.entries], 2):
        met = votes.among((one, two))
        if not met.valid.any():
            continue
        preference = Preference(
            one=one,
            two=two,
            forced=_pair_interval(ranking.win_rates, votes.names, one, two),
            decided=_pair_interval(decided, votes.names, one, two),
            naive=_naive_interval(met),
            votes=int(met.valid.sum()),
            ties=int((met.outcome == 0.5).sum()),
            power=detectable_effect(one, two, _by_concept(met)),
        )
        preferences.append(preference)
    return tuple(preferences)


def rater_influence(votes: Votes) -> tuple[RaterInfluence, ...]:
    """The influence of each person, whose votes are left out in turn; the largest first."""
    whole = fit(votes)
    ranks = np.argsort(whole.order)
    influences = []
    for rater, rest in zip(votes.raters, _ratings_without_each(votes, whole), strict=True):
        if rest is None:
            continue
        order = np.argsort(-rest, kind="stable")
        influence = RaterInfluence(
            rater=rater,
            moved=int(np.abs(np.argsort(order) - ranks).max()),
            first=int(order[0]) != whole.order[0],
            shift=float(np.abs(rest - whole.ratings).max()),
        )
        influences.append(influence)
    return tuple(sorted(influences, key=lambda each: (-each.moved, -each.shift)))


def _ratings_without_each(
    votes: Votes, whole: BradleyTerryFit
) -> Iterator[Float[np.ndarray, " contenders"] | None]:
    """The ratings of all votes but each rater's in turn; None where nothing follows from them."""
    raters, links = len(votes.raters), votes.tally().totals > 0
    for start in range(0, raters, _RATERS_AT_ONCE):
        chunk = range(start, min(raters, start + _RATERS_AT_ONCE))
        draws = np.ones((len(chunk), raters))
        draws[range(len(chunk)), chunk] = 0
        tally = votes.tally(draws, groups=votes.rater)
        is_linked = np.array(
            [
                bool((rest >= links).all()) or connected_components(rest, directed=False)[0] == 1
                for rest in tally.totals > 0
            ]
        )
        linked = VoteTally(wins=tally.wins[is_linked], ties=tally.ties[is_linked])
        ratings = iter(solve_resamples(linked, whole))
        yield from (next(ratings) if follows else None for follows in is_linked)


def _criteria(
    answers: Sequence[Answer],
    evaluators: Sequence[Evaluator],
    families: FamiliesByConcept | None,
    *,
    rounds: int,
    seed: int,
) -> tuple[CriterionResult, ...]:
    by_name: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_name[answer.criterion].append(answer)
    return tuple(
        _criterion(name, own, evaluators, families, rounds=rounds, seed=seed)
        for name, own in sorted(by_name.items())
    )


def _criterion(
    name: str,
    answers: list[Answer],
    evaluators: Sequence[Evaluator],
    families: FamiliesByConcept | None,
    *,
    rounds: int,
    seed: int,
) -> CriterionResult:
    votes, people = collect_votes(answers, families), collect_pair_votes(answers)
    ranking, unranked, davidson = None, "", {}
    try:
        ranking = rank(votes, rounds=rounds, seed=seed)
        tied = fit(votes, ties="davidson")
        davidson = dict(zip(tied.names, map(float, tied.ratings), strict=True))
    except Unrankable as error:
        unranked = str(error)
    sides = [
        (answer.concept, answer.rater, answer.choice == "left")
        for answer in answers
        if answer.kind == "vote" and answer.choice in ("left", "right")
    ]
    return CriterionResult(
        name=name,
        ranking=ranking,
        unranked_reason=unranked,
        davidson=davidson,
        preferences=preferences(votes, ranking, rounds=rounds, seed=seed) if ranking else (),
        reliability=reliability(answers, people),
        left_share=crossed.share(sides),
        influence=rater_influence(votes) if ranking else (),
        checks=share_correct(answers, "check"),
        catch_trials=share_correct(answers, "sentinel"),
        agreement=agreement_with_majority(people, evaluators),
    )


def _decided_win_rates(
    votes: Votes, ranking: Ranking, *, rounds: int, seed: int
) -> WinRates | None:
    """Win rates with ties dropped; None if the remaining votes cannot be ranked."""
    if not (votes.outcome == 0.5).any():
        return ranking.win_rates
    try:
        return rank(votes.where(votes.outcome != 0.5), rounds=rounds, seed=seed).win_rates
    except Unrankable:
        return None


def _naive_interval(met: Votes) -> tuple[float, float]:
    wins = met.tally().wins
    won, lost = float(wins[0, 1]), float(wins[1, 0])
    if not won + lost:
        return math.nan, math.nan
    exact = binomtest(round(won), round(won + lost)).proportion_ci()
    return float(exact.low), float(exact.high)


def _pair_interval(
    win_rates: WinRates | None, names: Sequence[str], one: str, two: str
) -> Interval:
    if win_rates is None:
        return Interval(value=math.nan, low=math.nan, high=math.nan)
    at = names.index(one), names.index(two)
    value, low, high = win_rates.rate[at], win_rates.low[at], win_rates.high[at]
    return Interval(value=float(value), low=float(low), high=float(high))


def _ratio(rate: Interval) -> Interval:
    value, low, high = (
        math.inf if each == 1 else each / (1 - each) for each in (rate.value, rate.low, rate.high)
    )
    return Interval(value=value, low=low, high=high)


def _by_concept(votes: Votes) -> dict[str, list[float]]:
    """Votes for the first of two methods, by concept."""
    is_cast = ~np.isnan(votes.outcome)
    for_first = np.where(votes.first == 0, votes.outcome, 1 - votes.outcome)[is_cast]
    concept = votes.concept[is_cast]
    order = concept.argsort(kind="stable")
    present, starts = np.unique(concept[order], return_index=True)
    return {
        votes.concepts[number]: values.tolist()
        for number, values in zip(present, np.split(for_first[order], starts[1:]), strict=True)
    }
