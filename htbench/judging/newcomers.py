"""Pairs of a newcomer: each of its pictures against a few anchors of a ranking that is there.

The ranking is that of a bundle's tournament, whose verdicts count as they are. The methods of the
ranking are cut into as many bands as there are anchors, from the best to the worst. A picture of
the newcomer meets one method of each band, in turn over concepts, prompts and seeds. So the
newcomer meets every rated method, its rating is connected with all of theirs, and the number of
its pairs does not depend on theirs.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

from htbench.core.errors import Refused, UsageError
from htbench.judging.card import JudgeCard
from htbench.judging.leaderboard import CriterionLeaderboard, TournamentResult
from htbench.judging.ledger import Ledger
from htbench.judging.schedule import ANCHORS, Design, Match, PromptSeed
from htbench.run.fact_table import AgainstFacts
from htbench.stats.durations import Interval


@dataclass(frozen=True, kw_only=True)
class NewcomerDesign(Design):
    """The settings of a tournament that adds newcomers to the tournament of a bundle."""

    newcomers: tuple[str, ...]
    basis: str
    """Id of the bundle's tournament."""
    anchors: int = ANCHORS


@dataclass(frozen=True, kw_only=True)
class Basis:
    """The tournament of a bundle that newcomers are added to."""

    id: str
    metadata: Mapping[str, Any]

    @property
    def design(self) -> Mapping[str, Any]:
        """The design of the tournament."""
        design: Mapping[str, Any] = self.metadata["design"]
        return design


@dataclass(frozen=True, kw_only=True)
class NewcomerRating:
    """The rating of a newcomer by one criterion."""

    criterion: str
    method: str
    rating: Interval
    width: float
    """Width of its 95 % interval; infinite where it won or lost all pairs, NaN where unknown."""
    pairs: int
    anchors: int
    """Number of methods that it met."""

    def __str__(self) -> str:
        low, high = self.rating.low, self.rating.high
        met = f"{self.pairs:,} pairs with {self.anchors} methods"
        if not math.isfinite(self.width):
            return f"{self.method}: its rating has no interval; {met}."
        return (
            f"{self.method}: rating {self.rating.value:.2f} [{low:.2f}, {high:.2f}], "
            f"an interval {self.width:.2f} wide, by {met}."
        )


def find_basis(
    ledger: Ledger,
    against: AgainstFacts,
    card: JudgeCard,
    *,
    model: str,
    protocol: int,
    criteria: Sequence[str] = (),
    strength: float | str | None = "",
) -> Basis:
    """The latest tournament of a bundle's methods by this judge.

    Args:
        ledger: the ledger of the newcomer's run, which has the bundle's tournaments.
        against: the bundle.
        card: the judge; its digest covers the rubrics.
        model: the model of the judge.
        protocol: the protocol of its calls.
        criteria: criteria that the tournament must have.
        strength: the strength that it must be at; empty: any.

    Raises:
        Refused: if the bundle has none, naming the judges that it has.
    """
    there = {
        id_: metadata
        for id_, metadata in ledger.tournaments().items()
        if set(metadata["design"]["methods"]) <= set(against.methods)
    }
    same = {
        id_: metadata
        for id_, metadata in there.items()
        if (metadata["digest"], metadata["model"]) == (card.digest, model)
        and metadata.get("protocol", protocol) == protocol
    }
    for id_, metadata in reversed(same.items()):
        design = metadata["design"]
        if set(criteria) <= set(design["criteria"]) and strength in ("", design["strength"]):
            return Basis(id=id_, metadata=metadata)
    asked = f"{card.name} {model}, card {card.digest}"
    if same:
        raise Refused(
            f"bundle {against.bundle!r} was judged by {asked} at another strength or by other "
            "criteria",
            remedy="Leave --strength and --criterion out, or rate all methods apart: --swiss 5",
        )
    judges = dict.fromkeys(
        f"{each['judge']} {each['model']}, card {each['digest']}" for each in there.values()
    )
    raise Refused(
        f"bundle {against.bundle!r} was judged by {'; '.join(judges) or 'nobody'}, and not by "
        f"{asked}: their verdicts are not mixed",
        remedy="Name a judge of the bundle, or rate all methods apart: --swiss 5",
    )


def design_newcomers(
    basis: Basis,
    newcomers: Sequence[str],
    *,
    criteria: Sequence[str],
    about_concept: Sequence[str],
    anchors: int,
) -> NewcomerDesign:
    """The design that adds newcomers to a tournament, whose other settings it keeps.

    It has no controls of its own: the audit of the judge is that of the bundle's controls.
    """
    own = basis.design
    return NewcomerDesign(
        methods=(*own["methods"], *newcomers),
        criteria=tuple(criteria),
        strength=own["strength"],
        about_concept=tuple(about_concept),
        shows=own["shows"],
        both_orders=own["both_orders"],
        seed=own["seed"],
        controls=0,
        newcomers=tuple(newcomers),
        basis=basis.id,
        anchors=anchors,
    )


def check_same_design(basis: Basis, *, both_orders: bool, seed: int) -> None:
    """Refuse settings that the bundle's tournament does not have.

    Raises:
        UsageError: naming the setting.
    """
    for name, given, default in (("both_orders", both_orders, True), ("seed", seed, 0)):
        own = basis.design[name]
        if given not in (default, own):
            option = "--one-order" if name == "both_orders" else f"--seed {given}"
            raise UsageError(
                f"{option} is not what the bundle was judged with",
                remedy="Leave it out: a newcomer is judged as the bundle was.",
            )


def order(basis: Basis, ratings: Mapping[str, float]) -> list[str]:
    """The methods that may be anchors, from the best to the worst.

    They are those that the judge may rank; in the order of the plan where it has no ratings.
    """
    circular = set(basis.metadata["circular"])
    methods = [method for method in basis.design["methods"] if method not in circular]
    return sorted(methods, key=lambda method: -ratings.get(method, 0.0))


def newcomer_matches(
    design: NewcomerDesign,
    ranked: Sequence[str],
    concepts: Sequence[str],
    prompt_seeds: Sequence[PromptSeed],
) -> Iterator[Match]:
    """All matches of the newcomers with anchors among the `ranked` methods, the best first.

    Any number of first matches is balanced over concepts.
    """
    dice = random.Random(f"newcomers {design.seed}")
    bands = _bands(ranked, design.anchors)
    for (turn, (prompt, seed)), (number, concept) in product(
        enumerate(prompt_seeds), enumerate(concepts)
    ):
        for newcomer, band in product(design.newcomers, bands):
            sides = [newcomer, band[(turn + number) % len(band)]]
            dice.shuffle(sides)
            for criterion in design.criteria:
                yield Match(
                    control="",
                    criterion=criterion,
                    concept=concept,
                    prompt=prompt,
                    seed=seed,
                    one=sides[0],
                    two=sides[1],
                )


def newcomer_ratings(result: TournamentResult) -> list[NewcomerRating]:
    """The ratings of the newcomers of a tournament; empty where it has none."""
    names = result.metadata["design"].get("newcomers", ())
    return [
        rating
        for criterion in result.criteria
        for name in names
        if (rating := _rating(criterion, name))
    ]


def _rating(criterion: CriterionLeaderboard, method: str) -> NewcomerRating | None:
    met = [
        (pair[0] if pair[1] == method else pair[1])
        for pair in criterion.preferences
        if method in pair[:2]
    ]
    entries = criterion.ranking.entries if criterion.ranking else ()
    rating = next((entry.rating for entry in entries if entry.name == method), None)
    if rating is None:
        return None
    return NewcomerRating(
        criterion=criterion.name,
        method=method,
        rating=rating,
        width=rating.high - rating.low,
        pairs=len(met),
        anchors=len(set(met)),
    )


def _bands(ranked: Sequence[str], number: int) -> list[Sequence[str]]:
    """The ranked methods in at most `number` bands of nearly equal size, the best first."""
    number = min(number, len(ranked))
    ends = [round(k * len(ranked) / number) for k in range(number + 1)] if number else [0]
    return [ranked[start:end] for start, end in pairwise(ends)]
