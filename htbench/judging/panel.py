"""A panel: several judges of a run pooled, by the pairs of pictures that all of them judged.

A member has passed its calibration and has no flag. With people's votes, members count by how often
they agree with people; else equally.

References:
    Nitzan, Paroush. Optimal Decision Rules in Uncertain Dichotomous Choice Situations. 1982.
    https://doi.org/10.2307/2526438
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from htbench.judging.agreement import HumanVote, agreement_with_people
from htbench.judging.leaderboard import CriterionLeaderboard, Pairing, TournamentResult
from htbench.stats.proportions import Proportion
from htbench.stats.ranking.leaderboard import Ranking, rank
from htbench.stats.ranking.votes import Unrankable, Votes

_DECIDED = 1e-9
"""A preference this near to a half decides nothing."""


@dataclass(frozen=True, kw_only=True)
class PanelMember:
    """A judge in a panel."""

    judge: str
    weight: float
    """Its share of the panel's preference, 0 to 1."""
    with_people: Proportion | None
    """Pairs that it decides as people do, of those that both decide; None without such votes."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The pooled verdicts of several judges by one criterion."""

    criterion: str
    members: tuple[PanelMember, ...]
    left_out: dict[str, str]
    """Judges that are no members, with the reason."""
    ranking: Ranking | None
    unranked: str
    """The reason why methods are not ranked; empty if they are."""
    disagreement: Proportion
    """Pairs that two members decide differently, of those that two or more decide."""
    pairs: int
    """Number of pairs of pictures that all members judged."""

    @property
    def weighted(self) -> bool:
        """True if members count by their agreement with people, which is known for each of them."""
        return all(each.with_people for each in self.members)

    def facts(self) -> dict[str, object]:
        """The panel as a value for JSON."""
        return {
            "criterion": self.criterion,
            "members": {
                each.judge: {
                    "weight": each.weight,
                    "with_people": each.with_people.facts() if each.with_people else None,
                }
                for each in self.members
            },
            "left_out": self.left_out,
            "ranking": self.ranking.facts() if self.ranking else None,
            "unranked": self.unranked,
            "disagreement": self.disagreement.facts(),
            "pairs": self.pairs,
        }


def panels(
    results: Mapping[str, TournamentResult],
    votes: Sequence[HumanVote] = (),
    *,
    rounds: int = 2000,
) -> list[Panel]:
    """A panel per criterion that two or more judges may count by; `results` are by judge.

    Tournaments at another strength than the first are left out.
    """
    names = dict.fromkeys(each.name for result in results.values() for each in result.criteria)
    found = (_panel(name, results, votes, rounds=rounds) for name in names)
    return [panel for panel in found if len(panel.members) > 1]


def _panel(
    name: str,
    results: Mapping[str, TournamentResult],
    votes: Sequence[HumanVote],
    *,
    rounds: int,
) -> Panel:
    boards: dict[str, CriterionLeaderboard] = {}
    left_out: dict[str, str] = {}
    strengths = [result.metadata["design"]["strength"] for result in results.values()]
    for (judge, result), strength in zip(results.items(), strengths, strict=True):
        board = next((each for each in result.criteria if each.name == name), None)
        if board is None:
            continue
        reason = _excluded(board) or ("" if strength == strengths[0] else "another strength")
        if reason:
            left_out[judge] = reason
        else:
            boards[judge] = board
    agreements = {judge: _with_people(results[judge], name, votes) for judge in boards}
    weights = _weights(agreements)
    by_pairing = _common(list(boards.values()))
    ranking, unranked = None, ""
    try:
        ranking = rank(_votes(by_pairing, list(weights.values()), boards), rounds=rounds)
    except Unrankable as error:
        unranked = str(error)
    return Panel(
        criterion=name,
        members=tuple(
            PanelMember(judge=judge, weight=weight, with_people=agreements[judge])
            for judge, weight in weights.items()
        ),
        left_out=left_out,
        ranking=ranking,
        unranked=unranked,
        disagreement=_disagreement(by_pairing),
        pairs=len(by_pairing),
    )


def _excluded(board: CriterionLeaderboard) -> str:
    """The reason why a judge is no member; empty if it is one."""
    if board.calibration is None:
        return "not calibrated"
    if board.calibration.status != "passed":
        return f"calibration {board.calibration.status}"
    return f"flagged: {', '.join(board.audit.flags)}" if board.audit.flags else ""


def _with_people(
    result: TournamentResult, name: str, votes: Sequence[HumanVote]
) -> Proportion | None:
    found = [
        each.decided for each in agreement_with_people(result, votes) if each.criterion == name
    ]
    return found[0] if found and found[0].of else None


def _weights(agreements: Mapping[str, Proportion | None]) -> dict[str, float]:
    """The weights of members: the log odds of agreeing with people, at least 0.

    Equal if people's votes are missing for one of them, or if none agrees more than by chance.
    """
    shares = [share for share in agreements.values() if share]
    odds = [
        max(0.0, math.log((share.count + 0.5) / (share.of - share.count + 0.5))) for share in shares
    ]
    if len(odds) < len(agreements) or not sum(odds):
        odds = [1.0] * len(agreements)
    return {judge: each / sum(odds) for judge, each in zip(agreements, odds, strict=True)}


def _common(boards: Sequence[CriterionLeaderboard]) -> dict[Pairing, list[float]]:
    """The preferences of all members on each pairing that all of them judged, none circular."""
    if not boards:
        return {}
    circular = {method for board in boards for method in board.circular}
    common = set.intersection(*(set(board.preferences) for board in boards))
    return {
        pairing: [board.preferences[pairing] for board in boards]
        for pairing in sorted(common)
        if not circular & set(pairing[:2])
    }


def _votes(
    by_pairing: Mapping[Pairing, Sequence[float]],
    weights: Sequence[float],
    boards: Mapping[str, CriterionLeaderboard],
) -> Votes:
    """One vote per pairing, with the weighted mean of the preferences."""
    families = next((board.votes.families for board in boards.values()), {})
    pooled = [float(np.clip(np.dot(weights, each), 0, 1)) for each in by_pairing.values()]
    return Votes.collect(
        first=[pairing[0] for pairing in by_pairing],
        second=[pairing[1] for pairing in by_pairing],
        outcome=pooled,
        concept=[pairing[2] for pairing in by_pairing],
        families=families,
    )


def _disagreement(by_pairing: Mapping[Pairing, Sequence[float]]) -> Proportion:
    signs = [
        {np.sign(value - 0.5) for value in values if abs(value - 0.5) > _DECIDED}
        for values in by_pairing.values()
        if sum(abs(value - 0.5) > _DECIDED for value in values) > 1
    ]
    return Proportion(count=sum(len(each) > 1 for each in signs), of=len(signs))
