"""Reads the verdict from a raw chat completion.

Any change to the verdicts has to raise `PARSER`.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from htbench.core import reading
from htbench.judging.judge import Choice, Verdict
from htbench.judging.judges import refusals
from htbench.judging.judges.answer import (
    Answer,
    NoVerdict,
    find_answer,
    split_thoughts,
    unquoted,
)
from htbench.judging.meter import NO_USAGE, Usage

PARSER = "chat-2"
MIN_COVERAGE = 0.8
"""Total probability of the verdicts' tokens below which the written verdict counts."""
MAX_TOKENS = 10_000_000
"""A larger count of tokens is taken for none: it is more than any model reads."""
_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""Fields of a message in which servers put thoughts."""
_TEXT_PARTS = (None, "text", "output_text")
"""Types of the parts of a message that are the answer; the others are thoughts."""
_AFTER_ANSWER = re.compile(r"(?:\s|<\|[A-Za-z_]{1,40}\|>|</s>|<eos>|<end_of_turn>)*")
"""Text that may follow the answer in the tokens of a reply."""
_CANNOT_JUDGE = "cannot_judge"


def read(body: str) -> Verdict:
    """The verdict in a chat completion, given as JSON text.

    Never raises: a reply that cannot be read is `unusable`, with the reason.
    """
    try:
        choice = _parsed(body)["choices"][0]
        message = choice["message"]
        finish, refusal = choice.get("finish_reason"), message.get("refusal")
        text = unquoted(_text(message.get("content")))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        shown = refusals.words(body)[:200]
        return Verdict(outcome="unusable", reason=f"not a chat completion: {shown!r}")
    if finish == "content_filter":
        return Verdict(outcome="filtered", reason="the endpoint's filter took the reply away")
    if refusal:
        return Verdict(outcome="refused", reason=str(refusal)[:500])
    if finish == "length":
        return Verdict(outcome="truncated", reason=f"the reply was cut off after {text[-60:]!r}")
    return _verdict(text, message, choice.get("logprobs"))


def _verdict(text: str, message: Mapping[str, Any], logprobs: object) -> Verdict:
    try:
        answer = find_answer(text)
    except NoVerdict as error:
        is_thought = not text.strip() and _thought_fields(message)
        reason = "the reply is only a thought" if is_thought else str(error)
        return Verdict(outcome="unusable", reason=reason)
    if answer.word == "cannot_judge":
        return Verdict(outcome="cannot judge", reason=answer.reason)
    return _weighted_verdict(answer.word, answer, text, logprobs)


def thought(body: str) -> str:
    """The model's thoughts before its answer in a chat completion; empty if it shows none."""
    try:
        message = _parsed(body)["choices"][0]["message"]
        content = message.get("content")
        parts = content if isinstance(content, list) else []
        in_parts = [
            _all_text(part)
            for part in parts
            if isinstance(part, dict) and part.get("type") not in _TEXT_PARTS
        ]
        in_text = split_thoughts(_text(content)).thought
        texts = [_thought_fields(message), *in_parts, in_text]
        return "\n\n".join(text.strip() for text in texts if text.strip())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""


def _thought_fields(message: Mapping[str, Any]) -> str:
    """The thought that a server keeps in a field of its own, of several the longest."""
    return max((_all_text(message.get(name)) for name in _THOUGHT_FIELDS), key=len)


def _all_text(value: object) -> str:
    """All text in a part of a message, or in a list of them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_all_text, value))
    if isinstance(value, dict):
        names = ("text", "thinking", "reasoning", "summary", "content")
        return "".join(_all_text(value[name]) for name in names if name in value)
    return ""


def usage(body: str, *, worst: Usage = NO_USAGE) -> Usage:
    """The tokens of a chat completion; as in `worst` where the endpoint does not count them.

    A count that is no number of tokens, such as a negative one, is none.
    """
    try:
        tokens = _parsed(body)["usage"]
        details = tokens.get("prompt_tokens_details")
        cached = _count(details.get("cached_tokens")) if isinstance(details, Mapping) else None
        asked = _count(tokens.get("prompt_tokens"))
        replied = _count(tokens.get("completion_tokens"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return worst
    asked = asked or worst.asked
    return Usage(
        asked=asked,
        cached=cached if cached and cached <= asked else 0,
        replied=replied or worst.replied,
    )


def _parsed(body: str) -> Any:
    """The value of a JSON text; numbers beyond all limits, which cost no verdict, are None."""
    try:
        return reading.parse_json(body)
    except reading.Malformed:
        value = json.loads(
            body, parse_float=_number, parse_int=_number, parse_constant=lambda _: None
        )
        return reading.without_surrogates(value)


def _number(text: str) -> float | None:
    try:
        number: float = reading.parse_json(text)
    except reading.Malformed:
        return None
    return number


def _count(value: object) -> int | None:
    """A number of tokens; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 < value <= MAX_TOKENS and value == int(value) else None


def _text(content: object) -> str:
    """The text of a message, which some servers send in parts."""
    if isinstance(content, list):
        return "".join(
            str(part.get("text", ""))
            for part in content
            if isinstance(part, dict) and part.get("type") in _TEXT_PARTS
        )
    return content if isinstance(content, str) else ""


def _weighted_verdict(choice: Choice, answer: Answer, text: str, logprobs: object) -> Verdict:
    """The verdict weighted by token probabilities, if their total suffices.

    Where another verdict is more probable than the written one, the written one counts.
    """
    by_verdict = (
        _verdict_probabilities(logprobs, answer, text) if isinstance(logprobs, Mapping) else {}
    )
    total = sum(by_verdict.values())
    decided = total - by_verdict.get(_CANNOT_JUDGE, 0.0)
    preference, coverage = {"A": 1.0, "B": 0.0, "tie": 0.5}[choice], None
    agrees = by_verdict.get(choice, 0.0) >= max(by_verdict.values(), default=0.0)
    if agrees and total >= MIN_COVERAGE and decided > 0:
        preference = (by_verdict.get("A", 0.0) + 0.5 * by_verdict.get("tie", 0.0)) / decided
        coverage = min(1.0, total)
    return Verdict(
        outcome="answered",
        choice=choice,
        preference=preference,
        coverage=coverage,
        reason=answer.reason,
    )


def _verdict_probabilities(
    logprobs: Mapping[str, Any], answer: Answer, text: str
) -> dict[str, float]:
    """Probabilities of the verdicts at the first token of the written one; empty if not found."""
    try:
        tokens: Sequence[Mapping[str, Any]] = logprobs["content"] or []
        index = _verdict_index([str(token["token"]) for token in tokens], answer, text)
        if index is None:
            return {}
        by_verdict: dict[str, float] = {}
        for token in tokens[index].get("top_logprobs") or []:
            if verdict := _verdict_of_token(str(token["token"])):
                probability = math.exp(min(0.0, float(token["logprob"])))
                by_verdict[verdict] = by_verdict.get(verdict, 0.0) + probability
    except (LookupError, TypeError, ValueError, AttributeError):
        return {}
    else:
        return by_verdict


def _verdict_index(tokens: Sequence[str], answer: Answer, text: str) -> int | None:
    """The index of the token with the first letter of the verdict that the answer was read from.

    Tokens may begin with a thought that is not in `text`, and end with markers.
    """
    whole = "".join(tokens)
    place = whole.rfind(text.strip()) if text.strip() else -1
    end = place + len(text.strip())
    if place >= 0 and _AFTER_ANSWER.fullmatch(whole, end):
        start = place + answer.start - (len(text) - len(text.lstrip()))
    else:
        try:
            found = find_answer(whole)
        except NoVerdict:
            return None
        if found.word != answer.word:
            return None
        start = found.start
    end = 0
    for index, token in enumerate(tokens):
        end += len(token)
        if end > start:
            return index if _verdict_of_token(token) == answer.word else None
    return None


def _verdict_of_token(token: str) -> str | None:
    """The verdict that begins with a token, regardless of quotes, spaces and case.

    No two verdicts begin with the same letter.
    """
    letters = re.match(r"[^A-Za-z]*([A-Za-z_]+)", token)
    if letters is None:
        return None
    verdicts = ("A", "B", "tie", _CANNOT_JUDGE)
    return next((word for word in verdicts if word.lower().startswith(letters[1].lower())), None)
