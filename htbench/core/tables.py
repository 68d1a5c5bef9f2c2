"""Plain text for a terminal: tables and paragraphs in which no name and no number is cut."""

import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from htbench.core.display import printable, stdout_console

WIDE = 120
"""Columns of a terminal from which tables show every figure with its interval."""
_GAP = "  "


def terminal_width() -> int:
    """Columns of the terminal; COLUMNS, or 80, where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def wrap(text: str, width: int, *, indent: int = 0) -> list[str]:
    """Lines of `text` broken at spaces alone; those after the first are indented."""
    return textwrap.wrap(
        printable(text),
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_paragraph(text: str) -> None:
    """Print `text` on stdout in lines of at most 98 columns; nothing for an empty text."""
    print_lines(wrap(text, min(terminal_width(), 100) - 2))


def print_lines(lines: Sequence[str], *, style: str = "") -> None:
    """Print lines on stdout as they are, whatever the width of the terminal."""
    from rich.text import Text

    console = stdout_console()
    for line in lines:
        console.print(Text(line, style=style), soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table with one column of names, which is aligned left; all other columns are figures."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    names: int = 0
    """Index of the column of names."""

    @property
    def width(self) -> int:
        """Number of columns of the terminal that the whole table needs."""
        return sum(self._widths) + len(_GAP) * (len(self.columns) - 1)

    def lines(self, width: int) -> list[str]:
        """The heading and the rows.

        In a table that is wider than `width`, a name that does not fit has a line of its own, and
        its figures follow on the next.
        """
        widths = self._widths
        room = widths[self.names] - max(0, self.width - width)
        widths[self.names] = max(room, len(self.columns[self.names]))
        return [
            line for row in (self.columns, *self.rows) for line in self._lines(row, widths, width)
        ]

    def print(self) -> None:
        """Print the table on stdout, for the terminal's width."""
        title = wrap(self.title, terminal_width() - 2)
        heading, *rows = self.lines(terminal_width() - 2)
        print_lines([*title, heading], style="bold")
        print_lines(rows)

    @property
    def _widths(self) -> list[int]:
        table = (self.columns, *self.rows)
        return [max(map(_length, column)) for column in zip(*table, strict=True)]

    def _lines(self, row: Sequence[str], widths: Sequence[int], width: int) -> list[str]:
        name, end = row[self.names], self.names + 1
        if _length(name) <= widths[self.names]:
            return [self._line(row, widths)]
        figures = [*[""] * end, *row[end:]]
        return [
            *wrap(self._line(row[:end], widths), width, indent=2),
            self._line(figures, widths),
        ]

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = []
        for k, (cell, width) in enumerate(zip(row, widths, strict=False)):
            padding = " " * (width - _length(cell))
            cells.append(cell + padding if k == self.names else padding + cell)
        return _GAP.join(cells).rstrip()


def _length(text: str) -> int:
    """Columns that `text` takes, of which a wide character takes two."""
    from rich.cells import cell_len

    return cell_len(text)
