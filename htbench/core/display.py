"""Output of a command while it works: a little on stderr, and lines of JSON on stdout on demand.

Rich is imported where it is used: it takes longer to import than `htbench list` takes to answer.
"""

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from htbench.core.content import without_nan

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task, TaskID
    from rich.text import Text


@dataclass(kw_only=True)
class RemainingTime:
    """The time left of a stage whose steps are of several parts that may cost unequally."""

    parts: dict[str, int]
    """Number of steps of each part that are left."""
    _steps: dict[str, int] = field(default_factory=dict)
    _seconds: dict[str, float] = field(default_factory=dict)

    def add(self, steps: int, part: str, seconds: float) -> None:
        """Count `steps` of a part as finished, which took `seconds` each."""
        self.parts[part] = max(0, self.parts.get(part, 0) - steps)
        self._steps[part] = self._steps.get(part, 0) + steps
        self._seconds[part] = self._seconds.get(part, 0.0) + steps * seconds

    def seconds(self, elapsed: float) -> float | None:
        """Seconds left after `elapsed` seconds; None before anything is finished.

        What steps took is scaled to the time that passed, which is less with several workers. A
        part of which nothing is finished costs as much as the dearest of the others.
        """
        if not self._steps or not elapsed:
            return None
        costs = {part: self._seconds[part] / n for part, n in self._steps.items()}
        spent = sum(self._seconds.values())
        if not spent:  # steps without times of their own cost the same
            costs, spent = dict.fromkeys(costs, 1.0), float(sum(self._steps.values()))
        dearest = max(costs.values())
        left = sum(n * costs.get(part, dearest) for part, n in self.parts.items())
        return elapsed / spent * left


@dataclass(frozen=True, kw_only=True)
class ProgressBar:
    """The progress bar of one stage of the work."""

    progress: "Progress"
    id: "TaskID"
    remaining: RemainingTime

    def advance(self, steps: int = 1, *, part: str = "", seconds: float = 0.0) -> None:
        """Add `steps` finished steps, of a `part` of the stage whose steps took `seconds` each."""
        self.progress.start_task(self.id)
        self.remaining.add(steps, part, seconds)
        self.progress.advance(self.id, steps)

    def show(self, item: str) -> None:
        """Name what is being worked on."""
        self.progress.start_task(self.id)
        self.progress.update(self.id, item=printable(item, max_length=60))


def _progress_bars() -> "Progress":
    from rich import progress
    from rich.console import Console
    from rich.text import Text

    class RateColumn(progress.ProgressColumn):
        def render(self, task: "Task") -> "Text":
            return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")

    class TimeLeftColumn(progress.ProgressColumn):
        max_refresh = 0.5

        def render(self, task: "Task") -> "Text":
            return Text(_time_left(task), style="progress.remaining")

    console = Console(stderr=True)
    columns = (
        progress.SpinnerColumn(),
        "{task.description:<20}",
        progress.BarColumn(bar_width=20),
        progress.MofNCompleteColumn(),
        RateColumn(),
        TimeLeftColumn(),
        progress.TextColumn("{task.fields[item]}", markup=False),
    )
    return progress.Progress(*columns, console=console, disable=not console.is_terminal)


@dataclass(frozen=True, kw_only=True)
class Display:
    """Messages, events and progress of a command: bars on terminals, else a line now and then."""

    verbose: bool = False
    as_json: bool = False
    bars: "Progress" = field(default_factory=_progress_bars)
    interval: float = 30.0
    """Seconds between two lines of progress, where there is no terminal for bars."""

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show progress while the block runs."""
        if not self.bars.disable:
            with nullcontext() if self.bars.live.is_started else self.bars:
                yield
            return
        is_over = threading.Event()
        thread = threading.Thread(target=self._write_progress, args=[is_over], daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def progress(
        self,
        title: str,
        total: int,
        *,
        parts: Mapping[str, int] | None = None,
        starts_now: bool = True,
    ) -> ProgressBar:
        """A new progress bar of `total` steps, whose time counts from now or from its first step.

        Where steps do not cost the same, `parts` has the number of steps of each kind, by the names
        that they advance with.
        """
        self.info(f"{title}: {total:,}")
        remaining = RemainingTime(parts=dict(parts or {"": total}))
        id_ = self.bars.add_task(title, start=starts_now, total=total, item="", remaining=remaining)
        return ProgressBar(progress=self.bars, id=id_, remaining=remaining)

    def announce(self, text: str) -> None:
        """Print what is about to begin on stderr."""
        self._stderr(f"htbench: {text}")

    def _write_progress(self, is_over: threading.Event) -> None:
        """Write a line on the stage under way at every interval."""
        while not is_over.wait(self.interval):
            unfinished = [task for task in self.bars.tasks if task.completed < (task.total or 0)]
            if unfinished:
                self._stderr(progress_line(unfinished[0]))

    def info(self, text: str) -> None:
        """Print `text` on stderr if the display is verbose."""
        if self.verbose:
            self._stderr(text)

    def note(self, text: str) -> None:
        """Print a note on stderr, and as an event."""
        self._stderr(f"htbench: {text}")
        self.event("note", text=text)

    def warn(self, text: str) -> None:
        """Print a warning on stderr, and as an event."""
        self._stderr(f"htbench: {text}")
        self.event("warning", text=text)

    def event(self, kind: str, **fields: object) -> None:
        """Print an event as a line of JSON on stdout, if the display is JSON."""
        if self.as_json:
            print_json(event=kind, **fields)

    def _stderr(self, text: str) -> None:
        self.bars.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def progress_line(task: "Task") -> str:
    """A stage of the work in a line: done, rate, time left, and what is being worked on."""
    rate = f"{task.completed / task.elapsed:.3g}/s" if task.completed and task.elapsed else ""
    parts = (rate, _time_left(task), task.fields["item"])
    count = f"{task.completed:,.0f}/{task.total or 0:,.0f}"
    return ", ".join([f"htbench: {task.description} {count}", *(part for part in parts if part)])


def _time_left(task: "Task") -> str:
    """The time left of a stage in words; empty where it is not known."""
    seconds = task.fields["remaining"].seconds(task.elapsed or 0.0)
    if task.finished or seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"


def stdout_console() -> "Console":
    """A console for text on stdout."""
    from rich.console import Console

    return Console()


def print_json(**fields: object) -> None:
    """One line of JSON on stdout; NaN is null there."""
    sys.stdout.write(
        json.dumps(without_nan(fields), ensure_ascii=True, allow_nan=False, default=str) + "\n"
    )
    sys.stdout.flush()


def printable(text: object, *, max_length: int = 2000) -> str:
    """`text` as a terminal may show it: control characters escaped, cut where it is too long."""
    words = "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in str(text)[: max_length + 1]
    )
    return f"{words[:max_length]}…" if len(words) > max_length else words
