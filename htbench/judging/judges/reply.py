"""Reads chat completions: from the raw reply to a verdict. Whoever changes what it finds also raises `PARSER`."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from htbench.judging.judge import Choice, Usage, Verdict

PARSER = "chat-1"
MIN_COVERAGE = 0.8
"""Token probabilities below this sum are not those of a verdict: then the written one counts."""
_MARKS = r"""[\s*_#>"'`.:!-]*"""
_LAST_LINE = re.compile(
    rf"^{_MARKS}(?:(?:my |the |final )*(?:verdict|answer|winner|choice)(?: is)?{_MARKS})?(?:picture |image )?(A|B|tie|cannot[_ ]judge){_MARKS}$",
    re.IGNORECASE,
)
_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)
_CANNOT_JUDGE = "cannot_judge"


class _ParsedReply(BaseModel):
    verdict: Literal["A", "B", "tie", "cannot_judge"]
    reason: str = ""


def read(body: str) -> Verdict:
    """What a chat completion, given as JSON text, says. Never raises: what cannot be read is `unusable`, with the reason."""
    try:
        choice = json.loads(body)["choices"][0]
        message = choice["message"]
        finish, text, refusal = (
            choice.get("finish_reason"),
            _text(message.get("content")),
            message.get("refusal"),
        )
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
    said = _parse(text)
    if said is None:
        return Verdict(
            outcome="unusable",
            reason=f"no verdict in {text[:200]!r}" if text.strip() else "the reply is empty",
        )
    if said.verdict == "cannot_judge":
        return Verdict(outcome="cannot judge", reason=said.reason)
    return _weighted_verdict(said.verdict, said.reason, logprobs)


def usage(body: str) -> Usage:
    """The tokens of a chat completion; 0 where the endpoint does not say."""
    try:
        found = json.loads(body).get("usage") or {}
        cached = (found.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        return Usage(
            asked=int(found.get("prompt_tokens") or 0),
            cached=int(cached),
            replied=int(found.get("completion_tokens") or 0),
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        return Usage()


def _text(content: object) -> str:
    """A message's content, which some servers send in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _parse(text: str) -> _ParsedReply | None:
    """The verdict in a reply: an object of JSON anywhere in it, else a last line that is nothing but the verdict."""
    text = _THINKING.sub("", text).strip()
    for start in (match.start() for match in re.finditer(r"\{", text)):
        try:
            return _ParsedReply.model_validate(json.JSONDecoder().raw_decode(text[start:])[0])
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


def _weighted_verdict(choice: Choice, reason: str, logprobs: object) -> Verdict:
    """The verdict with the probabilities of its token, where they are there and cover enough."""
    chances = _verdict_probabilities(logprobs, choice) if isinstance(logprobs, Mapping) else {}
    covered = sum(chances.values())
    decided = covered - chances.get(_CANNOT_JUDGE, 0.0)
    if covered < MIN_COVERAGE or decided <= 0:
        return Verdict(
            outcome="answered",
            choice=choice,
            preference={"A": 1.0, "B": 0.0, "tie": 0.5}[choice],
            reason=reason,
        )
    first = (chances.get("A", 0.0) + 0.5 * chances.get("tie", 0.0)) / decided
    return Verdict(
        outcome="answered",
        choice=choice,
        preference=first,
        coverage=min(1.0, covered),
        reason=reason,
    )


def _verdict_probabilities(logprobs: Mapping[str, Any], choice: Choice) -> dict[str, float]:
    """Probabilities of the verdicts at the token that begins the written one; empty if it cannot be found."""
    try:
        tokens: Sequence[Mapping[str, Any]] = logprobs["content"] or []
        place = _verdict_index([str(token["token"]) for token in tokens], choice)
        if place is None:
            return {}
        found: dict[str, float] = {}
        for each in tokens[place].get("top_logprobs") or []:
            if verdict := _verdict_of_token(str(each["token"])):
                found[verdict] = found.get(verdict, 0.0) + math.exp(float(each["logprob"]))
    except (LookupError, TypeError, ValueError, OverflowError):
        return {}
    else:
        return found


def _verdict_index(tokens: Sequence[str], choice: Choice) -> int | None:
    """Which token holds the first letter of the verdict: behind its key in JSON, else in the last line."""
    text = "".join(tokens)
    after = re.search(r'"verdict"\s*:\s*"', text)
    start = after.end() if after else text.lower().rfind(choice.lower())
    if start < 0:
        return None
    end = 0
    for place, token in enumerate(tokens):
        end += len(token)
        if end > start:
            return place
    return None


def _verdict_of_token(token: str) -> str | None:
    """The verdict that a token begins, quotes, spaces and case left out: no two begin with the same letter."""
    letters = re.match(r"[^A-Za-z]*([A-Za-z_]+)", token)
    word = letters[1].lower() if letters else ""
    return next(
        (
            verdict
            for verdict in ("A", "B", "tie", _CANNOT_JUDGE)
            if word and verdict.lower().startswith(word)
        ),
        None,
    )
