"""The outcome of a match from the verdicts in both orders.

A preference, a tie, an inconsistency, or missing data with its reason.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from htbench.judging.judge import Choice, Verdict
from htbench.judging.matches import MatchResult
from htbench.stats.families import FamiliesByConcept
from htbench.stats.ranking.votes import Votes

MatchOutcome = Literal["won", "lost", "tie", "inconsistent", "missing"]
"""The outcome for the match's `one`; `inconsistent`: the orders prefer different pictures."""
_SWAPPED: dict[Choice | None, Choice | None] = {"A": "B", "B": "A", "tie": "tie", None: None}


def preference(result: MatchResult) -> float | None:
    """Preference for `one`, 0 to 1; None: missing.

    The mean of both orders, in which a bias towards the first or last picture cancels.
    """
    if missing_reason(result) is not None:
        return None
    preference_ab = _first_preference(result.order_ab)
    if not result.both_orders:
        return preference_ab
    return (preference_ab + 1 - _first_preference(result.order_ba)) / 2


def choices(result: MatchResult) -> tuple[Choice, ...]:
    """The choice in each order that has a verdict, with `one` as A."""
    both = [
        result.order_ab.choice if result.order_ab else None,
        _SWAPPED[result.order_ba.choice] if result.order_ba else None,
    ]
    return tuple(choice for choice in both if choice is not None)


def missing_reason(result: MatchResult) -> str | None:
    """The reason why a match has no preference; None if it has one."""
    if not result.has_pictures:
        return "no picture"
    for verdict in (result.order_ab, result.order_ba) if result.both_orders else (result.order_ab,):
        if verdict is None:
            return "not asked"
        if verdict.outcome != "answered":
            return verdict.outcome
    return None


def match_outcome(result: MatchResult) -> MatchOutcome:
    """The outcome of the match."""
    value = preference(result)
    if value is None:
        return "missing"
    if len(set(choices(result)) - {"tie"}) > 1:
        return "inconsistent"
    if set(choices(result)) == {"tie"}:
        return "tie"
    return "won" if value > 0.5 else "lost" if value < 0.5 else "inconsistent"


def votes(
    results: Iterable[MatchResult],
    names: Sequence[str],
    families: FamiliesByConcept | None = None,
) -> Votes:
    """Votes for a ranking; an inconsistent match is half a win for each side and no tie."""
    rows: list[tuple[str, str, float | None, str, float]] = []
    for result in results:
        match, value = result.match, preference(result)
        if value == 0.5 and match_outcome(result) == "inconsistent":
            rows += [(match.one, match.two, float(side), match.concept, 0.5) for side in (0, 1)]
        else:
            rows.append((match.one, match.two, value, match.concept, 1.0))
    first, second, outcome, concept, weight = (
        zip(*rows, strict=True) if rows else ((), (), (), (), ())
    )
    return Votes.collect(
        first=first,
        second=second,
        outcome=outcome,
        concept=concept,
        weight=weight,
        names=names,
        families=families,
    )


def _first_preference(verdict: Verdict | None) -> float:
    return 0.5 if verdict is None or verdict.preference is None else verdict.preference
