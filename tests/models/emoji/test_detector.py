"""The detector: words to scenes, the posterior over scenes by hand, and known scenes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from htbench.models.emoji.concepts import modifiers
from htbench.models.emoji.detector import (
    FLOOR,
    MIN_EFFECT,
    NEAREST_RIVALS,
    POWER,
    SIDE,
    SPREAD_RIVALS,
    Detector,
    _rivals,
    detected,
    nearest_layout,
    posterior,
    read_facts,
)
from htbench.models.emoji.quality import calibration_error, render_scenes
from htbench.models.emoji.scenes import Scene
from htbench.models.emoji.worlds import SHIPPED, WORDINGS
from htbench.scorers.scorer import ScorerInput
from htbench.steering import concept

SEED = 3
EXAMPLES = [
    ({"companion": "pizza"}, {"companion": "taxi"}),
    ({"style": "negative"}, {"style": "sketch"}),
    ({"background": "teal dots"}, {"background": "maroon dots"}),
    ({"frame": "orange"}, {"frame": "purple"}),
    ({"weather": "rainy"}, {"weather": "snowy"}),
    ({"style": "glitch", "background": "lime"}, {"style": "glitch", "background": "navy"}),
]


def picture(**facts: str) -> Image.Image:
    return render_scenes([Scene(noun="panda", **facts)], [SEED])[0]


def probability(image: Image.Image, facts: dict[str, str]) -> float:
    layout = nearest_layout(picture(), "panda")
    return detected(image, noun="panda", facts=facts, layout=layout)


@pytest.mark.parametrize("wording", range(len(WORDINGS["style"])))
def test_every_phrasing_of_every_concept_is_understood(wording: int) -> None:
    read = {name: read_facts(each.text(wording)) for name, each in modifiers().items()}
    assert read == {name: each.facts for name, each in modifiers().items()}


@pytest.mark.parametrize("text", ["", "in thick fog", "sketch style, in thick fog", "lemon"])
def test_words_that_the_composer_does_not_draw_are_of_no_modifier(text: str) -> None:
    assert read_facts(text) == {}


def test_neither_another_sets_concepts_nor_its_prompts_are_known() -> None:
    detector, other = Detector("cpu"), concept.load("open")
    assert detector.knows("panda", "with lemon")
    assert not any(detector.knows("panda", each.text) for each in other.select("test"))
    assert not any(detector.knows(prompt, "with lemon") for prompt in other.prompts)


@pytest.mark.parametrize("seed", range(8))
def test_the_layout_is_that_of_the_noise(seed: int) -> None:
    owl, with_frame = render_scenes([Scene(noun="owl"), Scene(noun="owl", frame="red")], [seed] * 2)
    layout = nearest_layout(owl, "owl")
    assert detected(with_frame, noun="owl", facts={"frame": "red"}, layout=layout) > 0.99


def test_the_posterior_is_a_power_of_differences_to_scenes_drawn_one_by_one() -> None:
    image = picture(weather="foggy").filter(ImageFilter.GaussianBlur(2))
    layout = nearest_layout(picture(), "panda")
    found = posterior(image, noun="panda", facts={"weather": "foggy"}, layout=layout)

    def levels(one: Image.Image) -> np.ndarray:
        return np.asarray(one.resize((SIDE, SIDE), Image.Resampling.BOX), float) / 255

    def difference(**facts: str) -> float:
        return float(((levels(image) - levels(picture(**facts))) ** 2).mean())

    ratio = (difference(weather="foggy") + FLOOR) / (difference() + FLOOR)
    assert found[0] / found[1] == pytest.approx(ratio**-POWER, rel=1e-3)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize(("facts", "other"), EXAMPLES)
def test_a_true_scene_shows_its_modifiers_and_no_others(
    facts: dict[str, str], other: dict[str, str]
) -> None:
    assert probability(picture(**facts), facts) > 0.95
    assert probability(picture(**facts), other) < 0.05
    assert probability(picture(), facts) < 0.05


@pytest.mark.parametrize("part", ["style", "background"])
def test_one_part_of_a_look_is_not_the_look(part: str) -> None:
    look = {"style": "glitch", "background": "lime"}
    assert probability(picture(**{part: look[part]}), look) < 0.05


@pytest.mark.parametrize(("shown", "alike"), [("navy", True), ("brown", False)])
def test_backgrounds_that_a_style_makes_alike_are_taken_for_each_other(
    shown: str, alike: bool
) -> None:
    image = picture(style="woodcut", background=shown)
    found = probability(image, {"style": "woodcut", "background": "maroon"})
    assert (found > 0.95) if alike else (found < 0.05)


def test_a_rival_that_is_left_out_is_nearer_to_one_that_is_compared_than_to_the_concept() -> None:
    look = {"style": "bokeh", "background": "magenta dots"}

    def small(facts: Mapping[str, str]) -> np.ndarray:
        image = picture(**facts).resize((SIDE, SIDE), Image.Resampling.BOX)
        return np.asarray(image, float) / 255

    kept = [dict(rival) for rival in _rivals(tuple(look.items()))]
    others = [
        {**look, kind: value}
        for kind in look
        for value in SHIPPED.values[kind]
        if value != look[kind]
    ]
    assert len(kept) == NEAREST_RIVALS + SPREAD_RIVALS < len(others)
    own, compared = small(look), np.stack([small(facts) for facts in kept])
    effect = np.square(small({}) - own).mean()
    for drawn in (small(facts) for facts in others if facts not in kept):
        from_concept = np.square(drawn - own).mean()
        from_compared = np.square(compared - drawn).mean((1, 2, 3)).min()
        assert from_compared < from_concept or from_concept <= MIN_EFFECT * effect


def test_inputs_are_scored_from_their_files_and_unknown_words_give_a_reason(tmp_path: Path) -> None:
    picture().save(tmp_path / "plain.png")
    large = picture(frame="red").resize((256, 256), Image.Resampling.NEAREST)
    large.save(tmp_path / "frame.png")
    inputs = [
        ScorerInput(
            image=tmp_path / "frame.png",
            unsteered=tmp_path / "plain.png",
            target="",
            concept=words,
            prompt="panda",
        )
        for words in ("red frame", "bordered in blue", "in thick fog")
    ]
    own, other, unknown = Detector("cpu").measure(inputs)
    assert (own, other) == pytest.approx((1, 0), abs=0.01)
    assert isinstance(unknown, str)


def test_the_calibration_error_is_the_gap_of_probability_and_truth_in_each_bin() -> None:
    probabilities = np.array([0.05, 0.05, 0.95, 0.95, 0.95, 0.95])
    true = np.array([False, False, True, True, False, True])
    assert calibration_error(probabilities, true) == pytest.approx((2 * 0.05 + 4 * 0.2) / 6)
