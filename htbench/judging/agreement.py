"""How far verdicts agree: of judges with each other, and with people; and win rates that people's votes correct."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    """What one person said of one pairing."""

    criterion: str
    pairing: Pairing
    value: float
    """1: the pairing's first method, 0: its second, 0.5: a tie."""
    rater: str


@dataclass(frozen=True, kw_only=True)
class JudgeAgreement:
    """Two sources of verdicts on the pairings that both have."""

    criterion: str
    decided: Proportion
    """Pairings that both decide, and decide alike."""
    all: Proportion
    """Alike, where a tie is an answer too."""
    kappa: float
    """Cohen's, over won, lost and tied; NaN where it is not defined.

    Cohen. A Coefficient of Agreement for Nominal Scales. 1960. https://doi.org/10.1177/001316446002000104
    """
    tau: float
    """Kendall's, of the orders of methods; NaN below two methods."""
    ceiling: Proportion | None = None
    """How often two people agree where both decide; None between judges."""


@dataclass(frozen=True, kw_only=True)
class CorrectedRate:
    """How often one method is preferred to another: by the judge alone, and corrected by what people said where they were asked."""

    criterion: str
    one: str
    two: str
    raw: durations.Interval
    corrected: durations.Interval
    labelled: int
    """Pairings that people judged too."""


def read_votes(path: Path) -> list[HumanVote]:
    """People's votes in a CSV with columns criterion, concept, prompt, seed, left, right, choice (left, right or tie) and rater; left and right are methods.

    Raises:
        Missing: if there is no such file.
        UsageError: with the row that makes no sense.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            lost = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
            if lost:
                raise UsageError(
                    f"{str(path)!r} has no column {lost[0]!r}",
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
    found = []
    for criterion in result.criteria:
        mine = [vote for vote in votes if vote.criterion == criterion.name]
        means = _means(mine)
        if common := criterion.preferences.keys() & means.keys():
            people = {pairing: means[pairing] for pairing in sorted(common)}
            found.append(
                _agreement(
                    criterion.name,
                    criterion.preferences,
                    people,
                    _ratings(criterion),
                    _fit_ratings(means),
                    ceiling=_ceiling(mine),
                )
            )
    return found


def agreement_with_judge(result: TournamentResult, other: TournamentResult) -> list[JudgeAgreement]:
    """Agreement of two judges by each criterion that they have in common."""
    theirs = {criterion.name: criterion for criterion in other.criteria}
    found = []
    for criterion in result.criteria:
        if (
            them := theirs.get(criterion.name)
        ) and criterion.preferences.keys() & them.preferences.keys():
            found.append(
                _agreement(
                    criterion.name,
                    criterion.preferences,
                    them.preferences,
                    _ratings(criterion),
                    _ratings(them),
                )
            )
    return found


def corrected_rates(
    result: TournamentResult, votes: Sequence[HumanVote], *, seed: int = 0, rounds: int = 2000
) -> list[CorrectedRate]:
    """Win rates of all pairs of methods that people judged some pairings of.

    The judge's mean over all pairings, plus the mean of (people - judge) over those that people judged: right on average however biased the judge is, if
    those were drawn at random. Intervals resample concepts.

    References:
        Angelopoulos, Bates, Fannjiang, Jordan, Zrnic. Prediction-Powered Inference. 2023. https://arxiv.org/abs/2301.09633
    """
    found = []
    for criterion in result.criteria:
        people = _means([vote for vote in votes if vote.criterion == criterion.name])
        by_pair: dict[tuple[str, str], dict[Pairing, float]] = defaultdict(dict)
        for pairing, value in criterion.preferences.items():
            by_pair[pairing[:2]][pairing] = value
        for (one, two), judged in sorted(by_pair.items()):
            labelled = {pairing: people[pairing] for pairing in judged if pairing in people}
            if len(labelled) > 1:
                raw, mended = difference_estimate(judged, labelled, seed=seed, rounds=rounds)
                found.append(
                    CorrectedRate(
                        criterion=criterion.name,
                        one=one,
                        two=two,
                        raw=raw,
                        corrected=mended,
                        labelled=len(labelled),
                    )
                )
    return found


def difference_estimate(
    judged: Mapping[Pairing, float],
    labelled: Mapping[Pairing, float],
    *,
    seed: int = 0,
    rounds: int = 2000,
) -> tuple[durations.Interval, durations.Interval]:
    """The judge's mean, and its mean corrected by labels, each with a 95 % interval that resamples concepts."""
    place = {concept: k for k, concept in enumerate(sorted({pairing[2] for pairing in judged}))}
    sums = np.zeros((len(place), 4))
    """By concept: sum of verdicts, their number, sum of corrections, their number."""
    for pairing, value in judged.items():
        sums[place[pairing[2]], :2] += value, 1
        if pairing in labelled:
            sums[place[pairing[2]], 2:] += labelled[pairing] - value, 1
    picks = (
        np.random.default_rng(seed).multinomial(
            len(place), np.full(len(place), 1 / len(place)), rounds
        )
        @ sums
    )
    raw, mended = _two_means(sums.sum(0)[None]), _two_means(picks[picks[:, 3] > 0])
    drawn_raw, drawn = picks[:, 0] / picks[:, 1], mended[1]
    return _interval(float(raw[0][0]), drawn_raw), _interval(float(raw[1][0]), drawn)


def _two_means(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    raw = sums[:, 0] / sums[:, 1]
    return raw, raw + sums[:, 2] / sums[:, 3]


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
    *,
    ceiling: Proportion | None = None,
) -> JudgeAgreement:
    common = sorted(mine.keys() & theirs.keys())
    one, two = (
        np.sign(np.round([values[pairing] - 0.5 for pairing in common], 9))
        for values in (mine, theirs)
    )
    decided = (one != 0) & (two != 0)
    alike = int((one == two).sum())
    chance = sum(float((one == side).mean() * (two == side).mean()) for side in (-1, 0, 1))
    methods = sorted(ratings.keys() & their_ratings.keys())
    tau = (
        kendalltau(
            [ratings[method] for method in methods], [their_ratings[method] for method in methods]
        ).statistic
        if len(methods) > 1
        else np.nan
    )
    return JudgeAgreement(
        criterion=name,
        decided=Proportion(count=int((one == two)[decided].sum()), of=int(decided.sum())),
        all=Proportion(count=alike, of=len(common)),
        kappa=(alike / len(common) - chance) / (1 - chance) if chance < 1 else np.nan,
        tau=float(tau),
        ceiling=ceiling,
    )


def _means(votes: Iterable[HumanVote]) -> dict[Pairing, float]:
    found: dict[Pairing, list[float]] = defaultdict(list)
    for vote in votes:
        found[vote.pairing].append(vote.value)
    return {pairing: float(np.mean(values)) for pairing, values in found.items()}


def _ceiling(votes: Iterable[HumanVote]) -> Proportion:
    """How often two people who judged the same pairing, and decided, agree."""
    by_pairing: dict[Pairing, dict[str, float]] = defaultdict(dict)
    for vote in votes:
        by_pairing[vote.pairing][vote.rater] = vote.value
    pairs = [
        (a, b)
        for said in by_pairing.values()
        for a, b in combinations(said.values(), 2)
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
        found = fit(Votes.collect(first=first, second=second, concept=concept, outcome=outcome))
    except Unrankable:
        return {}
    return dict(zip(found.names, map(float, found.ratings), strict=True))
