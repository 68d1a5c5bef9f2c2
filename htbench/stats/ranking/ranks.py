"""Places on a leaderboard, with how far other concepts would have moved each; from votes or from scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from htbench.stats import estimates
from htbench.stats.ranking.tiers import PairwiseTest, best_first, pairwise_tests, tiers


@dataclass(frozen=True, kw_only=True)
class ContenderRank:
    """Where one contender stands."""

    name: str
    rank: int
    """1 plus how many are higher; equals share the better one."""
    highest: int
    lowest: int
    """95 % of resamples rank it from `highest` to `lowest`."""
    tier: int
    """Contenders of one tier are not told apart from its head."""
    best: float
    """Share of resamples in which it is first; NaN with one cluster."""

    @property
    def rank_range(self) -> str:
        """Such as `2`, or `1–3`."""
        return f"{self.highest}" if self.highest == self.lowest else f"{self.highest}–{self.lowest}"


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """All contenders, the best first."""

    ranks: tuple[ContenderRank, ...]
    pairwise_tests: tuple[PairwiseTest, ...]
    """All pairs, in the same order."""
    concepts: int
    """That were resampled."""

    def get(self, name: str) -> ContenderRank | None:
        """One contender's; None if it is not ranked."""
        return next((place for place in self.ranks if place.name == name), None)

    @property
    def first_tier(self) -> tuple[str, ...]:
        """Who is in the first tier."""
        return tuple(place.name for place in self.ranks if place.tier == 1)


def rank_contenders(
    names: Sequence[str],
    values: Float[np.ndarray, " contenders"],
    resamples: Float[np.ndarray, "rounds contenders"],
    *,
    clusters: int,
    concepts: int,
    log_odds: bool = False,
) -> Ranks:
    """From each contender's value, which may be `log_odds`, and what resamples of so many clusters made of it."""
    pairs = pairwise_tests(names, values, resamples, clusters=clusters, log_odds=log_odds)
    tier, rank, ranks = tiers(names, values, pairs), _ranks(values), _ranks(resamples)
    several, first = clusters > 1, ranks == 1
    level = estimates.tail_quantile(clusters) if several else 0.0
    found = []
    for k in best_first(values):
        highest, lowest = (
            np.quantile(ranks[:, k], [level, 1 - level], method="inverted_cdf")
            if several
            else (1, len(names))
        )
        best = float((first[:, k] / first.sum(1)).mean()) if several else np.nan
        found.append(
            ContenderRank(
                name=names[k],
                rank=int(rank[k]),
                highest=int(highest),
                lowest=int(lowest),
                tier=tier[k],
                best=best,
            )
        )
    return Ranks(ranks=tuple(found), pairwise_tests=tuple(pairs), concepts=concepts)


def rank_by_scores(
    scores: Mapping[str, Mapping[str, float]], *, rounds: int = 10_000, seed: int = 0
) -> Ranks | None:
    """Of methods by their mean score over the concepts that all of them have; None for fewer than two methods, or no such concept.

    Every resample draws the same concepts for all methods: what makes a concept hard moves none of them past another.
    """
    common = [
        concept
        for concept in next(iter(scores.values()), {})
        if all(concept in known for known in scores.values())
    ]
    if len(scores) < 2 or not common:
        return None
    values = np.array([[known[concept] for concept in common] for known in scores.values()])
    drawn = estimates.resamples(len(common), seed=seed, rounds=rounds) @ values.T / len(common)
    return rank_contenders(
        tuple(scores), values.mean(1), drawn, clusters=len(common), concepts=len(common)
    )


def _ranks(values: Float[np.ndarray, "*draws contenders"]) -> Int[np.ndarray, "*draws contenders"]:
    return np.asarray(1 + (values[..., None, :] > values[..., :, None] + 1e-9).sum(-1))
