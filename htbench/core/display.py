"""What a command says while it works: little on stderr, and on stdout lines of JSON if they are asked for."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TimeRemainingColumn,
)
from rich.text import Text


@dataclass(frozen=True, kw_only=True)
class ProgressBar:
    """A bar that fills."""

    progress: Progress
    id: TaskID

    def advance(self, steps: int = 1) -> None:
        """So many more are done."""
        self.progress.advance(self.id, steps)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


def _progress_bars() -> Progress:
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        "{task.description:<20}",
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


@dataclass(frozen=True, kw_only=True)
class Display:
    """Quiet unless told otherwise; progress bars are for terminals alone."""

    verbose: bool = False
    as_json: bool = False
    bars: Progress = field(default_factory=_progress_bars)

    @contextmanager
    def showing(self) -> Iterator[None]:
        """While inside, bars are drawn."""
        if self.bars.live.is_started:
            yield
        else:
            with self.bars:
                yield

    def progress(self, title: str, total: int) -> ProgressBar:
        """A new bar."""
        self.info(f"{title}: {total:,}")
        return ProgressBar(progress=self.bars, id=self.bars.add_task(title, total=total))

    def info(self, text: str) -> None:
        """For those who asked for more."""
        if self.verbose:
            self._stderr(text)

    def warn(self, text: str) -> None:
        """For everybody: something did not go as planned."""
        self._stderr(f"htbench: {text}")
        self.event("warning", text=text)

    def event(self, kind: str, **fields: object) -> None:
        """A line of JSON on stdout, if asked for."""
        if self.as_json:
            print_json(event=kind, **fields)

    def _stderr(self, text: str) -> None:
        self.bars.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def print_json(**fields: object) -> None:
    """One line of JSON on stdout; NaN is null there."""
    sys.stdout.write(
        json.dumps(_finite(fields), ensure_ascii=True, allow_nan=False, default=str) + "\n"
    )
    sys.stdout.flush()


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def printable(text: object, *, max_length: int = 2000) -> str:
    """`text` as a terminal may show it: control characters escaped, cut where it is too long."""
    words = "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in str(text)[: max_length + 1]
    )
    return f"{words[:max_length]}…" if len(words) > max_length else words
