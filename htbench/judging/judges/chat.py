"""Judges of kind `openai`: vision-language models behind any server that speaks chat completions."""

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
_IN_JSON = 'Reply with nothing but JSON, its keys in this order: {{{keys}}}; the verdict is "A", "B", "tie" or "cannot_judge".'
_MAX_ATTEMPTS = 30
"""Calls made for one question while the endpoint's abilities are found out, or it asks to wait."""
_MAX_LIBRARY_WAIT = 120.0
"""Seconds up to which the client library itself waits when an endpoint asks for it."""


class Chat:
    """Asks an endpoint, many questions at once; what it cannot do is found out by the first."""

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
        """The card's model, or the first that the endpoint offers."""
        if self._card.model:
            return self._card.model
        known = self._memory.get(f"model {self.endpoint}")
        if known is None:
            known = self._memory[f"model {self.endpoint}"] = self._first_model()
        return known

    def read(self, body: str) -> Verdict:
        """What a chat completion says."""
        return reply.read(body)

    def answers(self, questions: Iterator[Question]) -> Iterator[JudgeAnswer]:
        """Answers as they come, `concurrency` questions under way at once, one until it is known what the endpoint can do."""
        loop = asyncio.new_event_loop()
        client = self._async_client()
        flying: set[asyncio.Task[JudgeAnswer]] = set()
        try:
            while True:
                room = self._context.concurrency if self.capability.sure else 1
                while (
                    self._stop is None
                    and len(flying) < room
                    and (question := next(questions, None))
                ):
                    flying.add(loop.create_task(self._ask(client, question)))
                if not flying:
                    break
                done, flying = loop.run_until_complete(
                    asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
                )
                for task in done:
                    yield task.result()
        finally:
            for task in flying:
                task.cancel()
            if flying:
                loop.run_until_complete(asyncio.wait(flying))
            loop.run_until_complete(client.close())
            loop.close()
        if self._stop is not None:
            raise self._stop

    def request(self, question: Question) -> dict[str, Any]:
        """The body of a call, as the endpoint is able to take it."""
        able = self.capability
        keys = ", ".join(
            f'"{key}"' for key in (self._card.reply_schema.get("properties") or ["verdict"])
        )
        how = _IN_WORDS if able.form == "plain" else _IN_JSON.format(keys=keys)
        parts: list[dict[str, Any]] = [_text_part(question.text)]
        if able.several and self._card.pictures.layout == "separate":
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
        messages = [{"role": "user", "content": [*parts, _text_part(how)]}]
        return {
            "model": self.model,
            "messages": messages,
            **able.parameters(self._card.decoding, self._card.reply_schema),
        }

    def submit(
        self, questions: Iterator[Question], *, known: Iterable[str] = ()
    ) -> Iterator[SubmittedBatch]:
        """Send questions in batches, in the form that the endpoint was found to be able to take."""
        with self._sync_client() as client:
            yield from Batches(client=client).submit(
                ((question.key, self.request(question)) for question in questions), known=known
            )

    def collect(self, batch: str) -> BatchResult:
        """What became of a batch."""
        return Batches(client=self._sync_client()).collect(batch)

    def size(self, question: Question) -> int:
        """Bytes of a call."""
        return len(json.dumps(self.request(question)))

    @property
    def capability(self) -> Capability:
        """What the endpoint can do, as far as is known."""
        if self._capability is None:
            known = self._memory.get(self._capability_name)
            self._capability = (
                Capability.from_json(known)
                if known
                else Capability(form="strict" if self._card.reply_schema else "plain")
            )
        return self._capability

    def _save_capability(self, capability: Capability) -> None:
        self._capability = capability
        if capability.sure:
            self._memory[self._capability_name] = capability.to_json()

    @property
    def _capability_name(self) -> str:
        return f"capability {self.endpoint} {self.model}"

    async def _ask(self, client: "AsyncOpenAI", question: Question) -> JudgeAnswer:
        """Ask until there is an answer or a reason why not; tokens of replies in a form that came to nothing count too."""
        began, paid = time.perf_counter(), Usage()
        for _ in range(_MAX_ATTEMPTS):
            able = self.capability
            answer = await self._call(client, question)
            if answer is None:
                continue
            paid = Usage(
                asked=paid.asked + answer.usage.asked,
                cached=paid.cached + answer.usage.cached,
                replied=paid.replied + answer.usage.replied,
            )
            if answer.failure or able.sure or able != self.capability:
                break
            lower = able.next_form() if self.read(answer.body).outcome == "unusable" else None
            self._save_capability(lower or replace(able, sure=True))
            if lower is None:
                break
        else:
            answer = JudgeAnswer(
                key=question.key,
                body="",
                failure="rejected",
                message="the endpoint refuses a call whatever is left out",
            )
        self._count_failures(answer)
        return replace(
            answer, usage=paid, seconds=time.perf_counter() - began, request_form=able.to_json()
        )

    async def _call(self, client: "AsyncOpenAI", question: Question) -> JudgeAnswer | None:
        """One call; None if it has to be made again, in another form or after waiting."""
        import openai

        if (wait := self._resume_at - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        able, body = self.capability, self.request(question)
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
            return self._failure(
                question, "timeout", f"no reply in {self._card.endpoint.timeout:g} s"
            )
        except openai.APIConnectionError as error:
            return self._failure(question, "down", f"{error} {error.__cause__ or ''}")
        except openai.RateLimitError as error:
            return self._handle_rate_limit(question, error)
        except openai.APIStatusError as error:
            return self._handle_refusal(
                question, error, able, [name for name in more if name != "response_format"]
            )

    def _handle_refusal(
        self, question: Question, error: "APIStatusError", able: Capability, sent: list[str]
    ) -> JudgeAnswer | None:
        message, status = str(error), error.status_code
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
        elif (
            status in (400, 422)
            and "content" in message
            and ("filter" in message or "policy" in message)
        ):
            return self._failure(question, "filtered", message)
        elif status in (400, 422):
            if able != self.capability:
                return None  # another call has found out already
            if lesser := able.after_refusal(message, sent):
                self._save_capability(lesser)
                return None
        elif status >= 500:
            return self._failure(question, "down", message)
        return self._failure(question, "rejected", message)

    def _handle_rate_limit(self, question: Question, error: "APIStatusError") -> JudgeAnswer | None:
        """A rate limit that outlived the library's own patience: wait as long as is asked for, or stop asking."""
        asked = _retry_after_seconds(error.response.headers.get("retry-after"))
        if asked is not None and _MAX_LIBRARY_WAIT < asked <= self._context.wait:
            self._resume_at = max(self._resume_at, time.monotonic() + asked)
            return None
        if asked is not None and asked > self._context.wait:
            self._stop = Incomplete(
                f"{self.endpoint} asks to wait for {asked:g} s",
                remedy=f"The same command goes on where it stopped; --wait {asked:.0f} waits for it.",
            )
        return self._failure(question, "limited", str(error))

    def _failure(self, question: Question, outcome: Outcome, message: str) -> JudgeAnswer:
        return JudgeAnswer(
            key=question.key, body="", failure=outcome, message=" ".join(message.split())[:500]
        )

    def _count_failures(self, answer: JudgeAnswer) -> None:
        """Stop asking an endpoint that has stopped answering."""
        self._failures = (
            self._failures + 1 if answer.failure in ("down", "timeout", "limited") else 0
        )
        if (
            self._failures
            and self._stop is None
            and self._failures >= (3 * self._context.concurrency if self.capability.sure else 1)
        ):
            cause = f"{self.endpoint} does not answer: {answer.message[:200]}"
            self._stop = Missing(
                cause,
                remedy=f"Start the server, or set {self._card.endpoint.url_variable}. The same command goes on.",
            )

    def _async_client(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        where = self._card.endpoint
        return AsyncOpenAI(
            api_key=self._key(),
            base_url=self.endpoint,
            timeout=where.timeout,
            max_retries=where.retries,
        )

    def _sync_client(self) -> "OpenAI":
        """A client that does one thing after another."""
        from openai import OpenAI

        where = self._card.endpoint
        return OpenAI(
            api_key=self._key(),
            base_url=self.endpoint,
            timeout=where.timeout,
            max_retries=where.retries,
        )

    def _key(self) -> str:
        where = self._card.endpoint
        key = os.environ.get(where.key_variable)
        if not key and where.needs_key:
            raise Missing(
                f"judge {self._card.name!r} needs a key",
                remedy=f"Set {where.key_variable}, or use --judge clip, which needs none.",
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
                cause = (
                    f"{self.endpoint} does not say which model it has: {str(error)[:200] or 'none'}"
                )
                raise Missing(
                    cause,
                    remedy=f"Start the server, set {self._card.endpoint.url_variable}, or name the model with --model.",
                ) from None


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image_part(shown: ShownPicture) -> dict[str, Any]:
    return {
        "type": "image_url",
        "image_url": {"url": f"data:{shown.media};base64,{base64.b64encode(shown.data).decode()}"},
    }


def _side_by_side(first: ShownPicture, second: ShownPicture) -> ShownPicture:
    """Both pictures in one, without loss."""
    from PIL import Image

    left, right = (Image.open(BytesIO(each.data)).convert("RGB") for each in (first, second))
    both = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    file = BytesIO()
    both.save(file, "PNG")
    return ShownPicture(name=f"{first.name}+{second.name}", data=file.getvalue(), media="image/png")


def _retry_after_seconds(header: str | None) -> float | None:
    """A Retry-After in seconds, which may also be a date."""
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
