"""Ranks on a leaderboard, with their ranges over resamples; from votes or from scores."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from htbench.stats.families import MIN_CLUSTERS, Families, FamiliesByConcept
from htbench.stats.ranking.tiers import PairwiseTest, best_first, score_tests, tiers


@dataclass(frozen=True, kw_only=True)
class ContenderRank:
    """The rank of one contender."""

    name: str
    rank: int
    """1 plus the number of higher contenders; equals share the better rank."""
    highest: int
    lowest: int
    """The ranks that the tests of all pairs leave: from 1 plus the number of contenders that are
    significantly better, to the number that are not significantly worse. The ranges of all
    contenders hold together in 95 % of samples."""
    tier: int
    """Contenders of one tier do not differ significantly from its first."""
    best: float
    """Share of resamples in which it is first; NaN for too few clusters."""

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
    """Number of concepts."""
    clusters: float
    """Effective number of independent clusters of concepts, or of raters if they are fewer."""

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
    tests: Sequence[PairwiseTest],
    *,
    concepts: int,
    clusters: float,
) -> Ranks:
    """Rank contenders by their values, with ranges and tiers from the tests of all pairs."""
    tier, rank = tiers(names, values, tests), _ranks(values)
    beaten_by = Counter(test.worse for test in tests if test.significant)
    beats = Counter(test.better for test in tests if test.significant)
    first = _ranks(resamples) == 1
    best = (first / first.sum(1, keepdims=True)).mean(0)
    ranks = [
        ContenderRank(
            name=names[k],
            rank=int(rank[k]),
            highest=1 + beaten_by[names[k]],
            lowest=len(names) - beats[names[k]],
            tier=tier[k],
            best=float(best[k]) if clusters >= MIN_CLUSTERS else np.nan,
        )
        for k in best_first(values)
    ]
    return Ranks(
        ranks=tuple(ranks), pairwise_tests=tuple(tests), concepts=concepts, clusters=clusters
    )


def rank_by_scores(
    scores: Mapping[str, Mapping[str, float]],
    families: FamiliesByConcept | None = None,
    *,
    rounds: int = 10_000,
    seed: int = 0,
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
    related = Families.of(common, families)
    values = np.array(
        [[by_concept[concept] for concept in common] for by_concept in scores.values()]
    )
    draws = related.resamples(seed=seed, rounds=rounds)
    return rank_contenders(
        tuple(scores),
        values.mean(1),
        draws @ values.T / draws.sum(1, keepdims=True),
        score_tests(tuple(scores), values, related, rounds=min(rounds, 2000), seed=seed),
        concepts=len(common),
        clusters=related.clusters,
    )


def _ranks(values: Float[np.ndarray, "*draws contenders"]) -> Int[np.ndarray, "*draws contenders"]:
    return np.asarray(1 + (values[..., None, :] > values[..., :, None] + 1e-9).sum(-1))
