"""The ledger of a run's judges: one SQLite file, `judge.sqlite`, with all calls and raw replies."""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from sys import intern
from typing import Any, Self

from htbench.core.database import Database, Schema
from htbench.core.errors import Missing, UsageError
from htbench.judging.judge import FINAL_OUTCOMES, OUTCOMES, Choice, JudgeAnswer, Outcome, Verdict
from htbench.judging.meter import ModelUsage, Usage
from htbench.judging.records import Damage, MatchRecord, read_match, read_tournament
from htbench.judging.schedule import Match

LEDGER_FILE = "judge.sqlite"
VERSION = 2
_TABLES = """
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE tournaments (id TEXT PRIMARY KEY, about TEXT NOT NULL, began TEXT NOT NULL) STRICT;
CREATE TABLE matches (
    tournament TEXT NOT NULL REFERENCES tournaments, place INTEGER NOT NULL,
    round INTEGER NOT NULL, control TEXT NOT NULL, criterion TEXT NOT NULL,
    concept TEXT NOT NULL, prompt TEXT NOT NULL, seed INTEGER NOT NULL,
    one TEXT NOT NULL, two TEXT NOT NULL, other TEXT NOT NULL,
    first TEXT, second TEXT, forth TEXT, back TEXT,
    PRIMARY KEY (tournament, place)) STRICT, WITHOUT ROWID;
CREATE TABLE calls (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, model TEXT NOT NULL, endpoint TEXT NOT NULL,
    how TEXT NOT NULL, failure TEXT, message TEXT NOT NULL, body TEXT NOT NULL,
    asked INTEGER NOT NULL, cached INTEGER NOT NULL, replied INTEGER NOT NULL,
    seconds REAL NOT NULL, at TEXT NOT NULL, batch TEXT NOT NULL,
    requests INTEGER NOT NULL DEFAULT 1) STRICT;
CREATE INDEX calls_by_key ON calls (key);
CREATE TABLE verdicts (
    key TEXT PRIMARY KEY, call INTEGER NOT NULL REFERENCES calls, parser TEXT NOT NULL,
    outcome TEXT NOT NULL, choice TEXT, first REAL, covered REAL,
    reason TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE batches (id TEXT PRIMARY KEY, tournament TEXT NOT NULL, model TEXT NOT NULL,
    requests INTEGER NOT NULL, state TEXT NOT NULL,
    asked INTEGER NOT NULL DEFAULT 0, replied INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE waiting (key TEXT PRIMARY KEY, batch TEXT NOT NULL REFERENCES batches)
    STRICT, WITHOUT ROWID;
"""
_ADDED_COLUMNS = {
    "calls": ("requests INTEGER NOT NULL DEFAULT 1",),
    "batches": ("asked INTEGER NOT NULL DEFAULT 0", "replied INTEGER NOT NULL DEFAULT 0"),
}
"""Columns that ledgers of version 1 lack, by table."""
_FROZEN = "calls of the bundle"
"""Name of the note on the largest id of a call that was made in a bundle."""
_MAX_TOKENS = 10**9
"""A larger number of tokens or requests in a ledger is damage, and is taken as this."""
_MAX_PLACE = 2**40
"""Places of matches from this on are damage."""
_LOGIN = re.compile(r"//[^\s/@'\"<>]+@")
_IS_CHARGED = "coalesce(body <> '' OR failure = 'timeout', 0)"
_IS_FINAL = f"outcome IN ({', '.join(map(repr, FINAL_OUTCOMES))})"
_IS_PENDING = f"""key NOT NULL
    AND NOT EXISTS (SELECT 1 FROM verdicts WHERE verdicts.key = asked.key AND {_IS_FINAL})
    AND NOT EXISTS (SELECT 1 FROM waiting WHERE waiting.key = asked.key)"""
_CALLS = """
    SELECT place, 0 AS turn, criterion, concept, prompt, first, second, forth AS key FROM matches
    WHERE tournament = :id AND place >= :from AND place < :until
    UNION ALL SELECT place, 1, criterion, concept, prompt, second, first, back FROM matches
    WHERE tournament = :id AND place >= :from AND place < :until"""
_WINDOW = 256
"""Number of matches per query for pending calls."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedMatch:
    """A match with the pictures and keys of its two calls; without pictures it has no calls."""

    match: Match
    first: str | None = None
    second: str | None = None
    order_ab: str | None = None
    order_ba: str | None = None
    """None: only one order is judged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingCall:
    """A call without a verdict."""

    place: int
    key: str
    criterion: str
    concept: str
    prompt: str
    first: str
    second: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchResult:
    """A match with its verdicts."""

    match: Match
    has_pictures: bool
    """True if both pictures exist."""
    both_orders: bool
    """True if both orders are judged."""
    order_ab: Verdict | None
    """None: no verdict yet; likewise `order_ba`."""
    order_ba: Verdict | None


class Ledger(Database):
    """A run's `judge.sqlite`, written by one process at a time."""

    schema = Schema(
        file=LEDGER_FILE,
        lock="judge.lock",
        version=VERSION,
        tables=_TABLES,
        name="ledger",
        activity="judged",
        alternative=", or move it away and judge anew",
        oldest=1,
    )

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the ledger of the run in `folder` for writing, and create it if there is none.

        Raises:
            UsageError: if it cannot be written, or another process writes it.
            Refused: if another version of htbench made it, or it is damaged.
        """
        try:
            return cls._open_for_writing(folder)
        except OSError as error:
            raise UsageError(
                f"cannot write to run {str(folder)[:300]!r}: {error.strerror}",
                remedy="Give --offline to only look at verdicts.",
            ) from None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Open the ledger of the run in `folder` for reading only.

        Raises:
            Missing: if there is none.
            Refused: if another version of htbench made it, or it is damaged.
        """
        if not (folder / LEDGER_FILE).is_file():
            raise Missing(
                f"run {str(folder)!r} was not judged yet",
                remedy=f"Judge it: htbench judge {folder.name}",
            )
        return cls._open_read_only(folder)

    @cached_property
    def damage(self) -> Damage:
        """Damaged records that were met so far."""
        return Damage(repr(str(self.folder / self.schema.file)))

    def _migrate(self, version: int) -> None:
        """Add the columns that a ledger of version 1 lacks, and take passwords out of it."""
        with self._transaction() as write:
            for table, columns in _ADDED_COLUMNS.items():
                for column in columns:
                    write.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
            write.execute(f"UPDATE calls SET requests = {_IS_CHARGED}")
            for table, column in (
                ("calls", "endpoint"),
                ("calls", "message"),
                ("tournaments", "about"),
                ("notes", "name"),
            ):
                query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} LIKE '%://%@%'"
                for (text,) in write.execute(query).fetchall():
                    write.execute(
                        f"UPDATE OR REPLACE {table} SET {column} = ? WHERE {column} = ?",
                        (_without_login(text), text),
                    )
            write.execute(f"PRAGMA user_version = {VERSION}")

    def freeze(self) -> None:
        """Make all calls so far those of a bundle: their verdicts count, and no limit counts them.

        What waits in a batch there is not fetched here.
        """
        with self._transaction() as write:
            write.execute("DELETE FROM waiting")
            write.execute("UPDATE batches SET state = 'left' WHERE state = 'waiting'")
            write.execute(
                """INSERT OR REPLACE INTO notes
                   SELECT ?, CAST(coalesce(max(id), 0) AS TEXT) FROM calls""",
                (_FROZEN,),
            )

    @property
    def frozen_calls(self) -> int:
        """The largest id of a call that was made in the bundle of this run; 0 without one."""
        note = self.notes.get(_FROZEN, "")
        return int(note) if note.isdecimal() else 0

    @property
    def notes(self) -> MutableMapping[str, str]:
        """Facts that judges keep about their endpoints."""
        return _Notes(self._database)

    def tournaments(self) -> dict[str, dict[str, Any]]:
        """The metadata of each tournament by its id, in the order in which they began.

        Damaged ones are left out, and named on stderr.
        """
        every = self._all_tournaments().items()
        kinds = ("calibration", "pointwise")
        return {
            id_: about
            for id_, about in every
            if not any(about["design"].get(kind) for kind in kinds)
        }

    def calibrations(self) -> dict[str, dict[str, Any]]:
        """The same of the calibrations, in which the two sides of known pairs meet."""
        return self._of_kind("calibration")

    def pointwise(self) -> dict[str, dict[str, Any]]:
        """The same of pointwise questions, in which each picture meets nothing."""
        return self._of_kind("pointwise")

    def _of_kind(self, kind: str) -> dict[str, dict[str, Any]]:
        every = self._all_tournaments().items()
        return {id_: about for id_, about in every if about["design"].get(kind)}

    def _all_tournaments(self) -> dict[str, dict[str, Any]]:
        tournaments = {
            id_: metadata
            for id_, about in self.select("SELECT id, about FROM tournaments ORDER BY rowid")
            if (metadata := self.damage.read("tournament", id_, read_tournament, about))
        }
        self.damage.tell()
        return tournaments

    def plan(
        self,
        tournament: str,
        metadata: dict[str, Any],
        matches: Iterable[PlannedMatch],
        *,
        round_: int = 0,
    ) -> None:
        """Replace the matches of a round and of all later rounds of a tournament."""
        with self._transaction() as write:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            write.execute(
                """INSERT INTO tournaments VALUES (?, ?, ?)
                   ON CONFLICT DO UPDATE SET about = excluded.about""",
                (tournament, json.dumps(metadata, sort_keys=True), now),
            )
            write.execute(
                f"""DELETE FROM matches WHERE tournament = ?
                    AND (round >= ? OR round < 0 OR place < 0 OR place >= {_MAX_PLACE})""",
                (tournament, round_),
            )
            ((start,),) = write.execute(
                "SELECT coalesce(max(place) + 1, 0) FROM matches WHERE tournament = ?",
                (tournament,),
            )
            rows = (
                (tournament, start + k, round_, *_match_columns(match))
                for k, match in enumerate(matches)
            )
            write.executemany(f"INSERT INTO matches VALUES ({', '.join('?' * 15)})", rows)

    def decided(self, tournament: str, criteria: Sequence[str]) -> Iterator[PlannedMatch]:
        """The matches of a tournament by these criteria that have all their verdicts, or no
        pictures.
        """
        query = f"""SELECT control, criterion, concept, prompt, seed, one, two, other,
                           first, second, forth, back FROM matches
                    WHERE tournament = ? AND criterion IN ({", ".join("?" * len(criteria))})
                    AND (forth IS NULL OR forth IN (SELECT key FROM verdicts WHERE {_IS_FINAL}))
                    AND (back IS NULL OR back IN (SELECT key FROM verdicts WHERE {_IS_FINAL}))
                    ORDER BY place"""
        names = ("control", "criterion", "concept", "prompt", "seed", "one", "two", "other_concept")
        for row in self.select(query, tournament, *criteria):
            match = Match(**dict(zip(names, row[:8], strict=True)))
            first, second, order_ab, order_ba = row[8:]
            yield PlannedMatch(
                match=match, first=first, second=second, order_ab=order_ab, order_ba=order_ba
            )

    def rounds(self, tournament: str) -> int:
        """Number of rounds planned so far."""
        ((number,),) = self.select(
            "SELECT coalesce(max(round) + 1, 0) FROM matches WHERE tournament = ?", tournament
        )
        return int(number)

    def pending(self, tournament: str) -> Iterator[PendingCall]:
        """Calls that have no verdict when they are reached, in the order of the schedule."""
        names = ("place", "key", "criterion", "concept", "prompt", "first", "second")
        query = f"""SELECT {", ".join(names)} FROM ({_CALLS}) AS asked
                    WHERE {_IS_PENDING} ORDER BY place, turn"""
        start = 0
        while True:
            ((place,),) = self.select(
                f"""SELECT min(place) FROM matches
                    WHERE tournament = ? AND place >= ? AND place < {_MAX_PLACE}""",
                tournament,
                start,
            )
            if place is None:
                return
            start = int(place) + _WINDOW
            window = {"id": tournament, "from": place, "until": start}
            for row in self._database.execute(query, window).fetchall():
                yield PendingCall(**dict(zip(names, row, strict=True)))

    def count_calls(self, tournament: str) -> tuple[int, int]:
        """Numbers of different calls of a tournament: all, and those that are pending.

        A call without a verdict that waits in a batch is not pending.
        """
        count, values = f"SELECT count(DISTINCT key) FROM ({_CALLS})", _all_matches(tournament)
        ((calls,),) = self._database.execute(f"{count} AS asked WHERE key NOT NULL", values)
        ((missing,),) = self._database.execute(f"{count} AS asked WHERE {_IS_PENDING}", values)
        return int(calls), int(missing)

    def outcomes(self, tournament: str) -> dict[Outcome, int]:
        """Number of calls of a tournament by outcome."""
        query = f"""SELECT outcome, count(*) FROM verdicts
                    WHERE key IN (SELECT key FROM ({_CALLS})) GROUP BY outcome ORDER BY 2 DESC"""
        rows = self._database.execute(query, _all_matches(tournament)).fetchall()
        return {outcome: number for outcome, number in rows if outcome in OUTCOMES}

    def add_answer(
        self,
        answer: JudgeAnswer,
        verdict: Verdict,
        *,
        model: str,
        endpoint: str,
        parser: str,
        batch: str = "",
    ) -> None:
        """Write an answer and its verdict; an earlier verdict is kept if it is final."""
        columns = {
            "key": answer.key,
            "model": model,
            "endpoint": endpoint,
            "how": answer.request_form,
            "failure": answer.failure,
            "message": answer.message,
            "body": answer.body,
            "asked": answer.usage.asked,
            "cached": answer.usage.cached,
            "replied": answer.usage.replied,
            "seconds": answer.seconds,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "batch": batch,
            "requests": answer.requests,
        }
        columns = {
            name: _storable(value) if isinstance(value, str) else value
            for name, value in columns.items()
        }
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        with self._transaction() as write:
            call = write.execute(
                f"INSERT INTO calls ({names}) VALUES ({marks})", tuple(columns.values())
            ).lastrowid
            write.execute("DELETE FROM waiting WHERE key = ?", (columns["key"],))
            _write_verdict(write, str(columns["key"]), call or 0, parser, verdict)

    def raw_replies(self, tournament: str) -> Iterator[tuple[int, str, str]]:
        """Raw replies to the calls of a tournament as (call, key, body), the oldest first."""
        query = f"""SELECT id, key, body FROM calls
                    WHERE body <> '' AND key IN (SELECT key FROM ({_CALLS})) ORDER BY id"""
        yield from self._database.execute(query, _all_matches(tournament))

    def replace_verdicts(self, verdicts: Iterable[tuple[int, str, Verdict]], *, parser: str) -> int:
        """Replace verdicts by new ones, (call, key, verdict) each; gives their number.

        Of several replies to a question the first final one counts.
        """
        with self._transaction() as write:
            write.execute("CREATE TEMP TABLE fresh AS SELECT * FROM verdicts WHERE 0")
            write.execute("CREATE UNIQUE INDEX temp.fresh_by_key ON fresh (key)")
            number = 0
            for call, key, verdict in verdicts:
                _write_verdict(write, key, call, parser, verdict, table="fresh")
                number += 1
            write.execute("INSERT OR REPLACE INTO verdicts SELECT * FROM fresh")
            write.execute("DROP TABLE fresh")
        return number

    def parsers(self, tournament: str) -> list[str]:
        """Versions of the parsers that read a tournament's replies."""
        query = f"""SELECT DISTINCT parser FROM verdicts
                    WHERE key IN (SELECT key FROM ({_CALLS})) ORDER BY 1"""
        return [parser for (parser,) in self._database.execute(query, _all_matches(tournament))]

    def model_usage(self, model: str) -> ModelUsage:
        """The calls, requests and tokens of a model in this run so far, not those of its bundle."""
        requests = "requests" if self.version > 1 else _IS_CHARGED
        own = (model, self.frozen_calls)
        ((calls, sent),) = self.select(
            f"""SELECT coalesce(sum({_IS_CHARGED}), 0), {_sum(requests)} FROM calls
                WHERE model = ? AND id > ?""",
            *own,
        )
        sums = ", ".join(map(_sum, ("asked", "cached", "replied")))
        query = f"SELECT {sums} FROM calls WHERE model = ? AND id > ?"
        (usage,) = self.select(query, *own)
        (batched,) = self.select(f"{query} AND batch <> ''", *own)
        tokens = ", ".join(map(_sum, ("asked", "replied"))) if self.version > 1 else "0, 0"
        ((waiting, asked, replied),) = self.select(
            f"""SELECT {_sum("requests")}, {tokens} FROM batches
                WHERE model = ? AND state = 'waiting'""",
            model,
        )
        return ModelUsage(
            calls=calls,
            requests=sent + waiting,
            usage=_usage(usage),
            batch_usage=_usage(batched),
            open_usage=Usage(asked=asked, replied=replied),
        )

    def results(self, tournament: str) -> Iterator[MatchResult]:
        """All matches in the order of the schedule, with their verdicts."""
        query = """SELECT control, seed, criterion, concept, prompt, one, two, other,
                          matches.first IS NOT NULL AND second IS NOT NULL, back IS NOT NULL,
                          f.outcome, f.choice, f.first, f.covered,
                          b.outcome, b.choice, b.first, b.covered
                   FROM matches LEFT JOIN verdicts AS f ON f.key = forth
                                LEFT JOIN verdicts AS b ON b.key = back
                   WHERE tournament = ? ORDER BY place"""
        methods, criteria = self._names(tournament)
        for number, row in enumerate(self._database.execute(query, (tournament,))):
            record: MatchRecord | None = self.damage.read(
                f"match of tournament {tournament}", number, read_match, row
            )
            if record is None:
                continue
            if not ({record.one, record.two} <= methods and record.criterion in criteria):
                self.damage.add(
                    f"match of tournament {tournament}",
                    f"{number}: the design does not have its methods or criterion",
                )
                continue
            yield _match_result(record)
        self.damage.tell()

    def _names(self, tournament: str) -> tuple[set[str], set[str]]:
        """The methods and criteria of a tournament."""
        design = self._all_tournaments().get(tournament, {}).get("design", {})
        return set(design.get("methods", ())), set(design.get("criteria", ()))

    def add_batch(
        self, id_: str, tournament: str, model: str, keys: Sequence[str], *, worst: Usage
    ) -> None:
        """Record the calls that wait in a batch, and the most tokens that it can take."""
        with self._transaction() as write:
            write.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, 'waiting', ?, ?)",
                (id_, tournament, model, len(keys), worst.asked, worst.replied),
            )
            write.executemany(
                "INSERT OR REPLACE INTO waiting VALUES (?, ?)", [(key, id_) for key in keys]
            )

    def waiting_calls(self, batch: str) -> set[str]:
        """Keys of the calls that wait in a batch."""
        return {key for (key,) in self.select("SELECT key FROM waiting WHERE batch = ?", batch)}

    def worst_call(self, batch: str) -> Usage:
        """The most tokens of a batch, by call."""
        ((calls, asked, replied),) = self.select(
            "SELECT max(requests, 1), max(asked, 0), max(replied, 0) FROM batches WHERE id = ?",
            batch,
        )
        return Usage(asked=-(-asked // calls), replied=-(-replied // calls))

    def open_batches(self, model: str) -> list[str]:
        """Ids of the batches of a model that were not collected."""
        query = "SELECT id FROM batches WHERE state = 'waiting' AND model = ? ORDER BY rowid"
        return [id_ for (id_,) in self.select(query, model)]

    def all_batches(self) -> list[str]:
        """Ids of all batches that were sent."""
        return [id_ for (id_,) in self.select("SELECT id FROM batches")]

    def close_batch(self, id_: str, state: str) -> int:
        """Record the final state of a batch; gives the number of its calls without a reply.

        Those calls are pending again.
        """
        with self._transaction() as write:
            write.execute("UPDATE batches SET state = ? WHERE id = ?", (state, id_))
            return write.execute("DELETE FROM waiting WHERE batch = ?", (id_,)).rowcount


class _Notes(MutableMapping[str, str]):
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __getitem__(self, name: str) -> str:
        row = self._database.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise KeyError(name)
        return str(row[0])

    def __setitem__(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def __delitem__(self, name: str) -> None:
        self._database.execute("DELETE FROM notes WHERE name = ?", (name,))

    def __iter__(self) -> Iterator[str]:
        rows = self._database.execute("SELECT name FROM notes ORDER BY name").fetchall()
        return (name for (name,) in rows)

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM notes").fetchone()[0])


def _match_columns(planned: PlannedMatch) -> tuple[object, ...]:
    """The columns of the table of matches from `control` on."""
    match = planned.match
    task = (match.control, match.criterion, match.concept, match.prompt, match.seed)
    sides = (match.one, match.two, match.other_concept, planned.first, planned.second)
    return (*task, *sides, planned.order_ab, planned.order_ba)


def _write_verdict(
    write: sqlite3.Connection,
    key: str,
    call: int,
    parser: str,
    verdict: Verdict,
    *,
    table: str = "verdicts",
) -> None:
    if write.execute(f"SELECT 1 FROM {table} WHERE key = ? AND {_IS_FINAL}", (key,)).fetchone():
        return
    values = (
        key,
        call,
        parser,
        verdict.outcome,
        verdict.choice,
        verdict.preference,
        verdict.coverage,
        _storable(verdict.reason),
    )
    write.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def _all_matches(tournament: str) -> dict[str, object]:
    """Values of a query over all matches of a tournament."""
    return {"id": tournament, "from": 0, "until": 2**62}


def _match_result(record: MatchRecord) -> MatchResult:
    names = {"criterion": record.criterion, "concept": record.concept, "prompt": record.prompt}
    methods = {"one": record.one, "two": record.two, "other_concept": record.other}
    shared = {name: intern(text) for name, text in {**names, **methods}.items()}
    return MatchResult(
        match=Match(control=record.control, seed=record.seed, **shared),
        has_pictures=record.has_pictures,
        both_orders=record.both_orders,
        order_ab=_verdict(*record[10:14]),
        order_ba=_verdict(*record[14:18]),
    )


def _verdict(
    outcome: Outcome | None,
    choice: Choice | None,
    preference: float | None,
    coverage: float | None,
) -> Verdict | None:
    """A verdict from the columns of a match; None where there is none yet."""
    if outcome is None:
        return None
    return Verdict(outcome=outcome, choice=choice, preference=preference, coverage=coverage)


def _usage(values: Sequence[int]) -> Usage:
    asked, cached, replied = values
    return Usage(asked=asked, cached=min(cached, asked), replied=replied)


def _sum(column: str) -> str:
    """SQL for the sum of a column of numbers, none of them below 0 or above the limit."""
    return f"coalesce(sum(max(0, min({column}, {_MAX_TOKENS}))), 0)"


def _storable(text: str) -> str:
    """The text with what no database holds, lone surrogates, as a question mark."""
    return text.encode("utf-8", "replace").decode()


def _without_login(text: str) -> str:
    """The text, whose addresses have user and password no more."""
    return _LOGIN.sub("//", text)
