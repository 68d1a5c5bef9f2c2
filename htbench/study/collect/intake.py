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
from htbench.study.collect.detect import with_headers
from htbench.study.collect.mapping import Mapper
from htbench.study.collect.privacy import Pseudonyms
from htbench.study.collect.profile import Profile
from htbench.study.collect.rows import Sheet
from htbench.study.collect.table import Table
from htbench.study.exclusions import Rules

ANSWERS, KEY, RULES, LOG, PEOPLE, ABOUT = "answers.csv", "key.csv", "rules.toml", "import.json", "participants.csv", "about.toml"
_PEOPLE = {
    "rater": ("Participant id", "participant_id", "Participant Id", "WorkerId"),
    "status": ("Status", "status"),
    "seconds": ("Time taken", "time_taken", "WorkTimeInSeconds"),
    "age": ("Age", "age"),
    "sex": ("Sex", "sex"),
}


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import did."""

    read: int
    new: int
    answers: int
    """In the table now."""
    people: int
    left_out: tuple[str, ...]
    """Columns of the files that nothing was taken from."""


def take(files: Sequence[Path], folder: Path, *, how: Profile, key: Path | None, secret: Path, rules: Path | None, people: Path | None = None) -> Imported:
    """Read files into the study in `folder`; what is there already is not added again.

    Raises:
        UsageError: with the row of what cannot be read; nothing is written then.
        Refused: if what would be written held a raw identifier, an e-mail or an internet address, or made-up answers would get into a study that is no
            rehearsal; nothing is written then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = Pseudonyms(secret=privacy.secret(secret, outside=folder))
    key = key or (folder / KEY if (folder / KEY).is_file() else None)
    declared = Rules.read(rules or folder / RULES) if rules or (folder / RULES).is_file() else Rules()
    mapper = Mapper(study=folder.resolve().name, profile=how, key=Key.read(key) if key else Key(), pseudonym=names.of)
    read = new = 0
    unused: dict[str, None] = {}
    with Table() as table:
        if (folder / ANSWERS).is_file():
            table.add(answer.read(folder / ANSWERS))
        for path in files:
            sheet = _sheet(path, how)
            given, fresh = table.add(mapper.answers(sheet))
            read, new = read + given, new + fresh
            unused.update(dict.fromkeys(_unused(sheet, how)))
        if any(each.startswith(manifest.MADE_UP) for each in names.met) and not manifest.noted(folder).get("rehearsal"):
            raise Refused("answers of a rehearsal are made up, and this study is none", remedy="Give --study the folder of the rehearsal.")
        if not len(table):
            raise UsageError(f"no answers in {', '.join(path.name for path in files)}", remedy="Are the rows finished ones, and is the profile right?")
        joined = _joined(people, names) if people else None
        written = "\n".join(",".join(row) for row in joined or ()).encode()
        privacy.scan([*table.texts(), written], names.met)
        table.write(folder / ANSWERS)
        done = Imported(read=read, new=new, answers=len(table), people=table.raters(), left_out=tuple(unused))
    if joined:
        with (folder / PEOPLE).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(joined)
    if not (folder / RULES).is_file() or rules:
        (folder / RULES).write_text(declared.text(), encoding="utf-8")
    _log(folder / LOG, files, how, declared)
    return done


def _sheet(path: Path, how: Profile) -> Sheet:
    fitting = with_headers(how, path)
    return Sheet(path=path, delimiter=how.delimiter, header_rows=fitting.header_rows, unpack=how.unpack)


def _log(path: Path, files: Sequence[Path], how: Profile, rules: Rules) -> None:
    """Adds files by their digest, not by their names, which may hold identifiers; the rules that were declared first stay."""
    log: dict[str, Any] = {"rules": rules.digest, "files": {}, "sides": "shown"}
    if path.is_file():
        log = json.loads(path.read_text(encoding="utf-8"))
    for file in files:
        log["files"][file_digest(file)] = {"profile": how.name, "digest": how.digest}
    if how.sides == "unknown":
        log["sides"] = "unknown"
    path.write_text(json.dumps(log, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _unused(sheet: Sheet, how: Profile) -> list[str]:
    row = next((row for _, row in sheet.rows()), {})
    used = {column for columns in how.fields.values() for column in columns} | set(how.keep)
    return [column for column in row if column not in used and not how.trials and not how.ratings]


def _joined(path: Path, names: Pseudonyms) -> list[list[str]]:
    """Who took part: pseudonym, status, minutes, age by decade, sex; nothing else of what a platform knows of people."""
    rows = [["rater", "status", "minutes", "age", "sex"]]
    columns: dict[str, str] = {}
    for number, row in Sheet(path=path).rows():
        columns = columns or {what: name for what, aliases in _PEOPLE.items() for name in aliases if name in row}
        if "rater" not in columns:
            raise UsageError(f"row 1 of {path.name!r}: no column {' or '.join(map(repr, _PEOPLE['rater']))}")
        cells = {what: row[name].strip() for what, name in columns.items()}
        age, seconds = cells.get("age", ""), cells.get("seconds", "")
        decade = f"{int(age) // 10 * 10}s" if age.isdecimal() else ""
        minutes = f"{float(seconds) / 60:.1f}" if seconds.replace(".", "", 1).isdecimal() else ""
        sex = cells.get("sex", "") if cells.get("sex", "").lower() in ("female", "male") else ""
        status = cells.get("status", "").upper()
        if status and not status.replace("-", "").replace(" ", "").replace("_", "").isalpha():
            raise UsageError(f"row {number} of {path.name!r}: status {status[:40]!r} is no word")
        rows.append([names.of(cells["rater"]), status, minutes, decade, sex])
    return [rows[0], *sorted(rows[1:])]
