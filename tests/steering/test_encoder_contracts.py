"""Promises of encoders: sound ones keep them all, a planted fault breaks the one that names it."""

import hashlib
import sys
from collections.abc import Callable, Sequence

import pytest
import torch
from PIL import Image
from torch import Tensor

from htbench.core import registry
from htbench.core.promises import name
from htbench.steering import encoder_contracts
from htbench.steering.encoder import Encoder
from htbench.steering.encoder_contracts import PROMISES, EncoderCase

WIDTH, CONTEXT = 12, 16


class Letters:
    """A small encoder: mean colours of a picture's quarters, and letters of words by place."""

    name, revision, width, scale = "letters", "1", WIDTH, 10.0

    def images(self, images: Sequence[Image.Image]) -> Tensor:
        return _unit([self._picture(image) for image in images])

    def texts(self, texts: Sequence[str]) -> Tensor:
        for text in texts:
            if len(text.split()) > CONTEXT:
                print(f"htbench: {text[:20]!r} is cut", file=sys.stderr)
        return _unit([self._text(text.split()[:CONTEXT]) for text in texts])

    def unknown_words(self, text: str) -> list[str]:
        return []

    def _picture(self, image: Image.Image) -> Tensor:
        small = image.convert("RGB").resize((2, 2), Image.Resampling.BOX)
        return torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).float() + 1

    def _text(self, words: Sequence[str]) -> Tensor:
        values = torch.ones(WIDTH)
        for place, word in enumerate(words):
            number = int(hashlib.sha256(word.encode()).hexdigest()[:8], 16)
            values[number % WIDTH] += 1 + number % 97 / 97 + place / 10
        return values


def _unit(rows: Sequence[Tensor]) -> Tensor:
    if not rows:
        return torch.zeros(0, WIDTH)
    return torch.nn.functional.normalize(torch.stack(list(rows)), dim=-1)


class HasAnotherWidth(Letters):
    width = WIDTH + 1


class IsDouble(Letters):
    def texts(self, texts: Sequence[str]) -> Tensor:
        return super().texts(texts).double()


class IsNotOfLength1(Letters):
    def images(self, images: Sequence[Image.Image]) -> Tensor:
        return super().images(images) * 1.1


class HoldsNan(Letters):
    def texts(self, texts: Sequence[str]) -> Tensor:
        return super().texts(texts) / 0 * 0


class HasNoScale(Letters):
    scale = float("nan")


class HasTwoSpaces(Letters):
    def texts(self, texts: Sequence[str]) -> Tensor:
        return torch.cat([super().texts(texts), torch.zeros(len(texts), 1)], 1)


class SeesNothing(Letters):
    def _picture(self, image: Image.Image) -> Tensor:
        return torch.ones(WIDTH)


class IsNotRepeatable(Letters):
    calls = 0

    def texts(self, texts: Sequence[str]) -> Tensor:
        self.calls += 1
        shift = torch.zeros(WIDTH)
        shift[self.calls % WIDTH] = 1.0
        return torch.nn.functional.normalize(super().texts(texts) + shift, dim=-1)


class DependsOnItsBatch(Letters):
    def images(self, images: Sequence[Image.Image]) -> Tensor:
        vectors = super().images(images)
        return torch.nn.functional.normalize(vectors - 0.5 * vectors.mean(0), dim=-1)


class FailsOnNothing(Letters):
    def images(self, images: Sequence[Image.Image]) -> Tensor:
        return torch.stack([super(FailsOnNothing, self).images([image])[0] for image in images])


class ReadsRgbAlone(Letters):
    def images(self, images: Sequence[Image.Image]) -> Tensor:
        if any(image.mode != "RGB" for image in images):
            raise ValueError("not RGB")
        return super().images(images)


class FailsOnAnEmptyText(Letters):
    def _text(self, words: Sequence[str]) -> Tensor:
        return super()._text(words) if words else torch.zeros(WIDTH)


class CutsInSilence(Letters):
    def texts(self, texts: Sequence[str]) -> Tensor:
        return super().texts([" ".join(text.split()[:CONTEXT]) for text in texts])


class HidesUnknownWords(Letters):
    known = ("panda", "boat", "cat", "red", "a", "two", "boats", "tree")

    def _text(self, words: Sequence[str]) -> Tensor:
        return super()._text([word if word in self.known else "?" for word in words])


class WritesToItsInputs(Letters):
    def images(self, images: Sequence[Image.Image]) -> Tensor:
        vectors = super().images(images)
        for image in images:
            image.putpixel((0, 0), 7 if image.mode == "L" else (7,) * len(image.getbands()))
        return vectors


class FailsAtOnce(Letters):
    def images(self, images: Sequence[Image.Image]) -> Tensor:
        return torch.zeros(WIDTH)


FAULTS = {
    FailsAtOnce: "it embeds pictures and texts",
    HasAnotherWidth: "embeddings have the declared width",
    IsDouble: "embeddings are float32 on the cpu",
    IsNotOfLength1: "embeddings are finite and of length 1",
    HoldsNan: "embeddings are finite and of length 1",
    HasNoScale: "its scale is a positive number",
    HasTwoSpaces: "texts and pictures share one space",
    SeesNothing: "different inputs have different embeddings",
    IsNotRepeatable: "the same input has the same embedding",
    DependsOnItsBatch: "an embedding does not depend on its batch",
    FailsOnNothing: "no inputs have no embeddings",
    ReadsRgbAlone: "pictures of any shape and mode are read",
    FailsOnAnEmptyText: "an empty text has an embedding",
    CutsInSilence: "a text that is cut is told",
    HidesUnknownWords: "unknown words are told",
    WritesToItsInputs: "inputs are not written to",
}


def broken(encoder: Encoder) -> dict[str, str]:
    """The promises that an encoder breaks, with the problems."""
    results = encoder_contracts.check(EncoderCase(encoder=encoder))
    return {each.promise: each.problem for each in results if each.problem}


@pytest.mark.parametrize("encoder", ["emoji-clip-a", "emoji-clip-b", "wordllama"])
def test_encoders_that_bring_their_weights_keep_every_promise(encoder: str) -> None:
    assert broken(registry.load("encoders", encoder)("cpu")) == {}


def test_a_small_sound_encoder_keeps_every_promise() -> None:
    assert broken(Letters()) == {}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_breaks_the_promise_that_names_it(fault: Callable[[], Encoder]) -> None:
    assert FAULTS[fault] in broken(fault())


def test_every_promise_is_broken_by_some_fault() -> None:
    assert set(FAULTS.values()) == {name(promise) for promise in PROMISES}
