"""Ranks on a leaderboard, with their ranges over resamples; from votes or from scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from htbench.stats import estimates
from htbench.stats.ranking.tiers import PairwiseTest, best_first, pairwise_tests, tiers


@dataclass(frozen=True, kw_only=True)
class ContenderRank:
    """The rank of one contender."""

    name: str
    rank: int
    """1 plus the number of higher contenders; equals share the better rank."""
    highest: int
    lowest: int
    """95 % of resamples rank it from `highest` to `lowest`."""
    tier: int
    """Contenders of one tier do not differ significantly from its first."""
    best: float
    """Share of resamples in which it is first; NaN with one cluster."""

    @property
    def rank_range(self) -> str:
        """The range of ranks as text, such as `2` or `1–3`."""
        return f"{self.highest}" if self.highest == self.lowest else f"{self.highest}–{self.lowest}"


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The ranks of all contenders, the best first."""

    ranks: tuple[ContenderRank, ...]
    pairwise_tests: tuple[PairwiseTest, ...]
    """All pairs, in the same order."""
    concepts: int
    """Number of resampled concepts."""

    def get(self, name: str) -> ContenderRank | None:
        """The rank of the contender `name`; None if it is not ranked."""
        return next((rank for rank in self.ranks if rank.name == name), None)

    @property
    def first_tier(self) -> tuple[str, ...]:
        """Names of the contenders in the first tier."""
        return tuple(rank.name for rank in self.ranks if rank.tier == 1)


def rank_contenders(
    names: Sequence[str],
    values: Float[np.ndarray, " contenders"],
    resamples: Float[np.ndarray, "rounds contenders"],
    *,
    clusters: int,
    concepts: int,
    log_odds: bool = False,
) -> Ranks:
    """Rank contenders by their values, with ranges from the values in resamples.

    `clusters` is the number of resampled units; values may be `log_odds`.
    """
    pairs = pairwise_tests(names, values, resamples, clusters=clusters, log_odds=log_odds)
    tier, rank, resampled_ranks = tiers(names, values, pairs), _ranks(values), _ranks(resamples)
    is_first = resampled_ranks == 1
    ranks = []
    for k in best_first(values):
        highest, lowest, best = 1, len(names), np.nan
        if clusters > 1:
            level = estimates.tail_quantile(clusters)
            ends = np.quantile(resampled_ranks[:, k], [level, 1 - level], method="inverted_cdf")
            highest, lowest = map(int, ends)
            best = float((is_first[:, k] / is_first.sum(1)).mean())
        ranks.append(
            ContenderRank(
                name=names[k],
                rank=int(rank[k]),
                highest=highest,
                lowest=lowest,
                tier=tier[k],
                best=best,
            )
        )
    return Ranks(ranks=tuple(ranks), pairwise_tests=tuple(pairs), concepts=concepts)


def rank_by_scores(
    scores: Mapping[str, Mapping[str, float]], *, rounds: int = 10_000, seed: int = 0
) -> Ranks | None:
    """Rank methods by their mean score over the concepts that all of them have.

    None for fewer than two methods, or no such concept. Every resample draws the same concepts for
    all methods, so that a hard concept moves no method past another.
    """
    common = [
        concept
        for concept in next(iter(scores.values()), {})
        if all(concept in by_concept for by_concept in scores.values())
    ]
    if len(scores) < 2 or not common:
        return None
    n = len(common)
    values = np.array(
        [[by_concept[concept] for concept in common] for by_concept in scores.values()]
    )
    resampled = estimates.resamples(n, seed=seed, rounds=rounds) @ values.T / n
    return rank_contenders(tuple(scores), values.mean(1), resampled, clusters=n, concepts=n)


def _ranks(values: Float[np.ndarray, "*draws contenders"]) -> Int[np.ndarray, "*draws contenders"]:
    return np.asarray(1 + (values[..., None, :] > values[..., :, None] + 1e-9).sum(-1))
