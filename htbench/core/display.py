"""Output of a command while it works: a little on stderr, and lines of JSON on stdout on demand.

Rich is imported where it is used: it takes longer to import than `htbench list` takes to answer.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from htbench.core.content import without_nan

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task, TaskID
    from rich.text import Text


@dataclass(frozen=True, kw_only=True)
class ProgressBar:
    """The progress bar of one stage of the work."""

    progress: "Progress"
    id: "TaskID"

    def advance(self, steps: int = 1) -> None:
        """Add `steps` finished steps."""
        self.progress.advance(self.id, steps)


def _progress_bars() -> "Progress":
    from rich import progress
    from rich.console import Console
    from rich.text import Text

    class RateColumn(progress.ProgressColumn):
        def render(self, task: "Task") -> "Text":
            return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")

    console = Console(stderr=True)
    columns = (
        progress.SpinnerColumn(),
        "{task.description:<20}",
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        RateColumn(),
        progress.TimeRemainingColumn(),
    )
    return progress.Progress(*columns, console=console, disable=not console.is_terminal)


@dataclass(frozen=True, kw_only=True)
class Display:
    """Messages, events and progress bars of a command; the bars show on terminals alone."""

    verbose: bool = False
    as_json: bool = False
    bars: "Progress" = field(default_factory=_progress_bars)

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Draw progress bars while the block runs."""
        if self.bars.live.is_started:
            yield
        else:
            with self.bars:
                yield

    def progress(self, title: str, total: int) -> ProgressBar:
        """A new progress bar of `total` steps."""
        self.info(f"{title}: {total:,}")
        return ProgressBar(progress=self.bars, id=self.bars.add_task(title, total=total))

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


def stdout_console() -> "Console":
    """A console for tables on stdout: as wide as the terminal, or 140 columns where it is none."""
    from rich.console import Console

    return Console(width=None if Console().is_terminal else 140)


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
