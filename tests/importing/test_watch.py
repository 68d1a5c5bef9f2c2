"""Pictures that come while a folder is watched."""

import os
from pathlib import Path

from PIL import Image

from htbench.importing.folders import Pattern, PictureFolder
from htbench.importing.rows import RowReader
from htbench.importing.watch import FolderWatch


def watched(root: Path) -> FolderWatch:
    reader = RowReader(root=root, fixed={"method": "mine", "concept": "red"})
    pattern = Pattern(text="{step}/{prompt}.png")
    return FolderWatch(pictures=PictureFolder(pattern=pattern, reader=reader))


def put(path: Path, *, changed: int = 1) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)
    os.utime(path, ns=(changed, changed))


def test_a_picture_is_taken_once_it_does_not_change_any_more(tmp_path: Path) -> None:
    watch = watched(tmp_path)
    put(tmp_path / "1" / "cat.png")
    assert watch.look() == []
    put(tmp_path / "1" / "cat.png", changed=2)
    assert watch.look() == []
    assert [row.label for row in watch.look()] == ["mine step 1"]
    assert watch.look() == []


def test_only_what_is_new_is_taken_again(tmp_path: Path) -> None:
    watch = watched(tmp_path)
    put(tmp_path / "1" / "cat.png")
    assert watch.look() == watch.look(is_last=False)[1:]
    put(tmp_path / "2" / "cat.png")
    watch.look()
    assert [row.label for row in watch.look()] == ["mine step 2"]


def test_the_last_look_takes_also_what_has_just_come(tmp_path: Path) -> None:
    watch = watched(tmp_path)
    put(tmp_path / "1" / "cat.png")
    assert len(watch.look(is_last=True)) == 1
