"""Pairwise verdicts as columns: who met whom, on which concept, and how it ended."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from htbench.core.errors import Refused, UnknownName

Column = Literal["concept", "rater", "judge"]
"""What votes can be grouped by."""


class Unrankable(Refused):
    """Votes that no ranking follows from."""


class NoVotes(Unrankable):
    """Nobody was compared with anybody."""


class DisconnectedVotes(Unrankable):
    """Groups of contenders that never met."""

    def __init__(self, groups: Sequence[Sequence[str]]) -> None:
        listed = " | ".join(
            ", ".join(group[:6]) + (", …" if len(group) > 6 else "") for group in groups[:6]
        )
        super().__init__(
            f"{len(groups)} groups of contenders never met, so nothing ranks one against another: {listed}",
            remedy="Compare some across the groups.",
        )
        self.components = tuple(map(tuple, groups))


@dataclass(frozen=True, kw_only=True)
class VoteTally:
    """What votes between contenders add up to; leading axes, if any, are draws of a bootstrap."""

    wins: Float[np.ndarray, "*draws contenders contenders"]
    """Weight of the votes that the row won against the column."""
    ties: Float[np.ndarray, "*draws contenders contenders"]
    """Weight of the ties between both; symmetric."""

    @property
    def totals(self) -> Float[np.ndarray, "*draws contenders contenders"]:
        """Weight of all votes between both; symmetric."""
        return np.asarray(self.wins + self.wins.swapaxes(-1, -2) + self.ties)

    @property
    def win_rates(self) -> Float[np.ndarray, "*draws contenders contenders"]:
        """Share of its votes that the row won against the column, a tie as half a win; NaN where they never met."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.wins + 0.5 * self.ties) / self.totals)


@dataclass(frozen=True, kw_only=True, eq=False)
class Votes:
    """Verdicts on pairs of contenders, one a row; `Votes.collect` makes them from labels.

    An answer that flips with the order of the pair is best given as two rows of half the weight, one each way: so it counts half
    under every tie rule without being taken for a tie.

    Raises:
        ValueError: if columns differ in length, an index has no label, a contender meets itself, an outcome is outside [0, 1] or a weight below 0.
    """

    names: tuple[str, ...]
    """The contenders."""
    first: Int[np.ndarray, " votes"]
    second: Int[np.ndarray, " votes"]
    """Indices into `names`."""
    outcome: Float[np.ndarray, " votes"]
    """1: the first won, 0: the second, 0.5: a tie, between: a share of a win each; NaN: no verdict, which is counted and otherwise ignored."""
    concepts: tuple[str, ...]
    concept: Int[np.ndarray, " votes"]
    """Indices into `concepts`, the clusters that intervals resample."""
    raters: tuple[str, ...] = ()
    rater: Int[np.ndarray, " votes"] | None = None
    """Indices into `raters`; where given, intervals resample them too."""
    judges: tuple[str, ...] = ()
    judge: Int[np.ndarray, " votes"] | None = None
    """Indices into `judges`, which are never resampled, only left out one at a time."""
    weight: Float[np.ndarray, " votes"] | None = None
    """How much each counts; None: 1."""

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"two contenders have the same name: {sorted(self.names)}")
        for name, column, labels in self._indices():
            if len(column) != len(self.first):
                raise ValueError(f"{len(column)} values of {name!r} for {len(self.first)} votes")
            if len(column) and not 0 <= column.min() <= column.max() < len(labels):
                raise ValueError(f"{name!r} has an index outside its {len(labels)} labels")
        if len(self.outcome) != len(self) or len(self.weights) != len(self):
            raise ValueError(
                f"{len(self.outcome)} outcomes and {len(self.weights)} weights for {len(self)} votes"
            )
        if (self.first == self.second).any():
            raise ValueError(
                f"{self.names[self.first[np.argmax(self.first == self.second)]]!r} meets itself"
            )
        if ((self.outcome < 0) | (self.outcome > 1)).any():
            raise ValueError("an outcome is between 0 and 1, or NaN for no verdict")
        if not ((self.weights >= 0) & np.isfinite(self.weights)).all():
            raise ValueError("a weight is finite and not below 0")

    @classmethod
    def collect(
        cls,
        *,
        first: Sequence[str],
        second: Sequence[str],
        outcome: Sequence[float | None],
        concept: Sequence[str],
        rater: Sequence[str] | None = None,
        judge: Sequence[str] | None = None,
        weight: Sequence[float] | None = None,
        names: Sequence[str] = (),
    ) -> Self:
        """From columns of labels. `names` gives the order of the contenders, and those without a vote; others follow as they come.

        An outcome of None is a verdict that is missing.
        """
        order = tuple(dict.fromkeys((*names, *first, *second)))
        concepts, concept_of = _codes(concept)
        raters, rater_of = _codes(rater or ())
        judges, judge_of = _codes(judge or ())
        place = {name: k for k, name in enumerate(order)}
        return cls(
            names=order,
            first=np.array([place[name] for name in first], int),
            second=np.array([place[name] for name in second], int),
            outcome=np.array([np.nan if value is None else value for value in outcome], float),
            concepts=concepts,
            concept=concept_of,
            raters=raters,
            rater=None if rater is None else rater_of,
            judges=judges,
            judge=None if judge is None else judge_of,
            weight=None if weight is None else np.array(weight, float),
        )

    def __len__(self) -> int:
        """Rows, with those that have no verdict."""
        return len(self.first)

    @property
    def weights(self) -> Float[np.ndarray, " votes"]:
        """How much each vote counts."""
        return np.ones(len(self)) if self.weight is None else self.weight

    @property
    def valid(self) -> Bool[np.ndarray, " votes"]:
        """Which rows have a verdict that counts."""
        return np.asarray(~np.isnan(self.outcome) & (self.weights > 0))

    def labels(self, column: Column) -> tuple[str, ...]:
        """What the column groups votes into; empty where it is not known."""
        return {"concept": self.concepts, "rater": self.raters, "judge": self.judges}[column]

    def where(self, keep: Bool[np.ndarray, " votes"]) -> Self:
        """Only these rows; names and labels stay."""
        parts = {
            name: getattr(self, name)[keep] for name in ("first", "second", "outcome", "concept")
        }
        maybe = {
            name: value[keep]
            for name in ("rater", "judge", "weight")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **parts, **maybe)

    def among(self, names: Iterable[str]) -> Self:
        """Only votes between these contenders, and only their names, in the order of `names`.

        Raises:
            UnknownName: if there is no such contender.
        """
        chosen = tuple(names)
        for name in chosen:
            if name not in self.names:
                raise UnknownName("contender", name, self.names)
        place = np.array([chosen.index(name) if name in chosen else -1 for name in self.names], int)
        kept = self.where((place[self.first] >= 0) & (place[self.second] >= 0))
        return replace(kept, names=chosen, first=place[kept.first], second=place[kept.second])

    def without(self, column: Column, label: str) -> Self:
        """All but the votes on one concept, or of one rater or judge."""
        if label not in self.labels(column):
            raise UnknownName(column, label, self.labels(column))
        return self.where(np.asarray(getattr(self, column) != self.labels(column).index(label)))

    def tally(
        self,
        draws: Float[np.ndarray, "draws groups"] | None = None,
        *,
        groups: Int[np.ndarray, " votes"] | None = None,
    ) -> VoteTally:
        """What they add up to; with `draws`, for each of its rows, every vote weighted also by the draw's value for the vote's group."""
        size, cast = len(self.names), self.valid
        first, second, outcome, weight = (
            column[cast] for column in (self.first, self.second, self.outcome, self.weights)
        )
        tied = outcome == 0.5
        low, high = np.minimum(first, second), np.maximum(first, second)
        cells = np.concatenate(
            [first * size + second, second * size + first, size * size + low * size + high]
        )
        amounts = np.concatenate(
            [weight * outcome * ~tied, weight * (1 - outcome) * ~tied, weight * tied]
        )
        if draws is None:
            flat = np.bincount(cells, amounts, minlength=2 * size * size)
        else:
            row = np.zeros(len(first), int) if groups is None else groups[cast]
            sums = csr_array(
                (amounts, (np.tile(row, 3), cells)), shape=(draws.shape[1], 2 * size * size)
            )
            flat = np.asarray((sums.T @ draws.T).T)
        wins, ties = np.moveaxis(flat.reshape(*flat.shape[:-1], 2, size, size), -3, 0)
        return VoteTally(wins=wins, ties=ties + ties.swapaxes(-1, -2))

    def check(self) -> None:
        """Refuse what no ranking follows from.

        Raises:
            NoVotes: if there are fewer than two contenders or no verdicts.
            Islands: if not all contenders are linked by verdicts.
        """
        if len(self.names) < 2 or not self.valid.any():
            raise NoVotes(
                f"nothing to rank: {len(self.names)} contenders, {int(self.valid.sum())} verdicts and {len(self) - int(self.valid.sum())} without one"
            )
        count, member = connected_components(self.tally().totals > 0, directed=False)
        if count > 1:
            raise DisconnectedVotes(
                [
                    [name for name, group in zip(self.names, member, strict=True) if group == k]
                    for k in range(count)
                ]
            )

    def _indices(self) -> list[tuple[str, Int[np.ndarray, " votes"], tuple[str, ...]]]:
        found = [
            ("first", self.first, self.names),
            ("second", self.second, self.names),
            ("concept", self.concept, self.concepts),
        ]
        if self.rater is not None:
            found.append(("rater", self.rater, self.raters))
        if self.judge is not None:
            found.append(("judge", self.judge, self.judges))
        return found


def _codes(labels: Sequence[str]) -> tuple[tuple[str, ...], Int[np.ndarray, " votes"]]:
    """Labels in alphabetical order, so that a seed draws the same whatever the order of the rows, and which each row has."""
    known, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    return tuple(map(str, known)), codes
