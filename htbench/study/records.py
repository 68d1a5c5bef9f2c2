"""The files of a study that hold records, which may have been edited by hand or damaged."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from htbench.core import locks, reading
from htbench.core.errors import Refused, UsageError

_LONGEST_WAIT = 1800.0
"""Seconds that a command waits for another one that writes the same study."""
Record = TypeVar("Record", bound=BaseModel)


def locked(study: Path) -> AbstractContextManager[None]:
    """Hold the lock of a study, which a command that changes any of its files needs.

    Another command waits, for half an hour at most, and says so in one line on stderr.
    """
    return locks.locked(study, noun=f"study {str(study)[:300]!r}", wait=_LONGEST_WAIT)


def read_json(path: Path, kind: type[Record], *, noun: str, remedy: str) -> Record | None:
    """The record in a JSON file of a study; None if there is no such file.

    Raises:
        Refused: if it is no such record, with the field.
    """
    if not os.path.lexists(path):
        return None
    with refusing(remedy):
        return reading.read_record(path, kind, noun=noun)


def read_toml(path: Path, kind: type[Record], *, noun: str, remedy: str) -> Record | None:
    """The record in a TOML file of a study; None if there is no such file.

    Raises:
        Refused: if it is no such record, with the field.
    """
    if not os.path.lexists(path):
        return None
    with refusing(remedy):
        try:
            return kind.model_validate(reading.read_toml(path, noun=noun))
        except ValidationError as error:
            raise UsageError(
                f"{noun} {str(path)[:300]!r}: {reading.first_problem(error)}"
            ) from None


@contextmanager
def refusing(remedy: str) -> Iterator[None]:
    """Refuse a file of the study, with `remedy`, for what is wrong with it in the block."""
    try:
        yield
    except UsageError as error:
        raise Refused(str(error), remedy=remedy) from None
