"""The reader of words alone."""

from importlib import util

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from htbench.core import registry
from htbench.core.errors import Missing, UsageError
from htbench.models import word_encoder
from htbench.models.word_encoder import WordEncoder
from htbench.steering import baseline, concept
from htbench.steering.method import Method


@pytest.fixture(scope="module")
def reader() -> WordEncoder:
    encoder: WordEncoder = registry.load("encoders", "wordllama")("cpu")
    return encoder


def test_an_embedding_is_the_mean_of_its_tokens_of_length_1(reader: WordEncoder) -> None:
    folder = util.find_spec("wordllama").submodule_search_locations[0]
    vectors = load_file(f"{folder}/weights/l2_supercat_256.safetensors")["embedding.weight"]
    tokeniser = Tokenizer.from_file(f"{folder}/tokenizers/l2_supercat_tokenizer_config.json")
    tokens = tokeniser.encode("woodcut style", add_special_tokens=False).ids
    mean = vectors[tokens].astype(np.float64).mean(0)
    found = reader.texts(["panda", "woodcut style"])[1].numpy()
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)


def test_words_that_mean_alike_are_nearer_than_others(reader: WordEncoder) -> None:
    rainy, drizzly, pixelated = reader.texts(
        ["rainy weather", "drizzly weather", "pixelated style"]
    )
    assert rainy @ drizzly > rainy @ pixelated


def test_pictures_are_refused(reader: WordEncoder) -> None:
    with pytest.raises(UsageError, match="words alone"):
        reader.images([])


def test_without_its_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_encoder, "find_spec", lambda name: None)
    with pytest.raises(Missing) as missing:
        word_encoder.wordllama("cpu")
    assert "htbench[words]" in missing.value.remedy


def train(method: str, **settings: object) -> None:
    own: Method = baseline.load_method(baseline.load_card(method).with_settings(settings))
    model = registry.load("models", "emoji")("cpu")
    own.train(model, concept.load("emoji").splits["train"][:3], seed=0)


def test_a_hypernetwork_learns_from_it_by_words_alone() -> None:
    small = {"encoder": "wordllama", "steps": 1, "concepts": 2, "images": 2, "targets": 2}
    train("hypertransport", learn_from="text", **small)
    with pytest.raises(UsageError, match="words alone"):
        train("hypertransport", **small)
