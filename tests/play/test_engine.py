"""Pictures, scores and fits of the page."""

from typing import Any

import pytest
import torch
from PIL import Image

from htbench.core.errors import UnknownName, UsageError
from htbench.play.engine import Engine, Row, Stale
from htbench.play.view import ConceptSource, View
from htbench.steering.intervention import Intervention
from htbench.steering.model import Request

LEMON = ConceptSource(words="with lemon")


def _rows(engine: Engine, *methods: str, **values: Any) -> list[Row]:
    asked = {"concepts": (LEMON,), "points": ((1.0,),), **values}
    return list(engine.rows(View(prompt="horse", methods=methods, **asked)))


def _pixels(image: Image.Image) -> bytes:
    return image.convert("RGB").tobytes()


def test_pictures_are_those_of_the_intervention_at_that_strength(engine: Engine) -> None:
    learnt = engine.fit("mean-shift", LEMON)
    _, row = _rows(engine, "mean-shift", points=((0.5,), (1.0,)))
    requests = [
        Request(prompt="horse", seed=0, intervention=learnt.change, strength=strength)
        for strength in (0.5, 1.0)
    ]
    expected = engine.model.generate(requests)
    assert [_pixels(image) for image in row.images] == [_pixels(image) for image in expected]


def test_strength_0_is_the_unsteered_picture(engine: Engine) -> None:
    engine.fit("mean-shift", LEMON)
    plain, row = _rows(engine, "mean-shift", points=((0.0,),))
    assert _pixels(row.images[0]) == _pixels(plain.images[0])


def test_a_method_that_was_not_fitted_yet_says_so(engine: Engine) -> None:
    _, row = _rows(engine, "mean-shift")
    assert (row.images, row.needs_fit) == ((), True)


def test_a_method_that_needs_no_fit_has_its_pictures_at_once(engine: Engine) -> None:
    _, row = _rows(engine, "prompt")
    assert len(row.images) == 1


def test_pictures_are_made_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _rows(engine, "prompt")
    monkeypatch.setattr(engine.model, "generate", lambda requests: pytest.fail("made again"))
    assert _rows(engine, "prompt")[1].images == first[1].images


def test_prompting_has_one_picture_for_all_strengths_above_0(engine: Engine) -> None:
    _, row = _rows(engine, "prompt", points=((0.25,), (1.0,)))
    assert row.images[0] is row.images[1]


def test_scores_are_those_of_the_formulas(engine: Engine) -> None:
    plain, row = _rows(engine, "prompt", scores=True)
    own, unsteered = engine.scorer.images([row.images[0], plain.images[0]])
    target, prompt = engine.scorer.texts(["horse with lemon", "horse"])
    presence = torch.sigmoid(engine.scorer.scale * (own @ target - own @ prompt))
    assert row.presence == pytest.approx([float(presence)], abs=1e-6)
    assert row.preservation == pytest.approx([float(own @ unsteered)], abs=1e-6)


def test_a_picture_as_concept_has_no_presence(engine: Engine, red_png: bytes) -> None:
    source = ConceptSource(picture=engine.keep_reference(red_png))
    plain, row = _rows(engine, "prompt", concepts=(source,), scores=True)
    assert "cannot be given a concept in images" in row.note
    assert plain.presence == []


def test_two_concepts_act_together(engine: Engine) -> None:
    red = ConceptSource(words="in red")
    for source in (LEMON, red):
        engine.fit("linear-act-tokens", source)
    _, both = _rows(engine, "linear-act-tokens", concepts=(LEMON, red), points=((1.0, 1.0),))
    _, one = _rows(engine, "linear-act-tokens", concepts=(LEMON, red), points=((1.0, 0.0),))
    _, alone = _rows(engine, "linear-act-tokens")
    assert _pixels(one.images[0]) == _pixels(alone.images[0])
    assert _pixels(both.images[0]) != _pixels(one.images[0])


def test_a_newer_request_ends_an_older_one_before_its_next_pictures(engine: Engine) -> None:
    answers = iter([False, True])
    view = View(prompt="horse", methods=("prompt",), concepts=(LEMON,), points=((1.0,),))
    with pytest.raises(Stale):
        list(engine.rows(view, lambda: next(answers)))


def test_an_unknown_method_is_named_with_the_nearest(engine: Engine) -> None:
    with pytest.raises(UnknownName, match="did you mean 'mean-shift'"):
        _rows(engine, "mean-shfit")


def test_an_empty_prompt_is_refused(engine: Engine) -> None:
    with pytest.raises(UsageError, match="prompt is empty"):
        list(engine.rows(View(prompt=" ", methods=("prompt",))))


def test_a_file_that_is_no_picture_is_refused(engine: Engine) -> None:
    with pytest.raises(UsageError, match="cannot be read as a picture"):
        engine.keep_reference(b"<svg onload=alert(1)>")


def test_the_unsteered_picture_is_that_of_the_model(engine: Engine) -> None:
    (plain, *_) = _rows(engine, "prompt")
    request = Request(prompt="horse", seed=0, intervention=Intervention(), strength=0.0)
    assert _pixels(plain.images[0]) == _pixels(engine.model.generate([request])[0])
