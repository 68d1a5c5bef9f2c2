"""The external scorer protocol: a command that is asked in lines of JSON and answers in lines of JSON."""

import json
import math
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from htbench.core.errors import Missing, Refused
from htbench.scorers.scorer import ScorerCard, ScorerInput, ScorerVersion

_MAX_ANSWER_BYTES = 1 << 20
"""Bytes of an answer: a longer one is none."""
_MAX_FAILURES = 3
"""Failures in a row after which a command is not asked again."""


class CommandScorer:
    """Implements `htbench.scorers.scorer.Scorer` by a command, which is started when it is needed and started again when it fails."""

    def __init__(self, card: ScorerCard) -> None:
        self.card = card
        self._connection: _Connection | None = None
        self._just_started, self._first_timeout = True, card.start
        self._failures, self._reason = 0, ""
        self.declared = self._start()
        self.close()

    def measure(self, looks: Sequence[ScorerInput]) -> list[float | str]:
        """As promised; what was not answered when the command failed is asked again, one by one, and then given up."""
        found: dict[int, float | str] = {}
        for start in range(0, len(looks), self.card.batch):
            batch = range(start, min(start + self.card.batch, len(looks)))
            self._ask(looks, batch, found)
            for k in batch:
                if k not in found:
                    self._ask(looks, [k], found)
                    found.setdefault(k, self._reason)
        return [found[k] for k in range(len(looks))]

    def close(self) -> None:
        if self._connection:
            self._connection.kill()
        self._connection = None

    def _ask(
        self, inputs: Sequence[ScorerInput], batch: Sequence[int], answers: dict[int, float | str]
    ) -> None:
        """Put answers into `answers`, as far as they come."""
        if self._failures >= _MAX_FAILURES:
            return
        open_ones = set(batch)
        try:
            talk = self._connection or self._restart()
            talk.send("".join(json.dumps(_question(k, inputs[k], self.card)) + "\n" for k in batch))
            while open_ones:
                began = time.monotonic()
                id_, answer = _parse_answer(
                    talk.receive(self._first_timeout if self._just_started else self.card.patience),
                    open_ones,
                )
                answers[id_] = answer
                open_ones.remove(id_)
                if (
                    self._just_started
                ):  # started again, it may take as long to load, and somewhat longer
                    self._first_timeout = min(
                        self._first_timeout, self.card.patience + 2 * (time.monotonic() - began)
                    )
                self._failures, self._just_started = 0, False
        except (_ProtocolError, Missing) as failed:
            self._failures += 1
            self._reason = (
                str(failed)
                if self._failures < _MAX_FAILURES
                else f"given up after {_MAX_FAILURES} failures in a row, the last: {failed}"
            )
            self.close()

    def _restart(self) -> "_Connection":
        told = self._start()
        if self._connection is None or told != self.declared:
            self.close()
            raise Refused(
                f"scorer {self.card.name} declared {_describe(self.declared)} and then {_describe(told)}",
                remedy="Score with one of them.",
            )
        return self._connection

    def _start(self) -> ScorerVersion:
        """Start it and hear what it is; weights may be loaded then, or when the first question comes."""
        name, remedy = self.card.name, "Try the command by hand; what it must do: docs/scorers.md"
        try:
            self._connection = _Connection(self.card.command, self.card.folder)
            told = _parse_version(self._connection.receive(self.card.start))
        except (OSError, _ProtocolError) as error:
            self.close()
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise Missing(
                f"scorer {name} cannot be started: {reason}: {' '.join(self.card.command)[:200]}",
                remedy=remedy,
            ) from None
        wanted = {
            "name": name,
            "version": self.card.version or told.version,
            "weights": self.card.weights or told.weights,
        }
        for part, value in wanted.items():
            if (here := getattr(told, part)) != value:
                self.close()
                raise Refused(
                    f"scorer {name} declares {part} {here[:200]!r}, its card says {value[:200]!r}",
                    remedy="Correct the card.",
                )
        self._just_started = True
        return told


class _ProtocolError(Exception):
    """The command did not do as the protocol says."""


class _Connection:
    """A running command; nothing it does or leaves undone is waited for longer than was asked."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True
        )  # fmt: skip
        self._lines: Queue[bytes] = Queue(10_000)
        Thread(target=self._read_lines, daemon=True).start()

    def send(self, text: str) -> None:
        """Send text, whether it is read or not."""
        Thread(target=self._write, args=(text.encode(),), daemon=True).start()

    def receive(self, seconds: float) -> bytes:
        """The next line.

        Raises:
            _Failed: if it does not come, or is none.
        """
        try:
            line = self._lines.get(timeout=seconds)
        except Empty:
            raise _ProtocolError(f"no answer within {seconds:g} s") from None
        if not line:
            raise _ProtocolError(self._exit_reason())
        if not line.endswith(b"\n"):
            raise _ProtocolError(f"an answer of {len(line)} bytes without an end")
        return line

    def kill(self) -> None:
        """Kill it with all that it started."""
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._errors.close()

    def _write(self, data: bytes) -> None:
        with suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(_MAX_ANSWER_BYTES):
            self._lines.put(line)
        self._lines.put(b"")

    def _exit_reason(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        how = (
            "it closed its output"
            if code is None
            else f"it ended with exit code {code}"
            if code >= 0
            else f"it was killed by signal {-code}"
        )
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return ": ".join([how, *(line[:300] for line in last)])


def _question(id_: int, item: ScorerInput, card: ScorerCard) -> dict[str, object]:
    texts = {"target": item.target, "concept": item.concept, "prompt": item.prompt}
    return {
        "id": id_,
        "image": str(item.image),
        "unsteered": str(item.unsteered),
        "text": texts.get(card.against, ""),
        **texts,
    }


def _parse_json(line: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise _ProtocolError(
            f"it wrote {line[:80].decode(errors='replace').strip()!r}, which is no JSON; all else belongs on stderr"
        ) from None
    if not isinstance(found, dict):
        raise _ProtocolError(
            f"it wrote {line[:80].decode(errors='replace').strip()!r}, which is no JSON object"
        )
    return found


def _parse_version(line: bytes) -> ScorerVersion:
    told = _parse_json(line)
    parts = [told.get(part) for part in ("name", "version", "weights")]
    if not all(isinstance(part, str) and part.strip() for part in parts):
        raise _ProtocolError(
            "its first line does not declare name, version and weights, each as text"
        )
    return ScorerVersion(name=str(parts[0]), version=str(parts[1]), weights=str(parts[2]))


def _parse_answer(line: bytes, pending: set[int]) -> tuple[int, float | str]:
    told = _parse_json(line)
    id_, score, error = told.get("id"), told.get("score"), told.get("error")
    if not isinstance(id_, int) or isinstance(id_, bool) or id_ not in pending:
        raise _ProtocolError(f"it answered {id_!r}, which it was not asked, or twice")
    if isinstance(error, str) and score is None:
        return id_, " ".join(error.split())[:300] or "no reason given"
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise _ProtocolError(
            f"it answered {id_} with score {str(score)[:60]!r}, which is no number"
        )
    try:
        value = float(score)
    except OverflowError:
        value = math.inf
    return id_, value if math.isfinite(value) else f"score {value} is not finite"


def _describe(version: ScorerVersion) -> str:
    return f"{version.name} {version.version} {version.weights}"[:200]
