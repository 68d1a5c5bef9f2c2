"""Agreement of judges with each other and with people; win rates corrected by people's votes."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from htbench.core.errors import Missing, UsageError
from htbench.judging.leaderboard import CriterionLeaderboard, Pairing, TournamentResult
from htbench.stats import durations
from htbench.stats.proportions import Proportion
from htbench.stats.ranking.bradley_terry import fit
from htbench.stats.ranking.votes import Unrankable, Votes

_COLUMNS = ("criterion", "concept", "prompt", "seed", "left", "right", "choice", "rater")
_CHOICES = {"left": 1.0, "right": 0.0, "tie": 0.5}


@dataclass(frozen=True, kw_only=True)
class HumanVote:
    """One person's vote on one pairing."""

    criterion: str
    pairing: Pairing
    value: float
    """1: the pairing's first method, 0: its second, 0.5: a tie."""
    rater: str


@dataclass(frozen=True, kw_only=True)
class JudgeAgreement:
    """Agreement of two sources of verdicts on the pairings that both have judged."""

    criterion: str
    decided: Proportion
    """Of the pairings that both decide, those that they decide alike."""
    all: Proportion
    """Of all pairings, those with the same answer, a tie being an answer too."""
    kappa: float
    """Cohen's, over won, lost and tied; NaN where it is not defined.

    Cohen. A Coefficient of Agreement for Nominal Scales. 1960. https://doi.org/10.1177/001316446002000104
    """
    tau: float
    """Kendall's, of the two orders of methods; NaN for fewer than two methods."""
    ceiling: Proportion | None = None
    """Pairs of people who agree where both decide; None between judges."""


@dataclass(frozen=True, kw_only=True)
class CorrectedRate:
    """The rate at which one method is preferred to another.

    By the judge alone, and corrected by people's votes on the pairings that they judged too.
    """

    criterion: str
    one: str
    two: str
    raw: durations.Interval
    corrected: durations.Interval
    labelled: int
    """Number of pairings that people judged too."""


def read_votes(path: Path) -> list[HumanVote]:
    """People's votes in a CSV file.

    Its columns are criterion, concept, prompt, seed, left, right, choice and rater; left and right
    are methods, the choice is left, right or tie.

    Raises:
        Missing: if there is no such file.
        UsageError: for a row that is not a vote.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise UsageError(
                    f"{str(path)!r} has no column {missing[0]!r}",
                    remedy=f"It must have {', '.join(_COLUMNS)}.",
                )
            return [_vote(row, number, path) for number, row in enumerate(rows, start=2)]
    except FileNotFoundError:
        raise Missing(f"no file of votes {str(path)!r}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error}") from None


def agreement_with_people(
    result: TournamentResult, votes: Sequence[HumanVote]
) -> list[JudgeAgreement]:
    """Agreement of a judge with people by each criterion that they have in common."""
    agreements = []
    for criterion in result.criteria:
        own_votes = [vote for vote in votes if vote.criterion == criterion.name]
        means = _means(own_votes)
        if criterion.preferences.keys() & means.keys():
            ratings = _ratings(criterion), _fit_ratings(means)
            agreement = _agreement(criterion.name, criterion.preferences, means, *ratings)
            agreements.append(replace(agreement, ceiling=_ceiling(own_votes)))
    return agreements


def agreement_with_judge(result: TournamentResult, other: TournamentResult) -> list[JudgeAgreement]:
    """Agreement of two judges by each criterion that they have in common."""
    others = {criterion.name: criterion for criterion in other.criteria}
    agreements = []
    for criterion in result.criteria:
        theirs = others.get(criterion.name)
        if theirs and criterion.preferences.keys() & theirs.preferences.keys():
            preferences = criterion.preferences, theirs.preferences
            ratings = _ratings(criterion), _ratings(theirs)
            agreements.append(_agreement(criterion.name, *preferences, *ratings))
    return agreements


def corrected_rates(
    result: TournamentResult, votes: Sequence[HumanVote], *, seed: int = 0, rounds: int = 2000
) -> list[CorrectedRate]:
    """Win rates of all pairs of methods of which people judged two pairings or more.

    The judge's mean over all pairings, plus the mean of (people - judge) over the pairings that
    people judged. It is unbiased however biased the judge is, if those pairings were drawn at
    random. Intervals resample concepts.

    References:
        Angelopoulos, Bates, Fannjiang, Jordan, Zrnic. Prediction-Powered Inference. 2023. https://arxiv.org/abs/2301.09633
    """
    rates = []
    for criterion in result.criteria:
        people = _means([vote for vote in votes if vote.criterion == criterion.name])
        by_pair: dict[tuple[str, str], dict[Pairing, float]] = defaultdict(dict)
        for pairing, value in criterion.preferences.items():
            by_pair[pairing[:2]][pairing] = value
        for (one, two), judged in sorted(by_pair.items()):
            labelled = {pairing: people[pairing] for pairing in judged if pairing in people}
            if len(labelled) > 1:
                raw, corrected = difference_estimate(judged, labelled, seed=seed, rounds=rounds)
                rate = CorrectedRate(
                    criterion=criterion.name,
                    one=one,
                    two=two,
                    raw=raw,
                    corrected=corrected,
                    labelled=len(labelled),
                )
                rates.append(rate)
    return rates


def difference_estimate(
    judged: Mapping[Pairing, float],
    labelled: Mapping[Pairing, float],
    *,
    seed: int = 0,
    rounds: int = 2000,
) -> tuple[durations.Interval, durations.Interval]:
    """The judge's mean and its mean corrected by labels, with 95 % intervals over concepts."""
    row = {concept: k for k, concept in enumerate(sorted({pairing[2] for pairing in judged}))}
    sums = np.zeros((len(row), 4))
    """By concept: sum of verdicts, their number, sum of corrections, their number."""
    for pairing, value in judged.items():
        sums[row[pairing[2]], :2] += value, 1
        if pairing in labelled:
            sums[row[pairing[2]], 2:] += labelled[pairing] - value, 1
    uniform = np.full(len(row), 1 / len(row))
    draws = np.random.default_rng(seed).multinomial(len(row), uniform, rounds) @ sums
    total, labelled_draws = sums.sum(0)[None], draws[draws[:, 3] > 0]
    return (
        _interval(float(_raw_mean(total)[0]), _raw_mean(draws)),
        _interval(float(_corrected_mean(total)[0]), _corrected_mean(labelled_draws)),
    )


def _raw_mean(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[:, 0] / sums[:, 1])


def _corrected_mean(sums: np.ndarray) -> np.ndarray:
    return np.asarray(_raw_mean(sums) + sums[:, 2] / sums[:, 3])


def _interval(value: float, draws: np.ndarray) -> durations.Interval:
    low, high = np.quantile(draws, [0.025, 0.975]) if len(draws) else (np.nan, np.nan)
    return durations.Interval(value=value, low=float(low), high=float(high))


def _vote(row: Mapping[str, str], number: int, path: Path) -> HumanVote:
    value = _CHOICES.get((row["choice"] or "").strip().lower())
    try:
        seed = int(row["seed"])
    except (TypeError, ValueError):
        raise UsageError(
            f"row {number} of {str(path)!r}: seed {row['seed']!r} is not a number"
        ) from None
    if value is None:
        raise UsageError(
            f"row {number} of {str(path)!r}: choice {row['choice']!r} is not left, right or tie"
        )
    one, two = sorted((row["left"], row["right"]))
    pairing = (one, two, row["concept"], row["prompt"], seed)
    return HumanVote(
        criterion=row["criterion"],
        pairing=pairing,
        value=value if one == row["left"] else 1 - value,
        rater=row["rater"],
    )


def _agreement(
    name: str,
    mine: Mapping[Pairing, float],
    theirs: Mapping[Pairing, float],
    ratings: Mapping[str, float],
    their_ratings: Mapping[str, float],
) -> JudgeAgreement:
    common = sorted(mine.keys() & theirs.keys())
    one, two = (
        np.sign(np.round([values[pairing] - 0.5 for pairing in common], 9))
        for values in (mine, theirs)
    )
    decided = (one != 0) & (two != 0)
    alike = int((one == two).sum())
    chance = sum(float((one == side).mean() * (two == side).mean()) for side in (-1, 0, 1))
    return JudgeAgreement(
        criterion=name,
        decided=Proportion(count=int((one == two)[decided].sum()), of=int(decided.sum())),
        all=Proportion(count=alike, of=len(common)),
        kappa=(alike / len(common) - chance) / (1 - chance) if chance < 1 else np.nan,
        tau=_tau(ratings, their_ratings),
    )


def _tau(ratings: Mapping[str, float], their_ratings: Mapping[str, float]) -> float:
    methods = sorted(ratings.keys() & their_ratings.keys())
    if len(methods) < 2:
        return float("nan")
    mine = [ratings[method] for method in methods]
    theirs = [their_ratings[method] for method in methods]
    return float(kendalltau(mine, theirs).statistic)


def _means(votes: Iterable[HumanVote]) -> dict[Pairing, float]:
    """The mean vote on each pairing."""
    values: dict[Pairing, list[float]] = defaultdict(list)
    for vote in votes:
        values[vote.pairing].append(vote.value)
    return {pairing: float(np.mean(values[pairing])) for pairing in values}


def _ceiling(votes: Iterable[HumanVote]) -> Proportion:
    """Pairs of people who agree, of those who judged the same pairing and both decided."""
    by_pairing: dict[Pairing, dict[str, float]] = defaultdict(dict)
    for vote in votes:
        by_pairing[vote.pairing][vote.rater] = vote.value
    pairs = [
        (a, b)
        for by_rater in by_pairing.values()
        for a, b in combinations(by_rater.values(), 2)
        if 0.5 not in (a, b)
    ]
    return Proportion(count=sum(a == b for a, b in pairs), of=len(pairs))


def _ratings(criterion: CriterionLeaderboard) -> dict[str, float]:
    if criterion.ranking is None:
        return {}
    rating = criterion.ranking.rating
    return dict(zip(rating.names, map(float, rating.ratings), strict=True))


def _fit_ratings(means: Mapping[Pairing, float]) -> dict[str, float]:
    rows = [(*pairing[:3], value) for pairing, value in means.items()]
    first, second, concept, outcome = zip(*rows, strict=True)
    try:
        rating = fit(Votes.collect(first=first, second=second, concept=concept, outcome=outcome))
    except Unrankable:
        return {}
    return dict(zip(rating.names, map(float, rating.ratings), strict=True))
