"""Files that are not there, not text, too large, too deep, or lead out of their folder."""

import os
from pathlib import Path

import pytest

from htbench.core import reading
from htbench.core.errors import UnknownName, UsageError
from htbench.core.reading import Malformed, UnreadableFile


def _mistyped(folder: Path) -> Path:
    (folder / "votes.csv").write_text("a\n")
    return folder / "vots.csv"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def _bytes(data: bytes, name: str = "file.txt") -> "object":
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (_mistyped, UnknownName, "did you mean 'votes.csv'"),
        (lambda folder: folder / "none" / "votes.csv", UsageError, "no file"),
        (lambda folder: folder, UnreadableFile, "is a folder"),
        (lambda folder: Path("/dev/zero"), UnreadableFile, "not a regular file"),
        (_pipe, UnreadableFile, "not a regular file"),
        (lambda folder: folder / ("a" * 5000), UnreadableFile, "too long"),
        (lambda folder: folder / "a\0b", UnreadableFile, "null"),
        (_bytes(b"PK\x03\x04rest"), UnreadableFile, "ZIP archive or a spreadsheet"),
        (_bytes(b"\x1f\x8brest"), UnreadableFile, "gzip"),
        (_bytes(b"\x89PNG\r\n"), UnreadableFile, "a picture"),
        (_bytes(b"SQLite format 3\x00"), UnreadableFile, "a database"),
        (_bytes(b"a\x00\x00\x00\x00b"), UnreadableFile, "is no text"),
        (_bytes("né".encode("latin-1")), UnreadableFile, "is not UTF-8"),
    ],
)
def test_a_file_that_is_no_text_is_told_in_one_line(
    make, kind: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=words) as caught:
        reading.read_text(make(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_text_is_read_in_any_unicode_encoding(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("item,vote é\n1,left\n".encode(encoding))
    assert reading.read_text(tmp_path / "a.csv") == "item,vote é\n1,left\n"
    with reading.open_text(tmp_path / "a.csv") as file:
        assert file.readline() == "item,vote é\n"


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(UnreadableFile, match="a link out of"):
        reading.read_bytes(tmp_path / "folder" / "link", within=tmp_path / "folder")


def test_a_file_beyond_the_limit_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UnreadableFile, match="larger than 64 MiB"):
        reading.read_bytes(tmp_path / "huge")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 65 + "]" * 65,
        '{"a":' * 100_000,
        "1e999",
        "NaN",
        "-Infinity",
        "1" * 5000,
        "1" * 401,
        '{"a": 1',
        "",
    ],
    ids=lambda text: text[:8],
)
def test_json_beyond_the_limits_is_malformed(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        reading.parse_json(text)
    assert len(str(caught.value)) < 300


def test_json_within_the_limits_is_as_the_standard_library_reads_it() -> None:
    text = '{"a": [1, 2.5, true, null, "[[[", "\\u00e9"], "b": {"c": "x"}}'
    expected = {"a": [1, 2.5, True, None, "[[[", "é"], "b": {"c": "x"}}
    assert reading.parse_json(text) == expected
    assert reading.parse_json("[" + "[]," * 1000 + "[]]") == [[]] * 1001


def test_a_lone_surrogate_becomes_a_character_that_can_be_stored() -> None:
    assert reading.parse_json('{"a": "x\\ud800y", "b": "\\ud83d\\ude00"}') == {
        "a": "x\ufffdy",
        "b": "😀",
    }


@pytest.mark.parametrize(
    "text",
    ["a = inf", "a = nan", "a = " + "1" * 401, "a = " + "[" * 65 + "]" * 65, "a" + ".a" * 65, "a"],
    ids=lambda text: text[:8],
)
def test_toml_beyond_the_limits_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        reading.parse_toml(text if "=" in text else f"{text} = 1" if "." in text else text)


def test_a_broken_line_of_json_lines_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n{"a": }\n')
    lines = reading.json_lines(tmp_path / "a.jsonl")
    assert next(lines) == (1, {"a": 1})
    with pytest.raises(UnreadableFile, match="line 3 of file"):
        next(lines)


@pytest.mark.parametrize(
    "lines",
    [
        [b'[1,"a",null,-0.5e-3]', b"[]", b'["\xc3\xa9"]', b"[true]"],
        [b'["\\ud800 and \\u00e9"]', b"[2]"],
    ],
)
def test_flat_lists_are_parsed_at_once_as_one_by_one(lines: list[bytes]) -> None:
    assert reading.parse_flat_lists(lines) == [reading.parse_json(line) for line in lines]


@pytest.mark.parametrize(
    "lines",
    [
        [b"[1", b"2]"],
        [b"[1],[2]", b""],
        [b"[[1]]"],
        [b'["a]', b'[b"]'],
        [b'["a],[b"]'],
        [b'[{"a":1}]'],
        [b"[1]", b"[2] x"],
        [b" [1]"],
        [b"[1,NaN]"],
        [b"[%b.0]" % (b"1" * 310)],
        [b"[10.1e+0308]"],
        [b"[1e999]"],
        [b"[" + b"1" * 5000 + b"]"],
        [b"[1]", b"]["],
        [b"\xff[1]"],
        [],
    ],
)
def test_lines_that_may_be_anything_else_are_not_parsed_at_once(lines: list[bytes]) -> None:
    assert not reading.parse_flat_lists(lines)
