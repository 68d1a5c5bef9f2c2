"""Votes on pairs of contenders as columns: the pair, the concept, the rater, the outcome."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from htbench.core.errors import Refused, UnknownName
from htbench.stats.families import FamiliesByConcept

Column = Literal["concept", "rater", "judge"]
"""Columns that group votes."""
_MAX_SUMS = 8_000_000
"""Number of sums over votes that are held in memory at once."""


class Unrankable(Refused):
    """Votes from which no ranking follows."""


class NoVotes(Unrankable):
    """No contender was compared with another."""


class DisconnectedVotes(Unrankable):
    """Groups of contenders that never met."""

    def __init__(self, groups: Sequence[Sequence[str]]) -> None:
        listed = " | ".join(
            ", ".join(group[:6]) + (", …" if len(group) > 6 else "") for group in groups[:6]
        )
        super().__init__(
            f"{len(groups)} groups of contenders never met, so nothing ranks one against another: "
            f"{listed}",
            remedy="Compare some across the groups.",
        )
        self.components = tuple(map(tuple, groups))


@dataclass(frozen=True, kw_only=True)
class VoteTally:
    """Sums of votes between contenders; leading axes, if any, are draws of a bootstrap."""

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
        """Share of votes that the row won against the column, a tie as half a win; NaN for none."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.wins + 0.5 * self.ties) / self.totals)


@dataclass(frozen=True, kw_only=True, eq=False)
class Votes:
    """Votes on pairs of contenders, one per row; `Votes.collect` makes them from labels.

    An answer that flips with the order of the pair is best stored as two rows of half the weight,
    one each way: it then counts half under every tie rule, and not as a tie.

    Raises:
        ValueError: if columns differ in length, an index has no label, a contender meets itself, an
            outcome is outside [0, 1], or a weight is below 0.
    """

    names: tuple[str, ...]
    """The contenders."""
    first: Int[np.ndarray, " votes"]
    second: Int[np.ndarray, " votes"]
    """Indices into `names`."""
    outcome: Float[np.ndarray, " votes"]
    """1: the first won; 0: the second; 0.5: a tie; between: a share of a win each; NaN: no verdict,
    which is counted and otherwise ignored."""
    concepts: tuple[str, ...]
    concept: Int[np.ndarray, " votes"]
    """Indices into `concepts`, the clusters that intervals resample."""
    families: FamiliesByConcept = field(default_factory=dict)
    """Families of concepts, by concept; those that share one are resampled together."""
    raters: tuple[str, ...] = ()
    rater: Int[np.ndarray, " votes"] | None = None
    """Indices into `raters`; with raters, intervals resample them too."""
    judges: tuple[str, ...] = ()
    judge: Int[np.ndarray, " votes"] | None = None
    """Indices into `judges`, which are never resampled, only left out one at a time."""
    weight: Float[np.ndarray, " votes"] | None = None
    """Weight of each vote; None: 1."""

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"two contenders have the same name: {sorted(self.names)}")
        for name, column, labels in self._indices():
            if len(column) != len(self.first):
                raise ValueError(f"{len(column)} values of {name!r} for {len(self.first)} votes")
            if len(column) and not 0 <= column.min() <= column.max() < len(labels):
                raise ValueError(f"{name!r} has an index outside its {len(labels)} labels")
        if len(self.outcome) != len(self) or len(self.weights) != len(self):
            counts = f"{len(self.outcome)} outcomes and {len(self.weights)} weights"
            raise ValueError(f"{counts} for {len(self)} votes")
        if (self.first == self.second).any():
            row = np.argmax(self.first == self.second)
            raise ValueError(f"{self.names[self.first[row]]!r} meets itself")
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
        families: FamiliesByConcept | None = None,
    ) -> Self:
        """Votes from columns of labels.

        `names` sets the order of contenders and may have some without a vote; contenders that it
        lacks follow in the order of votes. An outcome of None is a missing verdict.
        """
        order = tuple(dict.fromkeys((*names, *first, *second)))
        concepts, concept_of = _codes(concept)
        raters, rater_of = _codes(rater or ())
        judges, judge_of = _codes(judge or ())
        index = {name: k for k, name in enumerate(order)}
        return cls(
            names=order,
            first=np.array([index[name] for name in first], int),
            second=np.array([index[name] for name in second], int),
            outcome=np.array([np.nan if value is None else value for value in outcome], float),
            concepts=concepts,
            concept=concept_of,
            families=families or {},
            raters=raters,
            rater=None if rater is None else rater_of,
            judges=judges,
            judge=None if judge is None else judge_of,
            weight=None if weight is None else np.array(weight, float),
        )

    def __len__(self) -> int:
        """Number of rows, including those without a verdict."""
        return len(self.first)

    @property
    def weights(self) -> Float[np.ndarray, " votes"]:
        """Weight of each vote."""
        return np.ones(len(self)) if self.weight is None else self.weight

    @property
    def valid(self) -> Bool[np.ndarray, " votes"]:
        """Mask of the rows with a verdict and a weight above 0."""
        return np.asarray(~np.isnan(self.outcome) & (self.weights > 0))

    def labels(self, column: Column) -> tuple[str, ...]:
        """Labels of the column; empty where it is not known."""
        return {"concept": self.concepts, "rater": self.raters, "judge": self.judges}[column]

    def where(self, keep: Bool[np.ndarray, " votes"]) -> Self:
        """Only the rows of the mask; names and labels stay."""
        names = ("first", "second", "outcome", "concept", "rater", "judge", "weight")
        columns = {
            name: column[keep] for name in names if (column := getattr(self, name)) is not None
        }
        return replace(self, **columns)

    def among(self, names: Iterable[str]) -> Self:
        """Only votes between these contenders, and only their names, in the order of `names`.

        Raises:
            UnknownName: if there is no such contender.
        """
        subset = tuple(names)
        for name in subset:
            if name not in self.names:
                raise UnknownName("contender", name, self.names)
        index = np.array([subset.index(name) if name in subset else -1 for name in self.names], int)
        kept = self.where((index[self.first] >= 0) & (index[self.second] >= 0))
        return replace(kept, names=subset, first=index[kept.first], second=index[kept.second])

    def without(self, column: Column, label: str) -> Self:
        """All votes but those on one concept, or of one rater or judge."""
        if label not in self.labels(column):
            raise UnknownName(column, label, self.labels(column))
        return self.where(np.asarray(getattr(self, column) != self.labels(column).index(label)))

    def tally(
        self,
        draws: Float[np.ndarray, "draws groups"] | None = None,
        *,
        groups: Int[np.ndarray, " votes"] | None = None,
    ) -> VoteTally:
        """Sums of the votes; with `draws`, one tally per row of them.

        Every vote's weight is then multiplied by the draw's value for the vote's group.
        """
        cells, amounts, size = *self._cells(), len(self.names)
        if draws is None:
            return _vote_tally(np.bincount(cells, amounts, minlength=2 * size * size), size)
        row = np.zeros(len(self), int) if groups is None else groups
        sums = csr_array(
            (amounts, (np.tile(row[self.valid], 3), cells)),
            shape=(draws.shape[1], 2 * size * size),
        )
        return _vote_tally(np.asarray((sums.T @ draws.T).T), size)

    def crossed_tally(
        self,
        draws: Float[np.ndarray, "draws groups"],
        other_draws: Float[np.ndarray, "draws others"],
        *,
        groups: Int[np.ndarray, " votes"],
        others: Int[np.ndarray, " votes"],
    ) -> VoteTally:
        """One tally per draw of two groupings at once, such as concepts and raters.

        Every vote's weight is multiplied by the draw's values for both of the vote's groups.
        """
        cells, amounts = self._cells()
        size, n_groups, rounds = len(self.names), draws.shape[1], len(draws)
        used, cell = np.unique(cells, return_inverse=True)
        row = cell * n_groups + np.tile(groups[self.valid], 3)
        sums = csr_array(
            (amounts, (row, np.tile(others[self.valid], 3))),
            shape=(len(used) * n_groups, other_draws.shape[1]),
        )
        flat = np.zeros((rounds, 2 * size * size))
        step = max(1, _MAX_SUMS // max(1, sums.shape[0]))
        for at in range(0, rounds, step):
            part = slice(at, at + step)
            by_group = (sums @ other_draws[part].T).reshape(len(used), n_groups, -1)
            flat[part, used] = np.einsum("cgr,rg->rc", by_group, draws[part])
        return _vote_tally(flat, size)

    def _cells(self) -> tuple[Int[np.ndarray, " cells"], Float[np.ndarray, " cells"]]:
        """For each valid vote three cells of a flat table of wins and ties, with its amounts.

        They are the win of the first, that of the second, and the tie.
        """
        size, cast = len(self.names), self.valid
        first, second, outcome, weight = (
            column[cast] for column in (self.first, self.second, self.outcome, self.weights)
        )
        tied = outcome == 0.5
        low, high = np.minimum(first, second), np.maximum(first, second)
        cells = [first * size + second, second * size + first, size * size + low * size + high]
        amounts = [weight * outcome * ~tied, weight * (1 - outcome) * ~tied, weight * tied]
        return np.concatenate(cells), np.concatenate(amounts)

    def check(self) -> None:
        """Raise unless a ranking follows from the votes.

        Raises:
            NoVotes: if there are fewer than two contenders or no verdicts.
            DisconnectedVotes: if verdicts do not link all contenders.
        """
        n_valid = int(self.valid.sum())
        if len(self.names) < 2 or not n_valid:
            verdicts = f"{n_valid} verdicts and {len(self) - n_valid} without one"
            raise NoVotes(f"nothing to rank: {len(self.names)} contenders, {verdicts}")
        count, component = connected_components(self.tally().totals > 0, directed=False)
        if count > 1:
            groups: list[list[str]] = [[] for _ in range(count)]
            for name, k in zip(self.names, component, strict=True):
                groups[k].append(name)
            raise DisconnectedVotes(groups)

    def _indices(self) -> list[tuple[str, Int[np.ndarray, " votes"], tuple[str, ...]]]:
        columns = [
            ("first", self.first, self.names),
            ("second", self.second, self.names),
            ("concept", self.concept, self.concepts),
        ]
        if self.rater is not None:
            columns.append(("rater", self.rater, self.raters))
        if self.judge is not None:
            columns.append(("judge", self.judge, self.judges))
        return columns


def _vote_tally(flat: Float[np.ndarray, "*draws cells"], size: int) -> VoteTally:
    wins, ties = np.moveaxis(flat.reshape(*flat.shape[:-1], 2, size, size), -3, 0)
    return VoteTally(wins=wins, ties=ties + ties.swapaxes(-1, -2))


def _codes(labels: Sequence[str]) -> tuple[tuple[str, ...], Int[np.ndarray, " votes"]]:
    """The labels in alphabetical order, and the index of each row's label.

    The order makes the draws of a seed independent of the order of rows.
    """
    names, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    return tuple(map(str, names)), codes
