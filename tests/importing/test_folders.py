"""Folders of pictures whose paths say what each is."""

from pathlib import Path

import pytest
from PIL import Image

from htbench.core.errors import UsageError
from htbench.importing.folders import EXAMPLE, Pattern, PictureFolder
from htbench.importing.rows import PictureRow, RowReader


def rows(root: Path, pattern: str, names: list[str], **fixed: str) -> list[PictureRow]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(root / name)
    reader = RowReader(root=root, fixed=fixed)
    return list(PictureFolder(pattern=Pattern(text=pattern), reader=reader).rows())


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (
            "lora/café/a-cat-7-0.5.png",
            {"concept": "café", "prompt": "a-cat", "seed": "7", "strength": "0.5"},
        ),
        (
            "lora/in_blue tones/two_cats-0--1.png",
            {"concept": "in_blue tones", "prompt": "two cats", "seed": "0", "strength": "-1"},
        ),
        ("lora/blue/cat-7.png", None),
        ("lora/blue/more/cat-7-1.png", None),
    ],
)
def test_a_path_is_read_by_its_pattern(path: str, values: dict[str, str] | None) -> None:
    found = Pattern(text=EXAMPLE).values(path)
    assert found == (values and {"method": "lora", **values})


def test_a_star_stands_for_anything_but_a_slash() -> None:
    pattern = Pattern(text="{method}/*-{seed}.*")
    assert pattern.values("a/x-y-3.webp") == {"method": "a", "seed": "3"}
    assert pattern.values("a/b/x-3.webp") is None


def test_each_step_is_a_method_of_its_own(tmp_path: Path) -> None:
    names = ["step-0100/cat-0.png", "step-0020/cat-0.png"]
    found = rows(tmp_path, "step-{step}/{prompt}-{seed}.png", names, method="mine", concept="red")
    assert [row.label for row in found] == ["mine step 20", "mine step 100"]


def test_pictures_of_another_form_are_left_out_and_told(tmp_path: Path) -> None:
    names = ["a/cat-0.png", "grid.png", "b/cat-1.png"]
    reader = RowReader(root=tmp_path, fixed={"concept": "red"})
    rows(tmp_path, "*", [])
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    folder = PictureFolder(pattern=Pattern(text="{method}/{prompt}-{seed}.png"), reader=reader)
    assert [row.location for row in folder.rows()] == ["a/cat-0.png", "b/cat-1.png"]
    assert folder.note.endswith("'grid.png'")


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [("{methd}.png", "did you mean 'method'"), ("{seed}{seed}.png", "has the field 'seed' twice")],
)
def test_a_wrong_pattern_is_one_line(pattern: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Pattern(text=pattern).values("a.png")
