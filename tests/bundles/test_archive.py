"""Bundles that are not what was packed: each is refused in one line, and nothing is written."""

import json
import stat
import struct
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest
from kit import edited_bundle, report_run
from kit.commands import htbench

from htbench.bundles.archive import Archive
from htbench.bundles.pack import pack
from htbench.bundles.unpack import unpack
from htbench.core.errors import HtbenchError, Refused, UsageError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    run = report_run.build(
        tmp_path / "run",
        concepts=3,
        prompts=report_run.PROMPTS[:1],
        size=8,
        methods=("none", "prompt"),
    )
    return pack(run, tmp_path / "mine.bundle.zip").path


def problem(bundle: Path) -> str:
    """The one line in which a bundle is refused, of which nothing was written."""
    folder = bundle.parent / "unpacked"
    with pytest.raises(HtbenchError) as error:
        unpack(bundle, folder / "run")
    assert not folder.exists() or not list(folder.iterdir())
    assert "\n" not in str(error.value)
    return str(error.value)


def images(bundle: Path) -> list[str]:
    return [name for name in edited_bundle.read(bundle) if name.startswith("images/")]


@pytest.mark.parametrize(
    "name", ["../evil.png", "run/maps/../../../evil", "/etc/passwd", "C:\\evil", "images/", "x.py"]
)
def test_a_file_that_would_be_written_elsewhere(bundle: Path, name: str) -> None:
    assert "has no place in a bundle" in problem(edited_bundle.forge(bundle, {name: b""}))


def test_a_link(bundle: Path) -> None:
    entries = edited_bundle.read(bundle)
    link = ZipInfo(images(bundle)[0])
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    edited_bundle.write(bundle, {k: v for k, v in entries.items() if k != link.filename})
    with ZipFile(bundle, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "is a link" in problem(bundle)


def test_a_decompression_bomb(bundle: Path) -> None:
    entries = edited_bundle.read(bundle)
    name = images(bundle)[0]
    edited_bundle.write(bundle, {k: v for k, v in entries.items() if k != name})
    with ZipFile(bundle, "a", ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(1 << 26))
    assert "is compressed" in problem(bundle)


def test_files_that_lie_over_each_other(bundle: Path) -> None:
    entries = edited_bundle.read(bundle)
    big = {f"images/{k:032x}.png": bytes(1000) for k in range(2)}
    edited_bundle.write(bundle, {**entries, **big})
    data = bytearray(bundle.read_bytes())
    second = data.rindex(f"images/{1:032x}.png".encode()) - 46
    for at in (20, 24):
        struct.pack_into("<I", data, second + at, len(data))
    bundle.write_bytes(data)
    assert "more room" in problem(bundle)


def test_a_hundred_thousand_files_of_no_run(bundle: Path) -> None:
    files = {f"images/{k:032x}.png": b"" for k in range(100_000)}
    assert "one that no cell of the run has" in problem(edited_bundle.forge(bundle, files))


def test_two_files_of_one_name(bundle: Path) -> None:
    with ZipFile(bundle, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(ZipInfo("leaderboard.csv"), "")
    assert "is there twice" in problem(bundle)


def test_a_file_that_the_manifest_does_not_list(bundle: Path) -> None:
    extra = {f"images/{0:032x}.png": b""}
    assert "is not in the manifest" in problem(edited_bundle.edit(bundle, extra))


def test_a_file_that_is_gone(bundle: Path) -> None:
    entries = edited_bundle.read(bundle)
    del entries["run/tables/scores.jsonl"]
    edited_bundle.write(bundle, entries)
    assert "'run/tables/scores.jsonl' is in the manifest and not" in problem(bundle)


def test_a_table_that_is_gone_with_its_line_in_the_manifest(bundle: Path) -> None:
    edited_bundle.forge(bundle, {"run/tables/scores.jsonl": None})
    assert "it has no run/tables/scores.jsonl" in problem(bundle)


def test_an_image_that_is_gone_with_its_line_in_the_manifest(bundle: Path) -> None:
    name = images(bundle)[0]
    edited_bundle.forge(bundle, {name: None})
    assert f"image {name.removeprefix('images/')} is not in the bundle" in problem(bundle)


@pytest.mark.parametrize("name", ["run/tables/timings.jsonl", "leaderboard.csv"])
def test_a_changed_file_is_named(bundle: Path, name: str) -> None:
    data = edited_bundle.read(bundle)[name]
    edited_bundle.edit(bundle, {name: data.replace(b"1", b"2")})
    with Archive.open(bundle) as archive:
        assert archive.changed() == [name]


def test_an_image_in_place_of_another(bundle: Path) -> None:
    one, two = images(bundle)[:2]
    edited_bundle.forge(bundle, {one: edited_bundle.read(bundle)[two]})
    assert "has the bytes of another image" in problem(bundle)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'["id"]\n', "has other columns"),
        (b"{}\n", "is no list"),
        (b"[1,\n", "is no JSON"),
        (b"[" * 1000 + b"\n", "is no JSON"),
    ],
)
def test_a_table_that_is_none(bundle: Path, line: bytes, said: str) -> None:
    assert said in problem(edited_bundle.forge(bundle, {"run/tables/cells.jsonl": line}))


def test_a_row_of_another_type(bundle: Path) -> None:
    changes = edited_bundle.table(bundle, "cells", lambda row: row.update(seed="x"))
    assert "a row that no run has" in problem(edited_bundle.forge(bundle, changes))


def test_a_number_beyond_all_databases(bundle: Path) -> None:
    changes = edited_bundle.table(bundle, "cells", lambda row: row.update(seed=10**30))
    assert "a row that no run has" in problem(edited_bundle.forge(bundle, changes))


def test_a_cell_whose_image_has_no_row(bundle: Path) -> None:
    changes = edited_bundle.table(bundle, "cells", lambda row: row.update(image=f"x{row['image']}"))
    assert "refers to no row" in problem(edited_bundle.forge(bundle, changes))


def test_an_image_whose_name_leads_elsewhere(bundle: Path) -> None:
    changes = edited_bundle.table(bundle, "images", lambda row: row.update(file="../../x.png"))
    assert "is no name of an image" in problem(edited_bundle.forge(bundle, changes))


def test_an_impossible_score(bundle: Path) -> None:
    changes = edited_bundle.table(bundle, "scores", lambda row: row.update(value=1e300))
    assert "impossible values" in problem(edited_bundle.forge(bundle, changes))


@pytest.mark.parametrize("text", ["", "[]", '{"format": "other"}', "{", '{"files": {"x": "y"}}'])
def test_a_manifest_that_is_none(bundle: Path, text: str) -> None:
    assert "manifest.json" in problem(edited_bundle.edit(bundle, {"manifest.json": text.encode()}))


def test_a_manifest_of_another_version(bundle: Path) -> None:
    manifest = json.loads(edited_bundle.read(bundle)["manifest.json"])
    changed = json.dumps({**manifest, "version": 2}).encode()
    assert "version" in problem(edited_bundle.edit(bundle, {"manifest.json": changed}))


def test_half_a_bundle_is_none(bundle: Path) -> None:
    bundle.write_bytes(bundle.read_bytes()[:5000])
    assert "is no bundle" in problem(bundle)


def test_a_flipped_bit_is_found(bundle: Path) -> None:
    data = bytearray(bundle.read_bytes())
    data[data.index(b"\x89PNG") + 60] ^= 1
    bundle.write_bytes(data)
    assert "is not what was packed" in problem(bundle)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no bundle"):
        unpack(tmp_path / "mine.zip", tmp_path / "run")


def test_the_command_refuses_in_two_lines(bundle: Path, tmp_path: Path) -> None:
    edited_bundle.edit(bundle, {"leaderboard.csv": b""})
    answer = htbench("unpack", str(bundle), cwd=tmp_path)
    assert (answer.returncode, len(answer.stderr.splitlines())) == (Refused.exit_code, 2)
    assert "leaderboard.csv is not what was packed" in answer.stderr


def test_a_name_that_is_a_path_is_refused(bundle: Path, tmp_path: Path) -> None:
    answer = htbench("unpack", str(bundle), "--name", "../x", cwd=tmp_path)
    assert answer.returncode == 2
    assert "is no name of a run" in answer.stderr
