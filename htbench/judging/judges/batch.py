"""Batches: files of calls that an endpoint answers within a day, at a lower price."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from htbench.core import reading, secrets
from htbench.core.errors import Missing
from htbench.judging.connection import (
    MAX_REPLY_BYTES,
    Connection,
    ReplyTooLarge,
    known_errors,
)
from htbench.judging.judge import BatchResult, JudgeAnswer, Outcome, SubmittedBatch
from htbench.judging.judges import reply
from htbench.judging.meter import NO_USAGE, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MAX_REQUESTS, MAX_BYTES = 50_000, 190_000_000
"""Limits of one file; an endpoint takes 200 MB."""
MAX_OUTPUT_BYTES = 1 << 30
"""The largest file of answers, unpacked."""
_TIMEOUT = 600.0
"""Seconds for each request, of which some carry a file."""
_RETRIES = 2
"""Further requests after a failed one, except for those that make a batch, which are paid."""
_FINAL_STATES = ("completed", "failed", "expired", "cancelled")
_METADATA_KEY = "htbench_shard"
_MAX_PAGES = 20
"""Pages of a list of batches, 100 each."""
_CHAT_PATH: Literal["/v1/chat/completions"] = "/v1/chat/completions"
Result = TypeVar("Result")
Record = TypeVar("Record", bound=BaseModel)


class _FileRecord(BaseModel):
    id: str = Field(min_length=1, max_length=500)


class _BatchRecord(BaseModel):
    id: str = Field(min_length=1, max_length=500)
    status: str = Field(default="", max_length=100)
    output_file_id: str | None = None
    error_file_id: str | None = None
    metadata: dict[str, object] | None = None


class _BatchPage(BaseModel):
    data: list[_BatchRecord]
    has_more: bool = False


class _Response(BaseModel):
    status_code: int
    body: Any = None


class _AnswerRecord(BaseModel):
    """A line of a batch's output or error file."""

    custom_id: str = Field(min_length=1, max_length=200)
    response: _Response | None = None
    error: Any = None


@dataclass(frozen=True, kw_only=True)
class BatchRequest:
    """A call to be sent in a batch."""

    key: str
    body: Mapping[str, Any]
    worst: Usage = NO_USAGE
    """The most tokens that it can take."""


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Sends batches to one endpoint and fetches their answers."""

    connection: Connection
    timeout: float = _TIMEOUT

    def submit(
        self,
        requests: Iterable[BatchRequest],
        *,
        max_bytes: int = MAX_BYTES,
        known: Iterable[str] = (),
    ) -> Iterator[SubmittedBatch]:
        """Send requests and give each batch as soon as it is accepted.

        A batch with the same requests that is not among the `known` ones is taken over: a command
        sent it that was killed before it could record it.
        """
        taken = set(known)
        with TemporaryDirectory() as folder:
            lost = {
                str(label): batch.id
                for batch in self._run(self._list)
                if (label := (batch.metadata or {}).get(_METADATA_KEY)) and batch.id not in taken
            }
            for number, shard in enumerate(_shards(requests, Path(folder), max_bytes)):
                label = sha256("".join(shard.keys).encode()).hexdigest()[:32]
                id_ = lost.get(label)
                if id_ is None:
                    send = partial(self._send, path=shard.path, number=number, label=label)
                    id_ = self._run(send)
                yield SubmittedBatch(id=id_, keys=tuple(shard.keys), worst=shard.worst)
                shard.path.unlink()

    def collect(self, batch: str, *, worst: Usage = NO_USAGE) -> BatchResult:
        """The state of a batch, with its answers, which are fetched lazily.

        An answer without a count of tokens is charged as in `worst`.
        """
        found = self._run(lambda client: self._retrieve(client, batch))
        files = [file for file in (found.output_file_id, found.error_file_id) if file]
        ended, problems = found.status in _FINAL_STATES, list[str]()
        return BatchResult(
            state=found.status,
            ended=ended,
            answers=self._answers(files, problems, worst) if ended else iter(()),
            problems=problems,
        )

    async def _list(self, client: "AsyncOpenAI") -> list[_BatchRecord]:
        batches: list[_BatchRecord] = []
        for _ in range(_MAX_PAGES):
            after = {"after": batches[-1].id} if batches else {}
            raw = await client.batches.with_raw_response.list(limit=100, extra_query=after)
            page = _record(raw.text, _BatchPage)
            batches += page.data
            if not page.has_more or not page.data:
                break
        return batches

    async def _retrieve(self, client: "AsyncOpenAI", batch: str) -> _BatchRecord:
        return _record((await client.batches.with_raw_response.retrieve(batch)).text, _BatchRecord)

    async def _send(self, client: "AsyncOpenAI", path: Path, number: int, label: str) -> str:
        with path.open("rb") as file:
            raw = await client.files.with_raw_response.create(
                file=(f"shard-{number}.jsonl", file), purpose="batch"
            )
        once = client.with_options(max_retries=0)
        raw_batch = await once.batches.with_raw_response.create(
            completion_window="24h",
            endpoint=_CHAT_PATH,
            input_file_id=_record(raw.text, _FileRecord).id,
            metadata={_METADATA_KEY: label},
        )
        return _record(raw_batch.text, _BatchRecord).id

    def _answers(
        self, files: Iterable[str], problems: list[str], worst: Usage
    ) -> Iterator[JudgeAnswer]:
        for file in files:
            with TemporaryDirectory() as folder:
                path = Path(folder) / "answers.jsonl"
                download = partial(_download, file=file, path=path)
                self._run(download, most=MAX_OUTPUT_BYTES)
                with path.open("rb") as lines:
                    for number, line in enumerate(_lines(lines), start=1):
                        try:
                            yield _answer(line, worst)
                        except ValueError as error:
                            cause = secrets.scrub(str(error))
                            problems.append(f"line {number} of file {file[:100]!r}: {cause[:200]}")

    def _run(
        self,
        call: "Callable[[AsyncOpenAI], Coroutine[Any, Any, Result]]",
        *,
        most: int = MAX_REPLY_BYTES,
    ) -> Result:
        """Make calls with a client of its own; errors of the client library become `Missing`."""

        async def run() -> Result:
            async with self.connection.client(
                timeout=self.timeout, most=most, retries=_RETRIES
            ) as client:
                return await call(client)

        with _endpoint_errors():
            return asyncio.run(run())


@dataclass(frozen=True, kw_only=True)
class _Shard:
    """A file of requests."""

    path: Path
    keys: list[str] = field(default_factory=list)
    worst: Usage = NO_USAGE


def _shards(requests: Iterable[BatchRequest], folder: Path, max_bytes: int) -> Iterator[_Shard]:
    """Files of requests within the endpoint's limits.

    Each file is written when the one before it has been sent.
    """
    keys: list[str] = []
    path, written, number, worst = folder / "0.jsonl", 0, 0, Usage()
    for request in requests:
        call = {
            "custom_id": request.key,
            "method": "POST",
            "url": _CHAT_PATH,
            "body": request.body,
        }
        line = f"{json.dumps(call)}\n".encode()
        if keys and (len(keys) >= MAX_REQUESTS or written + len(line) > max_bytes):
            yield _Shard(path=path, keys=keys, worst=worst)
            number += 1
            keys, path, written, worst = [], folder / f"{number}.jsonl", 0, Usage()
        with path.open("ab") as file:
            file.write(line)
        keys.append(request.key)
        written += len(line)
        worst += request.worst
    if keys:
        yield _Shard(path=path, keys=keys, worst=worst)


async def _download(client: "AsyncOpenAI", file: str, path: Path) -> None:
    with path.open("wb") as out:
        async with client.files.with_streaming_response.content(file) as response:
            chunks: AsyncIterator[bytes] = response.iter_bytes()
            async for chunk in chunks:
                out.write(chunk)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file that are not empty; of a longer one than is read, its start."""
    while line := file.readline(MAX_REPLY_BYTES + 1):
        whole = line
        while whole and not whole.endswith(b"\n"):
            whole = file.readline(MAX_REPLY_BYTES)
        if line.strip():
            yield line


def _answer(line: bytes, worst: Usage) -> JudgeAnswer:
    """The answer in a line of a batch's output or error file.

    Raises:
        ValueError: if it is no such line; the text is one line.
    """
    if len(line) > MAX_REPLY_BYTES:
        raise ValueError(f"it is longer than {MAX_REPLY_BYTES:,} bytes")
    record = _record(line.decode(errors="replace"), _AnswerRecord)
    response = record.response
    if response and response.status_code == 200:
        body = secrets.scrub_reply(json.dumps(response.body, ensure_ascii=False))
        return JudgeAnswer(key=record.custom_id, body=body, usage=reply.usage(body, worst=worst))
    message = secrets.scrub(json.dumps(record.error or (response and response.body)))
    is_rejected = response is not None and 400 <= response.status_code < 500
    failure: Outcome = "rejected" if is_rejected else "down"
    return JudgeAnswer(key=record.custom_id, body="", failure=failure, message=message[:500])


def _record(text: str, kind: type[Record]) -> Record:
    """The record of an endpoint in a JSON text.

    Raises:
        ValueError: if it is none; the text is one line.
    """
    try:
        return kind.model_validate(reading.parse_json(text))
    except ValidationError as error:
        raise ValueError(reading.first_problem(error)) from None


@contextmanager
def _endpoint_errors() -> Iterator[None]:
    """Turn the client library's errors, and records that cannot be read, into `Missing`."""
    import openai

    try:
        with known_errors():
            yield
    except (openai.APIError, ReplyTooLarge, ValueError) as error:
        cause = " ".join(secrets.scrub(f"{error} {error.__cause__ or ''}").split())
        raise Missing(
            f"the endpoint does not take batches, or not now: {cause[:200]}",
            remedy="Leave --batch out to ask one by one.",
        ) from None
