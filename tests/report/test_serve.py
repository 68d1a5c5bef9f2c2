import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from kit import report_run

from htbench.report.serve import LiveReport
from htbench.run.store import Store

SMALL = {
    "methods": ("none", "linear-act"),
    "concepts": 2,
    "prompts": report_run.PROMPTS[:1],
    "strengths": (0.0, 1.0),
    "size": 8,
}


def start(folder: Path, port: int) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-m",
        "htbench",
        "report",
        str(folder),
        "--serve",
        "--port",
        str(port),
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )


def address(process: "subprocess.Popen[str]") -> int:
    """The port that the one line on stdout names."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
    assert found, line
    return int(found[1])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_run.build(tmp_path_factory.mktemp("runs") / "run", **SMALL)


@pytest.fixture(scope="module")
def port(run: Path) -> Iterator[int]:
    process = start(run, 0)
    yield address(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def ask(port: int, path: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read()


def test_the_page_and_its_parts_are_served(port: int, run: Path) -> None:
    page, text = ask(port, "/")
    assert page.status == 200
    assert b"connect-src 'self'" in text
    assert ask(port, "/data/0.js")[1].startswith(b"htbench(0, {")
    picture = next((run / "images").iterdir())
    assert ask(port, f"/images/{picture.name}")[1] == picture.read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "/run.sqlite",
        "/images/../run.sqlite",
        "/images/%2e%2e/run.sqlite",
        "//etc/passwd",
        "/images/",
        "/data/9.js",
    ],
)
def test_nothing_else_of_the_disk_is_served(port: int, path: str) -> None:
    assert ask(port, path)[0].status == 404


@pytest.mark.parametrize(
    "host",
    ["example.org:{}", "127.0.0.1.example.org:{}", "example.org", "[::2]:{}", "localhost.:{}"],
)
def test_a_page_of_another_name_gets_no_answer(port: int, host: str) -> None:
    assert ask(port, "/", Host=host.format(port))[0].status == 403


@pytest.mark.parametrize(
    "host", ["127.0.0.1:{}", "LOCALHOST:{}", "[::1]:{}", "localhost:9", "127.0.0.1"]
)
def test_this_machine_is_answered_by_any_name_and_through_a_tunnel(port: int, host: str) -> None:
    assert ask(port, "/", Host=host.format(port))[0].status == 200


def test_ctrl_c_ends_it_with_130_and_no_traceback(run: Path) -> None:
    process = start(run, 0)
    address(process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_taken_port_is_left_to_whoever_has_it(run: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start(run, taken.getsockname()[1])
        assert address(process) != taken.getsockname()[1]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_a_run_that_is_being_written_is_drawn_anew_as_cells_land(tmp_path: Path) -> None:
    folder = report_run.build(tmp_path / "run", **SMALL, scored=False)
    show = LiveReport(folder=folder)
    assert show.refresh()
    before = dict(show.files)
    with Store.open(folder) as store:
        store.add_scores((row.id, "concept_gain", "emoji-clip-b@1", 0.5) for row in store.rows())
        assert show.refresh()
    assert show.files["version"] != before["version"]
    assert show.files["data/0.js"] != before["data/0.js"]


def test_a_run_that_stands_still_keeps_its_version(tmp_path: Path) -> None:
    show = LiveReport(folder=report_run.build(tmp_path / "run", **SMALL))
    show.refresh()
    version = show.files["version"]
    show.refresh()
    assert show.files["version"] == version
