"""Promises: named checks that plug-ins are held to, and the reasons where one is broken."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from htbench.core.errors import HtbenchError, Refused

Case = TypeVar("Case")


class BrokenPromise(Refused):
    """A promise that was not kept."""


@dataclass(frozen=True, kw_only=True)
class PromiseResult:
    """The result of checking one promise."""

    promise: str
    problem: str | None
    """The reason that it was not kept; None if it was."""


def check_all(promises: Sequence[Callable[[Case], None]], case: Case) -> Iterator[PromiseResult]:
    """Check every promise in turn; stop if the first is broken, since the others depend on it."""
    for promise in promises:
        result = check_one(promise, case)
        yield result
        if result.problem and promise is promises[0]:
            return


def check_one(promise: Callable[[Case], None], case: Case) -> PromiseResult:
    """Check one promise; anything that it raises is the problem."""
    try:
        promise(case)
    except Exception as error:
        return PromiseResult(promise=name(promise), problem=_reason(error))
    return PromiseResult(promise=name(promise), problem=None)


def name(promise: Callable[[Any], None]) -> str:
    """The promise in words."""
    return promise.__name__.replace("_", " ")


def require(kept: bool, problem: str) -> None:
    """Raise `BrokenPromise` unless `kept`."""
    if not kept:
        raise BrokenPromise(problem)


def _reason(error: Exception) -> str:
    if isinstance(error, HtbenchError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text} ({Path(last.filename).name}, line {last.lineno})"
