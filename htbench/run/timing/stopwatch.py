"""Measurement of a piece of work and its phases.

Times are of the host's clock between synchronisations and, on a GPU, of events as well.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from htbench.core.phase import Phase, listening

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value")
_FIT_PHASES: tuple[Phase, ...] = ("extract", "fit", "train")
"""Phases that include the hooks they install at every step.

Elsewhere installing is a phase of its own.
"""


@dataclass(frozen=True, kw_only=True)
class Measurement(Generic[Value]):
    """One piece of work, measured."""

    result: Value
    seconds: float
    """Seconds of the host's clock, the device idle at both ends."""
    device_seconds: float | None
    """Seconds between events of the GPU; None on a CPU."""
    phases: dict[Phase, float]
    """Seconds of each phase without the phases inside it.

    On a GPU they are between events, so that phases add no synchronisation.
    """
    laps: dict[Phase, tuple[float, ...]]
    """Seconds of every span of a phase, in order, without the phases inside it."""
    memory: dict[Phase, int]
    """Peak bytes of each phase, on the device, or of the process on a CPU; empty by default."""


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """A moment from which on work belongs to a phase."""

    phase: Phase
    span: int
    """Number of the span; a span goes on after a phase inside it."""
    host: float
    event: "torch.cuda.Event | None"


@dataclass(frozen=True, kw_only=True)
class Stopwatch:
    """A stopwatch for work on a device."""

    device: str
    synchronise: Callable[[], None]
    """Waits until the device has finished all queued work."""

    def measure(self, work: Callable[[], Value], *, memory: bool = False) -> Measurement[Value]:
        """Do `work` and measure it.

        Reading `memory` takes time of its own, so it is for work whose times do not count.
        """
        marks: list[_Mark] = []
        peaks: dict[Phase, int] = defaultdict(int)

        spans = count()

        def switch(phase: Phase, span: int) -> None:
            if memory and marks:
                peaks[marks[-1].phase] = max(peaks[marks[-1].phase], self._peak_memory())
            event = self._event()
            marks.append(_Mark(phase=phase, span=span, host=time.perf_counter(), event=event))

        @contextmanager
        def listen(phase: Phase) -> Iterator[None]:
            outer = marks[-1]
            if phase == "install" and outer.phase in _FIT_PHASES:
                switch(outer.phase, outer.span)
            else:
                switch(phase, next(spans))
            try:
                yield
            finally:
                switch(outer.phase, outer.span)

        self.synchronise()
        if memory:
            self._peak_memory()
        switch("other", next(spans))
        with listening(listen):
            result = work()
        last = self._event()
        self.synchronise()
        marks.append(_Mark(phase="other", span=0, host=time.perf_counter(), event=last))
        if memory:
            peaks[marks[-2].phase] = max(peaks[marks[-2].phase], self._peak_memory())
        laps: dict[Phase, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        for begin, end in pairwise(marks):
            laps[begin.phase][begin.span] += _elapsed(begin, end)
        whole = None if last is None else _elapsed(marks[0], marks[-1])
        return Measurement(
            result=result,
            seconds=marks[-1].host - marks[0].host,
            device_seconds=whole,
            phases={name: sum(spent.values()) for name, spent in laps.items()},
            laps={name: tuple(spent.values()) for name, spent in laps.items()},
            memory=dict(peaks),
        )

    def _event(self) -> "torch.cuda.Event | None":
        if not self.device.startswith("cuda"):
            return None
        import torch

        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return event

    def _peak_memory(self) -> int:
        """Peak of the bytes in use since the last call."""
        if not self.device.startswith("cuda"):
            return _process_peak_memory()
        import torch

        peak = torch.cuda.max_memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        return peak


def _elapsed(begin: _Mark, end: _Mark) -> float:
    if begin.event is None or end.event is None:
        return end.host - begin.host
    return float(begin.event.elapsed_time(end.event)) / 1e3


def _process_peak_memory() -> int:
    """Peak bytes of the process since the last call, on Linux; 0 elsewhere."""
    try:
        (line,) = (
            line
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
    except (OSError, ValueError):
        return 0
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return int(line.split()[1]) * 1024
