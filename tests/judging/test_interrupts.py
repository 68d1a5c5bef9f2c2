"""Signals while calls are in flight, and several judges at once on one run."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import judged_run
from kit.judge_servers import Ask, Endpoint, completion, serving
from kit.judge_wire import Request, response, serving_wire

from htbench.judging.ledger import Ledger

CONCURRENCY = 4


def command(folder: Path, *words: str) -> list[str]:
    judge = ["--judge", str(folder / "judge"), "--criterion", "presence", "--controls", "0"]
    more = ["--runs-dir", str(folder), "--concurrency", str(CONCURRENCY), "--no-calibrate"]
    return [sys.executable, "-m", "htbench", "judge", "run", *judge, *more, *words]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    judged_run.build(tmp_path / "run", methods=("none", "good"), concepts=12)
    return tmp_path


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_after_a_signal_calls_in_flight_are_answered_and_none_is_lost(
    number: signal.Signals, code: int, folder: Path
) -> None:
    def slowly(place: int, ask: Ask) -> None:
        time.sleep(0.0 if place < 4 else 1.0)

    with serving(Endpoint(ill=slowly)) as endpoint:
        judged_run.card(folder / "judge", endpoint.url, timeout=30.0)
        process = subprocess.Popen(command(folder), stderr=subprocess.PIPE, text=True)
        while endpoint.calls < 6:
            time.sleep(0.02)
        process.send_signal(number)
        _, shown = process.communicate(timeout=30)
        sent = endpoint.calls
    assert (process.returncode, "Traceback" in shown) == (code, False)
    assert "interrupted; what was finished is kept" in shown
    with Ledger.read(folder / "run") as ledger:
        (id_,) = ledger.tournaments()
        assert ledger.outcomes(id_) == {"answered": sent}
    assert sent < 12 * 2


def test_calls_that_take_too_long_after_a_signal_are_given_up_and_charged(folder: Path) -> None:
    def silent(request: Request) -> Iterator[bytes]:
        if b"in red" in request.body or len(server.requests) < 3:
            yield response(completion("A"))
        else:
            time.sleep(60)

    with serving_wire(silent) as server:
        judged_run.card(folder / "judge", server.url, timeout=120.0)
        process = subprocess.Popen(command(folder), stderr=subprocess.PIPE, text=True)
        while server.chats < CONCURRENCY + 1:
            time.sleep(0.02)
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=30)
        sent = server.chats
    assert 4 < time.monotonic() - began < 15
    assert (process.returncode, "Traceback" in shown) == (130, False)
    with Ledger.read(folder / "run") as ledger:
        assert ledger.model_usage("scripted").requests == sent
        (id_,) = ledger.tournaments()
        assert ledger.outcomes(id_)["timeout"] == CONCURRENCY


def test_of_five_judges_at_once_each_works_or_is_told_to_wait_and_no_call_is_paid_twice(
    folder: Path,
) -> None:
    with serving(Endpoint()) as endpoint:
        judged_run.card(folder / "judge", endpoint.url)
        processes = [
            subprocess.Popen(command(folder), stderr=subprocess.PIPE, text=True) for _ in range(5)
        ]
        shown = [process.communicate(timeout=120)[1] for process in processes]
        counts = dict(endpoint.replies)
    codes = [process.returncode for process in processes]
    assert 0 in codes
    assert set(codes) <= {0, 2}
    for code, text in zip(codes, shown, strict=True):
        assert ("being judged by another process" in text) == (code == 2)
    assert sorted(counts.values()) == [1] * 24
    with Ledger.read(folder / "run") as ledger:
        assert ledger.model_usage("scripted").requests == 24
        (id_,) = ledger.tournaments()
        assert ledger.outcomes(id_) == {"answered": 24}
    assert not list((folder / "run" / "judged").glob(".*"))
