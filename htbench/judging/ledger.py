"""What judges were asked and what they said: one SQLite file beside a run's own, `judge.sqlite`, with every raw reply."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sys import intern
from typing import Any, Self

from htbench.core.database import Database, Layout
from htbench.core.errors import Missing, UsageError
from htbench.judging.judge import FINAL, Answer, Choice, Outcome, Usage, Verdict
from htbench.judging.schedule import Match

FILE = "judge.sqlite"
VERSION = 1
_TABLES = """
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE tournaments (id TEXT PRIMARY KEY, about TEXT NOT NULL, began TEXT NOT NULL) STRICT;
CREATE TABLE matches (
    tournament TEXT NOT NULL REFERENCES tournaments, place INTEGER NOT NULL, round INTEGER NOT NULL, control TEXT NOT NULL, criterion TEXT NOT NULL,
    concept TEXT NOT NULL, prompt TEXT NOT NULL, seed INTEGER NOT NULL, one TEXT NOT NULL, two TEXT NOT NULL, other TEXT NOT NULL,
    first TEXT, second TEXT, forth TEXT, back TEXT, PRIMARY KEY (tournament, place)) STRICT, WITHOUT ROWID;
CREATE TABLE calls (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, model TEXT NOT NULL, endpoint TEXT NOT NULL, how TEXT NOT NULL, failure TEXT, message TEXT NOT NULL,
    body TEXT NOT NULL, asked INTEGER NOT NULL, cached INTEGER NOT NULL, replied INTEGER NOT NULL, seconds REAL NOT NULL, at TEXT NOT NULL,
    batch TEXT NOT NULL) STRICT;
CREATE INDEX calls_by_key ON calls (key);
CREATE TABLE verdicts (
    key TEXT PRIMARY KEY, call INTEGER NOT NULL REFERENCES calls, parser TEXT NOT NULL, outcome TEXT NOT NULL, choice TEXT, first REAL, covered REAL,
    reason TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE batches (id TEXT PRIMARY KEY, tournament TEXT NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL, state TEXT NOT NULL) STRICT;
CREATE TABLE waiting (key TEXT PRIMARY KEY, batch TEXT NOT NULL REFERENCES batches) STRICT, WITHOUT ROWID;
"""
_IS_FINAL = f"outcome IN ({', '.join(map(repr, FINAL))})"
_OPEN = f"""key NOT NULL AND NOT EXISTS (SELECT 1 FROM verdicts WHERE verdicts.key = asked.key AND {_IS_FINAL})
            AND NOT EXISTS (SELECT 1 FROM waiting WHERE waiting.key = asked.key)"""
_ASKED = """SELECT place, 0 AS turn, criterion, concept, prompt, first, second, forth AS key FROM matches
            WHERE tournament = :id AND place >= :from AND place < :until
            UNION ALL SELECT place, 1, criterion, concept, prompt, second, first, back FROM matches
            WHERE tournament = :id AND place >= :from AND place < :until"""
_WINDOW = 256
"""Matches looked at together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A match with the pictures and keys of its two calls; without pictures it cannot be asked."""

    match: Match
    first: str | None = None
    second: str | None = None
    forth: str | None = None
    back: str | None = None
    """None: only one order is asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A call that is still to be made."""

    place: int
    key: str
    criterion: str
    concept: str
    prompt: str
    first: str
    second: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A match and what was said in either order; None: nothing yet."""

    match: Match
    pictures: bool
    """Whether both pictures exist."""
    both: bool
    """Whether both orders are asked."""
    forth: Verdict | None
    back: Verdict | None


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a model was asked so far."""

    calls: int
    """That had a reply or may have been charged for."""
    usage: Usage
    batched: Usage
    """The part of `usage` that went through batches."""


class Ledger(Database):
    """A run's `judge.sqlite`; written by one process at a time."""

    layout = Layout(
        file=FILE, lock="judge.lock", version=VERSION, tables=_TABLES, name="ledger", busy="judged", otherwise=", or move it away and judge anew"
    )  # fmt: skip

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the ledger of the run in `folder` for writing, made if there is none.

        Raises:
            UsageError: if it cannot be written, or another process writes it.
            Refused: if another version of htbench made it, or it is damaged.
        """
        try:
            return cls._write(folder)
        except OSError as error:
            raise UsageError(f"cannot write to run {str(folder)[:300]!r}: {error.strerror}", remedy="Give --offline to only look at verdicts.") from None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Open for reading alone.

        Raises:
            Missing: if nothing was judged.
            Refused: if another version of htbench made it, or it is damaged.
        """
        if not (folder / FILE).is_file():
            raise Missing(f"run {str(folder)!r} was not judged yet", remedy=f"Judge it: htbench judge {folder.name}")
        return cls._look(folder)

    @property
    def notes(self) -> MutableMapping[str, str]:
        """What judges remember of their endpoints."""
        return _Notes(self._database)

    def tournaments(self) -> dict[str, dict[str, Any]]:
        """What is known of each tournament, by id, in the order in which they began."""
        return {id_: json.loads(about) for id_, about in self.select("SELECT id, about FROM tournaments ORDER BY rowid")}

    def plan(self, tournament: str, about: dict[str, Any], planned: Iterable[Planned], *, round_: int = 0) -> None:
        """Make these the matches of a round of a tournament; of round 0, its only ones."""
        with self._transaction() as write:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            write.execute(
                "INSERT INTO tournaments VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET about = excluded.about",
                (tournament, json.dumps(about, sort_keys=True), now),
            )
            write.execute("DELETE FROM matches WHERE tournament = ? AND round >= ?", (tournament, round_))
            ((start,),) = write.execute("SELECT coalesce(max(place) + 1, 0) FROM matches WHERE tournament = ?", (tournament,))
            rows = (
                (
                    *(tournament, start + k, round_, p.match.control, p.match.criterion, p.match.concept, p.match.prompt, p.match.seed),
                    *(p.match.one, p.match.two, p.match.other, p.first, p.second, p.forth, p.back),
                )
                for k, p in enumerate(planned)
            )
            write.executemany("INSERT INTO matches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def rounds(self, tournament: str) -> int:
        """Rounds planned so far."""
        ((number,),) = self.select("SELECT coalesce(max(round) + 1, 0) FROM matches WHERE tournament = ?", tournament)
        return int(number)

    def pending(self, tournament: str) -> Iterator[Call]:
        """Calls that had no verdict when their turn came, in their order."""
        names = ("place", "key", "criterion", "concept", "prompt", "first", "second")
        ((last,),) = self.select("SELECT coalesce(max(place), -1) FROM matches WHERE tournament = ?", tournament)
        query = f"SELECT {', '.join(names)} FROM ({_ASKED}) AS asked WHERE {_OPEN} ORDER BY place, turn"
        for start in range(0, last + 1, _WINDOW):
            for row in self._database.execute(query, {"id": tournament, "from": start, "until": start + _WINDOW}).fetchall():
                yield Call(**dict(zip(names, row, strict=True)))

    def count(self, tournament: str) -> tuple[int, int]:
        """Number of different calls of a tournament, and how many of them have no verdict yet and wait in no batch."""
        values = _whole(tournament)
        ((calls,),) = self._database.execute(f"SELECT count(DISTINCT key) FROM ({_ASKED}) AS asked WHERE key NOT NULL", values)
        ((missing,),) = self._database.execute(f"SELECT count(DISTINCT key) FROM ({_ASKED}) AS asked WHERE {_OPEN}", values)
        return int(calls), int(missing)

    def outcomes(self, tournament: str) -> dict[Outcome, int]:
        """Calls of a tournament by what became of them."""
        query = f"SELECT outcome, count(*) FROM verdicts WHERE key IN (SELECT key FROM ({_ASKED})) GROUP BY outcome ORDER BY 2 DESC"
        return dict(self._database.execute(query, _whole(tournament)).fetchall())

    def add(self, answer: Answer, verdict: Verdict, *, model: str, endpoint: str, parser: str, batch: str = "") -> None:
        """Write a reply and what it says; an earlier verdict is kept if it is final."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        use = answer.usage
        with self._transaction() as write:
            call = write.execute(
                """INSERT INTO calls (key, model, endpoint, how, failure, message, body, asked, cached, replied, seconds, at, batch)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                (
                    *(answer.key, model, endpoint, answer.how, answer.failure, answer.message, answer.body),
                    *(use.asked, use.cached, use.replied, answer.seconds, now, batch),
                ),
            ).lastrowid
            write.execute("DELETE FROM waiting WHERE key = ?", (answer.key,))
            _write_verdict(write, answer.key, call or 0, parser, verdict)

    def bodies(self, tournament: str) -> Iterator[tuple[int, str, str]]:
        """Raw replies to the calls of a tournament: (call, key, body) each, the oldest first."""
        query = f"SELECT id, key, body FROM calls WHERE body <> '' AND key IN (SELECT key FROM ({_ASKED})) ORDER BY id"
        yield from self._database.execute(query, _whole(tournament))

    def reread(self, verdicts: Iterable[tuple[int, str, Verdict]], *, parser: str) -> int:
        """Replace verdicts by what replies say now: (call, key, verdict) each; of several replies to a question the first final one counts."""
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
        """Versions of the readers of a tournament's replies."""
        query = f"SELECT DISTINCT parser FROM verdicts WHERE key IN (SELECT key FROM ({_ASKED})) ORDER BY 1"
        return [parser for (parser,) in self._database.execute(query, _whole(tournament))]

    def spent(self, model: str) -> Spent:
        """What a model was asked in this run so far."""
        sums = "coalesce(sum(asked), 0), coalesce(sum(cached), 0), coalesce(sum(replied), 0)"
        ((calls, *all_),) = self.select(f"SELECT count(*), {sums} FROM calls WHERE model = ? AND (body <> '' OR failure = 'timeout')", model)
        (batched,) = self.select(f"SELECT {sums} FROM calls WHERE model = ? AND batch <> ''", model)
        return Spent(calls=calls, usage=_usage(all_), batched=_usage(batched))

    def results(self, tournament: str) -> Iterator[Result]:
        """All matches in their order, with what was said."""
        query = """SELECT control, criterion, concept, prompt, seed, one, two, other, matches.first IS NOT NULL AND second IS NOT NULL, back IS NOT NULL,
                          f.outcome, f.choice, f.first, f.covered, b.outcome, b.choice, b.first, b.covered
                   FROM matches LEFT JOIN verdicts AS f ON f.key = forth LEFT JOIN verdicts AS b ON b.key = back WHERE tournament = ? ORDER BY place"""
        for row in self._database.execute(query, (tournament,)):
            control, criterion, concept, prompt, seed, one, two, other, pictures, both, *said = row
            words = {"criterion": criterion, "concept": concept, "prompt": prompt, "one": one, "two": two, "other": other}
            match = Match(control=control, seed=seed, **{name: intern(word) for name, word in words.items()})
            yield Result(match=match, pictures=bool(pictures), both=bool(both), forth=_verdict(*said[:4]), back=_verdict(*said[4:]))

    def add_batch(self, id_: str, tournament: str, model: str, keys: Sequence[str]) -> None:
        """Write that calls wait in a batch."""
        with self._transaction() as write:
            write.execute("INSERT INTO batches VALUES (?, ?, ?, ?, 'waiting')", (id_, tournament, model, len(keys)))
            write.executemany("INSERT INTO waiting VALUES (?, ?)", [(key, id_) for key in keys])

    def batches(self, model: str) -> list[str]:
        """Ids of the batches of a model that were not collected."""
        return [id_ for (id_,) in self.select("SELECT id FROM batches WHERE state = 'waiting' AND model = ? ORDER BY rowid", model)]

    def all_batches(self) -> list[str]:
        """Ids of all batches ever sent."""
        return [id_ for (id_,) in self.select("SELECT id FROM batches")]

    def close_batch(self, id_: str, state: str) -> int:
        """Write how a batch ended; calls of it that have no reply are pending again. Gives how many."""
        with self._transaction() as write:
            write.execute("UPDATE batches SET state = ? WHERE id = ?", (state, id_))
            return write.execute("DELETE FROM waiting WHERE batch = ?", (id_,)).rowcount


class _Notes(MutableMapping[str, str]):
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __getitem__(self, name: str) -> str:
        found = self._database.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        if found is None:
            raise KeyError(name)
        return str(found[0])

    def __setitem__(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def __delitem__(self, name: str) -> None:
        self._database.execute("DELETE FROM notes WHERE name = ?", (name,))

    def __iter__(self) -> Iterator[str]:
        return (name for (name,) in self._database.execute("SELECT name FROM notes ORDER BY name").fetchall())

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM notes").fetchone()[0])


def _write_verdict(write: sqlite3.Connection, key: str, call: int, parser: str, verdict: Verdict, *, table: str = "verdicts") -> None:
    if write.execute(f"SELECT 1 FROM {table} WHERE key = ? AND {_IS_FINAL}", (key,)).fetchone():
        return
    values = (key, call, parser, verdict.outcome, verdict.choice, verdict.first, verdict.covered, verdict.reason)
    write.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def _whole(tournament: str) -> dict[str, object]:
    """Values of a query over all matches of a tournament."""
    return {"id": tournament, "from": 0, "until": 2**62}


def _verdict(outcome: Outcome | None, choice: Choice | None, first: float | None, covered: float | None) -> Verdict | None:
    return None if outcome is None else Verdict(outcome=outcome, choice=choice, first=first, covered=covered)


def _usage(values: Sequence[int]) -> Usage:
    asked, cached, replied = values
    return Usage(asked=asked, cached=cached, replied=replied)
