"""A run's report on a local address: rendered anew while the run goes on, its pictures served."""

import os
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

from htbench import report
from htbench.core.display import printable
from htbench.core.errors import HtbenchError, UsageError
from htbench.core.http_server import LOCAL_NAMES, BoundedServer, host_name
from htbench.run.store import read_image

HOST = "127.0.0.1"
MAX_CONNECTIONS = 64
"""Number of connections at a time; further ones get status 503."""
SECONDS = 30.0
"""The longest wait for a browser, to ask or to take what it asked for."""
_POLL_SECONDS = 1.0
_PAUSE_FACTOR = 5.0  # pause as a multiple of the rendering time: the run needs the cores more
_IMAGE = re.compile(r"images/([0-9a-f]{32}\.png)")
_CONTENT_TYPES = {
    "": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "png": "image/png",
    "html": "text/html; charset=utf-8",
    "version": "text/plain; charset=utf-8",
}


@dataclass(kw_only=True)
class LiveReport:
    """The latest rendering of a run's report; one thread renders, others read."""

    folder: Path
    files: dict[str, bytes] = field(default_factory=dict)
    """Contents by the path that a browser asks for."""
    _last_state: object = None

    def refresh(self) -> bool:
        """Render the report again if the run has gone on, and return True if it had."""
        now = self._state()
        if now == self._last_state:
            return False
        files = report.render_live(self.folder)
        version = sha256(b"".join(files[name] for name in sorted(files))).hexdigest()
        self.files, self._last_state = (
            {**files, "version": version.encode(), "favicon.ico": b""},
            now,
        )
        return True

    def refresh_until(self, stop: threading.Event) -> None:
        """Refresh until `stop`; after a failure the last rendering stays, and the next is tried."""
        pause = _POLL_SECONDS
        while not stop.wait(pause):
            began = time.monotonic()
            try:
                self.refresh()
            except HtbenchError as error:
                sys.stderr.write(f"htbench: {printable(error)}\n")
            pause = max(_POLL_SECONDS, _PAUSE_FACTOR * (time.monotonic() - began))

    def read(self, path: str) -> bytes | None:
        """The bytes at one path; None if there is no such path."""
        image = _IMAGE.fullmatch(path)
        if not image:
            return self.files.get(path)
        try:
            return read_image(self.folder / "images" / image[1])
        except UsageError:
            return None

    def _state(self) -> object:
        """A value that changes whenever the run's store or its ledger is written."""
        names = sorted(
            path for path in self.folder.glob("*.sqlite*") if not path.name.endswith("-shm")
        )
        return [
            (path.name, status.st_mtime_ns, status.st_size)
            for path in names
            if (status := _status(path))
        ]


def serve(folder: Path, *, port: int) -> None:
    """Serve the report of the run in `folder` until interrupted, and print its address to stdout.

    Another port is taken where `port` is not free.

    Raises:
        Missing: if there is no run.
    """
    live_report = LiveReport(folder=folder)
    live_report.refresh()
    stop = threading.Event()
    with make_server(live_report, port) as server:
        sys.stdout.write(f"Report: http://{HOST}:{server.server_port}/ (Ctrl-C ends)\n")
        sys.stdout.flush()
        threading.Thread(target=live_report.refresh_until, args=(stop,), daemon=True).start()
        try:
            server.serve_forever()
        finally:
            stop.set()


def make_server(live_report: LiveReport, port: int) -> BoundedServer:
    """A server on the local address, at another port if that one is taken."""
    handler = type("Handler", (_Handler,), {"live_report": live_report})
    try:
        return BoundedServer((HOST, port), handler, max_connections=MAX_CONNECTIONS)
    except OSError:
        return BoundedServer((HOST, 0), handler, max_connections=MAX_CONNECTIONS)


class _Handler(BaseHTTPRequestHandler):
    """Handler that serves the page and its parts, and nothing else on this disk."""

    live_report: ClassVar[LiveReport]
    protocol_version = "HTTP/1.1"
    timeout = SECONDS

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/")
        # any other name is that of another site whose page asks; a tunnel may have another port
        is_local = host_name(self.headers.get("Host") or "") in LOCAL_NAMES
        data = self.live_report.read(path) if is_local else None
        if data is None:
            self.send_error(404 if is_local else 403)
            return
        self.send_response(200)
        self.send_header(
            "Content-Type", _CONTENT_TYPES.get(path.rpartition(".")[2], "application/octet-stream")
        )
        self.send_header("Content-Length", str(len(data)))
        self.send_header(
            "Cache-Control",
            "max-age=31536000, immutable" if path.startswith("images/") else "no-store",
        )
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: a line per picture would bury everything else."""


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # a log that was folded into its database meanwhile
        return None
