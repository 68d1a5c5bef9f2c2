"""Formulas in docstrings, as Markdown has them, and an extension of griffe that puts them there."""

import re
import textwrap
from typing import Any

import griffe

_FORMULA = re.compile(r"^\.\. math::(.*(?:\n(?:[ \t]+\S.*|[ \t]*(?=\n[ \t]+\S)))*)", re.MULTILINE)
_INLINE = re.compile(r":math:`([^`]+)`")


def with_formulas(docstring: str) -> str:
    """The docstring with every `.. math::` as a `$$` block and every `:math:` between `$`."""

    def block(match: re.Match[str]) -> str:
        first, _, rest = match[1].partition("\n")
        return f"$$\n{' '.join([first.strip(), *textwrap.dedent(rest).split()]).strip()}\n$$"

    return _INLINE.sub(r"$\1$", _FORMULA.sub(block, docstring))


class Formulas(griffe.Extension):
    """Rewrites the formulas of every docstring that griffe reads."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = with_formulas(obj.docstring.value)
