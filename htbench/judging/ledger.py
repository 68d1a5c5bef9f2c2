"""The ledger of a run's judges: one SQLite file, `judge.sqlite`, with all calls and raw replies."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from htbench.core.database import Database, Schema
from htbench.core.errors import Missing, UsageError
from htbench.judging import ledger_tables
from htbench.judging.judge import FINAL_OUTCOMES, OUTCOMES, JudgeAnswer, Outcome, Verdict
from htbench.judging.ledger_tables import IS_CHARGED, TABLES, Notes
from htbench.judging.matches import (
    COMPARED_COLUMNS,
    MATCH_COLUMNS,
    Comparison,
    MatchResult,
    PendingCall,
    PlannedMatch,
    match_columns,
    match_result,
    read_comparison,
)
from htbench.judging.meter import ModelUsage, Usage
from htbench.judging.records import Damage, MatchRecord, read_match, read_tournament
from htbench.judging.schedule import Match

LEDGER_FILE = "judge.sqlite"
VERSION = 2
_FROZEN = "calls of the bundle"
"""Name of the note on the largest id of a call that was made in a bundle."""
_MAX_TOKENS = 10**9
"""A larger number of tokens or requests in a ledger is damage, and is taken as this."""
_MAX_PLACE = 2**40
"""Places of matches from this on are damage."""
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


class Ledger(Database):
    """A run's `judge.sqlite`, written by one process at a time."""

    schema = Schema(
        file=LEDGER_FILE,
        lock="judge.lock",
        version=VERSION,
        tables=TABLES,
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

    @classmethod
    def read_quietly(cls, folder: Path) -> Self:
        """`read` for a second look, which names no damaged record again."""
        ledger = cls.read(folder)
        ledger.damage.mute()
        return ledger

    @cached_property
    def damage(self) -> Damage:
        """Damaged records that were met so far."""
        return Damage(repr(str(self.folder / self.schema.file)))

    def _migrate(self, version: int) -> None:
        with self._transaction() as write:
            ledger_tables.migrate(write)
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
        return Notes(self._database)

    def tournaments(self) -> dict[str, dict[str, Any]]:
        """The metadata of each tournament by its id, in the order in which they began.

        Damaged ones are left out, and named on stderr.
        """
        every = self._all_tournaments().items()
        kinds = ("calibration", "pointwise", "strengths")
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

    def strengths(self) -> dict[str, dict[str, Any]]:
        """The same of comparisons of strengths, in which a method meets itself."""
        return self._of_kind("strengths")

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
                (tournament, start + k, round_, *match_columns(match))
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
        requests = "requests" if self.version > 1 else IS_CHARGED
        own = (model, self.frozen_calls)
        ((calls, sent),) = self.select(
            f"""SELECT coalesce(sum({IS_CHARGED}), 0), {_sum(requests)} FROM calls
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
        for record, _ in self._records(tournament):
            yield match_result(record)

    def comparisons(self, tournament: str) -> Iterator[Comparison]:
        """The matches without controls, with the files of their pictures and what verdicts say."""
        for record, more in self._records(tournament, COMPARED_COLUMNS):
            if not record.control:
                yield read_comparison(record, more)

    def replies(self, keys: Iterable[str]) -> dict[str, str]:
        """The raw replies that verdicts were read from, by the keys of their calls."""
        query = "SELECT body FROM verdicts JOIN calls ON id = call WHERE verdicts.key = ?"
        rows = {key: self.select(query, key) for key in keys}
        return {key: body for key, own in rows.items() for (body,) in own if isinstance(body, str)}

    def _records(
        self, tournament: str, more: Sequence[str] = ()
    ) -> Iterator[tuple[MatchRecord, tuple[Any, ...]]]:
        """The matches of a tournament that can be read, with `more` columns as they are."""
        columns = ", ".join([*MATCH_COLUMNS, *more])
        query = f"""SELECT {columns} FROM matches LEFT JOIN verdicts AS f ON f.key = forth
                                               LEFT JOIN verdicts AS b ON b.key = back
                    WHERE tournament = ? ORDER BY place"""
        methods, criteria = self._names(tournament)
        for number, row in enumerate(self._database.execute(query, (tournament,))):
            record: MatchRecord | None = self.damage.read(
                f"match of tournament {tournament}", number, read_match, row[: len(MATCH_COLUMNS)]
            )
            if record is None:
                continue
            if not ({record.one, record.two} <= methods and record.criterion in criteria):
                self.damage.add(
                    f"match of tournament {tournament}",
                    f"{number}: the design does not have its methods or criterion",
                )
                continue
            yield record, row[len(MATCH_COLUMNS) :]
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


def _usage(values: Sequence[int]) -> Usage:
    asked, cached, replied = values
    return Usage(asked=asked, cached=min(cached, asked), replied=replied)


def _sum(column: str) -> str:
    """SQL for the sum of a column of numbers, none of them below 0 or above the limit."""
    return f"coalesce(sum(max(0, min({column}, {_MAX_TOKENS}))), 0)"


def _storable(text: str) -> str:
    """The text with what no database holds, lone surrogates, as a question mark."""
    return text.encode("utf-8", "replace").decode()
