"""Parameters of a judge's calls that a user gives, and the models that think before they answer."""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import JsonValue

from htbench.core import reading
from htbench.core.errors import UsageError

_THINKS = re.compile(
    r"(?:^|[/:_.-])(?:o[1-9](?:$|[-.:])|gpt-[5-9](?!\S*chat)|gpt-oss|qwq|qvq|magistral|gemini-2\.5"
    r"|gemini-[3-9]|glm-4\.\dv|grok-[4-9]|kimi-k2|minimax-m|r1(?:$|[-.:])"
    r"|qwen3(?!\S*instruct))|think|reason",
    re.IGNORECASE,
)
_NOT = re.compile(r"non-?(?:think|reason)|no-?think", re.IGNORECASE)


def thinks(model: str) -> bool:
    """True if a model's name is one of those that think before they answer."""
    return bool(_THINKS.search(model)) and not _NOT.search(model)


def read_parameters(assignments: Iterable[str]) -> dict[str, JsonValue]:
    """Parameters from texts such as `temperature=0.5` and `reasoning.effort=low`.

    A dot leads into an object. A value is read as JSON where it is some, else as text; `null` takes
    the card's parameter away.

    Raises:
        UsageError: for a text without a name and `=`, and for a name in or of two values.
    """
    parameters: dict[str, Any] = {}
    for text in assignments:
        path, equals, value = text.partition("=")
        names = path.strip().removeprefix("extra_body.").split(".")
        if not equals or not all(re.fullmatch(r"[A-Za-z_][\w-]{0,99}", name) for name in names):
            raise UsageError(
                f"--set {text[:100]!r} is no parameter with its value",
                remedy="Give one such as --set reasoning_effort=low.",
            )
        table = parameters
        for name in names[:-1]:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                break
        if not isinstance(table, dict) or names[-1] in table:
            raise UsageError(f"--set gives {path.strip()[:100]!r} two values")
        table[names[-1]] = _value(value.strip())
    return parameters


def _value(text: str) -> JsonValue:
    try:
        value: JsonValue = reading.parse_json(text)
    except reading.Malformed:
        return text
    return value
