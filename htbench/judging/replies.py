"""Raw replies of judges as text for people: the answer, and what the model thought before it."""

from collections.abc import Mapping
from dataclasses import dataclass

from htbench.core import reading

_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")


@dataclass(frozen=True, kw_only=True)
class ReadableReply:
    """The text of a raw reply."""

    text: str
    """The answer as the model wrote it; of a reply that is no chat completion, all of it."""
    thought: str
    """The thought that the server kept apart from the answer; empty without one."""


def readable(body: str) -> ReadableReply:
    """The text of a raw reply; never raises."""
    try:
        message = reading.parse_json(body)["choices"][0]["message"]
        text = _text(message.get("content")) or _text(message.get("refusal"))
        thought = max((_text(message.get(name)) for name in _THOUGHT_FIELDS), key=len)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ReadableReply(text=body, thought="")
    return ReadableReply(text=text, thought=thought)


def _text(value: object) -> str:
    """The text of a part of a message, which some servers send in several."""
    if isinstance(value, list):
        return "\n".join(filter(None, map(_text, value)))
    if isinstance(value, Mapping):
        return _text(value.get("text") or value.get("thinking"))
    return value if isinstance(value, str) else ""
