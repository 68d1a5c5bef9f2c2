"""The drawings of the generator's cells, joined to a picture."""

import pytest
import torch
from torch import nn

from htbench.models.emoji.generator import CELL, JoinCells


def test_cells_without_a_rim_stand_side_by_side() -> None:
    cells = torch.randn(2, 3 * CELL**2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(JoinCells(0)(cells), nn.functional.pixel_shuffle(cells, CELL))


@pytest.mark.parametrize("rim", [0, 1, 2, 4])
def test_drawings_of_one_colour_are_a_picture_of_that_colour(rim: int) -> None:
    cells = torch.full((1, 3 * (CELL + 2 * rim) ** 2, 8, 8), 0.5)
    assert torch.equal(JoinCells(rim)(cells), torch.full((1, 3, 64, 64), 0.5))


@pytest.mark.parametrize(
    ("rim", "steps"), [(0, [1.0]), (1, [0.25, 0.5, 0.25]), (2, [0.125, 0.25, 0.25, 0.25, 0.125])]
)
def test_a_step_between_cells_is_spread_over_their_rims(rim: int, steps: list[float]) -> None:
    cells = torch.zeros(1, 3 * (CELL + 2 * rim) ** 2, 8, 8)
    cells[..., 4:] = 1
    for row in JoinCells(rim)(cells)[0, 0, ::20]:
        found = row.diff()
        assert found[found != 0].tolist() == steps
        assert found.nonzero().flatten().float().mean() == 4 * CELL - 1


def test_a_cell_draws_its_own_pixels_in_the_middle_of_its_drawing() -> None:
    drawing = torch.zeros(3, 12, 12)
    drawing[1, 5, 6] = 1.0
    cells = torch.zeros(1, 3 * 12**2, 8, 8)
    cells[0, :, 2, 3] = drawing.flatten()
    assert JoinCells(2)(cells)[0].nonzero().tolist() == [[1, 2 * CELL + 3, 3 * CELL + 4]]
