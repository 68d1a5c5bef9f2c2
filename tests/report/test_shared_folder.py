"""Reports of one folder: several at once, links among its pictures, full disks, hostile names."""

import csv
import errno
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from kit import report_run

from htbench import report
from htbench.core.errors import Missing, Refused, UsageError
from htbench.report import leaderboard_files
from htbench.report.serve import LiveReport, make_server
from htbench.run import check, export
from htbench.run.store import Store
from htbench.run.summary import Summary

SMALL: dict[str, Any] = {
    "methods": ("none", "linear-act"),
    "concepts": 2,
    "prompts": report_run.PROMPTS[:1],
    "strengths": (0.0, 1.0),
    "size": 8,
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return report_run.build(tmp_path / "run", **SMALL)


def test_several_reports_at_once_leave_one_that_is_whole(run: Path) -> None:
    alone = report.write_folder(run)
    files = {path.name: path.read_bytes() for path in alone.parent.rglob("*") if path.is_file()}
    command = [sys.executable, "-m", "htbench", "report", str(run), "--folder"]
    processes = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(3)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0, 0]
    assert files == {
        path.name: path.read_bytes() for path in alone.parent.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd"])
def test_links_out_of_the_folder_of_pictures_are_not_followed(run: Path, target: str) -> None:
    image = next((run / "images").iterdir())
    image.unlink()
    image.symlink_to(target)
    assert b"root:" not in report.write(run).read_bytes()
    assert any("not what was written" in each.what for each in check.check(run).findings)
    assert LiveReport(folder=run).read(f"images/{image.name}") is None
    page = report.write_folder(run)
    assert not (page.parent / "pictures" / image.name).exists()
    with Store.read(run) as store:
        export.write(Summary(store), run / "out", "datasets")


def test_a_name_of_a_picture_that_leads_elsewhere_is_not_followed(run: Path) -> None:
    (run / "secret.png").write_bytes(b"secret")
    with sqlite3.connect(run / "run.sqlite") as database:
        database.execute("UPDATE images SET file = '../secret.png'")
    with Store.read(run) as store, pytest.raises((UsageError, Missing)):
        store.image_bytes("../secret.png")


def test_a_full_disk_is_called_one_by_reading_commands(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Missing, match="no space left"):
        report.write(run)


def test_a_run_on_a_disk_without_room_beside_it_is_read(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def refuse(address: Any, *rest: Any, **options: Any) -> sqlite3.Connection:
        if "mode=rw" in str(address):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return connect(address, *rest, **options)

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with Store.read(run) as store:
        assert store.count() == 6
    (run / "run.sqlite-wal").write_bytes(b"newer rows")
    with pytest.raises(Refused, match="disk I/O error"):
        Store.read(run)


def test_exports_to_one_folder_do_not_mix(run: Path, tmp_path: Path) -> None:
    with Store.read(run) as store:
        files = export.write(Summary(store), tmp_path / "out", "parquet")
        assert all(file.is_file() for file in files)
        with pytest.raises(UsageError, match="is not empty"):
            export.write(Summary(store), tmp_path / "out", "parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_method_named_like_a_formula_is_quoted_in_csv_alone(tmp_path: Path) -> None:
    name = '=HYPERLINK("http://x";1)'
    run = report_run.build(tmp_path / "run", **{**SMALL, "methods": ("none", name)})
    report.write(run)
    with (run / "leaderboard.csv").open(newline="") as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"none", f"'{name}"}
    with Store.read(run) as store:
        assert name in {row["method"] for row in leaderboard_files.rows(Summary(store))}


def test_a_browser_that_breaks_off_prints_nothing(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = LiveReport(folder=run)
    live.files = {"": b"x" * 50_000_000}
    with make_server(live, 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for request in (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", b"GET / HT", b""):
            with socket.create_connection(server.server_address[:2]) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.sendall(request)
        with socket.create_connection(server.server_address[:2]) as client:
            client.sendall(b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 404")
        server.shutdown()
    assert capsys.readouterr().err == ""


def test_more_connections_than_are_allowed_are_told_to_wait(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("htbench.report.serve.MAX_CONNECTIONS", 2)
    with make_server(LiveReport(folder=run), 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        clients = [socket.create_connection(server.server_address[:2]) for _ in range(3)]
        clients[2].settimeout(20)
        assert clients[2].makefile("rb").read().startswith(b"HTTP/1.1 503 ")
        for client in clients:
            client.close()
        server.shutdown()
