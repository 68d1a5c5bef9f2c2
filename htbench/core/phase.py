"""Phases of work: named spans of code, which cost nothing unless a listener times them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal, get_args

Phase = Literal[
    "load", "encode-prompts", "extract", "fit", "train", "predict", "install", "generate", "other"
]
"""`fit` and `train` take time in proportion to their steps, for one concept and for all concepts
together; `other` is the time outside of all spans."""
PHASES: tuple[Phase, ...] = get_args(Phase)
Listener = Callable[[Phase], AbstractContextManager[None]]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def phase(name: Phase) -> Iterator[None]:
    """A span of the phase `name`; phases inside of it count for themselves only."""
    listener = _listener.get()
    if listener is None:
        yield
    else:
        with listener(name):
            yield


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Pass every phase of this thread to `listener` while the block runs."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
