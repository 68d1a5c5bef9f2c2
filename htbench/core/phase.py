"""Phases of work: spans that code names as it goes, and that cost nothing unless somebody listens."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal, get_args

Phase = Literal[
    "load", "encode-prompts", "extract", "fit", "train", "predict", "install", "generate", "other"
]
"""`fit` and `train` are what takes as long as there are steps, for one concept and for all together; `other` is what nothing named."""
PHASES: tuple[Phase, ...] = get_args(Phase)
Listener = Callable[[Phase], AbstractContextManager[None]]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def phase(name: Phase) -> Iterator[None]:
    """What runs inside belongs to `name`, except for phases inside it, which count for themselves."""
    listener = _listener.get()
    if listener is None:
        yield
    else:
        with listener(name):
            yield


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """While inside, `listener` is told of every phase of this thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
