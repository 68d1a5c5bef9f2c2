"""The address of the page, and the server that answers there."""

import secrets
import socket
import sys
from collections.abc import Callable

import uvicorn

from htbench.core.errors import UsageError
from htbench.play.engine import Engine
from htbench.play.site import PlaySite

HOST, PORT = "127.0.0.1", 8642
MAX_CONNECTIONS = 128
"""Number of connections at a time; further ones get status 503."""
_IDLE_SECONDS = 10


def serve(engine: Engine, *, port: int = PORT, ready: Callable[[str], None]) -> None:
    """Answer at a loopback address until interrupted.

    Args:
        port: 0, or one that is not free: any free one.
        ready: called with the address of the page, once it can be opened.

    Raises:
        UsageError: if this machine has no loopback address.
    """
    with _listen(port) as listening:
        own = listening.getsockname()[1]
        token = secrets.token_urlsafe(16)
        names = frozenset(f"{name}:{own}" for name in (HOST, "localhost"))
        site = PlaySite(engine, token=token, names=names)
        config = uvicorn.Config(
            site.app,
            log_level="critical",
            access_log=False,
            lifespan="off",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        ready(f"http://{HOST}:{own}/{token}/")
        sys.stdout.flush()
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            site.stop()


def _listen(port: int) -> socket.socket:
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
