"""Everything that can go wrong in a way that a user can mend: one line for the cause, one for the remedy, an exit code."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class HtbenchError(Exception):
    """A failure with its remedy; anything else that escapes is a bug."""

    exit_code: ClassVar[int] = 1

    def __init__(self, cause: str, *, remedy: str = "") -> None:
        super().__init__(cause)
        self.remedy = remedy


class UsageError(HtbenchError):
    """The user asked for something that does not exist or makes no sense."""

    exit_code = 2


class Incomplete(HtbenchError):
    """The run ended with cells missing."""

    exit_code = 3


class Missing(HtbenchError):
    """Something outside is missing: weights, a key, a device, room on the disk."""

    exit_code = 4


class Refused(HtbenchError):
    """Going on would give a wrong result: a leak, a damaged or foreign file."""

    exit_code = 5


class NotFinite(HtbenchError):
    """An image came out with NaN or infinity in it, which no picture can show."""

    exit_code = 3


class UnknownName(UsageError):
    """No such thing; names the nearest ones that exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, remedy: str = "") -> None:
        names = sorted(set(known))
        by_case = {each.lower(): each for each in reversed(names)}
        near = [
            by_case[each]
            for each in get_close_matches(name[:200].lower(), by_case, n=3, cutoff=0.5)
        ]
        if near:
            hint = f"did you mean {' or '.join(map(repr, near))}?"
        else:
            hint = (
                f"known: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}"
                if names
                else "there is none"
            )
        super().__init__(f"no {kind} {name[:80]!r}; {hint}", remedy=remedy)
