"""Batches: many calls in a file that an endpoint works off within a day, at a lower price."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from htbench.core.errors import Missing
from htbench.judging.judge import BatchResult, JudgeAnswer, SubmittedBatch
from htbench.judging.judges import reply

if TYPE_CHECKING:
    from openai import OpenAI

MAX_REQUESTS, MAX_BYTES = 50_000, 190_000_000
"""Of one file; an endpoint takes 200 MB."""
_FINAL_STATES = ("completed", "failed", "expired", "cancelled")
_METADATA_KEY = "htbench_shard"


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Sends and fetches batches of one endpoint."""

    client: "OpenAI"

    def submit(
        self,
        requests: Iterable[tuple[str, Mapping[str, Any]]],
        *,
        max_bytes: int = MAX_BYTES,
        known: Iterable[str] = (),
    ) -> Iterator[SubmittedBatch]:
        """Send requests, each with its key, in files as large as an endpoint takes; gives each batch as soon as it is accepted.

        A batch that holds the same requests and is not among the `known` ones is taken over: it was sent by a command that was killed before it could say so.
        """
        with TemporaryDirectory() as folder, _endpoint_errors():
            lost = {
                label: batch.id
                for batch in self.client.batches.list(limit=100)
                if (label := (batch.metadata or {}).get(_METADATA_KEY)) and batch.id not in known
            }
            for number, (path, keys) in enumerate(
                _request_files(requests, Path(folder), max_bytes)
            ):
                label = sha256("".join(keys).encode()).hexdigest()[:32]
                yield SubmittedBatch(
                    id=lost.get(label) or self._send(path, number, label), keys=tuple(keys)
                )
                path.unlink()

    def collect(self, batch: str) -> BatchResult:
        """What became of a batch; answers are fetched as they are asked for."""
        with _endpoint_errors():
            found = self.client.batches.retrieve(batch)
        files = [file for file in (found.output_file_id, found.error_file_id) if file]
        return BatchResult(
            state=found.status,
            ended=found.status in _FINAL_STATES,
            answers=self._answers(files) if found.status in _FINAL_STATES else iter(()),
        )

    def _send(self, path: Path, number: int, label: str) -> str:
        with path.open("rb") as file:
            uploaded = self.client.files.create(
                file=(f"shard-{number}.jsonl", file), purpose="batch"
            )
        batch = self.client.batches.create(
            completion_window="24h",
            endpoint="/v1/chat/completions",
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
    """Files of requests, none larger than an endpoint takes, and the keys in each; one is written when the one before it has been sent."""
    keys: list[str] = []
    path, written, number = folder / "0.jsonl", 0, 0
    for key, body in requests:
        line = (
            json.dumps(
                {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}
            )
            + "\n"
        ).encode()
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
    """A line of a batch's output or error file."""
    response, key = line.get("response") or {}, str(line.get("custom_id"))
    if response.get("status_code") == 200:
        body = json.dumps(response.get("body"))
        return JudgeAnswer(key=key, body=body, usage=reply.usage(body))
    why = json.dumps(line.get("error") or response.get("body"))
    return JudgeAnswer(
        key=key,
        body="",
        failure="rejected" if 400 <= int(response.get("status_code") or 500) < 500 else "down",
        message=why[:500],
    )


@contextmanager
def _endpoint_errors() -> Iterator[None]:
    """Turns what the client library raises into one line."""
    import openai

    try:
        yield
    except openai.APIError as error:
        raise Missing(
            f"the endpoint does not take batches, or not now: {str(error)[:200]}",
            remedy="Leave --batch out to ask one by one.",
        ) from None
