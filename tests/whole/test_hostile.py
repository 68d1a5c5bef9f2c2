"""Mangled plans, cards, concept files and stores: one line and an exit code, never a traceback."""

import errno
import json
import os
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit import report_run
from kit.commands import htbench
from kit.fuzzed import CARD, PLAN

from htbench import __main__, report
from htbench.core import content
from htbench.core.errors import HtbenchError, Missing, Refused, UsageError
from htbench.run import check, plan, runner
from htbench.run.store import Store
from htbench.steering import baseline, concept

FUZZ = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
NAMES = [
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "x" * 10_000,
    "🍋" * 50,
    "a\0b",
    "\x1b[31mred\x1b[0m",
    "[bold]rich[/bold]",
    "pipe|\nline",
    "'; DROP TABLE cells; --",
]
ROW = {
    "id": "companion/lemon",
    "kind": "companion",
    "split": "test",
    "text": "with lemon",
    "template": "{prompt} with lemon",
}
mangled = st.tuples(
    st.integers(0, 10_000),
    st.integers(0, 40),
    st.binary(max_size=30) | st.sampled_from([b"[" * 5000, b"1e999", b"\x00", b"9" * 5000, b"{}"]),
)


def _mangle(data: bytes, change: tuple[int, int, bytes]) -> bytes:
    at, cut, put = change
    at %= len(data) + 1
    return data[:at] + put + data[at + cut :]


def _tolerate(work: Callable[[], object]) -> None:
    """Do the work; an error that a user can mend is fine."""
    with suppress(UsageError, Refused, Missing):
        work()


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.floats() | st.text(), max_size=3)
)


@FUZZ
@given(mangled)
def test_a_mangled_plan_is_a_plan_or_refused(change: tuple[int, int, bytes]) -> None:
    path = Path(os.environ["PYTEST_FOLDER"]) / "plan.toml"
    path.write_bytes(_mangle(PLAN.encode(), change))

    def work() -> None:
        read = plan.read(str(path))
        plan.resolve(plan.build(read))
        plan.run_options(read)

    _tolerate(work)


@FUZZ
@given(st.dictionaries(st.sampled_from(list(plan.Plan.model_fields)), VALUES))
def test_any_values_make_a_plan_or_are_refused(values: dict[str, object]) -> None:
    _tolerate(lambda: plan.resolve(plan.build(values)))


@FUZZ
@given(mangled)
def test_a_mangled_card_is_a_card_or_refused(change: tuple[int, int, bytes]) -> None:
    path = Path(os.environ["PYTEST_FOLDER"]) / "card.toml"
    path.write_bytes(_mangle(CARD.encode(), change))
    _tolerate(lambda: baseline.load_card(str(path)).digest)


@FUZZ
@given(st.sampled_from(["concepts.jsonl", "prompts.jsonl", "card.toml"]), mangled)
def test_a_mangled_concept_set_is_a_concept_set_or_refused(
    file: str, change: tuple[int, int, bytes]
) -> None:
    folder = Path(os.environ["PYTEST_FOLDER"]) / "concepts" / "own"
    data = _concept_set(folder)[file]
    (folder / file).write_bytes(_mangle(data, change))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "folder", lambda name: folder.parent.parent / name)
        _tolerate(lambda: concept.load("own").select("test"))


@FUZZ
@given(mangled)
def test_a_mangled_store_is_read_or_refused(change: tuple[int, int, bytes]) -> None:
    fuzz = Path(os.environ["PYTEST_FOLDER"])
    whole, copy = fuzz / "whole", fuzz / "copy"
    if not whole.exists():
        report_run.build(whole, methods=("none", "prompt"), concepts=2, prompts=["a cat"], size=8)
    copytree(whole, copy, dirs_exist_ok=True)
    data = (whole / "run.sqlite").read_bytes()
    at, cut, put = change
    (copy / "run.sqlite").write_bytes(_mangle(data, (at * len(data) // 10_000, cut * 50, put)))
    for work in (check.check, report.write, _open):
        _tolerate(lambda work=work: work(copy))


def _open(folder: Path) -> None:
    with Store.open(folder) as store:
        store.drop_missing_images()
        store.cells(store.pending())


@pytest.fixture(autouse=True, scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["PYTEST_FOLDER"] = str(tmp_path_factory.mktemp("fuzz"))


def _concept_set(folder: Path) -> dict[str, bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "card.toml": b'name = "own"\nversion = "1"\nlicence = "l"\nabout = "a"\n',
        "concepts.jsonl": b"".join(
            json.dumps({**ROW, "id": f"c{k}"}).encode() + b"\n" for k in range(3)
        ),
        "prompts.jsonl": b'{"text": "cat", "use": "fit"}\n{"text": "dog", "use": "evaluation"}\n',
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return files


COMMANDS = [
    ["run"],
    ["run", "--method"],
    ["run", "--concepts"],
    ["run", "--model"],
    ["report"],
    ["show", "concept"],
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_hostile_name_is_refused_in_printable_lines(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in COMMANDS:
        monkeypatch.setattr(sys, "argv", ["htbench", *words, name])
        with pytest.raises(SystemExit) as stop:
            __main__.main()
        errors = capsys.readouterr().err
        assert stop.value.code in (2, 4)
        assert len(errors) < 2500
        assert not {"\x1b", "\0"} & set(errors)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_concept_of_any_name_reaches_no_path_and_the_page_escaped(
    name: str, toy_plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped, folder = content.folder, tmp_path / "concepts" / "own"
    monkeypatch.setattr(
        content, "folder", lambda kind: tmp_path / kind if kind == "concepts" else shipped(kind)
    )
    _concept_set(folder)
    row = {**ROW, "id": name[:200], "text": name, "kind": name, "template": name + " {prompt}"}
    (folder / "concepts.jsonl").write_text(json.dumps(row) + "\n")
    settings = {"model": "toy", "concept_set": "own", "methods": ["prompt"], "prompts": 1}
    run = tmp_path / "runs" / "run"
    runner.run(plan.build(settings, {"batch": 2}), run)
    assert "<script>alert" not in report.write(run).read_text()
    expected = {"run", "index.html", ".index.lock"}
    assert {path.name for path in (tmp_path / "runs").iterdir()} == expected
    suffixes = {".sqlite", ".png", ".safetensors", ".html", "", ".json", ".csv", ".md", ".lock"}
    assert {path.suffix for path in run.rglob("*") if path.is_file()} <= suffixes


def test_an_offline_run_opens_no_socket(
    toy_plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    methods = {"methods": ["prompt", "hypertransport"]}
    small = {"limit": 1, "prompts": 1, "strengths": [1.0]}
    runner.run(plan.build(methods, small), tmp_path / "run")
    report.write(tmp_path / "run")


def test_a_folder_where_nothing_can_be_made_is_one_line(tmp_path: Path) -> None:
    answer = htbench("run", "--method", "prompt", "--runs-dir", "/proc/htbench")
    assert (
        answer.returncode,
        answer.stderr.startswith("htbench: cannot write run folder"),
        answer.stderr.count("\n"),
    ) == (2, True, 2)


def test_a_store_that_another_process_writes_is_one_line(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run"):
        answer = htbench("run", "--method", "prompt", "--runs-dir", str(tmp_path), "--name", "run")
    assert (
        answer.returncode,
        "is being written by another process" in answer.stderr,
        answer.stderr.count("\n"),
    ) == (2, True, 2)


def test_a_damaged_image_is_one_line_of_check(tmp_path: Path) -> None:
    folder = _one_image(tmp_path / "mine")
    next((folder / "images").glob("*.png")).write_bytes(b"half")
    answer = htbench("check", "mine", "--runs-dir", str(tmp_path))
    assert (
        answer.returncode,
        "is not what was written" in answer.stdout,
        answer.stderr.count("\n"),
    ) == (5, True, 2)


def _one_image(folder: Path) -> Path:
    """A run of one image."""
    return report_run.build(folder, methods=("none",), concepts=1, prompts=["a cat"], size=8)


def _small_database(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def limited(*arguments: Any, **options: Any) -> sqlite3.Connection:
        database = connect(*arguments, **options)
        database.execute("PRAGMA max_page_count = 40")
        return database

    monkeypatch.setattr(sqlite3, "connect", limited)


def _small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    write, left = Path.write_bytes, iter(range(20))

    def limited(path: Path, data: bytes) -> int:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", limited)


@pytest.mark.parametrize("full", [_small_database, _small_disk])
def test_a_full_disk_is_one_line_and_keeps_what_was_done(
    full: Callable[[pytest.MonkeyPatch], None],
    toy_plugins: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = "htbench run --model toy --method prompt --prompts 20 --limit 5 --name run"
    monkeypatch.setattr(sys, "argv", [*command.split(), "--runs-dir", str(tmp_path)])
    with monkeypatch.context() as patched:
        full(patched)
        with pytest.raises(SystemExit) as stop:
            __main__.main()
    assert (stop.value.code, "no space left" in capsys.readouterr().err) == (4, True)
    with Store.read(tmp_path / "run") as store:
        assert store.select("PRAGMA integrity_check") == [("ok",)]


@contextmanager
def _unwritable(folder: Path) -> Iterator[None]:
    """Make the folder read-only for a while, even for root, who is another user meanwhile."""
    parts = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for part in parts:
        part.chmod(0o555)
    root = os.getuid() == 0
    if root:
        os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        if root:
            os.setresuid(0, 0, 0)
        for part in parts:
            part.chmod(0o755)


def test_a_run_on_a_medium_that_cannot_be_written_is_checked_and_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        copytree(content.folder("reports"), Path(name) / "reports")  # where nobody may read it
        monkeypatch.setattr(content, "folder", lambda kind: Path(name) / kind)
        folder = _one_image(Path(name) / "run")
        with _unwritable(folder):
            assert check.check(folder).done == 1
            with pytest.raises(HtbenchError, match="cannot write"):
                report.write(folder)
            with pytest.raises(HtbenchError, match="cannot write"):
                Store.open(folder)
