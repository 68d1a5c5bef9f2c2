"""Sessions of participants, as `htbench study serve` keeps them: one JSON file per participant."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from htbench.core import content, locks
from htbench.study import records
from htbench.study.answer import NUMBER_RANGES, Choice

FOLDER = "collected"
REPLACED = "replaced"
"""Folder in it with the sessions that somebody else's took the place of; they are not imported."""
MAX_VISITS = 500
"""Number of visits to a page that are recorded; further ones are not."""
MAX_RATER_CHARS = 100
_NAME = "sheet-{:03}.json"
_STALE = ".*-sheet-*.json"
"""Files that a killed process was writing."""
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)"
_REMEDY = "Restore it, or move it away: the participant's browser sends its answers again."


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GivenAnswer(_Strict):
    """One answer as the page sends it."""

    position: int = Field(ge=1, le=NUMBER_RANGES["position"][1], strict=True)
    """The position of the trial in the sheet, from 1."""
    item: str = Field(max_length=100)
    choice: Choice
    rt_ms: int | None = Field(ge=0, le=NUMBER_RANGES["rt_ms"][1], strict=True)
    """Milliseconds from the pair's appearance to the answer."""
    time: str = Field(pattern=f"^{_TIME}$")
    revision: int = Field(default=0, ge=0, le=10_000, strict=True)
    """Number of times that the participant changed the answer to this trial."""


class Visit(_Strict):
    """One opening of the page, from the first answer or consent on."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """Drawn by the page, so that a repeated request counts once."""
    time: str


class Session(_Strict):
    """The consent, visits and answers of the participant of one sheet. Times are those of the
    server, in UTC, except the times of answers.
    """

    study: str
    sheet: int = Field(ge=1)
    rater: str = Field(min_length=1, max_length=MAX_RATER_CHARS)
    """The participant's identifier: that of the link, or a code that the server drew."""
    visits: tuple[Visit, ...]
    saved: str = ""
    """Time at which the last new answer was saved; empty if there is none."""
    finished: str = ""
    """Time at which the last trial was answered; empty before."""
    answers: tuple[GivenAnswer, ...] = ()
    """In the order of positions."""
    link: int = Field(default=0, ge=0, le=99)
    """Number of the link that the session began with: 0 is the first, further ones are spare."""

    def with_visit(self, visit: Visit) -> Self:
        """The session with one more visit; the same one counts once."""
        if len(self.visits) >= MAX_VISITS or any(visit.id == each.id for each in self.visits):
            return self
        return self.model_copy(update={"visits": (*self.visits, visit)})

    def with_answers(self, answers: Sequence[GivenAnswer], *, trials: int, now: str) -> Self:
        """The session with more answers, of `trials` in all.

        Of answers to one trial that of the highest revision stays, and of those the first, so that
        a repeated request changes nothing.
        """
        merged = {each.position: each for each in self.answers}
        for each in answers:
            known = merged.get(each.position)
            if known is None or each.revision > known.revision:
                merged[each.position] = each
        ordered = tuple(merged[position] for position in sorted(merged))
        if ordered == self.answers:
            return self
        is_complete = len(merged) == trials
        return self.model_copy(
            update={
                "answers": ordered,
                "saved": now,
                "finished": self.finished or (now if is_complete else ""),
            }
        )


class SessionFiles:
    """The sessions of a study, each in a file of its own that is replaced whole."""

    def __init__(self, study: Path) -> None:
        self.folder = study / FOLDER
        self._thread_lock = Lock()

    def read(self, sheet: int) -> Session | None:
        """The session of a sheet; None if nobody has begun it.

        Raises:
            Refused: if its file is damaged.
        """
        return _read(self.path(sheet))

    def all(self) -> Iterator[tuple[Path, Session]]:
        """Each file of a session with its content, in the order of the sheets.

        Raises:
            Refused: if a file is damaged.
        """
        for path in sorted(self.folder.glob(_NAME.format(0).replace("000", "*"))):
            session = _read(path)
            if session:
                yield path, session

    def replaced(self) -> Iterator[tuple[Path, Session]]:
        """The same of the sessions that somebody else's took the place of."""
        for path in sorted((self.folder / REPLACED).glob("sheet-*.json")):
            session = _read(path)
            if session:
                yield path, session

    def first_link(self, sheet: int) -> int:
        """Number of the link with which a sheet is begun that has no session."""
        own = [session.link for _, session in self.replaced() if session.sheet == sheet]
        return max(own, default=-1) + 1

    def update(self, sheet: int, change: Callable[[Session | None], Session]) -> Session:
        """Replace the session of a sheet by what `change` makes of it, and give the new one.

        It is on the disk when this returns. An unchanged session is not written again. One that
        began with another link takes the place of the former, which is kept apart.

        Raises:
            Refused: if the file is damaged.
            OSError: if the disk does not take it; the former file is kept.
        """
        with self._thread_lock, self.locked():
            before = self.read(sheet)
            after = change(before)
            if before and after.link != before.link:
                folder = self.folder / REPLACED
                folder.mkdir(mode=0o700, exist_ok=True)
                _write(folder / f"sheet-{sheet:03}-{before.link}.json", before)
            if after != before:
                _write(self.path(sheet), after)
        return after

    def locked(self) -> AbstractContextManager[None]:
        """Hold the lock of the sessions against other processes; each change needs it.

        The folder is made, for its owner alone, if there is none.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return locks.locked(self.folder, noun="the sessions of a study")

    def wait(self) -> None:
        """Wait until a change that another thread makes is on the disk."""
        with self._thread_lock:
            pass

    def remove_stale(self) -> None:
        """Delete what killed processes have left; to be called with the lock held."""
        for path in self.folder.rglob(_STALE):
            path.unlink()

    def path(self, sheet: int) -> Path:
        """The path of the session of a sheet."""
        return self.folder / _NAME.format(sheet)


def rows(value: dict[str, object]) -> Iterator[dict[str, object]]:
    """The answers of a session in JSON as rows, with the columns that the page saves.

    Raises:
        ValueError: if it is no such session.
    """
    session = Session.model_validate(value)
    for each in session.answers:
        yield {
            "study": session.study,
            "sheet": session.sheet,
            "rater": session.rater,
            **each.model_dump(exclude={"revision"}),
        }


def is_session(value: dict[str, object]) -> bool:
    """True if a JSON object is like a session."""
    return {"sheet", "rater", "visits", "answers"} <= value.keys()


def _write(path: Path, session: Session) -> None:
    with content.replacing(path) as fresh, fresh.open("wb") as file:
        file.write(f"{session.model_dump_json(indent=1)}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> Session | None:
    return records.read_json(path, Session, noun="session", remedy=_REMEDY)
