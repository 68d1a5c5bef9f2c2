"""The ledger of a run's judges: one SQLite file, `judge.sqlite`, with all calls and raw replies."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sys import intern
from typing import Any, Self

from htbench.core.database import Database, Schema
from htbench.core.errors import Missing, UsageError
from htbench.judging.judge import FINAL_OUTCOMES, Choice, JudgeAnswer, Outcome, Usage, Verdict
from htbench.judging.schedule import Match

LEDGER_FILE = "judge.sqlite"
VERSION = 1
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
    seconds REAL NOT NULL, at TEXT NOT NULL, batch TEXT NOT NULL) STRICT;
CREATE INDEX calls_by_key ON calls (key);
CREATE TABLE verdicts (
    key TEXT PRIMARY KEY, call INTEGER NOT NULL REFERENCES calls, parser TEXT NOT NULL,
    outcome TEXT NOT NULL, choice TEXT, first REAL, covered REAL,
    reason TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE batches (id TEXT PRIMARY KEY, tournament TEXT NOT NULL, model TEXT NOT NULL,
    requests INTEGER NOT NULL, state TEXT NOT NULL) STRICT;
CREATE TABLE waiting (key TEXT PRIMARY KEY, batch TEXT NOT NULL REFERENCES batches)
    STRICT, WITHOUT ROWID;
"""
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


@dataclass(frozen=True, kw_only=True)
class ModelUsage:
    """The calls and tokens of a model so far."""

    calls: int
    """Number of calls that had a reply or may have been charged for."""
    usage: Usage
    batch_usage: Usage
    """The part of `usage` that went through batches."""


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

    @property
    def notes(self) -> MutableMapping[str, str]:
        """Facts that judges keep about their endpoints."""
        return _Notes(self._database)

    def tournaments(self) -> dict[str, dict[str, Any]]:
        """The metadata of each tournament by its id, in the order in which they began."""
        return {
            id_: json.loads(about)
            for id_, about in self.select("SELECT id, about FROM tournaments ORDER BY rowid")
        }

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
                "DELETE FROM matches WHERE tournament = ? AND round >= ?", (tournament, round_)
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

    def rounds(self, tournament: str) -> int:
        """Number of rounds planned so far."""
        ((number,),) = self.select(
            "SELECT coalesce(max(round) + 1, 0) FROM matches WHERE tournament = ?", tournament
        )
        return int(number)

    def pending(self, tournament: str) -> Iterator[PendingCall]:
        """Calls that have no verdict when they are reached, in the order of the schedule."""
        names = ("place", "key", "criterion", "concept", "prompt", "first", "second")
        ((last,),) = self.select(
            "SELECT coalesce(max(place), -1) FROM matches WHERE tournament = ?", tournament
        )
        query = f"""SELECT {", ".join(names)} FROM ({_CALLS}) AS asked
                    WHERE {_IS_PENDING} ORDER BY place, turn"""
        for start in range(0, last + 1, _WINDOW):
            window = {"id": tournament, "from": start, "until": start + _WINDOW}
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
        return dict(self._database.execute(query, _all_matches(tournament)).fetchall())

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
        }
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        with self._transaction() as write:
            call = write.execute(
                f"INSERT INTO calls ({names}) VALUES ({marks})", tuple(columns.values())
            ).lastrowid
            write.execute("DELETE FROM waiting WHERE key = ?", (answer.key,))
            _write_verdict(write, answer.key, call or 0, parser, verdict)

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
        """The calls and tokens of a model in this run so far."""
        sums = "coalesce(sum(asked), 0), coalesce(sum(cached), 0), coalesce(sum(replied), 0)"
        ((calls, *usage),) = self.select(
            f"""SELECT count(*), {sums} FROM calls
                WHERE model = ? AND (body <> '' OR failure = 'timeout')""",
            model,
        )
        (batched,) = self.select(f"SELECT {sums} FROM calls WHERE model = ? AND batch <> ''", model)
        return ModelUsage(calls=calls, usage=_usage(usage), batch_usage=_usage(batched))

    def results(self, tournament: str) -> Iterator[MatchResult]:
        """All matches in the order of the schedule, with their verdicts."""
        query = """SELECT control, seed, criterion, concept, prompt, one, two, other,
                          matches.first IS NOT NULL AND second IS NOT NULL, back IS NOT NULL,
                          f.outcome, f.choice, f.first, f.covered,
                          b.outcome, b.choice, b.first, b.covered
                   FROM matches LEFT JOIN verdicts AS f ON f.key = forth
                                LEFT JOIN verdicts AS b ON b.key = back
                   WHERE tournament = ? ORDER BY place"""
        names = ("criterion", "concept", "prompt", "one", "two", "other_concept")
        for row in self._database.execute(query, (tournament,)):
            control, seed, *texts = row[:8]
            shared = dict(zip(names, map(intern, texts), strict=True))
            yield MatchResult(
                match=Match(control=control, seed=seed, **shared),
                has_pictures=bool(row[8]),
                both_orders=bool(row[9]),
                order_ab=_verdict(*row[10:14]),
                order_ba=_verdict(*row[14:]),
            )

    def add_batch(self, id_: str, tournament: str, model: str, keys: Sequence[str]) -> None:
        """Record the calls that wait in a batch."""
        with self._transaction() as write:
            write.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, 'waiting')",
                (id_, tournament, model, len(keys)),
            )
            write.executemany("INSERT INTO waiting VALUES (?, ?)", [(key, id_) for key in keys])

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
        verdict.reason,
    )
    write.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def _all_matches(tournament: str) -> dict[str, object]:
    """Values of a query over all matches of a tournament."""
    return {"id": tournament, "from": 0, "until": 2**62}


def _verdict(
    outcome: Outcome | None, choice: Choice | None, preference: float | None, coverage: float | None
) -> Verdict | None:
    if outcome is None:
        return None
    return Verdict(outcome=outcome, choice=choice, preference=preference, coverage=coverage)


def _usage(values: Sequence[int]) -> Usage:
    asked, cached, replied = values
    return Usage(asked=asked, cached=cached, replied=replied)
