"""A web server of few connections at a time, which clients may break off as they like."""

import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from htbench.core.display import printable

_CLOSING_SECONDS = 2.0
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Retry-After: 2\r\nContent-Length: 30\r\nConnection: close\r\n\r\n"
    b"503 too many connections; wait"
)


LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
"""Names by which programs on this machine open a server of it."""


def host_name(header: str) -> str:
    """The name in the value of a header `Host`, in small letters and without port and brackets."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


class BoundedServer(ThreadingHTTPServer):
    """A server with one thread per connection, and a limit to their number.

    Connections beyond `max_connections` are answered with status 503 and closed. When the server is
    closed, replies that are being made are still sent.
    """

    daemon_threads = True
    request_queue_size = 1024

    def __init__(
        self,
        address: tuple[str, int],
        handler: Callable[..., BaseHTTPRequestHandler],
        *,
        max_connections: int,
    ) -> None:
        self._free = threading.BoundedSemaphore(max_connections)
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without a look-up of the host's name, which takes seconds without a network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own."""
        if self._free.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except BaseException:  # no further thread can be started
                self._free.release()
                raise
            return
        with suppress(OSError):  # a client that is gone, or reads nothing, needs no reply
            request.settimeout(0.1)
            request.sendall(_BUSY)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a connection, and let another one take its place."""
        with self._changed:
            self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()
            with self._changed:
                self._open.discard(request)
                self._changed.notify_all()

    def server_close(self) -> None:
        """Close the address, take no further requests from open connections, and wait for the
        replies to those that were taken, two seconds at most.
        """
        super().server_close()
        with self._changed:
            for request in self._open:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RD)
            self._changed.wait_for(lambda: not self._open, timeout=_CLOSING_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report a failed request in one line on stderr, but none that the client broke off."""
        error = sys.exception()
        if not isinstance(error, OSError):
            sys.stderr.write(f"htbench: a request failed: {printable(repr(error))}\n")
