"""Batches: files of calls that an endpoint answers within a day, at a lower price."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from htbench.core.errors import Missing
from htbench.judging.judge import BatchResult, JudgeAnswer, Outcome, SubmittedBatch
from htbench.judging.judges import reply

if TYPE_CHECKING:
    from openai import OpenAI

MAX_REQUESTS, MAX_BYTES = 50_000, 190_000_000
"""Limits of one file; an endpoint takes 200 MB."""
_FINAL_STATES = ("completed", "failed", "expired", "cancelled")
_METADATA_KEY = "htbench_shard"
_CHAT_PATH: Literal["/v1/chat/completions"] = "/v1/chat/completions"


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Sends batches to one endpoint and fetches their answers."""

    client: "OpenAI"

    def submit(
        self,
        requests: Iterable[tuple[str, Mapping[str, Any]]],
        *,
        max_bytes: int = MAX_BYTES,
        known: Iterable[str] = (),
    ) -> Iterator[SubmittedBatch]:
        """Send requests, each with its key, and give each batch as soon as it is accepted.

        A batch with the same requests that is not among the `known` ones is taken over: a command
        sent it that was killed before it could record it.
        """
        with TemporaryDirectory() as folder, _endpoint_errors():
            lost = {
                label: batch.id
                for batch in self.client.batches.list(limit=100)
                if (label := (batch.metadata or {}).get(_METADATA_KEY)) and batch.id not in known
            }
            files = _request_files(requests, Path(folder), max_bytes)
            for number, (path, keys) in enumerate(files):
                label = sha256("".join(keys).encode()).hexdigest()[:32]
                id_ = lost.get(label) or self._send(path, number, label)
                yield SubmittedBatch(id=id_, keys=tuple(keys))
                path.unlink()

    def collect(self, batch: str) -> BatchResult:
        """The state of a batch, with its answers, which are fetched lazily."""
        with _endpoint_errors():
            retrieved = self.client.batches.retrieve(batch)
        files = [file for file in (retrieved.output_file_id, retrieved.error_file_id) if file]
        ended = retrieved.status in _FINAL_STATES
        return BatchResult(
            state=retrieved.status,
            ended=ended,
            answers=self._answers(files) if ended else iter(()),
        )

    def _send(self, path: Path, number: int, label: str) -> str:
        with path.open("rb") as file:
            uploaded = self.client.files.create(
                file=(f"shard-{number}.jsonl", file), purpose="batch"
            )
        batch = self.client.batches.create(
            completion_window="24h",
            endpoint=_CHAT_PATH,
            input_file_id=uploaded.id,
            metadata={_METADATA_KEY: label},
        )
        return batch.id

    def _answers(self, files: Iterable[str]) -> Iterator[JudgeAnswer]:
        with _endpoint_errors():
            for file in files:
                with self.client.files.with_streaming_response.content(file) as lines:
                    yield from (
                        _answer(json.loads(line)) for line in lines.iter_lines() if line.strip()
                    )


def _request_files(
    requests: Iterable[tuple[str, Mapping[str, Any]]], folder: Path, max_bytes: int
) -> Iterator[tuple[Path, list[str]]]:
    """Files of requests within the endpoint's limits, with the keys in each.

    Each file is written when the one before it has been sent.
    """
    keys: list[str] = []
    path, written, number = folder / "0.jsonl", 0, 0
    for key, body in requests:
        call = {"custom_id": key, "method": "POST", "url": _CHAT_PATH, "body": body}
        line = f"{json.dumps(call)}\n".encode()
        if keys and (len(keys) >= MAX_REQUESTS or written + len(line) > max_bytes):
            yield path, keys
            number += 1
            keys, path, written = [], folder / f"{number}.jsonl", 0
        with path.open("ab") as file:
            file.write(line)
        keys.append(key)
        written += len(line)
    if keys:
        yield path, keys


def _answer(line: Mapping[str, Any]) -> JudgeAnswer:
    """The answer in a line of a batch's output or error file."""
    response, key = line.get("response") or {}, str(line.get("custom_id"))
    if response.get("status_code") == 200:
        body = json.dumps(response.get("body"))
        return JudgeAnswer(key=key, body=body, usage=reply.usage(body))
    message = json.dumps(line.get("error") or response.get("body"))
    rejected = 400 <= int(response.get("status_code") or 500) < 500
    failure: Outcome = "rejected" if rejected else "down"
    return JudgeAnswer(key=key, body="", failure=failure, message=message[:500])


@contextmanager
def _endpoint_errors() -> Iterator[None]:
    """Turn the client library's errors into `Missing`."""
    import openai

    try:
        yield
    except openai.APIError as error:
        raise Missing(
            f"the endpoint does not take batches, or not now: {str(error)[:200]}",
            remedy="Leave --batch out to ask one by one.",
        ) from None
