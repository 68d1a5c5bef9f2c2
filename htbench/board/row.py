"""A row of a bundle's leaderboard: scores made here, and what its table recorded beside them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from htbench.core.types import UNSTEERED
from htbench.stats.estimates import Estimate

COLUMNS = frozenset(
    {
        *("method", "strength", "rank", "rank_high", "rank_low", "tier"),
        *("done", "planned", "unranked", "ranked_by"),
    }
)
"""The columns of `leaderboard.csv` that the board needs."""
Recorded = Mapping[str, str]
"""A row of `leaderboard.csv` by column, as it is written there."""


@dataclass(frozen=True, kw_only=True)
class Rank:
    """The rank of a method among those of its own bundle."""

    rank: int
    highest: int
    lowest: int
    tier: int

    @property
    def rank_range(self) -> str:
        """The range of ranks as text, as in a report."""
        return f"{self.highest}" if self.highest == self.lowest else f"{self.highest}–{self.lowest}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method of a bundle at the strength of the bundle's leaderboard."""

    method: str
    strength: float
    scores: Mapping[str, Estimate | None]
    """Made here, by metric."""
    rank: Rank | None
    """As recorded; None for a method that has none."""
    unranked: str
    """The reason, as recorded."""
    seconds: float
    """Median time of a concept, or of an imported image, as recorded; NaN where it is not known."""
    done: int
    planned: int
    ranked_by: str
    """Words for the score that ranks, and its strength, as recorded."""

    @classmethod
    def of(cls, recorded: Recorded, scores: Mapping[str, Estimate | None]) -> "Row":
        """The row that a table recorded, with the scores that were made here."""
        method = recorded["method"]
        return cls(
            method=method,
            strength=read_strength(recorded),
            scores=scores,
            rank=_rank(recorded),
            unranked=recorded["unranked"] if method != UNSTEERED else "",
            seconds=parse_number(
                recorded.get("concept_seconds", recorded.get("image_seconds", ""))
            ),
            done=_whole(recorded["done"]),
            planned=_whole(recorded["planned"]),
            ranked_by=recorded["ranked_by"],
        )


def read_strength(recorded: Recorded) -> float:
    """The strength of a row; NaN for what is none."""
    return parse_number(recorded["strength"])


def parse_number(text: str) -> float:
    """The number in a cell of a table; NaN for what is none."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _rank(recorded: Recorded) -> Rank | None:
    names = {"rank": "rank", "highest": "rank_high", "lowest": "rank_low", "tier": "tier"}
    values = {name: parse_number(recorded[column]) for name, column in names.items()}
    if not all(map(math.isfinite, values.values())):
        return None
    return Rank(**{name: int(value) for name, value in values.items()})


def _whole(text: str) -> int:
    value = parse_number(text)
    return int(value) if math.isfinite(value) else 0
