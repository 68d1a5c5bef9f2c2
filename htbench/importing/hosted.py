"""Pictures of a hosted model: each is asked for once, within a budget, and kept before it is read.

Requests, their cost and their outcome are in a ledger, as those of judges are.
"""

import asyncio
import os
import random
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htbench.core import content, interrupts, reading, secrets
from htbench.core.display import Display
from htbench.core.errors import HtbenchError, Incomplete, Missing, UsageError
from htbench.importing.hosted_card import HostedCard, HostedPicture
from htbench.importing.rows import PictureRow
from htbench.judging.connection import (
    Connection,
    ReplyTooLarge,
    known_errors,
    retry_after_seconds,
    was_sent,
)
from htbench.judging.judge import FINAL_OUTCOMES, JudgeAnswer, Outcome, Verdict
from htbench.judging.ledger import Ledger
from htbench.judging.meter import NO_USAGE, Meter, Usage

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

FOLDER = "hosted"
"""Folder in that of the run, with the pictures as they came and the ledger."""
_PARSER = "images-1"
_MAX_REPLY = 1 << 26
"""The largest reply, in bytes: 64 MiB."""
_PICTURE_UNITS = 10**6
"""Units of a picture that is charged by itself: prices are per million."""
_MAX_WAIT = 120.0
"""The longest wait in seconds that an endpoint may ask for."""
_MAX_BACKOFF = 8.0
_LAST_SECONDS = 5.0
"""Seconds that requests in flight are waited for after a signal."""
_POLL = 0.05


@dataclass(kw_only=True)
class HostedModel:
    """Asks an endpoint for pictures, several at once."""

    card: HostedCard
    ledger: Ledger
    """In the folder of the pictures."""
    meter: Meter
    concurrency: int
    display: Display = field(default_factory=Display)
    _stop: HtbenchError | None = None
    _is_ending: bool = False
    _has_pictures: bool = False
    _failed: int = 0
    """Failures of the connection one after another."""
    _resume_at: float = 0.0

    def make(self, pictures: Iterator[HostedPicture]) -> None:
        """Ask for each picture that is not there, as far as the meter allows.

        Raises:
            HtbenchError: if no picture can be had; what came until then is kept.
        """
        self.meter.start(self.ledger.model_usage(self.card.model))
        missing = (each for each in pictures if not self.has(each))
        with interrupts.deferred() as is_interrupted:
            asyncio.run(self._make(missing, is_interrupted))
        if self._stop is not None:
            raise self._stop

    def path(self, picture: HostedPicture) -> Path:
        """The file of a picture, as it came from the endpoint."""
        return self.ledger.folder / f"{picture.key}.picture"

    def has(self, picture: HostedPicture) -> bool:
        """True if the picture came."""
        marks = ", ".join("?" * len(FINAL_OUTCOMES))
        query = f"SELECT 1 FROM verdicts WHERE key = ? AND outcome IN ({marks})"
        is_answered = self.ledger.select(query, picture.key, *FINAL_OUTCOMES)
        return bool(is_answered) and self.path(picture).is_file()

    def rows(self, pictures: Iterator[HostedPicture]) -> Iterator[PictureRow]:
        """The rows of the pictures that came."""
        for each in pictures:
            if self.has(each):
                yield PictureRow(
                    location=f"{self.card.name}: {each.text[:80]!r}",
                    file=str(self.path(each).absolute()),
                    method=each.method,
                    concept=each.concept,
                    prompt=each.prompt,
                    seed=each.seed,
                    strength=1.0 if each.concept else 0.0,
                    unsteered="",
                    step=-1,
                    seconds=None,
                )

    def failures(self, pictures: Iterator[HostedPicture]) -> Counter[str]:
        """Numbers of pictures that did not come, by reason."""
        reasons: Counter[str] = Counter()
        for each in pictures:
            if not self.has(each):
                found = self.ledger.select("SELECT outcome FROM verdicts WHERE key = ?", each.key)
                reasons[found[0][0] if found else "not asked for"] += 1
        return reasons

    async def _make(self, pictures: Iterator[HostedPicture], is_interrupted: Any) -> None:
        client = self._connection().client(timeout=self.card.endpoint.timeout, most=_MAX_REPLY)
        try:
            # the first alone: what is wrong with it is mostly wrong with all
            first = next(pictures, None)
            if first is not None:
                await self._until_done([self._ask(client, first)], is_interrupted)
            workers = [self._work(client, pictures) for _ in range(self.concurrency)]
            await self._until_done(workers, is_interrupted)
        finally:
            await client.close()

    async def _until_done(self, work: list[Any], is_interrupted: Any) -> None:
        tasks = [asyncio.create_task(each) for each in work]
        deadline = float("inf")
        try:
            while waiting := [task for task in tasks if not task.done()]:
                await asyncio.wait(waiting, timeout=_POLL)
                if is_interrupted() and not self._is_ending:
                    self._is_ending, deadline = True, time.monotonic() + _LAST_SECONDS
                if time.monotonic() > deadline:
                    break
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for each in ended:
            if isinstance(each, Exception):
                raise each

    async def _work(self, client: "AsyncOpenAI", pictures: Iterator[HostedPicture]) -> None:
        while not self._is_over and self.meter.has_room:
            picture = next(pictures, None)
            if picture is None:
                return
            await self._ask(client, picture)

    @property
    def _is_over(self) -> bool:
        return self._is_ending or self._stop is not None

    async def _ask(self, client: "AsyncOpenAI", picture: HostedPicture) -> None:
        """Ask until the picture came or failed for good, each request if the meter grants it."""
        for attempt in range(self.card.endpoint.retries + 1):
            await self._sleep(self._resume_at - time.monotonic())
            while not self._is_over and not self.meter.reserve(self._worst(picture)):
                if self.meter.is_spent:
                    return
                await asyncio.sleep(_POLL)
            if self._is_over:
                return
            is_last = attempt == self.card.endpoint.retries
            wait = await self._send(client, picture, is_last=is_last)
            if wait is None:
                return
            backoff = min(_MAX_BACKOFF, 0.5 * 2**attempt) * random.uniform(0.75, 1.0)
            await self._sleep(wait or backoff)

    async def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._is_over and (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(_POLL, left))

    async def _send(
        self, client: "AsyncOpenAI", picture: HostedPicture, *, is_last: bool
    ) -> float | None:
        """Send one request; the seconds to wait for another one, 0 for a default; None for none."""
        import openai

        worst, began = self._worst(picture), time.perf_counter()
        charged, sent = worst, True
        outcome: Outcome = "timeout"
        message, body, wait = "the command ended before the reply", "", None
        try:
            with known_errors():
                raw = await client.images.with_raw_response.generate(
                    model=self.card.model,
                    prompt=picture.text,
                    n=1,
                    extra_body=self.card.request_parameters(picture.seed),
                    extra_headers={"Idempotency-Key": picture.key},
                )
            text = raw.http_response.content.decode("utf-8", "replace")
            charged = self._charged(text, worst)
            outcome, message, body = self._keep(picture, text)
            self._has_pictures, self._failed = self._has_pictures or outcome == "answered", 0
        except ReplyTooLarge as error:
            outcome, message = "unusable", str(error)
            body = secrets.scrub_reply(error.start.decode("utf-8", "replace"))
        except openai.APITimeoutError as error:
            sent = was_sent(error)
            charged = worst if sent else NO_USAGE
            message = f"no whole reply in {self.card.endpoint.timeout:g} s"
        except openai.APIConnectionError as error:
            sent = was_sent(error)
            charged = worst if sent else NO_USAGE
            outcome, message, wait = "down", f"{error} {error.__cause__ or ''}", 0.0
        except openai.APIStatusError as error:
            charged = NO_USAGE
            outcome, message, wait = self._after_status(error)
        finally:
            self.meter.settle(worst, charged, sent=sent)
            message = " ".join(secrets.scrub(message).split())[:500]
            self.ledger.add_answer(
                JudgeAnswer(
                    key=picture.key,
                    body=body,
                    failure=None if body else outcome,
                    message=message,
                    usage=charged,
                    requests=int(sent),
                    seconds=time.perf_counter() - began,
                ),
                Verdict(outcome=outcome, reason=message),
                model=self.card.model,
                endpoint=self._connection().address.shown,
                parser=_PARSER,
            )
        if is_last:
            wait = None
        if wait is None and outcome != "answered":
            self._count_failure(outcome, message)
        return wait

    def _keep(self, picture: HostedPicture, text: str) -> tuple[Outcome, str, str]:
        """Write the picture of a reply; gives outcome, message, and the reply without it."""
        try:
            value = reading.parse_json(text)
            first = value["data"][0]
            data = b64decode(first.pop("b64_json"), validate=True)
        except (reading.Malformed, LookupError, TypeError, AttributeError, ValueError):
            shown = secrets.scrub_reply(text[: 1 << 16])
            is_address = '"url"' in shown
            why = "it gives an address in place of a picture" if is_address else "it has no picture"
            return "unusable", f"the reply is none: {why}", shown or "{}"
        content.write_whole(self.path(picture), data)
        return "answered", "", secrets.scrub_reply(str(value))[: 1 << 16]

    def _after_status(self, error: "APIStatusError") -> tuple[Outcome, str, float | None]:
        """The outcome and message of a refusal, and the wait for another request, if any."""
        message, status, endpoint = str(error)[:2000], error.status_code, self.card.endpoint
        shown, headers = secrets.scrub(message)[:200], error.response.headers
        address = self._connection().address.shown
        is_filtered = any(word in message for word in ("content", "safety", "moderation", "policy"))
        if 300 <= status < 400:
            self._stop = Missing(
                f"{address} sends on to another address, where the key is not sent",
                remedy=f"If you trust it, set {endpoint.url_variable} to it.",
            )
        elif status in (401, 403):
            self._stop = Missing(
                f"{address} refuses the key: {shown}", remedy=f"Set {endpoint.key_variable}."
            )
        elif status == 404:
            self._stop = UsageError(f"{address} has no model {self.card.model!r}: {shown}")
        elif status == 429:
            wait = retry_after_seconds(headers)
            if wait is not None and wait > _MAX_WAIT:
                self._stop = Incomplete(
                    f"{address} asks to wait for {wait:g} s",
                    remedy="The same command goes on where it stopped.",
                )
                return "limited", message, None
            if wait is not None:
                self._resume_at = max(self._resume_at, time.monotonic() + wait)
            return "limited", message, wait or 0.0
        elif status >= 500 or status in (408, 409):
            return "down", message, retry_after_seconds(headers) or 0.0
        elif status in (400, 422) and is_filtered:
            return "filtered", message, None
        elif status in (400, 422):
            self._stop = UsageError(
                f"{address} refuses the request: {shown}",
                remedy="See [parameters] and seed_parameter in the card.",
            )
        return "rejected", message, None

    def _count_failure(self, outcome: Outcome, message: str) -> None:
        """Stop after the first failure before any picture, or after too many in a row."""
        if outcome == "filtered" or self._stop is not None or self._is_ending:
            return
        self._failed += 1
        if not self._has_pictures or self._failed >= 3 * self.concurrency:
            self._stop = Missing(
                f"{self._connection().address.shown} gives no picture: {message[:200]}",
                remedy="The same command goes on where it stopped.",
            )

    def _worst(self, picture: HostedPicture) -> Usage:
        """The most that a picture is charged: a token per byte of text, and its own tokens."""
        replied = self.card.tokens or _PICTURE_UNITS
        asked = len(picture.text.encode("utf-8", "replace")) if self.card.tokens else 0
        return Usage(asked=asked, replied=replied)

    def _charged(self, text: str, worst: Usage) -> Usage:
        """The tokens that a reply counts; the worst case where it counts none."""
        try:
            usage = reading.parse_json(text)["usage"] if self.card.tokens else {}
        except (reading.Malformed, LookupError, TypeError):
            return worst
        counts = [_count(usage, name) for name in ("input_tokens", "output_tokens")]
        return Usage(asked=counts[0] or worst.asked, replied=counts[1] or worst.replied)

    def _connection(self) -> Connection:
        return connection(self.card)


def connection(card: HostedCard) -> Connection:
    """The connection to the endpoint of a card.

    Raises:
        Missing: if it needs a key and there is none.
        UsageError: if the key or the address is none.
    """
    endpoint = card.endpoint
    given = (os.environ.get(endpoint.url_variable) or "").strip()
    noun = endpoint.url_variable if given else f"the url of {card.name!r}"
    address = secrets.split_address(given or endpoint.url, noun=noun)
    key = secrets.from_environment(endpoint.key_variable)
    if endpoint.needs_key and not (key or address.user or address.password):
        raise Missing(f"model {card.name!r} needs a key", remedy=f"Set {endpoint.key_variable}.")
    return Connection(address=address, key=key)


def _count(usage: object, name: str) -> int:
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return value if isinstance(value, int) and 0 < value < _PICTURE_UNITS else 0
