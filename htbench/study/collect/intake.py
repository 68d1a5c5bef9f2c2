"""Import of files of votes into a study: its table of answers, its participants, and its log."""

import csv
import json
from collections.abc import Mapping, Sequence
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

    Nothing is written if an error is raised.

    Raises:
        UsageError: for a row that cannot be read.
        Refused: if the result would hold a raw identifier, an e-mail address or an internet
            address, or if answers of a rehearsal are added to a study that is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = Pseudonyms(secret=privacy.load_or_create_secret(secret, shared_folder=folder))
    key = key or (folder / KEY_FILE if (folder / KEY_FILE).is_file() else None)
    has_rules = rules or (folder / RULES_FILE).is_file()
    declared = Rules.read(rules or folder / RULES_FILE) if has_rules else Rules()
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
            row_file = _row_file(path, profile)
            added, added_new = table.add(mapper.answers(row_file))
            read, new = read + added, new + added_new
            unused.update(dict.fromkeys(_unused_columns(row_file, profile)))
        _refuse_rehearsed(names, folder)
        if not len(table):
            raise UsageError(
                f"no answers in {', '.join(path.name for path in files)}",
                remedy="Are the rows finished ones, and is the profile right?",
            )
        rows = _participants(participants, names) if participants else []
        text = "\n".join(map(",".join, rows)).encode()
        privacy.refuse_identifiers([*table.texts(), text], names.identifiers)
        table.write(folder / ANSWERS_FILE)
        summary = ImportSummary(
            read=read,
            new=new,
            answers=len(table),
            people=table.count_raters(),
            left_out=tuple(unused),
        )
    if rows:
        with (folder / PARTICIPANTS_FILE).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    if not (folder / RULES_FILE).is_file() or rules:
        (folder / RULES_FILE).write_text(declared.text(), encoding="utf-8")
    _update_log(folder / LOG_FILE, files, profile, declared)
    return summary


def _refuse_rehearsed(names: Pseudonyms, folder: Path) -> None:
    rehearsed = any(name.startswith(manifest.REHEARSAL_PREFIX) for name in names.identifiers)
    if rehearsed and not manifest.read(folder).get("rehearsal"):
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
    )


def _update_log(path: Path, files: Sequence[Path], profile: Profile, rules: Rules) -> None:
    """Add files to the log by their digests, since their names may hold identifiers.

    The digest of the rules that were declared first is kept.
    """
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
    """Pseudonym, status, minutes, age by decade and sex of each participant, below a header.

    All other facts about people in the platform's export are dropped.
    """
    rows = []
    columns: dict[str, str] = {}
    for number, row in RowFile(path=path).rows():
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
        rows.append([pseudonyms.pseudonym(cells["rater"]), status, *_coarse_facts(cells)])
    return [["rater", "status", "minutes", "age", "sex"], *sorted(rows)]


def _coarse_facts(cells: Mapping[str, str]) -> tuple[str, str, str]:
    """Minutes, decade of age and sex; empty where they are not known."""
    age, seconds, sex = (cells.get(field, "") for field in ("age", "seconds", "sex"))
    decade = f"{int(age) // 10 * 10}s" if age.isdecimal() else ""
    minutes = f"{float(seconds) / 60:.1f}" if seconds.replace(".", "", 1).isdecimal() else ""
    return minutes, decade, sex if sex.lower() in ("female", "male") else ""
