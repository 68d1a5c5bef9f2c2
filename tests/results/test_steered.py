"""`htbench.steer` returns images that a notebook shows."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

import htbench
from htbench.results.steered import SteeredImages


@pytest.fixture(scope="module")
def steered(tmp_path_factory: pytest.TempPathFactory) -> SteeredImages:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("steered"))
        return htbench.steer(
            ["panda", "koala"], "sepia style", method="mean-shift", strengths=[0, 1]
        )


def test_images_are_by_prompt_and_strength(steered: SteeredImages) -> None:
    assert (steered.prompts, steered.strengths) == (("panda", "koala"), (0.0, 1.0))
    assert len({image.tobytes() for image in steered.images}) == 4


def test_it_shows_itself_as_one_picture(steered: SteeredImages) -> None:
    shown = Image.open(BytesIO(steered._repr_png_()))
    assert shown.tobytes() == steered.filmstrip.draw().tobytes()


def test_it_is_saved_as_it_is_shown(steered: SteeredImages, tmp_path: Path) -> None:
    steered.save(tmp_path / "film.png")
    assert (tmp_path / "film.png").read_bytes() == steered._repr_png_()


def test_a_method_that_does_not_exist_is_refused() -> None:
    with pytest.raises(htbench.UsageError, match="did you mean 'mean-shift'"):
        htbench.steer("panda", "sepia style", method="mean-shif")
