"""A web server with a limit to its connections."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from htbench.core.http_server import BoundedServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    started, may_end = threading.Event(), threading.Event()

    def do_GET(self) -> None:
        self.started.set()
        self.may_end.wait(30)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[BoundedServer]:
    """A server of one connection, whose replies wait until the test lets them end."""
    _Handler.started.clear()
    _Handler.may_end.clear()
    with BoundedServer(("127.0.0.1", 0), _Handler, max_connections=1) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        _Handler.may_end.set()
        server.shutdown()
        thread.join()


def connect(server: BoundedServer) -> socket.socket:
    """A connection that has asked for a page."""
    connection = socket.create_connection(("127.0.0.1", server.server_port), timeout=30)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    return connection


def test_a_connection_too_many_gets_503_and_the_first_its_reply(server: BoundedServer) -> None:
    with connect(server) as first:
        assert _Handler.started.wait(30)
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as second:
            head, _, body = second.recv(4096).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert f"Content-Length: {len(body)}".encode() in head
        _Handler.may_end.set()
        assert first.recv(4096).startswith(b"HTTP/1.1 204")


def test_a_reply_that_is_being_made_is_sent_when_the_server_closes(server: BoundedServer) -> None:
    with connect(server) as connection:
        assert _Handler.started.wait(30)
        threading.Timer(0.1, _Handler.may_end.set).start()
        server.server_close()
        assert connection.recv(4096).startswith(b"HTTP/1.1 204")
        assert connection.recv(4096) == b""
