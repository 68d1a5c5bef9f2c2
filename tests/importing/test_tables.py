"""Tables of pictures: every wrong row is one line, and long tables cost no memory."""

import json
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image

from htbench.core.errors import UsageError
from htbench.importing import tables
from htbench.importing.importer import ImportSettings, import_rows
from htbench.importing.rows import PictureRow, RowReader

HEAD = "file,method,concept,prompt,seed,strength\n"


def read(path: Path, text: str | bytes, root: Path | None = None) -> list[PictureRow]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(tables.read(path, RowReader(root=root or path.parent, fixed={})))


def test_semicolons_and_json_lines_give_the_same_rows(tmp_path: Path) -> None:
    values = {"file": "ä b.png", "method": "mine", "concept": "red", "prompt": "cat", "seed": 3}
    line = ";".join(map(str, values.values()))
    table = read(tmp_path / "a.csv", f"{';'.join(values)}\n{line}\n")
    lines = read(tmp_path / "a.jsonl", json.dumps(values) + "\n\n")
    assert [(row.file, row.method, row.seed, row.strength) for row in table] == [
        (row.file, row.method, row.seed, row.strength) for row in lines
    ]


def test_what_a_row_leaves_out_has_a_default(tmp_path: Path) -> None:
    (row,) = read(tmp_path / "a.csv", f"{HEAD}a.png,mine,red,cat,,\n")
    assert (row.seed, row.strength, row.step, row.seconds) == (0, 1.0, -1, None)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a.png,,red,cat,0,1", "row 2: method is empty"),
        ("a.png,mine,,cat,0,1", "row 2: concept is empty"),
        ("a.png,mine,red,cat,-1,1", "seed '-1' is not a whole number"),
        ("a.png,mine,red,cat,0,much", "strength 'much' is not a number"),
        ("a.png,mine,red,cat,0,nan", "strength 'nan' is not a number"),
        ("a.png,mine,red,cat,0,11", "strength 11 is not within"),
        ("a.png,mine,red,cat,0,1,9", "more than 6 fields"),
        ("../a.png,mine,red,cat,0,1", "row 2: file '../a.png' leads out of"),
        ("/etc/hostname,mine,red,cat,0,1", "leads out of"),
        ("https://host/a.png,mine,red,cat,0,1", "is an address"),
        ('"a.png,mine,red,cat,0,1', "is no CSV"),
        (f"a.png,mine,{'r' * 10_001},cat,0,1", "more than 10,000 characters"),
    ],
)
def test_a_wrong_row_is_one_line_with_its_number(tmp_path: Path, line: str, problem: str) -> None:
    with pytest.raises(UsageError) as error:
        read(tmp_path / "a.csv", f"{HEAD}{line}\n")
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"file": "a.png", "concept": "r\\u0000d"}', "row 1: concept has a NUL character"),
        ('{"file": "a.png", "seed": [1]}', "seed '[1]' is neither text nor a number"),
        ('{"file": "a.png", "seeed": 1}', "did you mean 'seed'"),
        ('{"file": "a.png"', "row 1: is no JSON"),
        ("[1]", "row 1: is not a JSON object"),
    ],
)
def test_a_wrong_line_of_json_is_one_line(tmp_path: Path, line: str, problem: str) -> None:
    with pytest.raises(UsageError) as error:
        read(tmp_path / "a.jsonl", line)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"name,method\n", "no column 'file'"),
        (b"file,strenght\n", "did you mean 'strength'"),
        (b"file,file\n", "two columns"),
        (HEAD.encode() + b"a.png,mine,caf\xe9,cat,0,1\n", "row 2: concept is not UTF-8"),
        (b"file" + b"x" * 300_000, "more than 262,144 characters"),
        (b"\x89PNG\r\n", "is a picture"),
    ],
)
def test_what_is_no_table_of_pictures_is_one_line(
    tmp_path: Path, text: bytes, problem: str
) -> None:
    with pytest.raises(UsageError) as error:
        read(tmp_path / "a.csv", text)
    assert problem in str(error.value)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    (inside / "a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(UsageError, match="leads out of"):
        read(inside / "a.csv", f"{HEAD}a.png,mine,red,cat,0,1\n")


def test_names_are_found_in_either_form_of_unicode(tmp_path: Path) -> None:
    (tmp_path / "cafe\u0301.png").touch()
    (row,) = read(tmp_path / "a.csv", f"{HEAD}caf\u00e9.png,mine,red,cat,0,1\n")
    assert os.path.basename(row.file) == "cafe\u0301.png"  # noqa: PTH119


def bomb(path: Path, side: int) -> None:
    """A PNG of a few bytes that says it is a square of that side."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_a_decompression_bomb_is_one_line_and_nothing_is_written(tmp_path: Path, side: int) -> None:
    bomb(tmp_path / "a.png", side)
    rows = read(tmp_path / "a.csv", f"{HEAD}a.png,mine,red,cat,0,1\n")
    settings = ImportSettings(root=tmp_path, source="a.csv")
    with pytest.raises(UsageError, match=r"a.csv row 2: .* more than 67,108,864 pixels"):
        import_rows(rows, tmp_path / "runs" / "run", settings)
    assert not (tmp_path / "runs").exists()


def test_a_table_without_any_of_its_pictures_is_refused(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.csv", f"{HEAD}a.png,mine,red,cat,0,1\n")
    with pytest.raises(UsageError, match="none of the pictures"):
        import_rows(rows, tmp_path / "run", ImportSettings(root=tmp_path, source="a.csv"))
    assert not (tmp_path / "run").exists()


def test_a_long_table_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2), "red").save(tmp_path / "a.png")
    reader = RowReader(root=tmp_path, fixed={})

    def peak(rows: int) -> int:
        table, run = tmp_path / f"{rows}.csv", tmp_path / f"run-{rows}"
        with table.open("w") as file:
            file.write(HEAD)
            file.writelines(f"a.png,mine,red,cat,{seed},1\n" for seed in range(rows))
        settings = ImportSettings(root=tmp_path, source=str(table))
        tracemalloc.start()
        import_rows(tables.read(table, reader), run, settings)
        (_, most) = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(4000) < peak(400) + (1 << 20)
