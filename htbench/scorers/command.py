"""The external scorer protocol: a command that reads and writes lines of JSON."""

import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from htbench.core import reading, secrets
from htbench.core.display import printable
from htbench.core.errors import Missing, Refused
from htbench.scorers.scorer import NO_PICTURE, ScorerCard, ScorerInput, ScorerVersion

_MAX_ANSWER_BYTES = 1 << 16
"""Length from which on an answer is taken to have no end."""
_MAX_WAITING = 256
"""Number of lines that are read ahead; then the command waits."""
_MAX_BANNER_BYTES = 1 << 18
"""Bytes of other output that may stand before an answer: some libraries print into stdout."""
_ERROR_BYTES = 2000
"""Bytes of the end of the command's stderr that are kept."""
_MAX_FAILURES = 3
"""Number of failures in a row after which a command is given up."""


class CommandScorer:
    """A scorer that asks a command, which is started on demand, and again after a failure."""

    def __init__(self, card: ScorerCard) -> None:
        self.card = card
        self._connection: _Connection | None = None
        self._just_started, self._first_timeout = True, card.start
        self._failures, self._reason = 0, ""
        self.declared = self._start()
        self.close()

    def measure(self, inputs: Sequence[ScorerInput]) -> list[float | str]:
        """Scores or reasons; inputs left without an answer by a failure are asked about once more,
        one by one.
        """
        answers: dict[int, float | str] = {}
        for start in range(0, len(inputs), self.card.batch):
            batch = range(start, min(start + self.card.batch, len(inputs)))
            self._ask(inputs, batch, answers)
            for k in batch:
                if k not in answers:
                    self._ask(inputs, [k], answers)
                    answers.setdefault(k, self._reason)
        return [answers[k] for k in range(len(inputs))]

    def close(self) -> None:
        if self._connection:
            self._connection.kill()
        self._connection = None

    def _ask(
        self, inputs: Sequence[ScorerInput], batch: Sequence[int], answers: dict[int, float | str]
    ) -> None:
        """Put answers into `answers`, up to the first failure."""
        if self._failures >= _MAX_FAILURES:
            return
        pending = set(batch)
        questions = (json.dumps(_question(k, inputs[k], self.card)) for k in batch)
        try:
            connection = self._connection or self._restart()
            connection.send("".join(f"{question}\n" for question in questions))
            while pending:
                began = time.monotonic()
                timeout = self._first_timeout if self._just_started else self.card.patience
                id_, score = _parse_answer(connection.receive(timeout), pending)
                answers[id_] = score
                pending.remove(id_)
                if self._just_started:  # the next start may take as long to load, and some more
                    allowed = self.card.patience + 2 * (time.monotonic() - began)
                    self._first_timeout = min(self._first_timeout, allowed)
                self._failures, self._just_started = 0, False
        except (_ProtocolError, Missing) as error:
            self._failures += 1
            self._reason = str(error)
            if self._failures == _MAX_FAILURES:
                attempts = f"{_MAX_FAILURES} failures in a row"
                self._reason = f"given up after {attempts}, the last: {error}"
            self.close()

    def _restart(self) -> "_Connection":
        version = self._start()
        if self._connection is None or version != self.declared:
            self.close()
            versions = f"{_describe(self.declared)} and then {_describe(version)}"
            raise Refused(
                f"scorer {self.card.name} declared {versions}", remedy="Score with one of them."
            )
        return self._connection

    def _start(self) -> ScorerVersion:
        """Start the command and read its declaration.

        It may load its weights before that, or at the first question.
        """
        name, remedy = self.card.name, "Try the command by hand; what it must do: docs/scorers.md"
        try:
            self._connection = _Connection(self.card.command, self.card.folder)
            version = _parse_version(self._connection.receive(self.card.start))
        except (OSError, _ProtocolError) as error:
            self.close()
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise Missing(
                f"scorer {name} cannot be started: {reason}: {' '.join(self.card.command)[:200]}",
                remedy=remedy,
            ) from None
        expected = {
            "name": name,
            "version": self.card.version or version.version,
            "weights": self.card.weights or version.weights,
        }
        for part, value in expected.items():
            if (declared := getattr(version, part)) != value:
                self.close()
                differs = f"declares {part} {declared[:200]!r}, its card says {value[:200]!r}"
                raise Refused(f"scorer {name} {differs}", remedy="Correct the card.")
        self._just_started = True
        return version


class _ProtocolError(Exception):
    """The command broke the protocol."""


class _Connection:
    """A running command; no wait for it is longer than its timeout."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._lines: Queue[bytes] = Queue(_MAX_WAITING)
        self._errors = b""
        self._error_reader = Thread(target=self._read_errors, daemon=True)
        self._error_reader.start()
        Thread(target=self._read_lines, daemon=True).start()

    def send(self, text: str) -> None:
        """Send text without waiting until it is read."""
        Thread(target=self._write, args=(text.encode(),), daemon=True).start()

    def receive(self, seconds: float) -> bytes:
        """The next line that begins an object of JSON; others before it are left out.

        Raises:
            _ProtocolError: if it does not come in time, has no end, or too much stands before it.
        """
        deadline, banner, banner_bytes = time.monotonic() + seconds, "", 0
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise _ProtocolError(f"no answer within {seconds:.3g} s{banner}") from None
            if not line:
                raise _ProtocolError(f"{self._exit_reason()}{banner}")
            if not line.endswith(b"\n"):
                raise _ProtocolError(f"an answer of {len(line)} bytes without an end")
            if line.lstrip().startswith(b"{"):
                return line
            text = printable(line[:80].decode(errors="replace").strip())
            banner = f"; it wrote {text!r}, which is no JSON: all else belongs on stderr"
            banner_bytes += len(line)
            if banner_bytes > _MAX_BANNER_BYTES:
                raise _ProtocolError(f"{banner_bytes:,} bytes without an answer{banner}")

    def kill(self) -> None:
        """Kill the command with every process that it started."""
        _kill_tree(self._process.pid)
        with suppress(OSError):
            self._process.kill()  # where there is no program that kills a tree
        self._process.wait()

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

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        while data := self._process.stderr.read1(1 << 16):  # type: ignore[attr-defined]
            self._errors = (self._errors + data)[-_ERROR_BYTES:]

    def _exit_reason(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        if code is None:
            end = "it closed its output"
        elif code >= 0:
            end = f"it ended with exit code {code}"
        else:
            end = f"it was killed by signal {-code}"
        self._error_reader.join(1)
        last_line = self._errors.decode(errors="replace").strip().splitlines()[-1:]
        return ": ".join(
            [end, *(printable(secrets.scrub(line), max_length=300) for line in last_line)]
        )


def _kill_tree(pid: int) -> None:
    """Kill a process that leads a session, with every process that it started."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL)
        else:  # Windows has no sessions, but a program
            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False
            )


def _question(id_: int, item: ScorerInput, card: ScorerCard) -> dict[str, object]:
    texts = {"target": item.target, "concept": item.concept, "prompt": item.prompt}
    return {
        "id": id_,
        "image": str(item.image),
        "unsteered": "" if item.unsteered == NO_PICTURE else str(item.unsteered),
        "text": texts.get(card.against, ""),
        **texts,
    }


def _parse_json(line: bytes) -> Mapping[str, object]:
    text = line[:80].decode(errors="replace").strip()
    try:
        value = reading.without_surrogates(json.loads(line))
    except (ValueError, RecursionError):
        raise _ProtocolError(
            f"it wrote {text!r}, which is no JSON; all else belongs on stderr"
        ) from None
    if not isinstance(value, dict):
        raise _ProtocolError(f"it wrote {text!r}, which is no JSON object")
    return value


def _parse_version(line: bytes) -> ScorerVersion:
    declaration = _parse_json(line)
    parts = [declaration.get(part) for part in ("name", "version", "weights")]
    if not all(isinstance(part, str) and part.strip() for part in parts):
        raise _ProtocolError(
            "its first line does not declare name, version and weights, each as text"
        )
    return ScorerVersion(name=str(parts[0]), version=str(parts[1]), weights=str(parts[2]))


def _parse_answer(line: bytes, pending: set[int]) -> tuple[int, float | str]:
    answer = _parse_json(line)
    id_, score, error = (answer.get(part) for part in ("id", "score", "error"))
    if not isinstance(id_, int) or isinstance(id_, bool) or id_ not in pending:
        raise _ProtocolError(f"it answered {id_!r}, which it was not asked, or twice")
    if isinstance(error, str) and score is None:
        text = printable(secrets.scrub(" ".join(error.split())), max_length=300)
        return id_, text or "no reason given"
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
