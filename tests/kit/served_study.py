"""A small exported study, its server in this process, and requests to it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any

from htbench.study.ask import export, page
from htbench.study.ask.options import StudyOptions
from htbench.study.serve.address import Address
from htbench.study.serve.server import StudyServer, make_server
from kit import judged_run

SMALL = StudyOptions(pairs=12, raters=4, votes=2, checks=1, sentinels=1, repeats=1, size=16)
VISIT = "0123456789abcdef"


def build(folder: Path, options: StudyOptions = SMALL) -> Path:
    """An exported study in `folder/study`; gives its path."""
    run = judged_run.build(folder / "run", methods=("none", "good"))
    export.write(run, folder / "study", options)
    return folder / "study"


@contextmanager
def serving(study: Path, *, port: int = 0) -> Iterator[StudyServer]:
    """A server that answers in a thread."""
    address = Address(port=port)
    with make_server(study, secret=study.with_name("secret"), address=address) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A reply of the server."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str
) -> Answered:
    """Send a request; an underscore in the name of a header stands for a hyphen."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=body, headers=named)
    reply = connection.getresponse()
    answered = Answered(
        status=reply.status, body=reply.read(), headers=dict(map(tuple, reply.getheaders()))
    )
    connection.close()
    return answered


def answers(study: Path, sheet: int, positions: Sequence[int] = ()) -> list[dict[str, Any]]:
    """An answer to each trial of a sheet, or to those of some positions: left, right in turn."""
    trials = page.read(study).sheets[sheet - 1]
    return [
        {
            "position": number,
            "item": trials[number - 1]["item"],
            "choice": ("left", "right")[number % 2],
            "rt_ms": 1000 + number,
            "time": f"2026-11-02T10:00:{number % 60:02}.000Z",
        }
        for number in positions or range(1, len(trials) + 1)
    ]


def post(
    port: int,
    link: str,
    given: Sequence[dict[str, Any]] = (),
    *,
    visit: str = VISIT,
    rater: str = "",
) -> Answered:
    """Send answers as the page does; `link` is the path of a participant's page."""
    body = json.dumps({"visit": visit, "rater": rater, "answers": list(given)}).encode()
    return ask(port, f"/{link}answers", method="POST", body=body, Content_Type="application/json")
