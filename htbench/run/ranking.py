"""A ranking of methods: what it ranks by, their ranks, and the methods that it leaves out."""

from collections.abc import Mapping
from dataclasses import dataclass

from htbench.stats.ranking.ranks import Ranks

MIN_KEPT = 0.1
"""Mean image preservation below which almost nothing of the image is left."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """One order of the methods."""

    name: str
    title: str
    basis: str
    """The score that it ranks by, in a few words, such as `concept gain at strength 1`."""
    strengths: Mapping[str, float]
    """The strength of each method: ranked methods first, the best first."""
    ranks: Ranks | None
    """None where fewer than two methods may be ranked."""
    left_out: Mapping[str, str]
    """Methods without a rank, with the reason."""
    cells: int | None = None
    """Number of cells, each a concept, prompt and seed, that all ranked methods have; None for a
    ranking of whole curves."""
