"""Loopback servers that say what they like, byte by byte: for limits, redirects and secrets."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kit.judge_servers import completion


@dataclass(frozen=True)
class Request:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def is_chat(self) -> bool:
        """True for a question to the model."""
        return "/chat/completions" in self.path


Speech = Callable[[Request], Iterator[bytes]]
"""The bytes of a whole response, in pieces that are sent as they come."""


@dataclass
class WireServer:
    """A server, its address and the requests that have come in."""

    speech: Speech
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def chats(self) -> int:
        """Number of questions that have come in."""
        return sum(request.is_chat for request in self.requests)


def response(
    body: str | bytes | dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
) -> bytes:
    """A whole response."""
    data = json.dumps(body) if isinstance(body, dict) else body
    data = data.encode() if isinstance(data, str) else data
    lines = {
        "Content-Type": "application/json",
        "Content-Length": str(len(data)),
        "Connection": "close",
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + data


def saying(body: str | bytes | dict[str, Any], **more: Any) -> Speech:
    """A server that answers all requests alike."""
    return lambda request: iter([response(body, **more)])


def verdict(**changes: Any) -> dict[str, Any]:
    """A chat completion that says A, with other values at its top level."""
    return {**completion("A"), **changes}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        server: WireServer = self.server.wire  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.title(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        with server.lock:
            server.requests.append(request)
        self.close_connection = True
        with suppress(OSError):
            for chunk in server.speech(request):
                self.wfile.write(chunk)

    do_GET = do_POST = _answer  # noqa: N815 - names of the library

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """A client that has gone is no error of the server's."""


@contextmanager
def serving_wire(speech: Speech) -> Iterator[WireServer]:
    """A server that is up on a free port of this machine."""
    wire, server = WireServer(speech), _Server(("127.0.0.1", 0), _Handler)
    server.wire = wire  # type: ignore[attr-defined]
    wire.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield wire
    finally:
        server.shutdown()
        server.server_close()
