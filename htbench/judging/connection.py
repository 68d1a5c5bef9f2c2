"""Requests to a model's endpoint: to its own host, once each, within limits of time and bytes."""

import asyncio
import math
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from htbench.core.secrets import Address, Secret

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MAX_REPLY_BYTES = 1 << 23
"""The largest reply, unpacked: 8 MiB, ten times that of 300 tokens with probabilities."""
KEPT_BYTES = 1 << 16
"""The part of a larger reply that is kept."""
CONNECT_SECONDS = 10.0
"""The longest time to connect."""
_BEFORE_SENDING = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError")
"""Errors of the HTTP library after which no byte of a request has gone to the endpoint."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


class ReplyTooLarge(Exception):
    """A reply beyond the limit of bytes, with its start."""

    def __init__(self, start: bytes, most: int) -> None:
        super().__init__(f"the reply is larger than {most:,} bytes; its start is kept")
        self.start = start


@dataclass(frozen=True, kw_only=True)
class Connection:
    """The address of an endpoint and the key for it."""

    address: Address
    key: Secret | None = None

    def client(
        self, *, timeout: float, most: int = MAX_REPLY_BYTES, retries: int = 0
    ) -> "AsyncOpenAI":
        """A client for the endpoint.

        Args:
            timeout: limit for a whole request and its reply, in seconds.
            most: limit for a reply, unpacked, in bytes.
            retries: number of further requests that the library may send; 0 where they are paid.
        """
        from openai import AsyncOpenAI

        headers = {"Accept-Encoding": "gzip, deflate"}
        if self.address.user or self.address.password:
            password = self.address.password.reveal() if self.address.password else ""
            login = Secret(b64encode(f"{self.address.user}:{password}".encode()).decode())
            headers["Authorization"] = f"Basic {login.reveal()}"
        query = self.address.query.reveal() if self.address.query else ""
        return AsyncOpenAI(
            api_key=self.key.reveal() if self.key else "none",
            base_url=self.address.shown,
            timeout=timeout,
            max_retries=retries,
            default_headers=headers,
            default_query=dict(parse_qsl(query, keep_blank_values=True)),
            http_client=_bounded_http_client(most),
        )


@contextmanager
def known_errors() -> Iterator[None]:
    """Raise a `ReplyTooLarge` as it is, where versions of the client library wrap it."""
    import openai

    try:
        yield
    except openai.APIConnectionError as error:
        if isinstance(error.__cause__, ReplyTooLarge):
            raise error.__cause__ from None
        raise


def was_sent(error: Exception) -> bool:
    """True if a request may have reached the endpoint before its connection failed."""
    return type(error.__cause__).__name__ not in _BEFORE_SENDING


def redirect(address: str, location: str, path: str) -> str | None:
    """The new address of an endpoint that has moved a `path` below it to `location`.

    None if that is on another host or port, or no longer encrypted, or not that path.
    """
    old = urlsplit(address)
    try:
        new = urlsplit(location)._replace(query="", fragment="")
        if location.startswith("/") and not location.startswith("//"):
            new = new._replace(scheme=old.scheme, netloc=old.netloc)
        is_upgrade = (old.scheme, new.scheme) == ("http", "https")
        ports = [part.port or _DEFAULT_PORTS.get(part.scheme) for part in (old, new)]
    except ValueError:
        return None
    is_same_port = ports[0] == ports[1] or (is_upgrade and ports == [80, 443])
    is_same_host = old.hostname == new.hostname and "@" not in new.netloc
    is_same_scheme = old.scheme == new.scheme or is_upgrade
    text = new.geturl()
    if not (is_same_host and is_same_port and is_same_scheme and text.rstrip("/").endswith(path)):
        return None
    return text.rstrip("/").removesuffix(path)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """The wait in seconds that headers ask for, as a number or a date; None if they do not."""
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _bounded_http_client(most: int) -> Any:
    """An HTTP client of the library that the installed client library is built on.

    That is `httpx`, or `httpx2` since version 3.
    """
    import openai

    library: Any = import_module(openai.DefaultAsyncHttpxClient.__mro__[1].__module__.split(".")[0])

    class BoundedStream(library.AsyncByteStream):  # type: ignore[misc]
        """The unpacked bytes of a reply, up to a limit and a time."""

        def __init__(self, packed: Any, request: Any, encoding: str, deadline: float) -> None:
            self._packed, self._request = packed, request
            self._encoding, self._deadline = encoding, deadline

        async def __aiter__(self) -> AsyncIterator[bytes]:
            unpack, start, total, received = _Unpacker(self._encoding), bytearray(), 0, 0
            chunks = self._packed.__aiter__()
            while True:
                try:
                    async with asyncio.timeout_at(self._deadline):
                        packed = await anext(chunks, None)
                except TimeoutError:
                    raise _timeout(library, self._request) from None
                if packed is None:
                    break
                received += len(packed)
                for chunk in unpack(packed):
                    total += len(chunk)
                    start += chunk[: KEPT_BYTES - len(start)]
                    if total > most:
                        raise ReplyTooLarge(bytes(start), most)
                    yield chunk
                if received > most:
                    raise ReplyTooLarge(bytes(start), most)

        async def aclose(self) -> None:
            await self._packed.aclose()

    class BoundedClient(openai.DefaultAsyncHttpxClient):
        """Follows no redirect, and reads replies as `BoundedStream`s."""

        async def send(self, request: Any, *, stream: bool = False, **more: Any) -> Any:
            limits = request.extensions.get("timeout") or {}
            seconds = limits.get("read") or 600.0
            request.extensions["timeout"] = {**limits, "connect": min(CONNECT_SECONDS, seconds)}
            deadline = asyncio.get_running_loop().time() + seconds
            try:
                async with asyncio.timeout_at(deadline):
                    more["follow_redirects"] = False
                    reply = await super().send(request, stream=True, **more)
            except TimeoutError:
                raise _timeout(library, request) from None
            encoding = reply.headers.pop("content-encoding", "")
            reply.stream = BoundedStream(reply.stream, request, encoding, deadline)
            if not stream:
                try:
                    await reply.aread()
                finally:
                    await reply.aclose()
            return reply

    return BoundedClient()


def _timeout(library: Any, request: Any) -> Exception:
    error: Exception = library.ReadTimeout("no whole reply in time", request=request)
    return error


class _Unpacker:
    """Unpacks a stream in pieces of limited size, so that a small one cannot fill the memory."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        self._decoder = zlib.decompressobj(wbits=47)
        self._is_fresh = True

    def __call__(self, packed: bytes) -> Iterator[bytes]:
        if self._encoding not in ("gzip", "x-gzip", "deflate"):
            yield packed  # an encoding that was not asked for is no text, and is unusable as such
            return
        while not self._decoder.eof:
            try:
                chunk = self._decoder.decompress(packed, KEPT_BYTES)
            except zlib.error:
                if not (self._is_fresh and self._encoding == "deflate"):
                    return  # what follows cannot be read; what came before is kept
                self._decoder = zlib.decompressobj(wbits=-15)  # without a header, as some send it
                self._is_fresh = False
                continue
            self._is_fresh = False
            packed = self._decoder.unconsumed_tail
            if not chunk and not packed:
                return
            yield chunk
