"""Reads the verdict from a raw chat completion.

Any change to the verdicts has to raise `PARSER`.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from htbench.core import reading
from htbench.judging.judge import Choice, Verdict
from htbench.judging.meter import NO_USAGE, Usage

PARSER = "chat-1"
MIN_COVERAGE = 0.8
"""Total probability of the verdicts' tokens below which the written verdict counts."""
_MARKS = r"""[\s*_#>"'`.:!-]*"""
_LAST_LINE = re.compile(
    rf"^{_MARKS}(?:(?:my |the |final )*(?:verdict|answer|winner|choice)(?: is)?{_MARKS})?"
    rf"(?:picture |image )?(A|B|tie|cannot[_ ]judge){_MARKS}$",
    re.IGNORECASE,
)
MAX_TOKENS = 10_000_000
"""A larger count of tokens is taken for none: it is more than any model reads."""
_MAX_LENGTH = 1 << 18
"""The longest answer, without thoughts, that a verdict is searched for in, in characters."""
_THOUGHT_BEGINS, _THOUGHT_ENDS = "<think>", "</think>"
_CANNOT_JUDGE = "cannot_judge"


class _ParsedReply(BaseModel):
    verdict: Literal["A", "B", "tie", "cannot_judge"]
    reason: str = ""


def read(body: str) -> Verdict:
    """The verdict in a chat completion, given as JSON text.

    Never raises: a reply that cannot be read is `unusable`, with the reason.
    """
    try:
        choice = _parsed(body)["choices"][0]
        message = choice["message"]
        finish, refusal = choice.get("finish_reason"), message.get("refusal")
        text = _text(message.get("content"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Verdict(outcome="unusable", reason="not a chat completion")
    if finish == "content_filter":
        return Verdict(outcome="filtered", reason="the endpoint's filter took the reply away")
    if refusal:
        return Verdict(outcome="refused", reason=str(refusal)[:500])
    if finish == "length":
        return Verdict(outcome="truncated", reason=f"the reply was cut off after {text[-60:]!r}")
    return _verdict(text, choice.get("logprobs"))


def _verdict(text: str, logprobs: object) -> Verdict:
    parsed = _parse(text)
    if parsed is None:
        reason = f"no verdict in {text[:200]!r}" if text.strip() else "the reply is empty"
        return Verdict(outcome="unusable", reason=reason)
    if parsed.verdict == "cannot_judge":
        return Verdict(outcome="cannot judge", reason=parsed.reason)
    return _weighted_verdict(parsed.verdict, parsed.reason, logprobs)


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
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _parse(text: str) -> _ParsedReply | None:
    """The verdict in a reply: in a JSON object anywhere in it, else alone on the last line."""
    text = _without_thoughts(text).strip()
    if len(text) > _MAX_LENGTH:
        return None
    for start in (match.start() for match in re.finditer(r"\{", text)):
        try:
            _, end = json.JSONDecoder().raw_decode(text, start)
            return _ParsedReply.model_validate(reading.parse_json(text[start:end]))
        except (ValueError, ValidationError, RecursionError):
            continue
    last = _LAST_LINE.match(text.rpartition("\n")[2].strip())
    if last is None:
        return None
    word = last[1].lower().replace(" ", "_")
    return _ParsedReply.model_validate(
        {
            "verdict": word.upper() if word in "ab" else word,
            "reason": text.rpartition("\n")[0].strip()[:500],
        }
    )


def _without_thoughts(text: str) -> str:
    """`text` without all that stands between the tags of a thought, in linear time."""
    parts, start = [], 0
    while (begin := text.find(_THOUGHT_BEGINS, start)) >= 0:
        end = text.find(_THOUGHT_ENDS, begin)
        if end < 0:
            break
        parts.append(text[start:begin])
        start = end + len(_THOUGHT_ENDS)
    return "".join([*parts, text[start:]])


def _weighted_verdict(choice: Choice, reason: str, logprobs: object) -> Verdict:
    """The verdict weighted by token probabilities, if their total suffices."""
    by_verdict = _verdict_probabilities(logprobs, choice) if isinstance(logprobs, Mapping) else {}
    total = sum(by_verdict.values())
    decided = total - by_verdict.get(_CANNOT_JUDGE, 0.0)
    preference, coverage = {"A": 1.0, "B": 0.0, "tie": 0.5}[choice], None
    if total >= MIN_COVERAGE and decided > 0:
        preference = (by_verdict.get("A", 0.0) + 0.5 * by_verdict.get("tie", 0.0)) / decided
        coverage = min(1.0, total)
    return Verdict(
        outcome="answered", choice=choice, preference=preference, coverage=coverage, reason=reason
    )


def _verdict_probabilities(logprobs: Mapping[str, Any], choice: Choice) -> dict[str, float]:
    """Probabilities of the verdicts at the first token of the written one; empty if not found."""
    try:
        tokens: Sequence[Mapping[str, Any]] = logprobs["content"] or []
        index = _verdict_index([str(token["token"]) for token in tokens], choice)
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


def _verdict_index(tokens: Sequence[str], choice: Choice) -> int | None:
    """The index of the token with the verdict's first letter: after its JSON key, else the last."""
    text = "".join(tokens)
    after = re.search(r'"verdict"\s*:\s*"', text)
    start = after.end() if after else text.lower().rfind(choice.lower())
    if start < 0:
        return None
    end = 0
    for index, token in enumerate(tokens):
        end += len(token)
        if end > start:
            return index
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
