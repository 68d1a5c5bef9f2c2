"""`htbench study serve` as a process: killed in the middle, started again, ended by Ctrl-C."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest
from kit import served_study
from kit.served_study import answers, post

from htbench.study.ask import page
from htbench.study.collect import privacy
from htbench.study.collect.sessions import SessionFiles
from htbench.study.serve.links import Links


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_study.build(tmp_path_factory.mktemp("process"))


def start(study: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "htbench", "study", "serve", str(study), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )


def lines_until(process: "subprocess.Popen[str]", pattern: str) -> tuple[list[str], str]:
    """The lines on stdout up to one that has the pattern, and what its group matched."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.search(pattern, line):
            return lines, found[1]
    raise AssertionError("".join(lines))


def end(process: "subprocess.Popen[str]", how: int) -> str:
    """The text that the process wrote to stderr until it ended."""
    process.send_signal(how)
    return process.communicate(timeout=60)[1]


def test_a_server_killed_in_the_middle_of_posts_loses_no_answer_and_stores_none_twice(
    study: Path,
) -> None:
    """Twenty threads send each answer until it is acknowledged; the server is killed twice."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {sheet: answers(study, sheet) for sheet in (1, 2, 3, 4)}
    jobs = [
        (sheet, one) for number in range(12) for sheet in own for one in own[sheet][number:][:1]
    ]
    acknowledged: set[tuple[int, int]] = set()
    lock = threading.Lock()
    first = start(study, "--port", str(port))
    _, overview = lines_until(first, r"/(r/[0-9a-f]{32}/)")
    links = _links(study)
    assert links.researcher == overview

    def send(job: tuple[int, dict[str, object]]) -> None:
        sheet, one = job
        while True:
            try:
                reply = post(port, links.participants[sheet], [one])
            except (OSError, HTTPException):
                time.sleep(0.02)
                continue
            assert reply.status == 200, reply.body
            with lock:
                acknowledged.add((sheet, int(str(one["position"]))))
            return

    with ThreadPoolExecutor(20) as pool:
        sent = pool.map(send, jobs)
        process = first
        for number in (len(jobs) // 4, len(jobs) // 2):
            while len(acknowledged) < number:
                time.sleep(0.005)
            with lock:
                before = set(acknowledged)
            process.kill()
            process.communicate()
            assert before <= _stored(study)
            process = start(study, "--port", str(port))
            lines_until(process, r"(Ctrl-C)")
        assert list(sent) == [None] * len(jobs)
    for sheet, given in own.items():
        session = SessionFiles(study).read(sheet)
        assert session
        assert [(each.position, each.choice) for each in session.answers] == [
            (each["position"], each["choice"]) for each in given
        ]
    assert "Traceback" not in end(process, signal.SIGINT)
    assert process.returncode == 130
    assert sorted(path.name for path in (study / "collected").iterdir()) == [
        ".lock",
        ".server",
        *(f"sheet-{sheet:03}.json" for sheet in own),
    ]


def test_links_and_progress_are_lines_of_json_for_programs(study: Path) -> None:
    process = start(study, "--port", "0", "--json")
    lines, _ = lines_until(process, r'("serving")')
    end(process, signal.SIGTERM)
    assert process.returncode == 143
    facts = [json.loads(line) for line in lines]
    assert [each["event"] for each in facts] == ["participant"] * 4 + ["serving"]
    assert {each["sheet"] for each in facts[:4]} == {1, 2, 3, 4}
    assert "/r/" in facts[4]["overview"]


def _links(study: Path) -> Links:
    return Links(
        secret=privacy.load_or_create_secret(study.with_name("study.secret"), shared_folder=study),
        study=page.study_digest(page.read(study)),
        sheets=4,
    )


def _stored(study: Path) -> set[tuple[int, int]]:
    return {
        (session.sheet, each.position)
        for _, session in SessionFiles(study).all()
        for each in session.answers
    }
