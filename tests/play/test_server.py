"""Hostile clients of the server itself, over real sockets."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import uvicorn

from htbench.play import server
from htbench.play.engine import Engine

PATIENCE = 0.5


@pytest.fixture
def running(engine: Engine) -> Iterator[tuple[str, uvicorn.Server]]:
    """The address of the page, and the server that answers there."""
    with server.listen(0) as listening:
        site, running, address = server.prepare(engine, listening)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        yield address, running
        running.should_exit = True
        thread.join()
        site.stop()


@pytest.fixture
def address(running: tuple[str, uvicorn.Server]) -> str:
    return running[0]


@pytest.fixture
def held(
    running: tuple[str, uvicorn.Server], monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A connection for which the server waits less long than for others."""
    address, uvicorn_server = running
    with monkeypatch.context() as patched:
        patched.setattr(server, "PATIENCE_SECONDS", PATIENCE)
        connection = _connect(address)
        while not uvicorn_server.server_state.connections:
            time.sleep(0.01)
    yield connection
    connection.close()


def _request(address: str, number: int = 0) -> bytes:
    """A request for pictures of a seed, by a tab of its own."""
    parts = urlsplit(address)
    view = {"prompt": "horse", "seed": number, "methods": ["prompt"]}
    body = json.dumps({"tab": f"{number:016x}", "number": 1, "view": view})
    return (
        f"POST {parts.path}pictures HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _connect(address: str) -> socket.socket:
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


def _ask(address: str) -> tuple[int, str]:
    """Status and text of the page's own request."""
    parts = urlsplit(address)
    connection = HTTPConnection(parts.netloc, timeout=10)
    connection.request("GET", parts.path)
    reply = connection.getresponse()
    found = reply.status, reply.read().decode()
    connection.close()
    return found


@pytest.mark.parametrize("sent", [0, 1, 30, -1])
def test_a_socket_held_open_is_closed_in_time_while_others_are_answered(
    address: str, held: socket.socket, sent: int
) -> None:
    held.sendall(_request(address)[:sent])
    assert _ask(address)[0] == 200
    assert held.recv(1) == b""


def test_a_request_that_drips_is_ended(address: str, held: socket.socket) -> None:
    with suppress(ConnectionError):
        for byte in _request(address):
            held.sendall(bytes([byte]))
            time.sleep(0.05)
        raise AssertionError("it came whole")


def test_sockets_held_open_give_way_to_the_page(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "YIELD_SECONDS", 0)
    with ExitStack() as stack:
        for _ in range(server.MAX_CONNECTIONS + 10):
            stack.enter_context(_connect(address))
        assert _ask(address)[0] == 200


def test_of_200_requests_at_once_each_is_answered_or_refused_in_one_line(address: str) -> None:
    async def ask(number: int) -> tuple[int, bytes]:
        parts = urlsplit(address)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(_request(address, number))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        body = await reader.readexactly(length)
        writer.close()
        return int(head.split()[1]), body

    async def ask_all() -> list[tuple[int, bytes]]:
        return await asyncio.gather(*(ask(number) for number in range(200)))

    replies = asyncio.run(ask_all())
    assert {status for status, _ in replies} == {200, 503}
    assert all(len(body.splitlines()) == 1 for _, body in replies)
    assert _ask(address)[0] == 200


def test_no_other_machine_can_connect(address: str) -> None:
    with server.listen(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
