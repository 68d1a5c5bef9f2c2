"""People's votes in the studies of a run, as `htbench study report RUN` left them there."""

from collections.abc import Iterable

from htbench.judging.agreement import HumanVote
from htbench.run.study_result import PairVotesRecord, StudyRecord


def votes_at(
    studies: Iterable[StudyRecord], strength: float | None, *, full_strength: float
) -> list[HumanVote]:
    """The votes on pictures at a strength; None, the tuned strengths, has none.

    A study of no stated strength is of the full strength of the run. The records have no
    pseudonyms, so each vote on a pairing is by another rater.
    """
    return [
        HumanVote(
            criterion=criterion.name,
            pairing=(pair.one, pair.two, pair.concept, pair.prompt, pair.seed),
            value=value,
            rater=f"{number} {k}",
        )
        for number, study in enumerate(studies)
        if strength == (full_strength if study.strength is None else study.strength)
        for criterion in study.criteria
        for pair in criterion.pair_votes
        for k, value in enumerate(_values(pair))
    ]


def _values(pair: PairVotesRecord) -> list[float]:
    return [1.0] * pair.for_one + [0.5] * pair.ties + [0.0] * pair.for_two
