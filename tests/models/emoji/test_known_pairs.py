"""Pairs of scenes of which one is right by construction."""

from pathlib import Path

import numpy as np
import pytest

from htbench.core import content
from htbench.models.emoji.known_pairs import CELLS, Composer, write


@pytest.mark.parametrize(
    ("criterion", "difficulty"), [(name, cell) for name, cells in CELLS.items() for cell in cells]
)
def test_the_pictures_of_a_pair_differ_and_a_seed_gives_the_same_ones(
    criterion: str, difficulty: str
) -> None:
    pair, again = (Composer(7).candidate(criterion, difficulty) for _ in range(2))
    right, wrong = np.asarray(pair.right), np.asarray(pair.wrong)
    assert (right.shape, wrong.shape) == ((64, 64, 3), (64, 64, 3))
    assert (right != wrong).any()
    assert (right == np.asarray(again.right)).all()
    assert (wrong == np.asarray(again.wrong)).all()


@pytest.mark.parametrize("criterion", ["presence", "preservation", "overall"])
def test_of_two_blends_the_right_one_is_nearer_to_what_is_asked_for(criterion: str) -> None:
    *_, hard = CELLS[criterion]
    pair = Composer(8).candidate(criterion, hard)
    right, wrong = np.asarray(pair.right, float), np.asarray(pair.wrong, float)
    whole = right + (right - wrong) * (0.2 / 0.4)  # both lie on the line from nothing to all of it
    assert -1.5 < whole.min() < whole.max() < 256.5


def test_a_set_that_is_too_small_to_choose_from_is_refused() -> None:
    composer = Composer(9)
    pairs = [composer.candidate("presence", next(iter(CELLS["presence"]))) for _ in range(9)]
    with pytest.raises(ValueError, match="9 candidates"):
        composer.choose(pairs, set())


@pytest.mark.slow
def test_the_shipped_set_is_what_the_module_writes(tmp_path: Path) -> None:
    write(tmp_path)
    shipped = content.folder("judges") / "calibration"
    for name in ("set.toml", "pairs.jsonl", "pictures.zip"):
        assert (tmp_path / name).read_bytes() == (shipped / name).read_bytes()
