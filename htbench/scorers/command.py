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
from htbench.scorers.scorer import Declaration, GaugeCard, Look

_LONGEST = 1 << 20
"""Bytes of an answer: a longer one is none."""
_STRIKES = 3
"""Failures in a row after which a command is not asked again."""


class CommandGauge:
    """Implements `htbench.scorers.scorer.Gauge` by a command, which is started when it is needed and started again when it fails."""

    def __init__(self, card: GaugeCard) -> None:
        self.card = card
        self._talk: _Talk | None = None
        self._fresh, self._loading = True, card.start
        self._strikes, self._reason = 0, ""
        self.declared = self._start()
        self.close()

    def measure(self, looks: Sequence[Look]) -> list[float | str]:
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
        if self._talk:
            self._talk.end()
        self._talk = None

    def _ask(self, looks: Sequence[Look], batch: Sequence[int], found: dict[int, float | str]) -> None:
        """Put answers into `found`, as far as they come."""
        if self._strikes >= _STRIKES:
            return
        open_ones = set(batch)
        try:
            talk = self._talk or self._again()
            talk.say("".join(json.dumps(_question(k, looks[k], self.card)) + "\n" for k in batch))
            while open_ones:
                began = time.monotonic()
                id_, answer = _answer(talk.hear(self._loading if self._fresh else self.card.patience), open_ones)
                found[id_] = answer
                open_ones.remove(id_)
                if self._fresh:  # started again, it may take as long to load, and somewhat longer
                    self._loading = min(self._loading, self.card.patience + 2 * (time.monotonic() - began))
                self._strikes, self._fresh = 0, False
        except (_Failed, Missing) as failed:
            self._strikes += 1
            self._reason = str(failed) if self._strikes < _STRIKES else f"given up after {_STRIKES} failures in a row, the last: {failed}"
            self.close()

    def _again(self) -> "_Talk":
        told = self._start()
        if self._talk is None or told != self.declared:
            self.close()
            raise Refused(f"scorer {self.card.name} declared {_plain(self.declared)} and then {_plain(told)}", remedy="Score with one of them.")
        return self._talk

    def _start(self) -> Declaration:
        """Start it and hear what it is; weights may be loaded then, or when the first question comes."""
        name, remedy = self.card.name, "Try the command by hand; what it must do: docs/scorers.md"
        try:
            self._talk = _Talk(self.card.command, self.card.folder)
            told = _declaration(self._talk.hear(self.card.start))
        except (OSError, _Failed) as error:
            self.close()
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise Missing(f"scorer {name} cannot be started: {reason}: {' '.join(self.card.command)[:200]}", remedy=remedy) from None
        wanted = {"name": name, "version": self.card.version or told.version, "weights": self.card.weights or told.weights}
        for part, value in wanted.items():
            if (here := getattr(told, part)) != value:
                self.close()
                raise Refused(f"scorer {name} declares {part} {here[:200]!r}, its card says {value[:200]!r}", remedy="Correct the card.")
        self._fresh = True
        return told


class _Failed(Exception):
    """The command did not do as the protocol says."""


class _Talk:
    """A running command; nothing it does or leaves undone is waited for longer than was asked."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True
        )  # fmt: skip
        self._lines: Queue[bytes] = Queue(10_000)
        Thread(target=self._listen, daemon=True).start()

    def say(self, text: str) -> None:
        """Send text, whether it is read or not."""
        Thread(target=self._send, args=(text.encode(),), daemon=True).start()

    def hear(self, seconds: float) -> bytes:
        """The next line.

        Raises:
            _Failed: if it does not come, or is none.
        """
        try:
            line = self._lines.get(timeout=seconds)
        except Empty:
            raise _Failed(f"no answer within {seconds:g} s") from None
        if not line:
            raise _Failed(self._obituary())
        if not line.endswith(b"\n"):
            raise _Failed(f"an answer of {len(line)} bytes without an end")
        return line

    def end(self) -> None:
        """Kill it with all that it started."""
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._errors.close()

    def _send(self, data: bytes) -> None:
        with suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(_LONGEST):
            self._lines.put(line)
        self._lines.put(b"")

    def _obituary(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        how = "it closed its output" if code is None else f"it ended with exit code {code}" if code >= 0 else f"it was killed by signal {-code}"
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return ": ".join([how, *(line[:300] for line in last)])


def _question(id_: int, look: Look, card: GaugeCard) -> dict[str, object]:
    texts = {"target": look.target, "concept": look.concept, "prompt": look.prompt}
    return {"id": id_, "image": str(look.image), "unsteered": str(look.unsteered), "text": texts.get(card.against, ""), **texts}


def _json(line: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise _Failed(f"it wrote {line[:80].decode(errors='replace').strip()!r}, which is no JSON; all else belongs on stderr") from None
    if not isinstance(found, dict):
        raise _Failed(f"it wrote {line[:80].decode(errors='replace').strip()!r}, which is no JSON object")
    return found


def _declaration(line: bytes) -> Declaration:
    told = _json(line)
    parts = [told.get(part) for part in ("name", "version", "weights")]
    if not all(isinstance(part, str) and part.strip() for part in parts):
        raise _Failed("its first line does not declare name, version and weights, each as text")
    return Declaration(name=str(parts[0]), version=str(parts[1]), weights=str(parts[2]))


def _answer(line: bytes, open_ones: set[int]) -> tuple[int, float | str]:
    told = _json(line)
    id_, score, error = told.get("id"), told.get("score"), told.get("error")
    if not isinstance(id_, int) or isinstance(id_, bool) or id_ not in open_ones:
        raise _Failed(f"it answered {id_!r}, which it was not asked, or twice")
    if isinstance(error, str) and score is None:
        return id_, " ".join(error.split())[:300] or "no reason given"
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise _Failed(f"it answered {id_} with score {str(score)[:60]!r}, which is no number")
    try:
        value = float(score)
    except OverflowError:
        value = math.inf
    return id_, value if math.isfinite(value) else f"score {value} is not finite"


def _plain(told: Declaration) -> str:
    return f"{told.name} {told.version} {told.weights}"[:200]
