"""`htbench steer` as a user meets it."""

from pathlib import Path

import pytest
from kit.commands import htbench, imports_torch
from PIL import Image


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (80, 60), "red").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_unknown_words_are_refused_with_near_ones(tmp_path: Path) -> None:
    answer = htbench("steer", "--concept", "with lemmon", "--prompt", "panda", cwd=tmp_path)
    assert answer.returncode == 2
    assert "not in the vocabulary of emoji: 'lemmon' (near: lemon" in answer.stderr


def test_words_make_a_filmstrip_at_once(tmp_path: Path) -> None:
    words = ["--concept", "with zeppelin", "--prompt", "panda", "--allow-unknown"]
    answer = htbench("steer", *words, cwd=tmp_path)
    assert (answer.returncode, answer.stdout) == (
        0,
        "runs/steer/with-zeppelin-hypertransport.png\n",
    )
    assert answer.stderr.count("not in the vocabulary of emoji: 'zeppelin'") == 1
    assert Image.open(tmp_path / answer.stdout.strip()).width > 5 * 192


def test_pictures_make_a_filmstrip_too(photo: Path, tmp_path: Path) -> None:
    images = ["--image", photo.name, "--image", photo.name]
    prompts = ["--prompt", "panda", "--prompt", "koala"]
    out = ["--strength", "-1,0,2", "--out", "new/grid.jpg"]
    answer = htbench("steer", *images, *prompts, *out, cwd=tmp_path)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "new/grid.jpg\n", "")
    assert Image.open(tmp_path / "new" / "grid.jpg").height > 2 * 192


def test_methods_and_seeds_make_a_page_with_a_slider(tmp_path: Path) -> None:
    rows = ["--prompt", "panda", "--method", "none", "--method", "prompt", "--seed", "0,1"]
    answer = htbench(
        "steer", "--concept", "woodcut style", *rows, "--out", "film.html", cwd=tmp_path
    )
    assert (answer.returncode, answer.stdout) == (0, "film.html\n")
    page = (tmp_path / "film.html").read_text()
    labels = [f"panda, seed {seed}, {name}" for seed in (0, 1) for name in ("none", "prompt")]
    assert all(label in page for label in labels)
    assert page.count('src="data:image/png;base64,') == 4 * (5 + 1)


def test_concepts_are_added_removed_and_replaced_at_once(tmp_path: Path) -> None:
    concepts = ["--concept", "sepia style", "--remove", "with lemon"]
    replaced = ["--replace", "blue background=red background", "--strength", "1,1,0.5"]
    prompt = ["--prompt", "panda with lemon, blue background", "--method", "prompt"]
    answer = htbench("steer", *concepts, *replaced, *prompt, "--out", "film.html", cwd=tmp_path)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "film.html\n", "")
    page = (tmp_path / "film.html").read_text()
    title = "sepia style + without lemon + red background in place of blue background"
    assert f"<h1>{title}</h1>" in page
    assert [f"<figcaption>{heading}</figcaption>" in page for heading in ("1, 1, 0.5", "0, 1, 0")]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "give a concept: --concept, --remove, --replace, --image or --maps"),
        (["--concept", "sepia style", "--remove", "style/sepia"], "'sepia style' is given twice"),
        (["--replace", "sepia style=sepia style"], "would be replaced by itself"),
        (["--replace", "sepia style"], "does not name two concepts"),
        (["--remove", "rain", "--concept", "lemon", "--strength", "1,2,3"], "3 strengths for 2"),
        (["--concept", "lemon", "--combine", "sums"], "did you mean 'sum'"),
        (
            ["--remove", "lemon", "--remove-by", "minus"],
            "Choose inverse, for affine maps, or negative",
        ),
        (["--concept", ""], "the concept is empty"),
        (["--image", "foto.png"], "did you mean 'photo.png'"),
        (["--image", "photo.png", "--method", "lineas"], "These methods can: "),
        (["--image", "photo.png", "--template", "{prompt}"], "--template is for words"),
        (["--concept", "lemon", "--template", "lemon"], "has no {prompt}"),
        (["--concept", "lemon", "--method", "hypertransprot"], "hypertransport"),
        (["--concept", "lemon", "--model", "emojy"], "emoji"),
        (["--concept", "lemon", "--concept-set", "emojis"], "emoji"),
        (["--concept", "lemon", "--strength", "0,nan"], "between -10 and 10"),
        (["--concept", "lemon", "--out", "grid.svg"], ".png"),
        (["--concept", "lemon", "--seed", "0.5"], "--seed 0.5 is no whole number"),
        (["--concept", "lemon", "--out", "photo.png/grid.png"], "cannot write"),
    ],
)
def test_bad_input_is_answered_with_the_right_thing_and_exit_code_2(
    words: list[str], hint: str, photo: Path, tmp_path: Path
) -> None:
    answer = htbench("steer", *words, cwd=tmp_path)
    assert answer.returncode == 2
    assert hint in answer.stderr
    assert len(answer.stderr.splitlines()) <= 2
    assert [file.name for file in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.parametrize(
    "words",
    [["steer", "--help"], ["steer", "--concept", ""], ["train", "--help"], ["check", "--help"]],
)
def test_looking_around_imports_no_torch(words: list[str]) -> None:
    assert not imports_torch(*words)
