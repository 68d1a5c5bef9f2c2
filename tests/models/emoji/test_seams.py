"""The measure of the grid that generated pictures show."""

import numpy as np
import pytest
from PIL import Image

from htbench.models.emoji.seams import Steps


def picture(step: int, *, start: int) -> Image.Image:
    """A grey picture that gets lighter by `step` at every eighth column from `start` on."""
    columns = 40 + step * (np.arange(64) >= start).cumsum().clip(0, 1)
    return Image.fromarray(np.repeat(np.tile(columns, (64, 1))[..., None], 3, 2).astype(np.uint8))


def test_a_step_between_two_cells_counts_with_its_square() -> None:
    # one of 7 edges between columns, none of 7 between rows
    steps = Steps.of([picture(7, start=8)])
    assert (steps.between, steps.within) == (pytest.approx(49 / 14), 0)


@pytest.mark.parametrize("start", [4, 7, 9])
def test_a_step_within_a_cell_is_none_between_cells(start: int) -> None:
    # 56 neighbours in a cell down and as many across
    steps = Steps.of([picture(7, start=start)])
    assert (steps.between, steps.within) == (0, pytest.approx(49 / 112))


def test_noise_has_no_grid() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    assert Steps.of([Image.fromarray(each) for each in noise]).ratio == pytest.approx(1, abs=0.02)
