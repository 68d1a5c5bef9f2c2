"""Pictures, scores and fits of the page."""

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
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
    return engine.rows(View(prompt="horse", methods=methods, **asked))


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
    engine.fit("mean-shift", LEMON)
    answers = iter([False, True])
    points = tuple((0.1 * k,) for k in range(1, 9))
    view = View(prompt="horse", methods=("mean-shift",), concepts=(LEMON,), points=points)
    with pytest.raises(Stale):
        engine.rows(view, lambda: next(answers))


def test_pictures_of_all_methods_at_a_point_are_made_together(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.fit("mean-shift", LEMON)
    batches, make = [], engine.model.generate

    def generate(requests: Sequence[Request]) -> list[Image.Image]:
        batches.append([request.strength for request in requests])
        return make(requests)

    monkeypatch.setattr(engine.model, "generate", generate)
    _rows(engine, "prompt", "mean-shift", points=((0.5,), (0.25,), (0.75,)))
    assert batches == [[0.0, 1.0, 0.5, 0.25], [0.75]]


@pytest.mark.parametrize("points", [((0.5,), (1.0,)), ((0.0,),)])
def test_scores_belong_to_their_pictures(engine: Engine, points: Any) -> None:
    engine.fit("mean-shift", LEMON)
    together = _rows(engine, "prompt", "mean-shift", points=points, scores=True)
    for row in together[1:]:
        (_, alone) = _rows(engine, row.method, points=points, scores=True)
        assert (row.presence, row.preservation) == (alone.presence, alone.preservation)


def test_what_is_kept_is_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    forgets: list[int] = []
    monkeypatch.setattr(engine.model, "forget_prompts", lambda: forgets.append(1), raising=False)
    monkeypatch.setattr("htbench.play.engine._KEPT_PROMPTS", 50)
    for kept, most in (
        ("_images", 20 * (3 * 16 + 4096)),
        ("_seen", 20),
        ("_read", 20),
        ("_learnt", 20),
    ):
        monkeypatch.setattr(engine, kept, type(getattr(engine, kept))(
            most, getsizeof=getattr(engine, kept).getsizeof if kept == "_images" else None
        ))  # fmt: skip
    for k in range(100):
        _rows(engine, "prompt", concepts=(ConceptSource(words=f"with {k} lemons"),), scores=True)
    assert (len(engine._images), len(engine._seen), len(engine._read)) == (20, 20, 20)
    assert len(engine._learnt) == 20
    assert len(forgets) == 2


def test_pictures_that_were_sent_are_bounded(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("htbench.play.engine._KEPT_REFERENCES", 2)
    names = [engine.keep_reference(_png(8, colour)) for colour in ("red", "green", "blue")]
    kept = {path.stem for path in (engine.folder / "references").iterdir()}
    assert kept == set(names[1:])


def test_a_picture_of_50_megapixels_is_refused_before_it_is_unpacked(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(UsageError, match="7,072 x 7,072 pixels, and 33,554,432 is the limit"):
        engine.keep_reference(_bomb(7072))


def _png(side: int, colour: str) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def _bomb(side: int) -> bytes:
    """A PNG of one black colour that says to have so many pixels, without most of its data."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(bytes(1 << 20))]
    parts = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_an_unknown_method_is_named_with_the_nearest(engine: Engine) -> None:
    with pytest.raises(UnknownName, match="did you mean 'mean-shift'"):
        _rows(engine, "mean-shfit")


def test_an_empty_prompt_is_refused(engine: Engine) -> None:
    with pytest.raises(UsageError, match="prompt is empty"):
        engine.rows(View(prompt=" ", methods=("prompt",)))


def test_a_file_that_is_no_picture_is_refused(engine: Engine) -> None:
    with pytest.raises(UsageError, match="cannot be read as a picture"):
        engine.keep_reference(b"<svg onload=alert(1)>")


def test_the_unsteered_picture_is_that_of_the_model(engine: Engine) -> None:
    (plain, *_) = _rows(engine, "prompt")
    request = Request(prompt="horse", seed=0, intervention=Intervention(), strength=0.0)
    assert _pixels(plain.images[0]) == _pixels(engine.model.generate([request])[0])
