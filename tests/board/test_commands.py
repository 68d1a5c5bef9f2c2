"""`htbench board` and `htbench verify --record` as they are issued."""

import json
from pathlib import Path

import pytest
from kit import bundle_folder
from kit.commands import htbench, imports_torch

from htbench.bundles import verification_record
from htbench.bundles.pack import pack
from htbench.core import content


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    bundle_folder.add(folder / "bundles", "mine")
    return folder


def test_a_board_is_built_in_the_folder_site(made: Path) -> None:
    answer = htbench("board", "bundles", cwd=made)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("Board: site/index.html (1 bundle, 1 leaderboard, 2 methods, ")
    assert (made / "site" / "index.html").is_file()


def test_a_file_that_is_left_out_is_named_and_the_code_is_3(made: Path, tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "a.zip").write_text("\x1b[31m")
    data = (made / "bundles" / "mine.bundle.zip").read_bytes()
    (tmp_path / "bundles" / "mine.zip").write_bytes(data)
    answer = htbench("board", "bundles", "--json", cwd=tmp_path)
    assert answer.returncode == 3
    assert "htbench: left out: a.zip: bundle 'bundles/a.zip' is no bundle" in (
        answer.stderr.replace("bundle bundle", "bundle")
    )
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [each["event"] for each in events] == ["left out", "board"]
    assert events[1]["bundles"] == 1


def test_an_empty_folder_is_a_mistake(tmp_path: Path) -> None:
    answer = htbench("board", str(tmp_path), cwd=tmp_path)
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 2
    assert not (tmp_path / "site").exists()


def test_a_board_needs_no_torch(made: Path, tmp_path: Path) -> None:
    assert not imports_torch("board", str(made / "bundles"), "--out", str(tmp_path / "site"))
    assert (tmp_path / "site" / "index.html").is_file()


def test_verify_leaves_a_record_of_its_findings_beside_the_bundle(
    made: Path, tmp_path: Path
) -> None:
    bundle = pack(made / "runs" / "mine", tmp_path / "small.zip", with_pictures=False).path
    answer = htbench("verify", "small.zip", "--again", "0", "--seed", "5", "--record", cwd=tmp_path)
    record = verification_record.read(bundle, sha256=content.full_file_digest(bundle))
    printed = [line[2:] for line in answer.stdout.splitlines() if line[:2] in ("✓ ", "✗ ", "– ")]
    assert [each.what for each in record.findings] == printed
    assert (record.seed, record.again) == (5, 0)
    assert (answer.returncode == 5) == (record.count("differs") > 0)
    assert "Record: small.zip.verification.json" in answer.stdout


def test_verify_leaves_nothing_without_being_asked(made: Path, tmp_path: Path) -> None:
    pack(made / "runs" / "mine", tmp_path / "small.zip", with_pictures=False)
    htbench("verify", "small.zip", "--again", "0", cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["small.zip"]
