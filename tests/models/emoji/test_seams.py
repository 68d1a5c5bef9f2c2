"""The measure of the grid that generated pictures show."""

import numpy as np
import pytest
from PIL import Image

from htbench.models.emoji.seams import seam_energy


def picture(step: int, *, start: int) -> Image.Image:
    """A grey picture that gets lighter by `step` at every eighth column from `start` on."""
    columns = 40 + step * (np.arange(64) >= start).cumsum().clip(0, 1)
    return Image.fromarray(np.repeat(np.tile(columns, (64, 1))[..., None], 3, 2).astype(np.uint8))


def test_a_step_between_two_cells_counts_with_its_square() -> None:
    # one of 7 edges between columns, none of 7 between rows
    assert seam_energy([picture(7, start=8)]) == pytest.approx(49 / 14)


@pytest.mark.parametrize("start", [4, 7, 9])
def test_a_step_within_a_cell_does_not_count(start: int) -> None:
    assert seam_energy([picture(7, start=start)]) == 0


def test_pictures_of_one_colour_have_no_seams() -> None:
    assert seam_energy([picture(0, start=8)] * 2) == 0
