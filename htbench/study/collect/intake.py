"""Files of votes into a study's folder: the canonical table, who took part, and where it came from."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from htbench.core.content import file_digest
from htbench.core.errors import Refused, UsageError
from htbench.study import answer, manifest
from htbench.study.answer import Key
from htbench.study.collect import privacy
from htbench.study.collect.detect import with_header_rows
from htbench.study.collect.mapping import Mapper
from htbench.study.collect.privacy import Pseudonyms
from htbench.study.collect.profile import Profile
from htbench.study.collect.rows import RowFile
from htbench.study.collect.table import Table
from htbench.study.exclusions import Rules

ANSWERS_FILE, KEY_FILE, RULES_FILE, LOG_FILE, PARTICIPANTS_FILE, ABOUT_FILE = (
    "answers.csv",
    "key.csv",
    "rules.toml",
    "import.json",
    "participants.csv",
    "about.toml",
)
_PARTICIPANT_COLUMNS = {
    "rater": ("Participant id", "participant_id", "Participant Id", "WorkerId"),
    "status": ("Status", "status"),
    "seconds": ("Time taken", "time_taken", "WorkTimeInSeconds"),
    "age": ("Age", "age"),
    "sex": ("Sex", "sex"),
}


@dataclass(frozen=True, kw_only=True)
class ImportSummary:
    """What an import did."""

    read: int
    new: int
    answers: int
    """In the table now."""
    people: int
    left_out: tuple[str, ...]
    """Columns of the files that nothing was taken from."""


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
    """Read files into the study in `folder`; what is there already is not added again.

    Raises:
        UsageError: with the row of what cannot be read; nothing is written then.
        Refused: if what would be written held a raw identifier, an e-mail or an internet address, or made-up answers would get into a study that is no
            rehearsal; nothing is written then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = Pseudonyms(secret=privacy.load_or_create_secret(secret, shared_folder=folder))
    key = key or (folder / KEY_FILE if (folder / KEY_FILE).is_file() else None)
    declared = (
        Rules.read(rules or folder / RULES_FILE)
        if rules or (folder / RULES_FILE).is_file()
        else Rules()
    )
    mapper = Mapper(
        study=folder.resolve().name,
        profile=profile,
        key=Key.read(key) if key else Key(),
        pseudonym=names.pseudonym,
    )
    read = new = 0
    unused: dict[str, None] = {}
    with Table() as table:
        if (folder / ANSWERS_FILE).is_file():
            table.add(answer.read(folder / ANSWERS_FILE))
        for path in files:
            sheet = _row_file(path, profile)
            given, fresh = table.add(mapper.answers(sheet))
            read, new = read + given, new + fresh
            unused.update(dict.fromkeys(_unused_columns(sheet, profile)))
        if any(
            each.startswith(manifest.REHEARSAL_PREFIX) for each in names.identifiers
        ) and not manifest.read(folder).get("rehearsal"):
            raise Refused(
                "answers of a rehearsal are made up, and this study is none",
                remedy="Give --study the folder of the rehearsal.",
            )
        if not len(table):
            raise UsageError(
                f"no answers in {', '.join(path.name for path in files)}",
                remedy="Are the rows finished ones, and is the profile right?",
            )
        joined = _participants(participants, names) if participants else None
        written = "\n".join(",".join(row) for row in joined or ()).encode()
        privacy.refuse_identifiers([*table.texts(), written], names.identifiers)
        table.write(folder / ANSWERS_FILE)
        done = ImportSummary(
            read=read,
            new=new,
            answers=len(table),
            people=table.count_raters(),
            left_out=tuple(unused),
        )
    if joined:
        with (folder / PARTICIPANTS_FILE).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(joined)
    if not (folder / RULES_FILE).is_file() or rules:
        (folder / RULES_FILE).write_text(declared.text(), encoding="utf-8")
    _update_log(folder / LOG_FILE, files, profile, declared)
    return done


def _row_file(path: Path, profile: Profile) -> RowFile:
    fitting = with_header_rows(profile, path)
    return RowFile(
        path=path,
        delimiter=profile.delimiter,
        header_rows=fitting.header_rows,
        unpack=profile.unpack,
    )


def _update_log(path: Path, files: Sequence[Path], profile: Profile, rules: Rules) -> None:
    """Adds files by their digest, not by their names, which may hold identifiers; the rules that were declared first stay."""
    log: dict[str, Any] = {"rules": rules.digest, "files": {}, "sides": "shown"}
    if path.is_file():
        log = json.loads(path.read_text(encoding="utf-8"))
    for file in files:
        log["files"][file_digest(file)] = {"profile": profile.name, "digest": profile.digest}
    if profile.sides == "unknown":
        log["sides"] = "unknown"
    path.write_text(json.dumps(log, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _unused_columns(row_file: RowFile, profile: Profile) -> list[str]:
    row = next((row for _, row in row_file.rows()), {})
    used = {column for columns in profile.fields.values() for column in columns} | set(profile.keep)
    return [
        column
        for column in row
        if column not in used and not profile.trials and not profile.ratings
    ]


def _participants(path: Path, pseudonyms: Pseudonyms) -> list[list[str]]:
    """Who took part: pseudonym, status, minutes, age by decade, sex; nothing else of what a platform knows of people."""
    rows = [["rater", "status", "minutes", "age", "sex"]]
    columns: dict[str, str] = {}
    for number, row in RowFile(path=path).rows():
        columns = columns or {
            what: name
            for what, aliases in _PARTICIPANT_COLUMNS.items()
            for name in aliases
            if name in row
        }
        if "rater" not in columns:
            raise UsageError(
                f"row 1 of {path.name!r}: no column {' or '.join(map(repr, _PARTICIPANT_COLUMNS['rater']))}"
            )
        cells = {what: row[name].strip() for what, name in columns.items()}
        age, seconds = cells.get("age", ""), cells.get("seconds", "")
        decade = f"{int(age) // 10 * 10}s" if age.isdecimal() else ""
        minutes = f"{float(seconds) / 60:.1f}" if seconds.replace(".", "", 1).isdecimal() else ""
        sex = cells.get("sex", "") if cells.get("sex", "").lower() in ("female", "male") else ""
        status = cells.get("status", "").upper()
        if status and not status.replace("-", "").replace(" ", "").replace("_", "").isalpha():
            raise UsageError(f"row {number} of {path.name!r}: status {status[:40]!r} is no word")
        rows.append([pseudonyms.pseudonym(cells["rater"]), status, minutes, decade, sex])
    return [rows[0], *sorted(rows[1:])]
