"""Withdrawal of a person from a study: their identifiers and answers leave all of its files."""

import csv
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from htbench.core import content, reading
from htbench.core.errors import Missing, Refused, UnknownName
from htbench.study import answer, csv_rows, manifest, records
from htbench.study.collect import intake, privacy, profile
from htbench.study.collect.log import FILE as LOG_FILE
from htbench.study.collect.log import ImportLog
from htbench.study.collect.privacy import MIN_IDENTIFIER_CHARS, Pseudonyms
from htbench.study.collect.sessions import SessionFiles

OWN_FILES = (
    intake.ANSWERS_FILE,
    intake.PARTICIPANTS_FILE,
    intake.KEY_FILE,
    intake.RULES_FILE,
    intake.ABOUT_FILE,
    manifest.FILE,
    LOG_FILE,
)
_ROWS = (".csv", ".tsv", ".txt")
_JSON = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """The effect of a withdrawal on the tables and the imported files of a study."""

    answers: int
    """Number of answers that were removed; 0 when the person had withdrawn before."""
    people: int
    """Number of people whose answers are left."""
    files: int
    """Number of imported files in the study's folder that were rewritten or deleted."""
    sessions: int
    """Number of sessions that a server had kept and that were deleted."""
    withdrawn: int
    """Number of people who have withdrawn so far."""


@dataclass(frozen=True, kw_only=True)
class _Person:
    """A person by the pseudonym, and by the raw identifier if it is known."""

    pseudonym: str
    names: Pseudonyms
    identifier: str = ""

    def is_in(self, cells: dict[str, str]) -> bool:
        """True if a row is the person's: a cell is their name, or holds it as a word."""
        raters = _rater_columns()
        return any(
            self._is_name(cell.strip(), certain=column in raters)
            or (self.identifier and _has_word(cell, self.identifier))
            for column, cell in cells.items()
        )

    def _is_name(self, text: str, *, certain: bool) -> bool:
        if not text or not (certain or len(text) >= MIN_IDENTIFIER_CHARS):
            return False
        return text == self.pseudonym or self.names.pseudonym(text) == self.pseudonym

    def occurs_in(self, data: bytes) -> bool:
        """True if bytes hold the pseudonym or the identifier as a word, in UTF-8 or UTF-16."""
        for name in filter(None, (self.pseudonym, self.identifier)):
            if len(name) < MIN_IDENTIFIER_CHARS:
                continue
            if name.encode("utf-16-le") in data or name.encode("utf-16-be") in data:
                return True
            if name.encode() in data and _has_word(data.decode("utf-8", "replace"), name):
                return True
        return False


def forget(folder: Path, person: str, *, secret: Path, reports: Collection[str] = ()) -> Withdrawal:
    """Remove a person from a study's tables, from the imported files that lie in its folder, and
    from the sessions that a server keeps there, which takes no further answers of theirs.

    The log of imports keeps a keyed digest, by which a later import leaves the person out. Every
    file is checked before the first is written; a killed process is made good by the same call.

    Args:
        person: a pseudonym, an identifier as the platform exported it, the code that a server drew,
            or the name of a file that holds the answers of one person.
        reports: names of files that are not looked at, since the caller writes them again.

    Raises:
        Missing: if there are no answers, or the secret is not there.
        UnknownName: if there is no such person, with the nearest pseudonyms.
        Refused: if another file in the folder holds the person's name and cannot be rewritten.
    """
    sessions = SessionFiles(folder)
    is_served = sessions.folder.is_dir()
    if not ((folder / LOG_FILE).exists() or is_served):
        raise Missing(
            f"no answers in study {str(folder)!r}", remedy="htbench study import reads them."
        )
    if not os.path.lexists(secret):
        raise Missing(
            f"no secret {str(secret)!r}, by which people have their pseudonyms",
            remedy="Give --secret the file that the votes were imported with.",
        )
    names = Pseudonyms(secret=privacy.load_or_create_secret(secret, shared_folder=folder))
    with records.locked(folder), sessions.locked() if is_served else nullcontext():
        sessions.remove_stale()
        return _forget(folder, person, names=names, sessions=sessions, reports=reports)


def _forget(
    folder: Path,
    person: str,
    *,
    names: Pseudonyms,
    sessions: SessionFiles,
    reports: Collection[str],
) -> Withdrawal:
    log = ImportLog.read(folder) or ImportLog(rules="")
    table = folder / intake.ANSWERS_FILE
    answers = list(answer.read(table)) if table.exists() else []
    every = (*sessions.all(), *sessions.replaced())
    codes = {path: session.rater for path, session in every}
    found = _find(person, {each.rater for each in answers}, codes, log, names, folder)
    kept = [each for each in answers if each.rater != found.pseudonym]
    own_sessions = [
        path for path, code in codes.items() if names.pseudonym(code) == found.pseudonym
    ]
    cleaned = dict(_cleaned_files(folder, found, deleted=own_sessions, reports=reports))
    log = log.with_withdrawn(names.mark(found.pseudonym))
    log.write(folder)
    for path in own_sessions:
        path.unlink()
    for path, text in cleaned.items():
        if text is None:
            path.unlink()
        else:
            content.write_whole(path, text)
    _write_participants(folder, found.pseudonym)
    if not kept:
        table.unlink(missing_ok=True)
    elif len(kept) < len(answers):
        answer.write_rows(table, answer.COLUMNS, map(answer.cells_of, kept))
    return Withdrawal(
        answers=len(answers) - len(kept),
        people=len({each.rater for each in kept}),
        files=len(cleaned),
        sessions=len(own_sessions),
        withdrawn=len(log.withdrawn),
    )


def _find(
    person: str,
    raters: set[str],
    codes: Mapping[Path, str],
    log: ImportLog,
    names: Pseudonyms,
    folder: Path,
) -> _Person:
    """The person of a name, who has answers, statuses or a session, or has withdrawn before."""
    identifiers = {names.pseudonym(code): code for code in codes.values()}
    known = raters | set(intake.read_statuses(folder)) | identifiers.keys()
    by_file = [code for path, code in codes.items() if path.stem == Path(person).stem]
    for name in dict.fromkeys((person.strip(), Path(person).stem, *by_file)):
        for pseudonym in (name, names.pseudonym(name)):
            if pseudonym in known or names.mark(pseudonym) in log.withdrawn:
                identifier = name if pseudonym != name else identifiers.get(pseudonym, "")
                return _Person(pseudonym=pseudonym, names=names, identifier=identifier)
    raise UnknownName(
        "person",
        person,
        known,
        remedy="Give a pseudonym of answers.csv, or the name as the platform exported it.",
    )


def _cleaned_files(
    folder: Path, person: _Person, *, deleted: Collection[Path], reports: Collection[str]
) -> Iterator[tuple[Path, str | None]]:
    """Each further file in the folder with its text without the person; None to delete it.

    Those in `deleted` and `reports` are not looked at.

    Raises:
        Refused: for a file that holds the person's name and has no rows to remove.
    """
    written = {folder / name for name in (*reports, intake.ANSWERS_FILE, intake.PARTICIPANTS_FILE)}
    written |= set(deleted)
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink() or path in written:
            continue
        is_own = path.parent == folder and path.name in OWN_FILES
        is_table = path.suffix.lower() in _ROWS and not is_own
        is_export = is_table or path.suffix.lower() in _JSON
        if is_export and person.names.pseudonym(path.stem) == person.pseudonym:
            yield path, None
        elif is_table and (text := _without_rows(path, person)) is not None:
            if person.occurs_in(text.encode()):
                raise _unwritable(path)
            yield path, text
        elif person.occurs_in(path.read_bytes()):
            raise _unwritable(path)


def _without_rows(path: Path, person: _Person) -> str | None:
    """The text of a file without the person's rows; None if it has none of theirs."""
    text = reading.read_text(path, most=1 << 30)
    delimiter = csv_rows.detect_delimiter(path)
    rows = list(csv.reader(StringIO(text, newline=""), delimiter=delimiter))
    header = rows[0] if rows else []
    columns = header if len(set(header)) == len(header) else [str(k) for k in range(len(header))]
    kept = [
        row
        for row in rows
        if not person.is_in(
            {(columns[k] if k < len(columns) else str(k)): cell for k, cell in enumerate(row)}
        )
    ]
    if len(kept) == len(rows):
        return None
    lines = StringIO()
    csv.writer(lines, delimiter=delimiter, lineterminator="\n").writerows(kept)
    return lines.getvalue()


def _write_participants(folder: Path, pseudonym: str) -> None:
    path = folder / intake.PARTICIPANTS_FILE
    if not path.exists():
        return
    columns = intake.PARTICIPANTS_COLUMNS
    rows = [cells for _, cells in csv_rows.read_own(path, columns, noun="table of people")]
    answer.write_rows(path, columns, [cells for cells in rows if cells[0] != pseudonym])


def _rater_columns() -> set[str]:
    """Columns in which platforms export people's identifiers."""
    profiles = map(profile.find, profile.names())
    return {name for each in profiles for name in each.fields.get("rater", ())}


def _has_word(text: str, name: str) -> bool:
    """True if a text holds the name of five characters or more, not as a part of another."""
    if len(name) < MIN_IDENTIFIER_CHARS or name not in text:
        return False
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def _unwritable(path: Path) -> Refused:
    return Refused(
        f"{str(path)[:300]!r} holds the person's name, and is no table whose rows can be removed",
        remedy="Nothing was written. Take the name out of it, or move it away, and repeat.",
    )
