"""Picture styles: their names, and looks that can be told apart."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from htbench.models.emoji.icons import nouns
from htbench.models.emoji.scenes import LATENT, Scene
from htbench.models.emoji.styles import STYLES
from htbench.models.emoji.worlds import SHIPPED, WORDINGS

MIN_DIFFERENCE = 11
"""Least mean difference of levels, 0 to 255, of two styles."""
NEARLY_ALIKE = {"pixelated", "blurred", "watercolor"}
"""Styles of the first world, which are drawn as they were; two of them differ by 8 or more."""


@cache
def drawings() -> np.ndarray:
    """Levels of the same 40 scenes, half of them on a plain ground, in each style."""
    rng = np.random.default_rng(0)
    grounds = [*[None] * 20, *rng.choice(SHIPPED.values["background"], 20).tolist()]
    scenes = [Scene(noun=str(rng.choice(nouns())), background=ground) for ground in grounds]
    noise = rng.standard_normal((40, *LATENT), np.float32)
    pairs = list(zip(scenes, noise, strict=True))
    return np.stack(
        [
            np.stack([replace(scene, style=style).draw(latent) for scene, latent in pairs]).ravel()
            for style in STYLES
        ]
    ).astype(np.float32)


def test_a_style_has_one_word_of_its_own() -> None:
    other = {word for noun in nouns() for word in noun.split()}
    other |= {*SHIPPED.colours, *SHIPPED.patterns, *SHIPPED.frames, *SHIPPED.weathers}
    other |= {word for texts in WORDINGS.values() for text in texts for word in text.split()}
    assert not [name for name in STYLES if name in other or not name.isalpha()]


def test_there_are_styles_of_eight_families() -> None:
    families = [style.family for style in STYLES.values()]
    assert len(STYLES) == 176
    assert min(families.count(family) for family in set(families)) >= 15


def test_any_two_styles_look_different() -> None:
    names, levels = list(STYLES), drawings()
    alike = [
        (names[a], names[b], float(difference))
        for a in range(len(names))
        for b, difference in enumerate(np.abs(levels[:a] - levels[a]).mean(1))
        if difference < (8 if {names[a], names[b]} <= NEARLY_ALIKE else MIN_DIFFERENCE)
    ]
    assert alike == []


@pytest.mark.parametrize("style", STYLES)
def test_a_style_makes_a_picture_of_its_own_and_leaves_the_canvas(style: str) -> None:
    canvas = np.random.default_rng(0).uniform(0, 255, (64, 64, 3)).astype(np.float32)
    before = canvas.copy()
    first, second = STYLES[style].draw(canvas), STYLES[style].draw(canvas)
    assert first.shape == (64, 64, 3)
    assert np.isfinite(first).all()
    assert (first == second).all()
    assert (canvas == before).all()


@pytest.mark.parametrize("level", [0.0, 255.0])
def test_styles_draw_empty_scenes_too(level: float) -> None:
    canvas = np.full((64, 64, 3), level, np.float32)
    assert all(np.isfinite(style.draw(canvas)).all() for style in STYLES.values())
