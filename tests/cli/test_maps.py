"""`htbench maps` as a user meets it."""

from pathlib import Path

import pytest
from kit.commands import htbench, imports_torch
from PIL import Image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the maps of two concepts."""
    place = tmp_path_factory.mktemp("maps")
    for name, concept in (("sepia", "sepia style"), ("snow", "snowy weather")):
        words = ["--concept", concept, "--out", f"{name}.safetensors"]
        answer = htbench("maps", "learn", "hypertransport", *words, cwd=place)
        assert (answer.returncode, answer.stdout) == (0, f"{name}.safetensors\n"), answer.stderr
    return place


def test_composed_maps_steer(folder: Path) -> None:
    files = ["sepia.safetensors", "snow.safetensors"]
    htbench("maps", "compose", *files, "--out", "both.safetensors", cwd=folder)
    steered = htbench(
        "steer", "--maps", "both.safetensors", "--prompt", "panda", "--out", "film.png", cwd=folder
    )
    assert (steered.returncode, steered.stdout) == (0, "film.png\n"), steered.stderr
    assert Image.open(folder / "film.png").width > 5 * 64


def test_show_tells_where_maps_are_from(folder: Path) -> None:
    shown = htbench("maps", "show", "sepia.safetensors", cwd=folder)
    assert shown.stdout.splitlines()[0] == (
        "sepia.safetensors: sepia style, by hypertransport for emoji"
    )
    assert "17 sites, 3,264 channels" in shown.stdout


def test_maps_of_files_are_combined_at_a_strength_each(folder: Path) -> None:
    files = ["--maps", "sepia.safetensors", "--maps", "snow.safetensors", "--prompt", "panda"]
    choice = ["--combine", "sequence", "--strength", "1,0.5", "--out", "film.html"]
    steered = htbench("steer", *files, *choice, cwd=folder)
    assert (steered.returncode, steered.stdout) == (0, "film.html\n"), steered.stderr
    page = (folder / "film.html").read_text()
    assert "<h1>sepia style, then snowy weather</h1>" in page
    assert page.count('src="data:image/png;base64,') == 4


def test_what_is_learnt_and_is_not_affine_steers_and_is_shown(folder: Path) -> None:
    words = ["--concept", "sepia style", "--out", "words.safetensors"]
    htbench("maps", "learn", "prompt", *words, cwd=folder)
    shown = htbench("maps", "show", "words.safetensors", cwd=folder)
    assert shown.stdout.splitlines() == [
        "words.safetensors: sepia style, by prompt for emoji",
        "  0 sites, of kind rewrite, which is not affine",
    ]
    film = ["--prompt", "panda", "--strength", "0,1", "--out", "words.png"]
    steered = htbench("steer", "--maps", "words.safetensors", *film, cwd=folder)
    assert (steered.returncode, steered.stdout) == (0, "words.png\n"), steered.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["invert", "sepia.safetensor", "--out", "x.safetensors"], "did you mean"),
        (["invert", "sepia.safetensors", "--out", "x.pt"], "does not end in .safetensors"),
        (["average", "sepia.safetensors", "--out", "no/x.safetensors"], "no folder 'no'"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(folder: Path, words: list[str], problem: str) -> None:
    answer = htbench("maps", *words, cwd=folder)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert problem in answer.stderr.splitlines()[0]


def test_learnt_maps_are_not_learnt_anew(folder: Path) -> None:
    words = ["--maps", "sepia.safetensors", "--method", "lineas", "--prompt", "panda"]
    answer = htbench("steer", *words, cwd=folder)
    assert (answer.returncode, answer.stderr.splitlines()[0]) == (
        2,
        "htbench: --maps are learnt already; --method and --template are for learning",
    )


def test_help_imports_no_torch() -> None:
    assert not imports_torch("maps", "--help")
