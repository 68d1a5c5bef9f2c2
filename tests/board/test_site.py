"""The folder of a board: the same bytes each time, whole or not at all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kit import bundle_folder

from htbench.board import site
from htbench.core.errors import UsageError


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "bundles"
    for name, made in (("a", "2026-02-01"), ("b", "2026-04-01"), ("c", "2026-04-01")):
        bundle_folder.add(folder, name, made=made, version="2" if name == "c" else "1")
    return folder


@pytest.fixture(scope="module")
def board(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.build(bundles, tmp_path_factory.mktemp("board") / "site").page.parent


def test_the_same_bundles_give_the_same_bytes_wherever_and_whenever(
    bundles: Path, board: Path, tmp_path: Path
) -> None:
    for name in sorted((path.name for path in bundles.iterdir()), reverse=True):
        shutil.copyfile(bundles / name, tmp_path / name)
        os.utime(tmp_path / name, (0, 0))
    settings = {
        "LC_ALL": "tr_TR.UTF-8",
        "LANG": "tr_TR.UTF-8",
        "TZ": "Pacific/Auckland",
        "PYTHONHASHSEED": "77",
        "OMP_NUM_THREADS": "3",
    }
    command = [sys.executable, "-m", "htbench", "board", str(tmp_path), "--out", "site"]
    there = tmp_path / "there"
    there.mkdir()
    answer = subprocess.run(
        command,
        cwd=there,
        env={**os.environ, **settings},
        check=False,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert files(there / "site") == files(board)


def test_an_earlier_board_is_replaced_and_nothing_else_is_left(
    bundles: Path, board: Path, tmp_path: Path
) -> None:
    shutil.copytree(board, tmp_path / "site")
    (tmp_path / "site" / "methods" / "gone.html").write_text("of a former bundle")
    site.build(bundles, tmp_path / "site")
    assert files(tmp_path / "site") == files(board)
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.parametrize("name", ["index.html", "thesis.tex", ".git"])
def test_a_folder_that_holds_something_else_is_left_as_it_is(
    bundles: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / name).write_text("mine")
    with pytest.raises(UsageError, match="not of a board"):
        site.build(bundles, tmp_path / "site")
    assert files(tmp_path) == {f"site/{name}": b"mine"}


def test_a_file_of_ones_own_in_a_board_is_not_lost(
    bundles: Path, board: Path, tmp_path: Path
) -> None:
    shutil.copytree(board, tmp_path / "site")
    (tmp_path / "site" / "CNAME").write_text("mine")
    with pytest.raises(UsageError, match="holds 'CNAME'"):
        site.build(bundles, tmp_path / "site")
    assert (tmp_path / "site" / "CNAME").read_text() == "mine"


def test_nothing_is_written_where_no_bundle_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "a.zip").write_text("x")
    with pytest.raises(UsageError):
        site.build(tmp_path / "bundles", tmp_path / "site")
    assert [path.name for path in tmp_path.iterdir()] == ["bundles"]


def test_a_folder_that_cannot_be_written_is_told(bundles: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot write board"):
        site.build(bundles, tmp_path / "file" / "site")
