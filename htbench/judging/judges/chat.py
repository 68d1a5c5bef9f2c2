"""Judges of kind `openai`: vision-language models behind a server for chat completions."""

import asyncio
import base64
import json
import math
import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from htbench.core import interrupts, pictures, reading, secrets
from htbench.core.errors import HtbenchError, Incomplete, Missing, Refused, UsageError
from htbench.judging.card import JudgeCard, PictureSettings
from htbench.judging.connection import (
    Connection,
    ReplyTooLarge,
    known_errors,
    redirect,
    retry_after_seconds,
    was_sent,
)
from htbench.judging.judge import (
    FINAL_OUTCOMES,
    BatchResult,
    JudgeAnswer,
    JudgeContext,
    Outcome,
    Question,
    ShownPicture,
    SubmittedBatch,
    Verdict,
)
from htbench.judging.judges import refusals, reply
from htbench.judging.judges.batch import Batches, BatchRequest
from htbench.judging.judges.capability import Capability
from htbench.judging.meter import NO_USAGE, Usage
from htbench.judging.pictures import encode

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_IN_WORDS = "Then end with one line that holds nothing but your verdict: A, B, tie or cannot_judge."
_IN_JSON = (
    "Reply with nothing but JSON, its keys in this order: {{{keys}}}; "
    'the verdict is "A", "B", "tie" or "cannot_judge".'
)
MAX_REPLY_TOKENS = 4096
"""The tokens of a reply that is charged by the worst case, where the card has no `max_tokens`."""
PATCH = 14
"""Side in pixels of the patch of a picture that is charged as a token in the worst case."""
_MAX_ATTEMPTS = 30
"""Requests for one question while the endpoint's capability is found out."""
_MODELS_TIMEOUT = 10.0
"""Seconds for the list of an endpoint's models."""
_LAST_SECONDS = 5.0
"""Seconds that requests in flight are waited for when the user or the system ends the command."""
_POLL = 0.2
"""Seconds between looks at whether a signal has come."""
_MAX_BACKOFF = 8.0
"""The longest wait in seconds between requests where the endpoint does not name one."""
_MAX_MESSAGE = 2000
"""The part of an endpoint's message that is looked at, in characters."""
_MAX_REFUSALS = 5
"""Calls in a row that have no verdict, before there is any, after which no further one is made."""
_CHAT_PATH = "/chat/completions"


@dataclass(kw_only=True)
class _Work:
    """A question that is being asked, and the last answer to it."""

    question: Question
    began: float
    requests: int = 0
    retries: int = 0
    usage: Usage = NO_USAGE
    answer: JudgeAnswer | None = None

    def result(self) -> JudgeAnswer | None:
        """The answer with all requests for it; None if none went out."""
        if self.answer is None:
            return None
        seconds = time.perf_counter() - self.began
        return replace(self.answer, usage=self.usage, requests=self.requests, seconds=seconds)


class Chat:
    """Asks an endpoint many questions at once; the first ones find out its capability."""

    parser = reply.PARSER
    takes_single_pictures = True
    encoders: tuple[str, ...] = ()

    def __init__(self, card: JudgeCard, context: JudgeContext) -> None:
        self._card, self._context, self._meter = card, context, context.meter
        self._memory = context.memory if context.memory is not None else {}
        variable = card.endpoint.url_variable
        given = (os.environ.get(variable) or "").strip()
        self._address = secrets.split_address(
            given or card.endpoint.url,
            noun=variable if given else f"the url of judge {card.name!r}",
        )
        self.endpoint = self._address.shown
        self._model = card.model
        self._capability: Capability | None = None
        self._stop: HtbenchError | None = None
        self._is_ending = False
        self._has_answers = False
        self._failures = 0
        self._has_verdict, self._refusals = False, 0
        self._resume_at = 0.0

    @property
    def model(self) -> str:
        """The card's model, or the endpoint's first."""
        if not self._model:
            name = f"model {self.endpoint}"
            self._model = self._memory.get(name) or ""
            if not self._model:
                self._model = self._memory[name] = self._first_model()
        return self._model

    def read(self, body: str) -> Verdict:
        """The verdict in a chat completion."""
        return reply.read(body)

    def thought(self, body: str) -> str:
        """The thought in a chat completion, apart from its answer; empty without one."""
        return reply.thought(body)

    def answers(self, questions: Iterator[Question]) -> Iterator[JudgeAnswer]:
        """Answers in the order of their arrival, with up to `concurrency` questions in flight.

        Until the endpoint's capability is known there is one question in flight. After a signal
        those in flight are waited for, and answered, for a few seconds.
        """
        loop, in_flight = asyncio.new_event_loop(), dict[asyncio.Task[None], _Work]()
        client = self._connection().client(timeout=self._card.endpoint.timeout)
        deadline = math.inf
        try:
            with interrupts.deferred() as is_interrupted:
                while True:
                    limit = self._context.concurrency if self.capability.sure else 1
                    while not self._is_over and len(in_flight) < limit and self._meter.has_room:
                        if (question := self._next(questions)) is None:
                            break
                        work = _Work(question=question, began=time.perf_counter())
                        in_flight[loop.create_task(self._ask(client, work))] = work
                        loop.run_until_complete(asyncio.sleep(0))  # reserves its first request
                    if not in_flight:
                        break
                    done, _ = loop.run_until_complete(
                        asyncio.wait(in_flight, timeout=_POLL, return_when=asyncio.FIRST_COMPLETED)
                    )
                    if is_interrupted() and not self._is_ending:
                        self._is_ending, deadline = True, time.monotonic() + _LAST_SECONDS
                    if time.monotonic() > deadline:
                        _cancel(loop, in_flight)
                        done = set(in_flight)
                    for task in done:
                        work = in_flight.pop(task)
                        if not task.cancelled():
                            task.result()
                        if answer := work.result():
                            yield answer
        finally:
            _cancel(loop, in_flight)
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
        if question.second is None:
            parts.append(_image_part(question.first))
        elif capability.several and self._card.pictures.layout == "separate":
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
        yield from Batches(connection=self._connection()).submit(
            self._batch_requests(questions), known=known
        )

    def collect(self, batch: str, *, worst: Usage) -> BatchResult:
        """The state of a batch, with its answers."""
        return Batches(connection=self._connection()).collect(batch, worst=worst)

    def _batch_requests(self, questions: Iterator[Question]) -> Iterator[BatchRequest]:
        for question in questions:
            body = self.request(question)
            worst = self.worst_usage(question, body)
            if not self._meter.reserve(worst, batch=True):
                return
            yield BatchRequest(key=question.key, body=body, worst=worst)

    def worst_usage(self, question: Question, body: Mapping[str, Any]) -> Usage:
        """The most tokens that a request is taken to cost where the endpoint does not say.

        One token per byte of text, one per `PATCH` x `PATCH` pixels of a picture, and as many for
        the reply as the request allows.
        """
        parts = body["messages"][0]["content"]
        parameters = {name: value for name, value in body.items() if name != "messages"}
        texts = [part["text"] for part in parts if part["type"] == "text"]
        size = sum(
            len(text.encode("utf-8", "replace")) for text in [*texts, json.dumps(parameters)]
        )
        one, two = question.first, question.second
        sizes = [(one.width, one.height)]
        if two is not None and len(parts) - len(texts) == 1:
            sizes = [(one.width + two.width, max(one.height, two.height))]
        elif two is not None:
            sizes.append((two.width, two.height))
        patches = sum(
            math.ceil(width / PATCH) * math.ceil(height / PATCH) for width, height in sizes
        )
        limits = [parameters.get(name) for name in ("max_tokens", "max_completion_tokens")]
        whole = [limit for limit in limits if isinstance(limit, int) and limit > 0]
        return Usage(asked=size + patches, replied=min(whole, default=MAX_REPLY_TOKENS))

    def size(self, question: Question) -> int:
        """The size of a call in bytes."""
        return len(json.dumps(self.request(question)))

    @property
    def abilities(self) -> Mapping[str, object]:
        """The requests that the endpoint takes, by name, as far as is known."""
        known = self.capability
        return {
            "reply_form": {
                "strict": "strict JSON schema",
                "schema": "JSON schema",
                "object": "JSON",
                "plain": "words",
            }[known.form],
            "pictures": "several per message" if known.several else "one per message",
            "refused_parameters": list(known.without),
        }

    @property
    def capability(self) -> Capability:
        """The capability of the endpoint, as far as it is known."""
        if self._capability is None:
            text = self._memory.get(self._capability_name)
            self._capability = Capability(form="strict" if self._card.reply_schema else "plain")
            if text:
                with suppress(ValueError):  # damaged: it is found out again
                    self._capability = Capability.from_json(text)
        return self._capability

    def _save_capability(self, capability: Capability) -> None:
        self._capability = capability
        if capability.sure:
            self._memory[self._capability_name] = capability.to_json()

    @property
    def _capability_name(self) -> str:
        return f"capability {self.endpoint} {self.model}"

    @property
    def _is_over(self) -> bool:
        """True if no further request is to go out."""
        return self._is_ending or self._stop is not None

    def _next(self, questions: Iterator[Question]) -> Question | None:
        """The next question; an error of theirs is raised when those in flight are answered."""
        try:
            return next(questions, None)
        except HtbenchError as error:
            self._stop = error
            return None

    async def _ask(self, client: "AsyncOpenAI", work: _Work) -> None:
        """Ask until there is an answer or a failure, each request if the meter grants it."""
        for _ in range(_MAX_ATTEMPTS):
            capability = self.capability
            if not await self._send(client, work):
                break
            answer = cast("JudgeAnswer", work.answer)
            if answer.failure or capability.sure or capability != self.capability:
                break
            outcome = self.read(answer.body).outcome
            weaker = capability.next_form() if outcome == "unusable" else None
            if weaker is None and outcome in ("unusable", "truncated"):
                break  # which form it takes is still not known
            self._save_capability(weaker or replace(capability, sure=True))
            if weaker is None:
                break
        if work.answer:
            self._count_failures(work.answer)
            self._count_refusals(work.answer)

    async def _send(self, client: "AsyncOpenAI", work: _Work) -> bool:
        """Send requests until one is answered or has failed for good; False if none may go out."""
        for _ in range(_MAX_ATTEMPTS):
            await self._sleep(self._resume_at - time.monotonic())
            body = self.request(work.question)
            worst = self.worst_usage(work.question, body)
            while not self._is_over and not self._meter.reserve(worst):
                if self._meter.is_spent:
                    return False
                await asyncio.sleep(_POLL / 4)
            if self._is_over:
                return False
            work.requests += 1
            form = self.capability.to_json()
            attempt = await self._call(client, work, body, worst)
            work.answer = replace(attempt.answer, request_form=form)
            if attempt.is_final:
                return True
            await self._sleep(attempt.wait)
        return True

    async def _sleep(self, seconds: float) -> None:
        """Wait, but not beyond the moment from which no further request is to go out."""
        end = time.monotonic() + seconds
        while not self._is_over and (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(_POLL, left))

    async def _call(
        self, client: "AsyncOpenAI", work: _Work, body: dict[str, Any], worst: Usage
    ) -> "_Attempt":
        """Send one request that the meter has granted, and settle what it is charged."""
        import openai

        capability, charged, sent = self.capability, worst, True
        work.answer = self._failure(work.question, "timeout", "the command ended before the reply")
        more = {name: value for name, value in body.items() if name not in ("model", "messages")}
        parameters = {name: value for name, value in more.items() if name != "response_format"}
        try:
            with known_errors():
                raw = await client.chat.completions.with_raw_response.create(
                    model=body["model"],
                    messages=body["messages"],
                    extra_body=more,
                    extra_headers={"Idempotency-Key": work.question.key},
                )
            text = raw.http_response.content.decode("utf-8", "replace")
            if error_in := refusals.error_in(text):
                charged = reply.usage(text)
                return self._after_status(
                    client, work, error_in.status, error_in.message, {}, capability, parameters
                )
            charged = reply.usage(text, worst=worst)
            self._has_answers = True
            text = secrets.scrub_reply(text)
            return _Attempt(answer=JudgeAnswer(key=work.question.key, body=text))
        except ReplyTooLarge as error:
            start = secrets.scrub_reply(error.start.decode("utf-8", "replace"))
            failure = self._failure(work.question, "unusable", str(error))
            return _Attempt(answer=replace(failure, body=start))
        except openai.APITimeoutError as error:
            sent = was_sent(error)
            charged = worst if sent else NO_USAGE
            message = f"no whole reply in {self._card.endpoint.timeout:g} s"
            return _Attempt(answer=self._failure(work.question, "timeout", message))
        except openai.APIConnectionError as error:
            sent = was_sent(error)
            charged = worst if sent else NO_USAGE
            failure = self._failure(work.question, "down", f"{error} {error.__cause__ or ''}")
            return self._again(work, failure)
        except openai.APIStatusError as error:
            charged = NO_USAGE
            words = refusals.words(error.response.text) or str(error)
            headers = error.response.headers
            return self._after_status(
                client, work, error.status_code, words, headers, capability, parameters
            )
        finally:
            work.requests -= not sent
            work.usage += charged
            self._meter.settle(worst, charged, sent=sent)

    def _again(self, work: _Work, failure: JudgeAnswer, wait: float | None = None) -> "_Attempt":
        """Another request after a wait, as long as the card's retries allow it."""
        if work.retries >= self._card.endpoint.retries:
            return _Attempt(answer=failure)
        backoff = min(_MAX_BACKOFF, 0.5 * 2**work.retries) * random.uniform(0.75, 1.0)
        work.retries += 1
        return _Attempt(answer=failure, is_final=False, wait=backoff if wait is None else wait)

    def _after_status(
        self,
        client: "AsyncOpenAI",
        work: _Work,
        status: int,
        message: str,
        headers: Mapping[str, str],
        capability: Capability,
        parameters: Mapping[str, object],
    ) -> "_Attempt":
        """The failure, or another request where that may help."""
        message = message[:_MAX_MESSAGE]
        failure = self._failure(work.question, "rejected", f"{status}: {message}")
        filtered = "content" in message and ("filter" in message or "policy" in message)
        is_final = status in (401, 404, 429) or self._is_sightless(message)
        if 300 <= status < 400:
            return self._after_redirect(client, work, headers.get("location", ""))
        if 400 <= status < 500 and not is_final:
            if capability != self.capability:  # another call has found out already
                return _Attempt(answer=failure, is_final=False)
            weaker = capability.without_named(message, parameters)
            if status in (400, 422) and not filtered:
                weaker = capability.after_refusal(message, parameters)
            if weaker and not refusals.is_about_credit(status, message):
                self._save_capability(weaker)
                return _Attempt(answer=failure, is_final=False)
        if hopeless := self._hopeless(status, message):
            self._stop = hopeless
        elif status == 429:
            return self._after_rate_limit(work, failure, headers)
        elif status in (400, 422) and filtered:
            failure = replace(failure, failure="filtered")
        elif status >= 500 or status in (408, 409):
            failure = replace(failure, failure="down")
            if headers.get("x-should-retry") != "false":
                return self._again(work, failure, retry_after_seconds(headers))
        return _Attempt(answer=failure)

    def _hopeless(self, status: int, message: str) -> HtbenchError | None:
        """The error that ends the command where no further request can be answered."""
        shown, variable = secrets.scrub(message)[:200], self._card.endpoint.url_variable
        if self._is_sightless(message):
            return Refused(
                f"{self.model!r} takes no pictures: {status}: {shown}",
                remedy="Give a vision-language model with --model.",
            )
        if refusals.is_about_credit(status, message):
            return Missing(
                f"{self.endpoint} wants to be paid first: {shown}",
                remedy="Pay there, or use another endpoint. The same command goes on.",
            )
        if status in (401, 403):
            return Missing(
                f"{self.endpoint} refuses the key: {shown}",
                remedy=f"Set {self._card.endpoint.key_variable}.",
            )
        if status in (404, 405) and refusals.is_about_model(message, self.model):
            return UsageError(
                f"{self.endpoint} has no model {self.model!r}: {shown}",
                remedy="Name another with --model.",
            )
        if status in (404, 405):
            missing = "" if "/v1" in self.endpoint else "Is there no /v1 at the end? "
            return UsageError(
                f"{self.endpoint} answers no questions, with {status}: {shown or 'no words'}",
                remedy=f"{missing}Set {variable} to its address, or name another --model.",
            )
        return None

    def _is_sightless(self, message: str) -> bool:
        """True if the endpoint says that the model takes no pictures, and none had a verdict."""
        return not self._has_verdict and refusals.is_about_pictures(message)

    def _after_rate_limit(
        self, work: _Work, failure: JudgeAnswer, headers: Mapping[str, str]
    ) -> "_Attempt":
        """Wait for as long as the endpoint asks, or stop if that is too long."""
        failure, wait = replace(failure, failure="limited"), retry_after_seconds(headers)
        if wait is not None and wait > self._context.wait:
            remedy = f"The same command goes on where it stopped; --wait {wait:.0f} waits for it."
            self._stop = Incomplete(f"{self.endpoint} asks to wait for {wait:g} s", remedy=remedy)
            return _Attempt(answer=failure)
        if wait is not None:
            self._resume_at = max(self._resume_at, time.monotonic() + wait)
        return self._again(work, failure, wait)

    def _after_redirect(self, client: "AsyncOpenAI", work: _Work, location: str) -> "_Attempt":
        """Go to the new address of the same host, or stop."""
        moved = redirect(str(client.base_url), location, _CHAT_PATH)
        shown = secrets.scrub(location)[:200]
        failure = self._failure(work.question, "rejected", f"sent on to {shown!r}")
        if moved is None:
            self._stop = Missing(
                f"{self.endpoint} sends on to {shown!r}, where pictures and key are not sent",
                remedy=f"If you trust it, set {self._card.endpoint.url_variable} to it.",
            )
            return _Attempt(answer=failure)
        client.base_url = moved
        return self._again(work, failure, 0.0)

    def _failure(self, question: Question, outcome: Outcome, message: str) -> JudgeAnswer:
        shown = " ".join(secrets.scrub(message[:_MAX_MESSAGE]).split())[:500]
        return JudgeAnswer(key=question.key, body="", failure=outcome, message=shown)

    def _count_failures(self, answer: JudgeAnswer) -> None:
        """Stop after too many failures in a row, or after the first before any success."""
        if answer.failure not in ("down", "timeout", "limited"):
            self._failures = 0
            return
        self._failures += 1
        several = 3 * self._context.concurrency if self._has_answers else self._context.concurrency
        limit = several if self.capability.sure else 1
        if self._failures >= limit and self._stop is None:
            variable = self._card.endpoint.url_variable
            self._stop = Missing(
                f"{self.endpoint} does not answer: {answer.message[:200]}",
                remedy=f"Start the server, or set {variable}. The same command goes on.",
            )

    def _count_refusals(self, answer: JudgeAnswer) -> None:
        """Stop after a few calls without a verdict, if none has had one yet."""
        if self._has_verdict or self._stop is not None:
            return
        verdict = None if answer.failure else self.read(answer.body)
        outcome = verdict.outcome if verdict else answer.failure
        self._has_verdict = outcome in FINAL_OUTCOMES
        if outcome not in ("rejected", "unusable", "truncated"):
            return
        self._refusals += 1
        if self._refusals < _MAX_REFUSALS:
            return
        if outcome == "truncated":
            limit = self.capability.reply_limit(self._card.decoding)
            self._stop = Incomplete(
                f"the first {self._refusals} replies were cut off"
                + (f" at {limit:,} tokens" if limit else " by the endpoint"),
                remedy=f"Give the judge more room: --max-tokens {max(4096, 4 * (limit or 0))}",
            )
            return
        shown = " ".join(secrets.scrub(verdict.reason if verdict else answer.message).split())
        self._stop = Missing(
            f"{self.endpoint} gave no verdict {self._refusals} times, {outcome}: {shown[:300]}",
            remedy="Mend that, or use another endpoint or --model. The same command goes on.",
        )

    def _connection(self) -> Connection:
        """The connection to the endpoint.

        Raises:
            Missing: if it needs a key and there is none.
            UsageError: if the key is none.
        """
        endpoint, address = self._card.endpoint, self._address
        key = secrets.from_environment(endpoint.key_variable)
        if not (key or address.user or address.password) and endpoint.needs_key:
            raise Missing(
                f"judge {self._card.name!r} needs a key",
                remedy=f"Set {endpoint.key_variable}, or use --judge clip, which needs none.",
            )
        return Connection(address=address, key=key)

    def _first_model(self) -> str:
        """The first model that the endpoint lists.

        Raises:
            Missing: if it lists none, or does not answer in time.
        """
        import openai

        if self._context.offline:
            raise Missing(
                f"it is not known which model {self.endpoint} offered",
                remedy="Name it with --model.",
            )
        try:
            with known_errors():
                return _first_id(asyncio.run(self._list_models()))
        except (openai.APIError, ReplyTooLarge, reading.Malformed) as error:
            cause = " ".join(secrets.scrub(f"{error} {error.__cause__ or ''}").split())[:200]
            variable = self._card.endpoint.url_variable
            raise Missing(
                f"{self.endpoint} does not say which model it has: {cause}",
                remedy=f"Start the server, set {variable}, or name the model with --model.",
            ) from None

    async def _list_models(self) -> str:
        seconds = min(_MODELS_TIMEOUT, self._card.endpoint.timeout)
        async with self._connection().client(timeout=seconds) as client:
            return (await client.models.with_raw_response.list()).text


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """The answer to one request; if it is not final, another request goes out after `wait` s."""

    answer: JudgeAnswer
    is_final: bool = True
    wait: float = 0.0


def _cancel(loop: asyncio.AbstractEventLoop, tasks: Iterable["asyncio.Task[None]"]) -> None:
    """End tasks, and wait until they have ended."""
    under_way = [task for task in tasks if not task.done()]
    for task in under_way:
        task.cancel()
    if under_way:
        loop.run_until_complete(asyncio.wait(under_way))


def _first_id(text: str) -> str:
    """The first model in a list of models.

    Raises:
        reading.Malformed: if it is no such list; the text is one line.
    """
    value = reading.parse_json(text)
    models = value.get("data") if isinstance(value, dict) else value
    for model in models if isinstance(models, list) else []:
        name = model.get("id") if isinstance(model, dict) else None
        if isinstance(name, str) and name.strip() and len(name) <= 500:
            return secrets.scrub_reply(name)
    raise reading.Malformed(f"it lists none in {' '.join(text.split())[:100]!r}")


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

    left, right = (pictures.open_picture(shown.data) for shown in (first, second))
    both = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return encode(both, PictureSettings(format="png"), name=f"{first.name}+{second.name}")
