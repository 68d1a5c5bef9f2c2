"""The web server of a study: requests are checked here, and answered by `StudySite`."""

import errno
import socket
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from htbench.core import locks
from htbench.core.display import printable
from htbench.core.errors import HtbenchError, UsageError
from htbench.core.http_server import BoundedServer
from htbench.study.serve.address import LOOPBACK, Address
from htbench.study.serve.site import MAX_BODY_BYTES, OVERDUE_HOURS, Refusal, Reply, StudySite

MAX_CONNECTIONS = 512
"""Number of connections at a time; further ones get status 503."""
SECONDS = 20.0
"""The longest wait for a browser: to ask, to send the whole of its answers, to take a reply."""
_DRAINED_BYTES = 1 << 22
_FULL = (errno.ENOSPC, errno.EDQUOT)


class StudyServer(BoundedServer):
    """A server of a study, bound to its address and not yet answering.

    Raises:
        UsageError: if the address is not free or not one of this machine, or another process serves
            the study.
    """

    def __init__(self, site: StudySite, address: Address) -> None:
        address.check()
        self.site = site
        with site.sessions.locked():
            self._lock = locks.acquire(
                site.sessions.folder / ".server",
                noun="the study",
                activity="served",
                otherwise=", or end it",
            )
            site.sessions.remove_stale()
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__(
                (address.host, address.port), _Handler, max_connections=MAX_CONNECTIONS
            )
        except (OSError, OverflowError) as error:
            raise _unusable(address, error) from None
        self.base_url = address.base_url(self.server_port)
        self.names = address.names(self.server_port)

    def server_close(self) -> None:
        """Stop taking answers; those that were taken are on the disk afterwards."""
        super().server_close()
        self.site.sessions.wait()
        self._lock.release()


class _Handler(BaseHTTPRequestHandler):
    server: StudyServer
    protocol_version = "HTTP/1.1"
    timeout = SECONDS

    def version_string(self) -> str:
        """The program's name without its version."""
        return "htbench"

    def do_GET(self) -> None:
        self._answer(self._get)

    do_HEAD = do_GET  # noqa: N815 - the name that the standard library asks for

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_PUT(self) -> None:
        self._answer(self._refuse_method)

    do_DELETE = do_PATCH = do_OPTIONS = do_PUT  # noqa: N815

    def _answer(self, handle: Any) -> None:
        """Send the reply of `handle`, or one line that says why there is none."""
        try:
            if (self.headers.get("Host") or "").lower() not in self.server.names:
                raise Refusal(403, "this server has another name")
            reply = handle(*self.path.partition("?")[::2])
        except Refusal as refusal:
            reply = refusal.reply
            self.close_connection = self.command not in ("GET", "HEAD")
        except HtbenchError as error:
            sys.stderr.write(f"htbench: {printable(error)}\n")
            reply = Refusal(500, "a file of this study is damaged; tell whoever invited you").reply
            self.close_connection = True
        self._send(reply)

    def _get(self, path: str, query: str) -> Reply:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # what follows is not read as a request
        return self.server.site.get(path, query=query, base_url=self.server.base_url)

    def _post(self, path: str, query: str) -> Reply:
        body = self._read_body()
        try:
            return self.server.site.post(path, body)
        except OSError as error:
            sys.stderr.write(f"htbench: answers could not be written: {printable(error)}\n")
            status, line = (
                (507, "the server's disk is full")
                if error.errno in _FULL
                else (500, "the server cannot write")
            )
            raise Refusal(status, f"{line}; these answers are not saved yet") from None

    def _refuse_method(self, path: str, query: str) -> Reply:
        raise Refusal(405, "only GET, HEAD and POST", Allow="GET, HEAD, POST")

    def _read_body(self) -> bytes:
        """The body of a request with answers, which ends in time and is not too long."""
        kind = self.headers.get_content_type()
        length = self.headers.get("Content-Length")
        if length is None or "Transfer-Encoding" in self.headers:
            raise Refusal(411, "the length of the body is missing")
        if not (length.isascii() and length.isdigit()):
            raise Refusal(400, "the length of the body is no number")
        if len(length) > 15 or int(length) > MAX_BODY_BYTES:
            raise Refusal(413, f"the body is longer than {MAX_BODY_BYTES:,} bytes")
        if kind != "application/json":
            raise Refusal(415, "answers are application/json")
        parts, left, end = [], int(length), time.monotonic() + SECONDS
        while left:
            part = b""
            with suppress(TimeoutError):
                part = self.rfile.read1(left) if time.monotonic() < end else b""
            if not part:
                raise Refusal(408, "the body did not come whole")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {
            **reply.headers,
            "Content-Type": reply.content_type,
            "Content-Length": str(len(reply.body)),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            **({"Connection": "close"} if self.close_connection else {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and reply.status != 204:
            self.wfile.write(reply.body)
        if self.close_connection and self.command == "POST":
            self._drain()

    def _drain(self) -> None:
        """Read what is still sent, since a browser that is cut off does not read the reply."""
        self.wfile.flush()
        end, left = time.monotonic() + 2, _DRAINED_BYTES
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1)
            while left > 0 and time.monotonic() < end:
                part = self.rfile.read1(1 << 16)
                if not part:
                    return
                left -= len(part)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request at all, in one line."""
        self.close_connection = True
        self.command = getattr(self, "command", None) or "GET"
        self.request_version = self.protocol_version  # whatever was read: with status and headers
        self._send(Refusal(code, "this is no request that is answered here").reply)

    def handle_expect_100(self) -> bool:
        """Ask for a body only if it is not too long."""
        length = self.headers.get("Content-Length", "")
        if length.isdigit() and len(length) < 15 and int(length) <= MAX_BODY_BYTES:
            return super().handle_expect_100()
        self._answer(self._post)
        return False

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: addresses and links of participants are not written down."""


def make_server(
    study: Path, *, secret: Path, address: Address, overdue_hours: float = OVERDUE_HOURS
) -> StudyServer:
    """A server of an exported study; `serve_forever` answers, and `server_close` ends it.

    Raises:
        Missing: if no study was exported to the folder `study`.
        Refused: if a file of the study is damaged.
        UsageError: as `Address.check` and `StudyServer` do.
    """
    address.check()
    site = StudySite(study, secret=secret, overdue_hours=overdue_hours)
    return StudyServer(site, address)


def _unusable(address: Address, error: Exception) -> UsageError:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return UsageError(
            f"port {address.port} of {address.host} is taken",
            remedy="Give another --port, and send the new links.",
        )
    if code == errno.EACCES:
        return UsageError(
            f"port {address.port} needs more rights than this process has",
            remedy="Give --port a number above 1023.",
        )
    return UsageError(
        f"--host {address.host[:80]!r} is no address of this machine",
        remedy=f"Leave it out for {LOOPBACK}, and lead participants here by a proxy or tunnel.",
    )
