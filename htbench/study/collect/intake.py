"""Import of files of votes into a study: its table of answers, its participants, and its log."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.core import content, reading
from htbench.core.content import file_digest
from htbench.core.errors import Refused, UsageError
from htbench.study import answer, csv_rows, manifest, records, task
from htbench.study.answer import Key
from htbench.study.collect import privacy
from htbench.study.collect.detect import with_header_rows
from htbench.study.collect.log import FileRecord, ImportLog
from htbench.study.collect.mapping import Mapper
from htbench.study.collect.privacy import Pseudonyms
from htbench.study.collect.profile import Profile
from htbench.study.collect.rows import RowFile
from htbench.study.collect.table import Table
from htbench.study.exclusions import Rules

ANSWERS_FILE, KEY_FILE, RULES_FILE, PARTICIPANTS_FILE, ABOUT_FILE = (
    "answers.csv",
    "key.csv",
    "rules.toml",
    "participants.csv",
    "about.toml",
)
PARTICIPANTS_COLUMNS = ("rater", "status", "minutes", "age", "sex")
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")
_PARTICIPANT_COLUMNS = {
    "rater": ("Participant id", "participant_id", "Participant Id", "WorkerId"),
    "status": ("Status", "status"),
    "seconds": ("Time taken", "time_taken", "WorkTimeInSeconds"),
    "age": ("Age", "age"),
    "sex": ("Sex", "sex"),
}


@dataclass(frozen=True, kw_only=True)
class ImportSummary:
    """The numbers of rows of an import."""

    read: int
    new: int
    answers: int
    """Number of answers in the table, earlier imports included; likewise `people`."""
    people: int
    left_out: tuple[str, ...]
    """Columns of the files that were not used."""


def import_answers(
    files: Sequence[Path],
    folder: Path,
    *,
    profile: Profile,
    key: Path | None,
    secret: Path,
    rules: Path | None,
    participants: Path | None = None,
) -> ImportSummary:
    """Add the answers in files to the study in `folder`, without duplicates.

    Other commands that write the study wait. Nothing is written if an error is raised, and what a
    killed process leaves loses nothing when the import is repeated.

    Raises:
        UsageError: for a row that cannot be read.
        Refused: if the result would hold a raw identifier, an e-mail address or an internet
            address, if answers of a rehearsal are added to a study that is none, or if a file of
            the study is damaged.
    """
    for path in (*files, *filter(None, (key, rules, participants))):
        reading.find_file(path)
    with records.locked(folder):
        return _import(
            files,
            folder,
            profile=profile,
            key=key,
            secret=secret,
            rules=rules,
            participants=participants,
        )


def _import(
    files: Sequence[Path],
    folder: Path,
    *,
    profile: Profile,
    key: Path | None,
    secret: Path,
    rules: Path | None,
    participants: Path | None,
) -> ImportSummary:
    names = Pseudonyms(secret=privacy.load_or_create_secret(secret, shared_folder=folder))
    key = key or (folder / KEY_FILE if (folder / KEY_FILE).is_file() else None)
    has_rules = rules or (folder / RULES_FILE).is_file()
    declared = Rules.read(rules or folder / RULES_FILE) if has_rules else Rules()
    log = ImportLog.read(folder) or ImportLog(rules="")
    if not log.files:
        log = log.model_copy(update={"rules": declared.digest})
    mapper = Mapper(
        study=folder.resolve().name,
        profile=profile,
        key=Key.read(key) if key else Key(),
        pseudonym=names.pseudonym,
        task=task.find(manifest.read(folder).task),
    )
    read = new = 0
    withdrawn = set(log.withdrawn)

    def remains(rater: str) -> bool:
        return not withdrawn or names.mark(rater) not in withdrawn

    unused: dict[str, None] = {}
    with Table() as table:
        if (folder / ANSWERS_FILE).exists():
            table.add(answer.read(folder / ANSWERS_FILE))
        for path in files:
            row_file = _row_file(path, profile)
            given = (each for each in mapper.answers(row_file) if remains(each.rater))
            added, added_new = table.add(given)
            read, new = read + added, new + added_new
            unused.update(dict.fromkeys(_unused_columns(row_file, profile)))
        _refuse_rehearsed(names, folder)
        if not len(table):
            raise UsageError(
                f"no answers in {', '.join(path.name for path in files)}",
                remedy="Are the rows finished ones, and is the profile right?",
            )
        people = _participants(participants, names, folder) if participants else []
        rows = [cells for cells in people if remains(cells[0])]
        text = "\n".join(map(",".join, rows))
        privacy.refuse_identifiers([*table.texts(), ("people", text)], names.identifiers)
        summary = ImportSummary(
            read=read,
            new=new,
            answers=len(table),
            people=table.count_raters(),
            left_out=tuple(unused),
        )
        # the table is written last: with it the import is done, and all before can be repeated
        if not (folder / RULES_FILE).is_file() or rules:
            content.write_whole(folder / RULES_FILE, declared.text())
        if rows:
            answer.write_rows(folder / PARTICIPANTS_FILE, PARTICIPANTS_COLUMNS, rows)
        own = FileRecord(profile=profile.name, digest=profile.digest)
        log.with_files({file_digest(file): own for file in files}, sides=profile.sides).write(
            folder
        )
        table.write(folder / ANSWERS_FILE)
    return summary


def read_statuses(folder: Path) -> dict[str, str]:
    """The final status of people on their platform, by pseudonym; empty if it is not known.

    Raises:
        Refused: if the file is damaged.
    """
    path = folder / PARTICIPANTS_FILE
    if not path.exists():
        return {}
    with records.refusing("Restore it, or import the people again."):
        rows = csv_rows.read_own(path, ("rater", "status"), noun="table of people")
        return {rater: status for _, (rater, status) in rows}


def _refuse_rehearsed(names: Pseudonyms, folder: Path) -> None:
    rehearsed = any(name.startswith(manifest.REHEARSAL_PREFIX) for name in names.identifiers)
    if rehearsed and not manifest.read(folder).rehearsal:
        raise Refused(
            "answers of a rehearsal are made up, and this study is none",
            remedy="Give --study the folder of the rehearsal.",
        )


def _row_file(path: Path, profile: Profile) -> RowFile:
    adjusted = with_header_rows(profile, path)
    return RowFile(
        path=path,
        delimiter=profile.delimiter,
        header_rows=adjusted.header_rows,
        unpack=profile.unpack,
        is_needed=profile.needs,
    )


def _unused_columns(row_file: RowFile, profile: Profile) -> list[str]:
    row = next((row for _, row in row_file.rows()), {})
    used = {column for columns in profile.fields.values() for column in columns} | set(profile.keep)
    return [
        column
        for column in row
        if column not in used and not profile.trials and not profile.ratings
    ]


def _participants(path: Path, pseudonyms: Pseudonyms, folder: Path) -> list[list[str]]:
    """Pseudonym, status, minutes, age by decade and sex of each participant.

    Those of earlier imports are kept, unless the file has the person too. All other facts about
    people in the platform's export are dropped.
    """
    rows: dict[str, list[str]] = {}
    if (folder / PARTICIPANTS_FILE).exists():
        with records.refusing("Restore it, or delete it and import all people again."):
            for _, known in csv_rows.read_own(
                folder / PARTICIPANTS_FILE, PARTICIPANTS_COLUMNS, noun="table of people"
            ):
                rows[known[0]] = known
    columns: dict[str, str] = {}
    needed = {name for aliases in _PARTICIPANT_COLUMNS.values() for name in aliases}
    for number, row in RowFile(path=path, is_needed=needed.__contains__).rows():
        columns = columns or {
            field: name
            for field, aliases in _PARTICIPANT_COLUMNS.items()
            for name in aliases
            if name in row
        }
        if "rater" not in columns:
            aliases = " or ".join(map(repr, _PARTICIPANT_COLUMNS["rater"]))
            raise UsageError(f"row 1 of {path.name!r}: no column {aliases}")
        cells = {field: row[name].strip() for field, name in columns.items()}
        status = cells.get("status", "").upper()
        if status and not status.replace("-", "").replace(" ", "").replace("_", "").isalpha():
            raise UsageError(f"row {number} of {path.name!r}: status {status[:40]!r} is no word")
        if not cells["rater"]:
            raise UsageError(f"row {number} of {path.name!r}: no {columns['rater']}")
        rater = pseudonyms.pseudonym(cells["rater"])
        rows[rater] = [rater, status[:40], *_coarse_facts(cells)]
    return [rows[rater] for rater in sorted(rows)]


def _coarse_facts(cells: Mapping[str, str]) -> tuple[str, str, str]:
    """Minutes, decade of age and sex; empty where they are not known."""
    age, seconds, sex = (cells.get(field, "") for field in ("age", "seconds", "sex"))
    decade = f"{int(age) // 10 * 10}s" if age.isdecimal() and len(age) <= 3 else ""
    minutes = f"{float(seconds) / 60:.1f}" if _SECONDS.fullmatch(seconds) else ""
    return minutes, decade, sex if sex.lower() in ("female", "male") else ""
