"""The bundles of a folder: those that can stand on a board, and the reasons why others cannot."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.board import entry
from htbench.board.entry import Entry
from htbench.board.mark import read_mark
from htbench.bundles import signature, verification_record
from htbench.core import content, reading
from htbench.core.display import Display
from htbench.core.errors import HtbenchError, UsageError

_REMEDY = "Put bundles of htbench pack there."


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A file that is not on the board, or evidence that counts as none."""

    file: str
    reason: str
    """A line."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """The bundles of a folder."""

    entries: Sequence[Entry]
    """The latest first; those of one minute by digest."""
    problems: Sequence[Problem]


def collect(
    folder: Path, *, signers: Path | None = None, display: Display | None = None
) -> Collection:
    """Read the bundles in `folder`; folders in it and hidden files are none.

    Raises:
        UsageError: if there is no such folder, no file in it, or none that is a bundle as it was
            packed.
    """
    if signers:
        reading.find_file(signers, noun="file of signers")
    files = _files(folder)
    if not files:
        raise UsageError(f"no bundle in {str(folder)[:300]!r}", remedy=_REMEDY)
    problems: list[Problem] = []
    by_digest: dict[str, Entry] = {}
    bar = (display or Display()).progress("bundles", len(files))
    for path in files:
        try:
            own = _read(path, by_digest, signers=signers)
            by_digest[own.sha256] = own
            problems += (Problem(file=path.name, reason=text) for text in own.mark.problems)
        except HtbenchError as error:
            problems.append(Problem(file=path.name, reason=str(error)))
        bar.advance()
    if not by_digest:
        raise UsageError(
            f"no bundle in {str(folder)[:300]!r} can be read; {problems[0].reason}", remedy=_REMEDY
        )
    latest = sorted(by_digest.values(), key=lambda each: each.sha256)
    latest.sort(key=lambda each: each.made, reverse=True)
    return Collection(entries=latest, problems=problems)


def _files(folder: Path) -> list[Path]:
    """The files that are to be bundles, in the order of their names."""
    try:
        names = {path.name: path for path in folder.iterdir() if not path.name.startswith(".")}
    except OSError as error:
        raise UsageError(f"folder {str(folder)[:300]!r} cannot be read: {error.strerror}") from None
    evidence = {
        path_of(path).name
        for path in names.values()
        for path_of in (signature.path_of, verification_record.path_of)
    }
    return [
        path for name, path in sorted(names.items()) if name not in evidence and not path.is_dir()
    ]


def _read(path: Path, known: dict[str, Entry], *, signers: Path | None) -> Entry:
    reading.find_file(path, noun="bundle")
    sha256 = content.full_file_digest(path)
    if sha256 in known:
        raise UsageError(f"it has the bytes of {known[sha256].name[:200]!r}")
    return entry.read(path, sha256=sha256, mark=read_mark(path, sha256=sha256, signers=signers))
