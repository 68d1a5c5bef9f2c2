"""Texts beyond what a model or an encoder reads."""

import pytest

from htbench.models.emoji.encoders import load_b
from htbench.models.emoji.model import EmojiModel
from htbench.steering.text_limits import Question, cut_texts


def _question(words: int) -> Question:
    prompt = " ".join(["cat"] * words)
    return Question(concept="companion/lemon", prompt=prompt, target=f"{prompt} with lemon")


@pytest.fixture(scope="module", params=[load_b, EmojiModel])
def reader(request: pytest.FixtureRequest) -> object:
    return request.param("cpu")


def test_a_text_of_the_limit_is_read_whole(reader: object) -> None:
    assert not cut_texts(reader, [_question(18)])


@pytest.mark.parametrize(("words", "is_lost"), [(19, False), (20, True), (25, True)])
def test_a_longer_text_is_named_with_its_concept_and_the_limit(
    words: int, is_lost: bool, reader: object
) -> None:
    (cut,) = cut_texts(reader, [_question(words)])
    assert cut.is_concept_lost is is_lost
    assert "concept 'companion/lemon'" in str(cut)
    assert f"reads {cut.limit} tokens" in str(cut)


def test_a_reader_of_any_text_cuts_none() -> None:
    assert not cut_texts(object(), [_question(1000)])
