"""One writer at a time for each folder that is written."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from htbench.core.errors import UsageError

if TYPE_CHECKING:
    from filelock import BaseFileLock


def acquire(
    file: Path, *, noun: str, activity: str, wait: float = 0.0, otherwise: str = ""
) -> "BaseFileLock":
    """The lock in `file`, which the operating system releases when the process ends.

    Args:
        noun: the noun for the folder in messages: `study 'mine'`.
        activity: participle for the work of the process that has the lock: `written`.
        wait: the longest wait in seconds; one line on stderr tells of it.
        otherwise: end of the remedy's sentence: an alternative to waiting.

    Raises:
        UsageError: if another process has it still.
        OSError: if the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        try:
            if wait:
                sys.stderr.write(f"htbench: waiting for another process that writes {noun}\n")
            lock.acquire(timeout=wait)
        except Timeout:
            raise UsageError(
                f"{noun} is being {activity} by another process",
                remedy=f"Wait for it{otherwise}.",
            ) from None
    return lock


@contextmanager
def locked(
    folder: Path, *, noun: str, activity: str = "written", wait: float = 60.0
) -> Iterator[None]:
    """Hold the lock of `folder`, which is made if there is none; the rest as in `acquire`."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = acquire(folder / ".lock", noun=noun, activity=activity, wait=wait)
    try:
        yield
    finally:
        lock.release()
