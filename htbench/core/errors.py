"""Failures that a user can mend: a line for the cause, a line for the remedy, an exit code."""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.util import find_spec
from typing import ClassVar


class HtbenchError(Exception):
    """A failure with its remedy; anything else that escapes is a bug."""

    exit_code: ClassVar[int] = 1

    def __init__(self, cause: str, *, remedy: str = "") -> None:
        super().__init__(cause)
        self.remedy = remedy
        if remedy:
            self.add_note(remedy)


class UsageError(HtbenchError):
    """The user asked for something that does not exist or makes no sense."""

    exit_code = 2


class Incomplete(HtbenchError):
    """The run ended with cells missing."""

    exit_code = 3


class Missing(HtbenchError):
    """Something outside of htbench is missing: weights, a key, a device, room on the disk."""

    exit_code = 4


_EXTRAS = {
    **dict.fromkeys(
        ("diffusers", "open_clip", "ot", "torch", "torchvision", "transformers"), "models"
    ),
    "pandas": "pandas",
}
"""Extras that bring a module which is imported wherever it is used, by its name."""


def not_installed(error: ImportError) -> Missing | None:
    """The error for an extra that is not installed, in one line; None if none has the module."""
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        return _missing_extra(error.name)
    return None


def check_installed(module: str) -> None:
    """Raise `Missing` if a module of an extra is not installed; it is not imported."""
    if find_spec(module) is None:
        raise _missing_extra(module)


def _missing_extra(module: str) -> Missing:
    return Missing(f"{module} is not installed; run: pip install 'htbench[{_EXTRAS[module]}]'")


def no_space() -> Missing:
    """The error for a full disk."""
    return Missing(
        "no space left on the disk; what was finished is kept",
        remedy="Make room; the same command continues.",
    )


class Refused(HtbenchError):
    """To continue would give a wrong result: a leak, a damaged file or one of another version."""

    exit_code = 5


class NotFinite(HtbenchError):
    """An image has NaN or infinity in it, which no picture can show, or an activation has."""

    exit_code = 3


class UnknownName(UsageError):
    """There is nothing of that name; the cause lists the nearest names that exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, remedy: str = "") -> None:
        names = sorted(set(known))
        in_small_letters = {known_name.lower(): known_name for known_name in reversed(names)}
        matches = get_close_matches(name[:200].lower(), in_small_letters, n=3, cutoff=0.5)
        if matches:
            near = (repr(in_small_letters[match]) for match in matches)
            hint = f"did you mean {' or '.join(near)}?"
        elif names:
            hint = f"known: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}"
        else:
            hint = "there is none"
        super().__init__(f"no {kind} {name[:80]!r}; {hint}", remedy=remedy)
