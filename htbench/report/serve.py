"""A run's report on this machine's own address: drawn anew while the run goes on, with pictures from its folder."""

import os
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from htbench import report
from htbench.core.errors import HtbenchError

HOST = "127.0.0.1"
_POLL_SECONDS, _PAUSE_FACTOR = (
    1.0,
    5.0,
)  # seconds between looks at the run, and times that drawing took: the run needs the cores more
_IMAGE = re.compile(r"images/([0-9a-f]{32}\.png)")
_CONTENT_TYPES = {
    "": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "png": "image/png",
    "version": "text/plain; charset=utf-8",
}


@dataclass(kw_only=True)
class LiveReport:
    """What is shown of a run at this moment; one thread draws, others read."""

    folder: Path
    files: dict[str, bytes] = field(default_factory=dict)
    """By the paths that a browser asks for."""
    _last_state: object = None

    def refresh(self) -> bool:
        """Draw the report again if the run has gone on; whether it had."""
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
        """Until `stop`; a look that fails leaves what was drawn, and the next may succeed."""
        pause = _POLL_SECONDS
        while not stop.wait(pause):
            began = time.monotonic()
            try:
                self.refresh()
            except HtbenchError as error:
                sys.stderr.write(f"htbench: {error}\n")
            pause = max(_POLL_SECONDS, _PAUSE_FACTOR * (time.monotonic() - began))

    def read(self, path: str) -> bytes | None:
        """The bytes of one path; None if there is no such thing."""
        image = _IMAGE.fullmatch(path)
        if not image:
            return self.files.get(path)
        try:
            return (self.folder / "images" / image[1]).read_bytes()
        except OSError:
            return None

    def _state(self) -> object:
        """Changes whenever something is written to the run or to what was judged of it."""
        names = sorted(
            path for path in self.folder.glob("*.sqlite*") if not path.name.endswith("-shm")
        )
        return [
            (path.name, status.st_mtime_ns, status.st_size)
            for path in names
            if (status := _status(path))
        ]


def serve(folder: Path, *, port: int) -> None:
    """Show the run in `folder` until interrupted; at another port if that one is taken, and the address is said on stdout.

    Raises:
        Missing: if there is no run.
    """
    show = LiveReport(folder=folder)
    show.refresh()
    stop = threading.Event()
    with make_server(show, port) as running:
        sys.stdout.write(f"Report: http://{HOST}:{running.server_port}/ (Ctrl-C ends)\n")
        sys.stdout.flush()
        looking = threading.Thread(target=show.refresh_until, args=(stop,), daemon=True)
        looking.start()
        try:
            running.serve_forever()
        finally:
            stop.set()


def make_server(live_report: LiveReport, port: int) -> ThreadingHTTPServer:
    """Answers on this machine's own address, at another port if that one is taken."""
    handler = type("Handler", (_Handler,), {"live_report": live_report})
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except OSError:
        return ThreadingHTTPServer((HOST, 0), handler)


class _Handler(BaseHTTPRequestHandler):
    """Answers for the page and its parts, and for nothing else on this disk."""

    live_report: ClassVar[LiveReport]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/")
        local = (self.headers.get("Host") or "").rpartition(":")[0] in (
            HOST,
            "localhost",
        )  # another name is another site's page that asks
        found = self.live_report.read(path) if local else None
        if found is None:
            self.send_error(404 if local else 403)
            return
        self.send_response(200)
        self.send_header(
            "Content-Type", _CONTENT_TYPES.get(path.rpartition(".")[2], "application/octet-stream")
        )
        self.send_header("Content-Length", str(len(found)))
        self.send_header(
            "Cache-Control",
            "max-age=31536000, immutable" if path.startswith("images/") else "no-store",
        )
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(found)

    def log_message(
        self, format: str, *args: object
    ) -> None:  # a line a picture would bury everything else
        """Say nothing."""


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # a log that was folded into its database meanwhile
        return None
