"""Rubrics: text with two placeholders, and nothing in it that could run."""

import re

MAX_BYTES = 1 << 16
"""The largest file of a rubric: 64 KiB."""
MAX_LENGTH = 1 << 18
"""The longest rubric that is filled in, in characters."""
_PLACEHOLDER = re.compile(r"\{\{[ \t]*(concept|prompt)[ \t]*\}\}")
_OTHER = re.compile(r"\{[{%#]")


class InvalidRubric(ValueError):
    """A rubric with anything else than the placeholders, or too long; the text is one line."""


def render(text: str, *, concept: str, prompt: str) -> str:
    """The text with `{{ concept }}` and `{{ prompt }}` filled in.

    Raises:
        InvalidRubric: if it has any other `{{`, `{%` or `{#`, with the line, or is too long.
    """
    values = {"concept": concept, "prompt": prompt}
    if other := _OTHER.search(_PLACEHOLDER.sub(_blank, text)):
        line = text.count("\n", 0, other.start()) + 1
        start = " ".join(text[other.start() :].split())[:40]
        raise InvalidRubric(f"line {line} has {start!r}, which is no placeholder")
    length = len(text) + sum(
        len(values[match[1]]) - len(match[0]) for match in _PLACEHOLDER.finditer(text)
    )
    if length > MAX_LENGTH:
        raise InvalidRubric(
            f"it has {length:,} characters when filled in, and {MAX_LENGTH:,} is the limit"
        )
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text).strip()


def names_concept(text: str) -> bool:
    """True if `{{ concept }}` is in the text."""
    return any(match[1] == "concept" for match in _PLACEHOLDER.finditer(text))


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])
