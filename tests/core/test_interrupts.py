"""Signals at any moment: one line, 130 or 143, and work that was begun is finished."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import sys, time
from htbench import __main__, cli
def work(**_):
    print("ready", flush=True)
    time.sleep(30)
cli.app = work
__main__.main()
"""
FINISHES = """
import sys, time
from htbench import __main__, cli
from htbench.core import interrupts
def work(**_):
    with interrupts.deferred() as is_over:
        print("ready", flush=True)
        while not is_over():
            time.sleep(0.01)
        print("finished", flush=True)
cli.app = work
__main__.main()
"""


IMPORTS = """
from htbench import __main__
from htbench.core import interrupts
install = interrupts.install
interrupts.install = lambda: (install(), print("ready", flush=True))
__main__.main()
"""


def _signalled(script: str, *signals: int) -> tuple[int, str, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    begun = process.stdout.readline()
    for number in signals:
        process.send_signal(number)
        time.sleep(0.05)
    rest, errors = process.communicate(timeout=20)
    return process.returncode, begun + rest, errors


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_a_signal_ends_a_command_in_one_line(number: int, code: int) -> None:
    returned, _, errors = _signalled(SCRIPT, number)
    assert (returned, errors.count("\n"), errors.startswith("htbench: interrupted")) == (
        code,
        2,
        True,
    )


def test_work_that_was_begun_is_finished_first() -> None:
    code, out, _ = _signalled(FINISHES, signal.SIGTERM)
    assert (code, out) == (143, "ready\nfinished\n")


def test_a_second_signal_ends_at_once_without_a_traceback() -> None:
    code, _, errors = _signalled(
        FINISHES.replace("while not is_over()", "while True"), signal.SIGINT, signal.SIGINT
    )
    assert (code, "Traceback" in errors) == (130, False)


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2])
def test_a_signal_while_the_command_line_is_imported_is_no_traceback(delay: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", IMPORTS, "list", "methods"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    process.stdout.readline()
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors


def test_output_that_is_closed_or_cannot_hold_a_character_ends_in_no_traceback(
    tmp_path: Path,
) -> None:
    command = f"cd {tmp_path} && {sys.executable} -m htbench list methods"
    for shell in (f"{command} >&-", f"LC_ALL=C PYTHONIOENCODING=ascii {command}"):
        ended = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
        assert (ended.returncode, "Traceback" in ended.stderr) == (0, False), ended.stderr
