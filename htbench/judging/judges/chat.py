"""Judges of kind `openai`: vision-language models behind a server for chat completions."""

import asyncio
import base64
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

from htbench.core.errors import HtbenchError, Incomplete, Missing, UsageError
from htbench.judging.card import JudgeCard
from htbench.judging.judge import (
    BatchResult,
    JudgeAnswer,
    JudgeContext,
    Outcome,
    Question,
    ShownPicture,
    SubmittedBatch,
    Usage,
    Verdict,
)
from htbench.judging.judges import reply
from htbench.judging.judges.batch import Batches
from htbench.judging.judges.capability import Capability

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI, OpenAI

_IN_WORDS = "Then end with one line that holds nothing but your verdict: A, B, tie or cannot_judge."
_IN_JSON = (
    "Reply with nothing but JSON, its keys in this order: {{{keys}}}; "
    'the verdict is "A", "B", "tie" or "cannot_judge".'
)
_MAX_ATTEMPTS = 30
"""Calls for one question while the endpoint's capability is found out, or it asks to wait."""
_MAX_LIBRARY_WAIT = 120.0
"""The longest wait in seconds that the client library handles by itself."""


class Chat:
    """Asks an endpoint many questions at once; the first ones find out its capability."""

    parser = reply.PARSER
    encoders: tuple[str, ...] = ()

    def __init__(self, card: JudgeCard, context: JudgeContext) -> None:
        self._card, self._context = card, context
        self._memory = context.memory if context.memory is not None else {}
        self.endpoint = os.environ.get(card.endpoint.url_variable) or card.endpoint.url
        self._capability: Capability | None = None
        self._stop: HtbenchError | None = None
        self._failures = 0
        self._resume_at = 0.0

    @property
    def model(self) -> str:
        """The card's model, or the endpoint's first."""
        if self._card.model:
            return self._card.model
        name = self._memory.get(f"model {self.endpoint}")
        if name is None:
            name = self._memory[f"model {self.endpoint}"] = self._first_model()
        return name

    def read(self, body: str) -> Verdict:
        """The verdict in a chat completion."""
        return reply.read(body)

    def answers(self, questions: Iterator[Question]) -> Iterator[JudgeAnswer]:
        """Answers in the order of their arrival, with up to `concurrency` questions in flight.

        Until the endpoint's capability is known there is one question in flight.
        """
        loop = asyncio.new_event_loop()
        client = self._async_client()
        in_flight: set[asyncio.Task[JudgeAnswer]] = set()
        try:
            while True:
                limit = self._context.concurrency if self.capability.sure else 1
                while self._stop is None and len(in_flight) < limit:
                    if (question := next(questions, None)) is None:
                        break
                    in_flight.add(loop.create_task(self._ask(client, question)))
                if not in_flight:
                    break
                done, in_flight = loop.run_until_complete(
                    asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
                )
                for task in done:
                    yield task.result()
        finally:
            for task in in_flight:
                task.cancel()
            if in_flight:
                loop.run_until_complete(asyncio.wait(in_flight))
            loop.run_until_complete(client.close())
            loop.close()
        if self._stop is not None:
            raise self._stop

    def request(self, question: Question) -> dict[str, Any]:
        """The body of a call, in the form that the endpoint accepts."""
        capability = self.capability
        properties = self._card.reply_schema.get("properties") or ["verdict"]
        keys = ", ".join(f'"{key}"' for key in properties)
        instruction = _IN_WORDS if capability.form == "plain" else _IN_JSON.format(keys=keys)
        parts: list[dict[str, Any]] = [_text_part(question.text)]
        if capability.several and self._card.pictures.layout == "separate":
            parts += [
                _text_part("Picture A:"),
                _image_part(question.first),
                _text_part("Picture B:"),
                _image_part(question.second),
            ]
        else:
            parts += [
                _text_part("Picture A is the left half, picture B the right half:"),
                _image_part(_side_by_side(question.first, question.second)),
            ]
        messages = [{"role": "user", "content": [*parts, _text_part(instruction)]}]
        return {
            "model": self.model,
            "messages": messages,
            **capability.parameters(self._card.decoding, self._card.reply_schema),
        }

    def submit(
        self, questions: Iterator[Question], *, known: Iterable[str] = ()
    ) -> Iterator[SubmittedBatch]:
        """Send questions in batches, in the form that the endpoint accepts."""
        with self._sync_client() as client:
            yield from Batches(client=client).submit(
                ((question.key, self.request(question)) for question in questions), known=known
            )

    def collect(self, batch: str) -> BatchResult:
        """The state of a batch, with its answers."""
        return Batches(client=self._sync_client()).collect(batch)

    def size(self, question: Question) -> int:
        """The size of a call in bytes."""
        return len(json.dumps(self.request(question)))

    @property
    def capability(self) -> Capability:
        """The capability of the endpoint, as far as it is known."""
        if self._capability is None:
            text = self._memory.get(self._capability_name)
            if text:
                self._capability = Capability.from_json(text)
            else:
                self._capability = Capability(form="strict" if self._card.reply_schema else "plain")
        return self._capability

    def _save_capability(self, capability: Capability) -> None:
        self._capability = capability
        if capability.sure:
            self._memory[self._capability_name] = capability.to_json()

    @property
    def _capability_name(self) -> str:
        return f"capability {self.endpoint} {self.model}"

    async def _ask(self, client: "AsyncOpenAI", question: Question) -> JudgeAnswer:
        """Ask until there is an answer or a failure; tokens of unusable replies count too."""
        began, total = time.perf_counter(), Usage()
        for _ in range(_MAX_ATTEMPTS):
            capability = self.capability
            answer = await self._call(client, question)
            if answer is None:
                continue
            total += answer.usage
            if answer.failure or capability.sure or capability != self.capability:
                break
            unusable = self.read(answer.body).outcome == "unusable"
            weaker = capability.next_form() if unusable else None
            self._save_capability(weaker or replace(capability, sure=True))
            if weaker is None:
                break
        else:
            answer = JudgeAnswer(
                key=question.key,
                body="",
                failure="rejected",
                message="the endpoint refuses a call whatever is left out",
            )
        self._count_failures(answer)
        seconds, form = time.perf_counter() - began, capability.to_json()
        return replace(answer, usage=total, seconds=seconds, request_form=form)

    async def _call(self, client: "AsyncOpenAI", question: Question) -> JudgeAnswer | None:
        """Make one call; None if it has to be repeated, in another form or after a wait."""
        import openai

        if (wait := self._resume_at - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        capability, body = self.capability, self.request(question)
        more = {name: value for name, value in body.items() if name not in ("model", "messages")}
        try:
            raw = await client.chat.completions.with_raw_response.create(
                model=body["model"],
                messages=body["messages"],
                extra_body=more,
                extra_headers={"Idempotency-Key": question.key},
            )
            text = raw.text
            return JudgeAnswer(key=question.key, body=text, usage=reply.usage(text))
        except openai.APITimeoutError:
            message = f"no reply in {self._card.endpoint.timeout:g} s"
            return self._failure(question, "timeout", message)
        except openai.APIConnectionError as error:
            return self._failure(question, "down", f"{error} {error.__cause__ or ''}")
        except openai.RateLimitError as error:
            return self._handle_rate_limit(question, error)
        except openai.APIStatusError as error:
            parameters = [name for name in more if name != "response_format"]
            return self._handle_refusal(question, error, capability, parameters)

    def _handle_refusal(
        self,
        question: Question,
        error: "APIStatusError",
        capability: Capability,
        parameters: list[str],
    ) -> JudgeAnswer | None:
        """The failure, or None if the call can be repeated with a weaker capability."""
        message, status = str(error), error.status_code
        filtered = "content" in message and ("filter" in message or "policy" in message)
        if status in (401, 403):
            self._stop = Missing(
                f"{self.endpoint} refuses the key: {message[:200]}",
                remedy=f"Set {self._card.endpoint.key_variable}.",
            )
        elif status == 404:
            self._stop = UsageError(
                f"{self.endpoint} has no model {self.model!r}: {message[:200]}",
                remedy="Name another with --model.",
            )
        elif status in (400, 422) and filtered:
            return self._failure(question, "filtered", message)
        elif status in (400, 422):
            if capability != self.capability:
                return None  # another call has found out already
            if weaker := capability.after_refusal(message, parameters):
                self._save_capability(weaker)
                return None
        elif status >= 500:
            return self._failure(question, "down", message)
        return self._failure(question, "rejected", message)

    def _handle_rate_limit(self, question: Question, error: "APIStatusError") -> JudgeAnswer | None:
        """Wait as long as the endpoint asks for, or stop if that is too long.

        The client library itself has repeated the call several times by then.
        """
        wait = _retry_after_seconds(error.response.headers.get("retry-after"))
        if wait is not None and _MAX_LIBRARY_WAIT < wait <= self._context.wait:
            self._resume_at = max(self._resume_at, time.monotonic() + wait)
            return None
        if wait is not None and wait > self._context.wait:
            remedy = f"The same command goes on where it stopped; --wait {wait:.0f} waits for it."
            self._stop = Incomplete(f"{self.endpoint} asks to wait for {wait:g} s", remedy=remedy)
        return self._failure(question, "limited", str(error))

    def _failure(self, question: Question, outcome: Outcome, message: str) -> JudgeAnswer:
        return JudgeAnswer(
            key=question.key, body="", failure=outcome, message=" ".join(message.split())[:500]
        )

    def _count_failures(self, answer: JudgeAnswer) -> None:
        """Stop after too many failures in a row, or after the first before any success."""
        if answer.failure not in ("down", "timeout", "limited"):
            self._failures = 0
            return
        self._failures += 1
        limit = 3 * self._context.concurrency if self.capability.sure else 1
        if self._failures >= limit and self._stop is None:
            variable = self._card.endpoint.url_variable
            self._stop = Missing(
                f"{self.endpoint} does not answer: {answer.message[:200]}",
                remedy=f"Start the server, or set {variable}. The same command goes on.",
            )

    def _async_client(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        endpoint = self._card.endpoint
        return AsyncOpenAI(
            api_key=self._key(),
            base_url=self.endpoint,
            timeout=endpoint.timeout,
            max_retries=endpoint.retries,
        )

    def _sync_client(self) -> "OpenAI":
        from openai import OpenAI

        endpoint = self._card.endpoint
        return OpenAI(
            api_key=self._key(),
            base_url=self.endpoint,
            timeout=endpoint.timeout,
            max_retries=endpoint.retries,
        )

    def _key(self) -> str:
        endpoint = self._card.endpoint
        key = os.environ.get(endpoint.key_variable)
        if not key and endpoint.needs_key:
            raise Missing(
                f"judge {self._card.name!r} needs a key",
                remedy=f"Set {endpoint.key_variable}, or use --judge clip, which needs none.",
            )
        return key or "none"

    def _first_model(self) -> str:
        import openai

        if self._context.offline:
            raise Missing(
                f"it is not known which model {self.endpoint} offered",
                remedy="Name it with --model.",
            )
        with self._sync_client() as client:
            try:
                return next(iter(client.models.list())).id
            except (openai.APIError, StopIteration) as error:
                cause, variable = str(error)[:200] or "none", self._card.endpoint.url_variable
                raise Missing(
                    f"{self.endpoint} does not say which model it has: {cause}",
                    remedy=f"Start the server, set {variable}, or name the model with --model.",
                ) from None


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image_part(shown: ShownPicture) -> dict[str, Any]:
    return {
        "type": "image_url",
        "image_url": {"url": f"data:{shown.media};base64,{base64.b64encode(shown.data).decode()}"},
    }


def _side_by_side(first: ShownPicture, second: ShownPicture) -> ShownPicture:
    """Both pictures side by side in one, without loss."""
    from PIL import Image

    left, right = (Image.open(BytesIO(shown.data)).convert("RGB") for shown in (first, second))
    both = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    file = BytesIO()
    both.save(file, "PNG")
    return ShownPicture(name=f"{first.name}+{second.name}", data=file.getvalue(), media="image/png")


def _retry_after_seconds(header: str | None) -> float | None:
    """The wait in seconds that a Retry-After header asks for, as a number or a date."""
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    if header is None:
        return None
    try:
        return float(header)
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
