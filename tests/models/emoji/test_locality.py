"""Locality: the score against a loop over pixels, places drawn by hand, and degenerate input."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from htbench.models.emoji.detector import nearest_layout
from htbench.models.emoji.locality import Locality, has_place, locality, place
from htbench.models.emoji.quality import render_scenes
from htbench.models.emoji.scenes import Scene
from htbench.scorers.scorer import ScorerInput

SEED = 3
RED_FRAME = (("frame", "red"),)


def picture(**facts: str) -> Image.Image:
    return render_scenes([Scene(noun="panda", **facts)], [SEED])[0]


def score(folder: Path, words: str, before: Image.Image, after: Image.Image) -> float | str | None:
    before.save(folder / "before.png")
    after.save(folder / "after.png")
    item = ScorerInput(
        image=folder / "after.png",
        unsteered=folder / "before.png",
        target="",
        concept=words,
        prompt="panda",
    )
    (value,) = Locality("cpu").measure([item])
    return value


def test_it_is_the_difference_of_mean_squared_changes_by_their_sum() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    inside = rng.random((5, 7)) < 0.4
    outside = ~inside & (rng.random((5, 7)) < 0.8)
    squares: dict[str, list[float]] = {"in": [], "out": []}
    for row in range(5):
        for column in range(7):
            change = [
                float(after[row, column, k]) - float(before[row, column, k]) for k in range(3)
            ]
            square = sum(each * each for each in change) / 3
            if inside[row, column]:
                squares["in"].append(square)
            elif outside[row, column]:
                squares["out"].append(square)
    own, rest = (sum(each) / len(each) for each in squares.values())
    assert locality(after, before, inside, outside) == pytest.approx((own - rest) / (own + rest))


@pytest.mark.parametrize(
    ("change_inside", "change_outside", "expected"),
    [(7, 0, 1), (0, 7, -1), (7, 7, 0), (6, 2, (36 - 4) / (36 + 4))],
)
@pytest.mark.parametrize("columns", [1, 4, 9])
def test_the_size_of_the_place_does_not_matter(
    change_inside: int, change_outside: int, expected: float, columns: int
) -> None:
    inside = np.zeros((10, 10), bool)
    inside[:, :columns] = True
    after = np.where(inside[..., None], change_inside, change_outside).repeat(3, -1)
    assert locality(after, np.zeros_like(after), inside, ~inside) == pytest.approx(expected)


def test_a_picture_that_is_as_it_was_has_none() -> None:
    levels, inside = np.full((4, 4, 3), 9), np.eye(4, dtype=bool)
    assert locality(levels, levels, inside, ~inside) is None


@pytest.mark.parametrize(
    ("bad", "inside", "outside", "reason"),
    [
        (np.nan, [True, False], [False, True], "NaN or infinite"),
        (np.inf, [True, False], [False, True], "NaN or infinite"),
        (0.0, [False, False], [True, True], "place of the concept is empty"),
        (0.0, [True, True], [False, False], "is the whole picture"),
        (0.0, [True, False], [True, True], "in the place of the concept and in the rest"),
    ],
)
def test_degenerate_input_is_named(
    bad: float, inside: list[bool], outside: list[bool], reason: str
) -> None:
    after = np.ones((1, 2, 3))
    after[0, 0, 0] = bad
    with pytest.raises(ValueError, match=reason):
        locality(after, np.zeros((1, 2, 3)), np.array([inside]), np.array([outside]))


def test_a_frame_belongs_to_the_rim_and_a_margin_counts_neither_way() -> None:
    inside, outside = place("panda", RED_FRAME, (0, 0))
    rim, middle = np.ones((64, 64), bool), np.zeros((64, 64), bool)
    rim[4:60, 4:60] = False
    middle[6:58, 6:58] = True
    assert np.array_equal(inside, rim)
    assert np.array_equal(outside, middle)


def test_a_background_belongs_behind_the_noun_and_a_companion_to_two_corners() -> None:
    behind, noun = place("panda", (("background", "navy"),), (0, 0))
    assert behind[41:].all()
    assert behind[:, :15].all()
    assert not noun[:, 56:].any()
    assert noun[:40, 16:56].sum() == noun.sum() > 0
    beside, _ = place("panda", (("companion", "lemon"),), (0, 0))
    assert not beside[:40].any()
    assert not beside[:, 24:40].any()


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("red frame", True),
        ("framed in red", True),
        ("with lemon", True),
        ("navy background", True),
        ("negative style", False),
        ("negative style, navy background", False),
        ("smoggy weather", False),
        ("in thick fog", False),
    ],
)
def test_concepts_without_a_place_of_their_own_are_not_known(words: str, known: bool) -> None:
    assert Locality("cpu").knows("panda", words) is known


def test_a_prompt_that_the_composer_does_not_draw_is_not_known(tmp_path: Path) -> None:
    assert not Locality("cpu").knows("a nun", "red frame")
    assert has_place("panda", RED_FRAME)
    reason = score(tmp_path, "negative style", picture(), picture(style="negative"))
    assert isinstance(reason, str)


@pytest.mark.parametrize(
    ("words", "facts", "other"),
    [
        ("red frame", {"frame": "red"}, {"companion": "lemon"}),
        ("red background", {"background": "red"}, {"style": "grayscale"}),
        ("with lemon", {"companion": "lemon"}, {"frame": "red"}),
    ],
)
def test_what_is_added_or_removed_in_place_is_told_from_what_is_elsewhere(
    words: str, facts: dict[str, str], other: dict[str, str], tmp_path: Path
) -> None:
    plain, with_concept = picture(), picture(**facts)
    assert score(tmp_path, words, plain, with_concept) == 1
    assert score(tmp_path, words, with_concept, plain) == 1
    elsewhere = score(tmp_path, words, plain, picture(**other))
    assert isinstance(elsewhere, float)
    assert elsewhere < 0
    both = score(tmp_path, words, with_concept, picture(**facts, **other))
    assert both is not None
    assert both != 1


def test_pictures_of_another_size_have_the_same_score(tmp_path: Path) -> None:
    large = [
        each.resize((256, 256), Image.Resampling.NEAREST)
        for each in (picture(), picture(frame="red"))
    ]
    assert score(tmp_path, "red frame", *large) == 1
    assert score(tmp_path, "red frame", large[0], large[0]) is None


@pytest.mark.parametrize("seed", range(4))
def test_the_layout_is_found_where_the_concept_is_there_already(seed: int) -> None:
    style = {"background": "navy dots"}
    plain, with_concept = render_scenes([Scene(noun="owl"), Scene(noun="owl", **style)], [seed] * 2)
    assert nearest_layout(with_concept, "owl", tuple(style.items())) == nearest_layout(plain, "owl")
