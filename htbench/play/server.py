"""The address of the page, and the server that answers there."""

import asyncio
import secrets
import socket
import sys
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from htbench.core.errors import UsageError
from htbench.play.engine import Engine
from htbench.play.site import PlaySite

HOST, PORT = "127.0.0.1", 8642
MAX_CONNECTIONS = 512
"""Number of connections at a time; further ones get status 503."""
PATIENCE_SECONDS = 30.0
"""The longest wait for a whole request, and for a client to take more of an answer."""
YIELD_SECONDS = 2.0
"""Time after which a connection without a whole request gives way to others, where half of the
allowed number is open."""
_IDLE_SECONDS = 10


def serve(engine: Engine, *, port: int = PORT, ready: Callable[[str], None]) -> None:
    """Answer at a loopback address until interrupted.

    Args:
        port: 0, or one that is not free: any free one.
        ready: called with the address of the page, once it can be opened.

    Raises:
        UsageError: if this machine has no loopback address.
    """
    with listen(port) as listening:
        site, server, address = prepare(engine, listening)
        ready(address)
        sys.stdout.flush()
        try:
            server.run(sockets=[listening])
        finally:
            site.stop()


def prepare(engine: Engine, listening: socket.socket) -> tuple[PlaySite, uvicorn.Server, str]:
    """The site of an engine, a server of it that has not been started, and the page's address."""
    own = listening.getsockname()[1]
    token = secrets.token_urlsafe(16)
    names = frozenset(f"{name}:{own}" for name in (HOST, "localhost"))
    site = PlaySite(engine, token=token, names=names)
    config = uvicorn.Config(
        site.app,
        http=_Connection,
        ws="none",
        log_level="critical",
        access_log=False,
        lifespan="off",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    return site, uvicorn.Server(config), f"http://{HOST}:{own}/{token}/"


def listen(port: int) -> socket.socket:
    """A socket that listens at a port of this machine alone, or at any free one.

    Raises:
        UsageError: if this machine has no loopback address.
    """
    for wanted in dict.fromkeys((port, 0)):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, wanted))
            listening.listen(1024)
        except OSError:
            listening.close()
            continue
        return listening
    raise UsageError(f"no port of {HOST} can be listened at")


class _Connection(H11Protocol):
    """A connection that is closed if its client sends no whole request, or takes no answer."""

    _timer: asyncio.TimerHandle | None = None
    _since = 0.0

    @property
    def is_answered(self) -> bool:
        """True while the answer to a request that came whole is made or sent."""
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._wait()
        if (surplus := len(self.connections) - MAX_CONNECTIONS // 2) > 0:
            for each in self._held()[:surplus]:
                each.transport.abort()
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._wait()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._wait()
        super().resume_writing()

    def _held(self) -> "list[_Connection]":
        """Connections that have had no whole request for a while, the oldest first."""
        others = [each for each in self.connections if isinstance(each, _Connection)]
        before = self._since - YIELD_SECONDS
        held = [each for each in others if each._since < before and not each.is_answered]
        return sorted(held, key=lambda each: each._since)

    def _wait(self) -> None:
        """Begin to wait for the client."""
        if self._timer:
            self._timer.cancel()
        self._since = self.loop.time()
        self._timer = self.loop.call_later(PATIENCE_SECONDS, self._look)

    def _look(self) -> None:
        """Close the connection, unless it is the client that waits."""
        if self.is_answered and not self.flow.write_paused:
            self._wait()
        else:
            self.transport.abort()
