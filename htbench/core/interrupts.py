"""Ctrl-C and the signals that end a process: at any moment, in one line, with nothing lost.

A second signal ends the process at once.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_received: list[int] = []
_deferring: list[None] = []


class Interrupted(BaseException):
    """The user or the system ends the command.

    A class of its own, since libraries turn `KeyboardInterrupt` into other things.
    """

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after another signal."""
        return 130 if _received[:1] in ([], [signal.SIGINT]) else 143


def install() -> None:
    """Raise `Interrupted` in the main thread at the first signal, and end at the second.

    SIGHUP stays ignored where the parent ignores it, as `nohup` does.
    """
    _received.clear()
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        is_ignored = number is not None and signal.getsignal(number) is signal.SIG_IGN
        if number is not None and not (name == "SIGHUP" and is_ignored):
            signal.signal(number, _handle)


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Let the block finish its work after a signal; `Interrupted` is raised at its end.

    The block gets a function that says whether a signal has come, and ends within seconds after it.
    """
    _deferring.append(None)
    try:
        yield lambda: bool(_received)
    finally:
        _deferring.pop()
    if _received and not _deferring:
        raise Interrupted


def _handle(number: int, frame: object) -> None:
    _received.append(number)
    if len(_received) > 1:
        os._exit(130 if _received[0] == signal.SIGINT else 143)
    if not _deferring:
        raise Interrupted
