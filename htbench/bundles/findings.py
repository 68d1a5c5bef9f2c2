"""Findings of a verification: what holds, what differs, and what cannot be checked here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

_SHOWN = 5
"""The most differences of one kind that are named one by one."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check, in words."""

    kind: Literal["holds", "differs", "unchecked"]
    what: str


def holds(what: str) -> Finding:
    """The finding that something is as the bundle says."""
    return Finding(kind="holds", what=what)


def differs(what: str) -> Finding:
    """The finding that something is not as the bundle says."""
    return Finding(kind="differs", what=what)


def unchecked(what: str) -> Finding:
    """The finding that something cannot be checked on this machine, with the reason."""
    return Finding(kind="unchecked", what=what)


def each_differs(differences: Sequence[str], noun: str) -> Iterator[Finding]:
    """A finding for each of the first differences, and the number of the others."""
    for difference in differences[:_SHOWN]:
        yield differs(difference)
    if len(differences) > _SHOWN:
        yield differs(f"{len(differences) - _SHOWN:,} more {noun}")
