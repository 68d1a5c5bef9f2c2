"""Folders of bundles: what stands on a board, and one line for whatever cannot."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import bundle_folder, edited_bundle

from htbench.board import collection
from htbench.bundles import verification_record
from htbench.bundles.findings import holds
from htbench.core.errors import UsageError


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_folder.add(tmp_path_factory.mktemp("good") / "bundles", "good")


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    (tmp_path / "bundles").mkdir()
    shutil.copy(good, tmp_path / "bundles" / "good.zip")
    return tmp_path / "bundles"


def text(folder: Path) -> None:
    (folder / "bad").write_text("read me")


def empty(folder: Path) -> None:
    (folder / "bad").write_bytes(b"")


def cut_short(folder: Path) -> None:
    (folder / "bad").write_bytes((folder / "good.zip").read_bytes()[:5000])


def with_a_changed_table(folder: Path) -> None:
    shutil.copy(folder / "good.zip", folder / "bad")
    edited_bundle.edit(folder / "bad", {"run/tables/scores.jsonl": b"[]\n"})


def of_another_version(folder: Path) -> None:
    shutil.copy(folder / "good.zip", folder / "bad")
    manifest = json.loads(edited_bundle.read(folder / "bad")["manifest.json"])
    changed = json.dumps({**manifest, "version": 2}).encode()
    edited_bundle.edit(folder / "bad", {"manifest.json": changed})


def with_tables_of_another_version(folder: Path) -> None:
    shutil.copy(folder / "good.zip", folder / "bad")
    edited_bundle.forge(folder / "bad", {"run/tables/cells.jsonl": b'["id","what"]\n'})


def twice(folder: Path) -> None:
    shutil.copy(folder / "good.zip", folder / "hbad")


def a_link_to_nothing(folder: Path) -> None:
    (folder / "bad").symlink_to(folder / "nothing")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (text, "is no bundle"),
        (empty, "is no bundle"),
        (cut_short, "is no bundle"),
        (with_a_changed_table, "it has another digest"),
        (of_another_version, "version: Input should be 1, not '2'"),
        (with_tables_of_another_version, "table cells has other columns"),
        (twice, "it has the bytes of 'good.zip'"),
        (a_link_to_nothing, "no bundle"),
    ],
)
def test_a_file_that_cannot_stand_there_has_a_line_and_the_others_stand(
    folder: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(folder)
    read = collection.collect(folder)
    assert [each.name for each in read.entries] == ["good.zip"]
    (problem,) = read.problems
    assert problem.file in ("bad", "hbad")
    assert reason in problem.reason
    assert "\n" not in problem.reason


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="no bundle in"):
        collection.collect(tmp_path)


def test_a_folder_without_one_good_bundle_is_refused_with_the_first_reason(tmp_path: Path) -> None:
    text(tmp_path)
    with pytest.raises(UsageError, match=r"can be read; .* is no bundle"):
        collection.collect(tmp_path)


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be read"):
        collection.collect(tmp_path / name)


def test_evidence_beside_a_bundle_is_no_bundle(folder: Path) -> None:
    digest = collection.collect(folder).entries[0].sha256
    verification_record.write(folder / "good.zip", [holds("a")], sha256=digest, seed=1, again=0)
    read = collection.collect(folder)
    assert read.problems == []
    assert read.entries[0].mark.verdict == "holds"


def test_evidence_of_other_bytes_has_a_line_and_the_bundle_stands_without_it(folder: Path) -> None:
    verification_record.write(folder / "good.zip", [holds("a")], sha256="1" * 64, seed=1, again=0)
    read = collection.collect(folder)
    assert read.entries[0].mark.verdict == "none"
    assert "is of another bundle" in read.problems[0].reason


def test_hidden_files_and_folders_are_not_read(folder: Path) -> None:
    (folder / ".hidden").write_text("x")
    (folder / "good-report").mkdir()
    assert collection.collect(folder).problems == []


def test_the_latest_bundle_is_first(tmp_path: Path) -> None:
    for name, made in (("a", "2026-02-01"), ("b", "2026-04-01"), ("c", "2026-03-01")):
        bundle_folder.add(
            tmp_path / "bundles", name, made=made, concepts=2, methods=("none", "prompt")
        )
    read = collection.collect(tmp_path / "bundles")
    assert [each.name[0] for each in read.entries] == ["b", "c", "a"]
