"""A probe of a judge: known pictures, then one comparison of the run, with the call and the reply.

The known pictures are references of the embedded world. A judge that does not tell a cat from a sun
sees no pictures, and is asked nothing else.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from htbench.core import secrets
from htbench.core.errors import Incomplete, Missing, Refused, UsageError
from htbench.judging.card import PictureSettings
from htbench.judging.judge import (
    FINAL_OUTCOMES,
    Choice,
    JudgeAnswer,
    Question,
    ShownPicture,
    ShowsCalls,
    ShowsThoughts,
    Verdict,
)
from htbench.judging.meter import NO_USAGE, Usage
from htbench.judging.pictures import encode, standardise
from htbench.judging.tournament import Tournament
from htbench.steering import concept

WORDS = ("cat", "sun", "rocket")
"""Companions of the embedded world that are asked about."""
MAX_WRONG = 1
"""The most wrong answers, of two for each pair of words, with which a judge is held to see."""
_QUESTION = """Two pictures, A and B, are shown to you. Which picture shows a {word}?
Exactly one of them does. Say "cannot_judge" only if you cannot see the pictures."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A call and the reply to it."""

    call: dict[str, Any]
    """The body as it was sent, with the size of each picture in place of its bytes."""
    answer: JudgeAnswer
    verdict: Verdict
    thought: str


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The findings of a probe."""

    right: int = 0
    """Questions on known pictures that were answered right."""
    of: int = 0
    sample: Exchange | None = None
    """The comparison of the run; None where none is pending, or after a failure."""
    failed: Exchange | None = None
    """The exchange that ended the probe early."""
    usage: Usage = NO_USAGE
    requests: int = 0
    abilities: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _KnownQuestion:
    question: Question
    right: Choice


def probe(tournament: Tournament) -> Probe:
    """Ask about known pictures, then for the tournament's next comparison.

    All that it asks is recorded in the ledger, and its requests count for all limits.

    Raises:
        UsageError: if the judge makes no calls.
        HtbenchError: if the endpoint cannot be asked at all.
    """
    judge = tournament.judge
    if not isinstance(judge, ShowsCalls):
        raise UsageError(
            f"judge {tournament.card.name!r} makes no calls", remedy="Leave --probe out."
        )
    right, asked = 0, list[JudgeAnswer]()
    failed = sample = None
    for known in _known_questions(tournament):
        exchange = _ask(tournament, judge, known.question)
        asked.append(exchange.answer)
        right += exchange.verdict.choice == known.right
        has_verdict = exchange.verdict.outcome in FINAL_OUTCOMES
        if not has_verdict or len(asked) - right > MAX_WRONG:
            failed = exchange
            break
    of = len(asked)
    if failed is None:
        for call in islice(tournament.ledger.pending(tournament.id), 1):
            sample = _ask(tournament, judge, tournament.question(call))
            asked.append(sample.answer)
    shown = failed or sample
    return Probe(
        right=right,
        of=of,
        sample=sample,
        failed=failed,
        usage=sum((answer.usage for answer in asked), start=NO_USAGE),
        requests=sum(answer.requests for answer in asked),
        abilities={
            **judge.abilities,
            "probabilities": bool(shown and shown.verdict.coverage is not None),
            "thoughts": bool(shown and shown.thought),
        },
    )


def check_sight(found: Probe, model: str) -> None:
    """Raise the error of a probe that failed.

    Raises:
        Refused: if the judge does not see pictures.
        Incomplete: if it gave no verdict.
    """
    exchange = found.failed
    if exchange is None:
        return
    verdict = exchange.verdict
    reason = " ".join(secrets.scrub(verdict.reason).split())[:300]
    if verdict.outcome == "rejected" and "image" in reason.lower():
        raise Refused(f"{model!r} takes no pictures: {reason}", remedy=_OTHER_MODEL)
    if verdict.outcome in FINAL_OUTCOMES:
        raise Refused(
            f"{model!r} does not see pictures: it told known ones apart in {found.right} of "
            f"{found.of} questions",
            remedy=_OTHER_MODEL,
        )
    more_room = "Give it more room: --max-tokens 4096" if verdict.outcome == "truncated" else ""
    raise Incomplete(f"the probe has no verdict, {verdict.outcome}: {reason}", remedy=more_room)


_OTHER_MODEL = "Give a vision-language model with --model."


def _known_questions(tournament: Tournament) -> Iterator[_KnownQuestion]:
    """Each pair of neighbouring words, in both orders."""
    pictures = _pictures(tournament.card.pictures)
    for word, other in zip(WORDS, (*WORDS[1:], WORDS[0]), strict=True):
        for right in ("A", "B"):
            pair = (word, other) if right == "A" else (other, word)
            first, second = (pictures[each] for each in pair)
            text = _QUESTION.format(word=word)
            key = [tournament.judge.model, text, first.name, second.name, tournament.card.digest]
            question = Question(
                key=hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32],
                criterion="probe",
                text=text,
                concept=word,
                prompt=word,
                first=first,
                second=second,
            )
            yield _KnownQuestion(question=question, right="A" if right == "A" else "B")


def _pictures(settings: PictureSettings) -> dict[str, ShownPicture]:
    """A reference of each of the companions, by word."""
    splits = concept.load("emoji").splits.values()
    concepts = {each.id: each for split in splits for each in split}
    return {
        word: encode(
            standardise(concepts[f"companion/{word}"].references[0].open(), settings),
            settings,
            name=f"known:{word}",
        )
        for word in WORDS
    }


def _ask(tournament: Tournament, judge: ShowsCalls, question: Question) -> Exchange:
    """Ask one question.

    Raises:
        Missing: if no request may go out.
    """
    answer = tournament.ask_question(question)
    if answer is None:
        raise Missing(
            "no request is left for the probe", remedy="Give a larger --max-requests or --max-cost."
        )
    thinker = tournament.judge
    return Exchange(
        call=_without_pictures(judge.request(question)),
        answer=answer,
        verdict=tournament.verdict(answer),
        thought=thinker.thought(answer.body) if isinstance(thinker, ShowsThoughts) else "",
    )


def _without_pictures(body: Any) -> Any:
    """A body with the kind and size of each picture in place of its bytes."""
    if isinstance(body, dict):
        return {name: _without_pictures(value) for name, value in body.items()}
    if isinstance(body, list):
        return [_without_pictures(value) for value in body]
    if isinstance(body, str) and body.startswith("data:image/"):
        kind, _, data = body.partition(",")
        return f"{kind},… ({len(data):,} characters)"
    return body
