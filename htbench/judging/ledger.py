"""What judges were asked and what they said: one SQLite file beside a run's own, `judge.sqlite`, with every raw reply."""

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
_IS_FINAL = f"outcome IN ({', '.join(map(repr, FINAL_OUTCOMES))})"
_IS_PENDING = f"""key NOT NULL AND NOT EXISTS (SELECT 1 FROM verdicts WHERE verdicts.key = asked.key AND {_IS_FINAL})
            AND NOT EXISTS (SELECT 1 FROM waiting WHERE waiting.key = asked.key)"""
_CALLS = """SELECT place, 0 AS turn, criterion, concept, prompt, first, second, forth AS key FROM matches
            WHERE tournament = :id AND place >= :from AND place < :until
            UNION ALL SELECT place, 1, criterion, concept, prompt, second, first, back FROM matches
            WHERE tournament = :id AND place >= :from AND place < :until"""
_WINDOW = 256
"""Matches looked at together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedMatch:
    """A match with the pictures and keys of its two calls; without pictures it cannot be asked."""

    match: Match
    first: str | None = None
    second: str | None = None
    order_ab: str | None = None
    order_ba: str | None = None
    """None: only one order is asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingCall:
    """A call that is still to be made."""

    place: int
    key: str
    criterion: str
    concept: str
    prompt: str
    first: str
    second: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchResult:
    """A match and what was said in either order; None: nothing yet."""

    match: Match
    has_pictures: bool
    """Whether both pictures exist."""
    both_orders: bool
    """Whether both orders are asked."""
    order_ab: Verdict | None
    order_ba: Verdict | None


@dataclass(frozen=True, kw_only=True)
class ModelUsage:
    """What a model was asked so far."""

    calls: int
    """That had a reply or may have been charged for."""
    usage: Usage
    batch_usage: Usage
    """The part of `usage` that went through batches."""


class Ledger(Database):
    """A run's `judge.sqlite`; written by one process at a time."""

    layout = Schema(
        file=LEDGER_FILE, lock="judge.lock", version=VERSION, tables=_TABLES, name="ledger", activity="judged", alternative=", or move it away and judge anew"
    )  # fmt: skip

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the ledger of the run in `folder` for writing, made if there is none.

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
        """Open for reading alone.

        Raises:
            Missing: if nothing was judged.
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
        """What judges remember of their endpoints."""
        return _Notes(self._database)

    def tournaments(self) -> dict[str, dict[str, Any]]:
        """What is known of each tournament, by id, in the order in which they began."""
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
        """Make these the matches of a round of a tournament; of round 0, its only ones."""
        with self._transaction() as write:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            write.execute(
                "INSERT INTO tournaments VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET about = excluded.about",
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
                (
                    *(
                        tournament,
                        start + k,
                        round_,
                        p.match.control,
                        p.match.criterion,
                        p.match.concept,
                        p.match.prompt,
                        p.match.seed,
                    ),
                    *(
                        p.match.one,
                        p.match.two,
                        p.match.other_concept,
                        p.first,
                        p.second,
                        p.order_ab,
                        p.order_ba,
                    ),
                )
                for k, p in enumerate(matches)
            )
            write.executemany(
                "INSERT INTO matches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )

    def rounds(self, tournament: str) -> int:
        """Rounds planned so far."""
        ((number,),) = self.select(
            "SELECT coalesce(max(round) + 1, 0) FROM matches WHERE tournament = ?", tournament
        )
        return int(number)

    def pending(self, tournament: str) -> Iterator[PendingCall]:
        """Calls that had no verdict when their turn came, in their order."""
        names = ("place", "key", "criterion", "concept", "prompt", "first", "second")
        ((last,),) = self.select(
            "SELECT coalesce(max(place), -1) FROM matches WHERE tournament = ?", tournament
        )
        query = f"SELECT {', '.join(names)} FROM ({_CALLS}) AS asked WHERE {_IS_PENDING} ORDER BY place, turn"
        for start in range(0, last + 1, _WINDOW):
            for row in self._database.execute(
                query, {"id": tournament, "from": start, "until": start + _WINDOW}
            ).fetchall():
                yield PendingCall(**dict(zip(names, row, strict=True)))

    def count_calls(self, tournament: str) -> tuple[int, int]:
        """Number of different calls of a tournament, and how many of them have no verdict yet and wait in no batch."""
        values = _all_matches(tournament)
        ((calls,),) = self._database.execute(
            f"SELECT count(DISTINCT key) FROM ({_CALLS}) AS asked WHERE key NOT NULL", values
        )
        ((missing,),) = self._database.execute(
            f"SELECT count(DISTINCT key) FROM ({_CALLS}) AS asked WHERE {_IS_PENDING}", values
        )
        return int(calls), int(missing)

    def outcomes(self, tournament: str) -> dict[Outcome, int]:
        """Calls of a tournament by what became of them."""
        query = f"SELECT outcome, count(*) FROM verdicts WHERE key IN (SELECT key FROM ({_CALLS})) GROUP BY outcome ORDER BY 2 DESC"
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
        """Write a reply and what it says; an earlier verdict is kept if it is final."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        use = answer.usage
        with self._transaction() as write:
            call = write.execute(
                """INSERT INTO calls (key, model, endpoint, how, failure, message, body, asked, cached, replied, seconds, at, batch)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                (
                    *(
                        answer.key,
                        model,
                        endpoint,
                        answer.request_form,
                        answer.failure,
                        answer.message,
                        answer.body,
                    ),
                    *(use.asked, use.cached, use.replied, answer.seconds, now, batch),
                ),
            ).lastrowid
            write.execute("DELETE FROM waiting WHERE key = ?", (answer.key,))
            _write_verdict(write, answer.key, call or 0, parser, verdict)

    def raw_replies(self, tournament: str) -> Iterator[tuple[int, str, str]]:
        """Raw replies to the calls of a tournament: (call, key, body) each, the oldest first."""
        query = f"SELECT id, key, body FROM calls WHERE body <> '' AND key IN (SELECT key FROM ({_CALLS})) ORDER BY id"
        yield from self._database.execute(query, _all_matches(tournament))

    def replace_verdicts(self, verdicts: Iterable[tuple[int, str, Verdict]], *, parser: str) -> int:
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
        query = f"SELECT DISTINCT parser FROM verdicts WHERE key IN (SELECT key FROM ({_CALLS})) ORDER BY 1"
        return [parser for (parser,) in self._database.execute(query, _all_matches(tournament))]

    def model_usage(self, model: str) -> ModelUsage:
        """What a model was asked in this run so far."""
        sums = "coalesce(sum(asked), 0), coalesce(sum(cached), 0), coalesce(sum(replied), 0)"
        ((calls, *all_),) = self.select(
            f"SELECT count(*), {sums} FROM calls WHERE model = ? AND (body <> '' OR failure = 'timeout')",
            model,
        )
        (batched,) = self.select(f"SELECT {sums} FROM calls WHERE model = ? AND batch <> ''", model)
        return ModelUsage(calls=calls, usage=_usage(all_), batch_usage=_usage(batched))

    def results(self, tournament: str) -> Iterator[MatchResult]:
        """All matches in their order, with what was said."""
        query = """SELECT control, criterion, concept, prompt, seed, one, two, other, matches.first IS NOT NULL AND second IS NOT NULL, back IS NOT NULL,
                          f.outcome, f.choice, f.first, f.covered, b.outcome, b.choice, b.first, b.covered
                   FROM matches LEFT JOIN verdicts AS f ON f.key = forth LEFT JOIN verdicts AS b ON b.key = back WHERE tournament = ? ORDER BY place"""
        for row in self._database.execute(query, (tournament,)):
            control, criterion, concept, prompt, seed, one, two, other, pictures, both, *said = row
            words = {
                "criterion": criterion,
                "concept": concept,
                "prompt": prompt,
                "one": one,
                "two": two,
                "other_concept": other,
            }
            match = Match(
                control=control, seed=seed, **{name: intern(word) for name, word in words.items()}
            )
            yield MatchResult(
                match=match,
                has_pictures=bool(pictures),
                both_orders=bool(both),
                order_ab=_verdict(*said[:4]),
                order_ba=_verdict(*said[4:]),
            )

    def add_batch(self, id_: str, tournament: str, model: str, keys: Sequence[str]) -> None:
        """Write that calls wait in a batch."""
        with self._transaction() as write:
            write.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, 'waiting')",
                (id_, tournament, model, len(keys)),
            )
            write.executemany("INSERT INTO waiting VALUES (?, ?)", [(key, id_) for key in keys])

    def open_batches(self, model: str) -> list[str]:
        """Ids of the batches of a model that were not collected."""
        return [
            id_
            for (id_,) in self.select(
                "SELECT id FROM batches WHERE state = 'waiting' AND model = ? ORDER BY rowid", model
            )
        ]

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
        return (
            name
            for (name,) in self._database.execute("SELECT name FROM notes ORDER BY name").fetchall()
        )

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM notes").fetchone()[0])


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
    return (
        None
        if outcome is None
        else Verdict(outcome=outcome, choice=choice, preference=preference, coverage=coverage)
    )


def _usage(values: Sequence[int]) -> Usage:
    asked, cached, replied = values
    return Usage(asked=asked, cached=cached, replied=replied)
