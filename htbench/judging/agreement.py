"""Agreement of judges with each other and with people; win rates corrected by people's votes."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from htbench.core import reading
from htbench.core.errors import UsageError
from htbench.judging.leaderboard import CriterionLeaderboard, Pairing, TournamentResult
from htbench.stats import crossed, durations
from htbench.stats.proportions import Proportion
from htbench.stats.ranking.bradley_terry import fit
from htbench.stats.ranking.votes import Unrankable, Votes

_COLUMNS = ("criterion", "concept", "prompt", "seed", "left", "right", "choice", "rater")
_MAX_HEADER = 1 << 16
"""The longest first line, in characters."""
_SEED = re.compile(r"-?[0-9]{1,19}")
_NO_UTF8 = re.compile("[\udc80-\udcff]")
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
    """Agreement of two sources of verdicts on the pairings that both have judged.

    Intervals are for new concepts and, where several people voted, new people; NaN below three of
    either.
    """

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
        UnknownName: if there is no such file, with the nearest beside it; Missing: without any.
        UsageError: if it is no such file, or for a row that is not a vote.
    """
    shown = repr(str(path)[:300])
    with reading.open_text(path, noun="file of votes") as file:
        header = file.readline(_MAX_HEADER)
        delimiter = max(",;\t", key=header.count)
        names = next(csv.reader([header], delimiter=delimiter), [])
        missing = [name for name in _COLUMNS if name not in names]
        if missing:
            raise UsageError(
                f"{shown} has no column {missing[0]!r}",
                remedy=f"It must have {', '.join(_COLUMNS)}.",
            )
        try:
            rows = csv.DictReader(file, names, delimiter=delimiter)
            return [_vote(row, number, shown) for number, row in enumerate(rows, start=2)]
        except csv.Error as error:
            raise UsageError(f"{shown} cannot be read: {error}") from None


def agreement_with_people(
    result: TournamentResult, votes: Sequence[HumanVote]
) -> list[JudgeAgreement]:
    """Agreement of a judge with people by each criterion that they have in common."""
    agreements = []
    for criterion in result.criteria:
        own_votes = [vote for vote in votes if vote.criterion == criterion.name]
        people = _by_pairing(own_votes)
        if criterion.preferences.keys() & people.keys():
            ratings = _ratings(criterion), _fit_ratings(people)
            agreement = _agreement(criterion.name, criterion.preferences, people, *ratings)
            agreements.append(replace(agreement, ceiling=_ceiling(own_votes)))
    return agreements


def agreement_with_judge(result: TournamentResult, other: TournamentResult) -> list[JudgeAgreement]:
    """Agreement of two judges by each criterion that they have in common."""
    others = {criterion.name: criterion for criterion in other.criteria}
    agreements = []
    for criterion in result.criteria:
        theirs = others.get(criterion.name)
        if theirs and criterion.preferences.keys() & theirs.preferences.keys():
            preferences = criterion.preferences, _single(theirs.preferences)
            ratings = _ratings(criterion), _ratings(theirs)
            agreements.append(_agreement(criterion.name, *preferences, *ratings))
    return agreements


def corrected_rates(result: TournamentResult, votes: Sequence[HumanVote]) -> list[CorrectedRate]:
    """Win rates of all pairs of methods of which people judged two pairings or more.

    The judge's mean over all pairings, plus the mean of (people - judge) over the pairings that
    people judged. It is unbiased however biased the judge is, if those pairings were drawn at
    random.

    References:
        Angelopoulos, Bates, Fannjiang, Jordan, Zrnic. Prediction-Powered Inference. 2023. https://arxiv.org/abs/2301.09633
    """
    rates = []
    for criterion in result.criteria:
        people = _by_pairing(vote for vote in votes if vote.criterion == criterion.name)
        by_pair: dict[tuple[str, str], dict[Pairing, float]] = defaultdict(dict)
        for pairing, value in criterion.preferences.items():
            by_pair[pairing[:2]][pairing] = value
        for (one, two), judged in sorted(by_pair.items()):
            labelled = {pairing: people[pairing] for pairing in judged if pairing in people}
            if len(labelled) > 1:
                raw, corrected = difference_estimate(judged, labelled)
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
    judged: Mapping[Pairing, float], labelled: Mapping[Pairing, Mapping[str, float]]
) -> tuple[durations.Interval, durations.Interval]:
    """The judge's mean, and its mean corrected by labels, which are votes by rater.

    95 % intervals for new concepts and, where several raters voted, new raters; NaN below three
    concepts, concepts with labels, or raters.
    """
    units = [(pairing[2], labelled.get(pairing, {})) for pairing in judged]
    verdicts = np.array(list(judged.values()))

    def corrections(counts: Float[np.ndarray, "units outcomes"], unit: np.ndarray) -> np.ndarray:
        votes = counts.sum(1)
        people = counts @ crossed.OUTCOMES / np.maximum(votes, 1)
        is_labelled = votes > 0
        gap = np.where(is_labelled, people - verdicts[unit], 0)
        return np.stack([gap, is_labelled, verdicts[unit], np.ones(len(unit))], axis=1)

    sums = crossed.Sums.collect(units, corrections)
    by_concept = sums.by_concept
    raw = crossed.estimate(crossed.Sums(by_concept=by_concept[:, 2:]), crossed.ratio)
    corrected = crossed.estimate(sums, _corrected_mean, clusters=int((by_concept[:, 1] > 0).sum()))
    return raw.mean(), corrected.mean()


def _corrected_mean(sums: Float[np.ndarray, "draws sums"]) -> Float[np.ndarray, "draws one"]:
    return np.asarray(crossed.ratio(sums[:, 2:]) + crossed.ratio(sums))


def _vote(row: Mapping[str, str | None], number: int, shown: str) -> HumanVote:
    cells = {name: row.get(name) for name in _COLUMNS}
    for name, cell in cells.items():
        if cell is None:
            raise UsageError(f"row {number} of {shown} has no {name}")
        if not cell.isprintable() and _NO_UTF8.search(cell):
            raise UsageError(
                f"row {number} of {shown} is not UTF-8: {name}", remedy="Save it as UTF-8."
            )
    whole = {name: str(cell) for name, cell in cells.items()}
    seed, value = whole["seed"].strip(), _CHOICES.get(whole["choice"].strip().lower())
    if not _SEED.fullmatch(seed):
        raise UsageError(f"row {number} of {shown}: seed {seed[:60]!r} is not a number")
    if value is None:
        raise UsageError(
            f"row {number} of {shown}: choice {whole['choice'][:60]!r} is not left, right or tie"
        )
    one, two = sorted((whole["left"], whole["right"]))
    if one == two:
        raise UsageError(f"row {number} of {shown}: left and right are both {one[:60]!r}")
    pairing = (one, two, whole["concept"], whole["prompt"], int(seed))
    return HumanVote(
        criterion=whole["criterion"],
        pairing=pairing,
        value=value if one == whole["left"] else 1 - value,
        rater=whole["rater"],
    )


def _agreement(
    name: str,
    mine: Mapping[Pairing, float],
    theirs: Mapping[Pairing, Mapping[str, float]],
    ratings: Mapping[str, float],
    their_ratings: Mapping[str, float],
) -> JudgeAgreement:
    """Agreement with the mean of their verdicts, which are by rater."""
    common = sorted(mine.keys() & theirs.keys())
    own = np.sign(np.round([mine[pairing] - 0.5 for pairing in common], 9))

    def compare(counts: Float[np.ndarray, "units outcomes"], unit: np.ndarray) -> np.ndarray:
        one, two = own[unit], np.sign(counts[:, 0] - counts[:, 2])
        judged, decided = counts.any(1), (one != 0) & (two != 0)
        alike = one == two
        return np.stack([decided & alike, decided, judged & alike, judged], axis=1).astype(float)

    sums = crossed.Sums.collect([(each[2], theirs[each]) for each in common], compare)
    decided_alike, decided, alike, of = map(int, sums.by_concept.sum(0))
    estimates = crossed.estimate(
        sums,
        lambda each: np.concatenate([crossed.ratio(each), crossed.ratio(each[:, 2:])], axis=1),
    )
    others = np.sign(np.round([_mean(theirs[pairing]) - 0.5 for pairing in common], 9))
    chance = sum(float((own == side).mean() * (others == side).mean()) for side in (-1, 0, 1))
    return JudgeAgreement(
        criterion=name,
        decided=estimates.share(0, count=decided_alike, of=decided),
        all=estimates.share(1, count=alike, of=of),
        kappa=(alike / of - chance) / (1 - chance) if chance < 1 else np.nan,
        tau=_tau(ratings, their_ratings),
    )


def _tau(ratings: Mapping[str, float], their_ratings: Mapping[str, float]) -> float:
    methods = sorted(ratings.keys() & their_ratings.keys())
    if len(methods) < 2:
        return float("nan")
    from scipy.stats import kendalltau  # takes half a second to import

    mine = [ratings[method] for method in methods]
    theirs = [their_ratings[method] for method in methods]
    return float(kendalltau(mine, theirs).statistic)


def _by_pairing(votes: Iterable[HumanVote]) -> dict[Pairing, dict[str, float]]:
    """The votes on each pairing by rater; a rater's further votes on it are as another's."""
    by_pairing: dict[Pairing, dict[str, float]] = defaultdict(dict)
    for vote in votes:
        own = by_pairing[vote.pairing]
        again = f"{vote.rater} again, {len(own)}"
        own[again if vote.rater in own else vote.rater] = vote.value
    return by_pairing


def _ceiling(votes: Iterable[HumanVote]) -> Proportion:
    """Pairs of people who agree; of several votes of one rater on a pairing the last counts."""
    latest: dict[Pairing, dict[str, float]] = defaultdict(dict)
    for vote in votes:
        latest[vote.pairing][vote.rater] = vote.value
    return crossed.pairwise_share([(pairing[2], each) for pairing, each in latest.items()])


def _mean(votes: Mapping[str, float]) -> float:
    return float(np.mean(list(votes.values())))


def _single(verdicts: Mapping[Pairing, float]) -> dict[Pairing, dict[str, float]]:
    """The verdicts of one judge, each as won, lost or tied."""
    signs = {pairing: np.sign(round(value - 0.5, 9)) for pairing, value in verdicts.items()}
    return {pairing: {"": float(sign + 1) / 2} for pairing, sign in signs.items()}


def _ratings(criterion: CriterionLeaderboard) -> dict[str, float]:
    if criterion.ranking is None:
        return {}
    rating = criterion.ranking.rating
    return dict(zip(rating.names, map(float, rating.ratings), strict=True))


def _fit_ratings(votes: Mapping[Pairing, Mapping[str, float]]) -> dict[str, float]:
    """Ratings of methods by the mean vote on each pairing."""
    rows = [(*pairing[:3], _mean(each)) for pairing, each in votes.items()]
    first, second, concept, outcome = zip(*rows, strict=True)
    try:
        rating = fit(Votes.collect(first=first, second=second, concept=concept, outcome=outcome))
    except Unrankable:
        return {}
    return dict(zip(rating.names, map(float, rating.ratings), strict=True))
