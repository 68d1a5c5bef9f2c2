"""Objects in drawings, against known places and a search that shares no code."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from kit.scorer_cards import scorer_input
from PIL import Image

from htbench.scorers import objects, pixels

RED, BLUE, WHITE = (0.9, 0.1, 0.1), (0.1, 0.2, 0.9), (1.0, 1.0, 1.0)
Box = tuple[int, int, int, int]
"""Left, top, width and height."""


def draw(*boxes: Box, ground: np.ndarray | None = None, colour: object = RED) -> np.ndarray:
    levels = np.full((64, 64, 3), WHITE) if ground is None else ground.copy()
    for left, top, width, height in boxes:
        levels[top : top + height, left : left + width] = colour
    return levels


def saved(levels: np.ndarray, path: Path) -> str:
    Image.fromarray((255 * levels).round().astype(np.uint8)).save(path)
    return path.name


def test_objects_have_the_areas_and_the_centre_of_what_was_drawn() -> None:
    found = objects.find_objects(draw((4, 6, 20, 10), (40, 40, 15, 15), (2, 50, 12, 12)))
    assert found.areas == pytest.approx([225 / 4096, 200 / 4096, 144 / 4096], abs=1e-12)
    assert (found.count, found.x, found.y) == (3, 47.5 / 64, 47.5 / 64)


@pytest.mark.parametrize("seed", range(6))
def test_objects_are_those_that_a_slow_search_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes = [
        (*random.integers(8, 40, 2).tolist(), *random.integers(2, 16, 2).tolist()) for _ in range(7)
    ]
    levels = draw(*boxes)
    found, (areas, x, y) = objects.find_objects(levels), slow_search(levels[..., 1] < 0.5)
    assert found.areas == pytest.approx(areas, abs=1e-12)
    assert (found.x, found.y) == pytest.approx((x, y), abs=1e-12)


def slow_search(mask: np.ndarray) -> tuple[list[float], float, float]:
    """Areas and the largest one's centre: erosion, dilation and flood fill pixel by pixel."""
    steps = list(itertools.product((-1, 0, 1), repeat=2))
    ink = {(int(row), int(column)) for row, column in zip(*np.nonzero(mask), strict=True)}

    def around(row: int, column: int) -> list[tuple[int, int]]:
        return [(row + down, column + right) for down, right in steps]

    def eroded(points: set[tuple[int, int]]) -> set[tuple[int, int]]:
        return {point for point in points if all(near in points for near in around(*point))}

    def dilated(points: set[tuple[int, int]]) -> set[tuple[int, int]]:
        return {near for point in points for near in around(*point)}

    left = eroded(dilated(dilated(eroded(ink))))
    parts = []
    while left:
        part, edge = set(), [left.pop()]
        while edge:
            point = edge.pop()
            part.add(point)
            for near in around(*point):
                if near in left:
                    left.remove(near)
                    edge.append(near)
        parts.append(part)
    parts = sorted((part for part in parts if len(part) >= 0.03 * 4096), key=len, reverse=True)
    rows, columns = zip(*parts[0], strict=True)
    return (
        [len(part) / 4096 for part in parts],
        (sum(columns) / len(columns) + 0.5) / 64,
        (sum(rows) / len(rows) + 0.5) / 64,
    )


@pytest.mark.parametrize("shape", ["checks", "bars", "frame"])
def test_a_ground_may_have_a_pattern_or_a_frame(shape: str) -> None:
    rows, columns = np.indices((64, 64))
    margin = np.minimum.reduce([rows, columns, 63 - rows, 63 - columns])
    mask = {
        "checks": (rows // 8 + columns // 8) % 2 == 0,
        "bars": columns // 4 % 2 == 0,
        "frame": margin < 4,
    }[shape]
    ground = np.where(mask[..., None], BLUE, WHITE)
    found = objects.find_objects(draw((16, 24, 20, 20), ground=ground))
    assert found.areas == pytest.approx([400 / 4096], abs=1e-12)


def test_thin_lines_are_no_objects_and_narrow_gaps_part_none() -> None:
    assert objects.find_objects(draw((10, 10, 2, 50), (0, 30, 64, 2))).count == 0
    assert objects.find_objects(draw((10, 10, 12, 20), (24, 10, 12, 20))).count == 1
    assert objects.find_objects(draw((10, 10, 12, 20), (25, 10, 12, 20))).count == 2


def test_a_picture_of_one_colour_has_no_object_and_one_without_a_ground_is_one() -> None:
    plain = objects.find_objects(draw())
    assert plain.areas == ()
    assert math.isnan(plain.x)
    assert math.isnan(plain.y)
    textured = objects.find_objects(np.random.default_rng(0).random((64, 64, 3)))
    assert (textured.areas, textured.x, textured.y) == ((1.0,), 0.5, 0.5)


@pytest.mark.parametrize("size", [(1, 1), (15, 40)])
def test_a_picture_too_small_for_a_ground_is_refused(size: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="smaller than 16 x 16 pixels"):
        objects.find_objects(np.ones((*size, 3)))
    name = saved(np.ones((*size, 3)), tmp_path / "small.png")
    (reason,) = objects.ObjectCount("cpu").measure([scorer_input("t", tmp_path, name)])
    assert str(reason).startswith("the picture is smaller than 16 x 16 pixels")


def test_levels_that_are_no_numbers_are_refused() -> None:
    levels = draw((10, 10, 20, 20))
    levels[5, 5, 1] = math.nan
    with pytest.raises(ValueError, match="no number"):
        objects.find_objects(levels)
    with pytest.raises(ValueError, match="no number"):
        pixels.coverage(levels, draw())


def test_scorers_count_objects_and_say_how_far_the_largest_moved(tmp_path: Path) -> None:
    unsteered = saved(draw((4, 8, 20, 20)), tmp_path / "plain.png")
    steered = saved(draw((36, 24, 20, 20), (2, 2, 12, 12)), tmp_path / "steered.png")
    item = scorer_input("t", tmp_path, steered, unsteered)
    scorers = (objects.ObjectCount, objects.ShiftRight, objects.ShiftDown)
    assert [scorer("cpu").measure([item]) for scorer in scorers] == [[2.0], [0.5], [0.25]]


def test_a_picture_that_lost_its_object_has_not_moved_it(tmp_path: Path) -> None:
    unsteered = saved(draw((4, 8, 20, 20)), tmp_path / "plain.png")
    item = scorer_input("t", tmp_path, saved(draw(), tmp_path / "blank.png"), unsteered)
    assert objects.ShiftRight("cpu").measure([item]) == [0.0]


def test_an_unsteered_picture_that_is_too_small_is_the_reason(tmp_path: Path) -> None:
    item = scorer_input(
        "t",
        tmp_path,
        saved(draw((4, 8, 20, 20)), tmp_path / "steered.png"),
        saved(np.ones((8, 8, 3)), tmp_path / "small.png"),
    )
    (reason,) = objects.ShiftDown("cpu").measure([item])
    assert str(reason).startswith("unsteered: the picture is smaller")


def test_a_large_picture_has_the_objects_of_the_reduced_one(tmp_path: Path) -> None:
    large = np.kron(draw((4, 8, 20, 20), (40, 40, 20, 20)), np.ones((4, 4, 1)))
    item = scorer_input("t", tmp_path, saved(large, tmp_path / "large.png"))
    assert objects.ObjectCount("cpu").measure([item]) == [2.0]


def test_coverage_is_the_share_of_pixels_that_differ() -> None:
    random = np.random.default_rng(1)
    levels, unsteered = random.random((9, 7, 3)), random.random((9, 7, 3))
    differing = sum(
        any(abs(levels[row, column, k] - unsteered[row, column, k]) > 0.08 for k in range(3))
        for row in range(9)
        for column in range(7)
    )
    assert pixels.coverage(levels, unsteered) == pytest.approx(differing / 63, abs=1e-12)
    assert pixels.coverage(draw((0, 0, 32, 16)), draw()) == pytest.approx(1 / 8, abs=1e-12)
    assert pixels.coverage(draw(colour=RED), draw(colour=RED)) == 0


def test_coverage_of_files_needs_pictures_of_one_size(tmp_path: Path) -> None:
    covered = saved(draw((0, 0, 32, 64)), tmp_path / "covered.png")
    plain, dot = (
        saved(draw(), tmp_path / "plain.png"),
        saved(np.ones((1, 1, 3)), tmp_path / "1.png"),
    )
    items = [scorer_input("t", tmp_path, covered, other) for other in (plain, dot)]
    half, reason = pixels.Coverage("cpu").measure(items)
    assert half == 0.5
    assert reason == "the unsteered picture has another size"
    with pytest.raises(ValueError, match="another size"):
        pixels.coverage(draw(), np.ones((1, 1, 3)))
