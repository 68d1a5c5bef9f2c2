"""The contract of every encoder, as checks that `htbench check encoder` and our own tests run."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from htbench.core.promises import PromiseResult, check_all, require
from htbench.steering.encoder import Encoder, reads_images
from htbench.steering.model import HasVocabulary

TEXTS = ("a red panda with lemon", "two boats", "a cat in snow", "a", "a woodcut of a tree")
UNKNOWN = ("zqxvorp", "blivetork")
"""Two words that no vocabulary has."""
BATCH_ERROR = 1e-4
"""Difference of an embedding alone and in a batch that the order of operations may make."""
_LENGTH_ERROR = 1e-3
_LONG = 2000
"""Words of a text that is too long for any context."""


@dataclass(frozen=True, kw_only=True)
class EncoderCase:
    """An encoder, against which promises are checked."""

    encoder: Encoder

    def both(self) -> dict[str, Float[Tensor, "inputs features"]]:
        """Embeddings of pictures, unless it reads words alone, and of texts."""
        return self.embed(pictures(), TEXTS)

    def embed(
        self, seen: Sequence[Image.Image], read: Sequence[str]
    ) -> dict[str, Float[Tensor, "inputs features"]]:
        """Embeddings of these pictures, unless it reads words alone, and of these texts."""
        images = {"image": self.encoder.images(seen)} if reads_images(self.encoder) else {}
        return {**images, "text": self.encoder.texts(read)}


def pictures() -> list[Image.Image]:
    """Different pictures of one size: ramps of colours, and noise."""
    random = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0, 255, 96).expand(96, 96)
    channels = torch.stack([ramp, ramp.T, 255 - ramp], -1)
    noise = torch.randint(0, 256, (96, 96, 3), generator=random).float()
    levels = [channels, channels.flip(-1), channels * 0.3, noise, (channels + noise) / 2]
    return [Image.fromarray(each.to(torch.uint8).numpy()) for each in levels]


def check(case: EncoderCase) -> Iterator[PromiseResult]:
    """Check every promise in turn; stop if the first is broken, since the others depend on it."""
    return check_all(PROMISES, case)


def it_embeds_pictures_and_texts(case: EncoderCase) -> None:
    for kind, vectors in case.both().items():
        require(
            vectors.ndim == 2 and len(vectors) == len(TEXTS),
            f"{len(TEXTS)} inputs gave {kind} embeddings of shape {tuple(vectors.shape)}",
        )


def embeddings_have_the_declared_width(case: EncoderCase) -> None:
    for kind, vectors in case.both().items():
        require(
            vectors.shape[1] == case.encoder.width,
            f"{kind} embeddings have {vectors.shape[1]} features, {case.encoder.width} declared",
        )


def embeddings_are_float32_on_the_cpu(case: EncoderCase) -> None:
    for kind, vectors in case.both().items():
        require(
            vectors.dtype == torch.float32 and vectors.device.type == "cpu",
            f"{kind} embeddings are {vectors.dtype} on {vectors.device}",
        )
        require(not vectors.requires_grad, f"{kind} embeddings record gradients")


def embeddings_are_finite_and_of_length_1(case: EncoderCase) -> None:
    for kind, vectors in case.both().items():
        require(bool(vectors.isfinite().all()), f"{kind} embeddings hold NaN or infinity")
        lengths = vectors.double().norm(dim=1)
        worst = float(lengths[(lengths - 1).abs().argmax()])
        require(abs(worst - 1) <= _LENGTH_ERROR, f"a {kind} embedding has length {worst:.3g}")


def its_scale_is_a_positive_number(case: EncoderCase) -> None:
    scale = case.encoder.scale
    require(math.isfinite(scale) and scale > 0, f"its scale is {scale!r}")


def texts_and_pictures_share_one_space(case: EncoderCase) -> None:
    both = case.both()
    if "image" not in both:
        return
    widths = {kind: vectors.shape[1] for kind, vectors in both.items()}
    require(widths["image"] == widths["text"], f"widths are {widths}")
    cosines = both["image"] @ both["text"].T
    require(
        float(cosines.std(0).max()) > 0 and float(cosines.std(1).max()) > 0,
        "all pictures are equally near to each text",
    )


def different_inputs_have_different_embeddings(case: EncoderCase) -> None:
    for kind, vectors in case.embed(pictures(), ["panda", "boat"]).items():
        gaps = torch.cdist(vectors, vectors) + torch.eye(len(vectors))
        require(float(gaps.min()) > 0, f"two different {kind}s have one embedding")


def the_same_input_has_the_same_embedding(case: EncoderCase) -> None:
    for kind, vectors in case.both().items():
        require(torch.equal(vectors, case.both()[kind]), f"a second call gives another {kind}")


def an_embedding_does_not_depend_on_its_batch(case: EncoderCase) -> None:
    both, turned = case.both(), case.embed(pictures()[::-1], TEXTS[::-1])
    each_alone = [
        case.embed([picture], [text]) for picture, text in zip(pictures(), TEXTS, strict=True)
    ]
    turned = {kind: vectors.flip(0) for kind, vectors in turned.items()}
    alone = {kind: torch.cat([own[kind] for own in each_alone]) for kind in both}
    for kind, vectors in both.items():
        for other, where in ((turned, "at another place of a batch"), (alone, "alone")):
            gap = float((vectors - other[kind]).abs().max())
            require(gap <= BATCH_ERROR, f"{kind} embeddings differ by {gap:.2g} {where}")


def no_inputs_have_no_embeddings(case: EncoderCase) -> None:
    for kind, vectors in case.embed([], []).items():
        require(
            tuple(vectors.shape) == (0, case.encoder.width),
            f"no {kind} gave embeddings of shape {tuple(vectors.shape)}",
        )


def pictures_of_any_shape_and_mode_are_read(case: EncoderCase) -> None:
    if not reads_images(case.encoder):
        return
    picture = pictures()[0]
    odd = {
        "a wide picture": picture.resize((200, 40)),
        "a single pixel": picture.resize((1, 1)),
        "a grey picture": picture.convert("L"),
        "a transparent picture": picture.convert("RGBA"),
    }
    for name, each in odd.items():
        _require_whole(case.encoder.images([each]), name)


def an_empty_text_has_an_embedding(case: EncoderCase) -> None:
    for text, name in (("", "an empty text"), (" \n", "a text of blanks")):
        _require_whole(case.encoder.texts([text]), name)


def a_text_that_is_cut_is_told(case: EncoderCase) -> None:
    texts = [f"{'red ' * _LONG}{ending}" for ending in ("panda", "boat")]
    with redirect_stderr(io.StringIO()) as told:
        vectors = case.encoder.texts(texts)
    for vector in vectors:
        _require_whole(vector[None], "a long text")
    is_cut = bool((vectors[0] - vectors[1]).abs().max() <= BATCH_ERROR)
    require(
        not is_cut or bool(told.getvalue().strip()),
        f"the end of a text of {_LONG + 1} words is ignored without a line on stderr",
    )


def unknown_words_are_told(case: EncoderCase) -> None:
    first, other = case.encoder.texts(UNKNOWN)
    if float((first - other).abs().max()) > BATCH_ERROR:
        return
    require(
        isinstance(case.encoder, HasVocabulary),
        f"{UNKNOWN[0]!r} and {UNKNOWN[1]!r} have one embedding, and it has no `unknown_words`",
    )
    if isinstance(case.encoder, HasVocabulary):
        told = case.encoder.unknown_words(" ".join(UNKNOWN))
        require(list(told) == list(UNKNOWN), f"`unknown_words` gives {told}, not {UNKNOWN}")


def inputs_are_not_written_to(case: EncoderCase) -> None:
    seen, read = pictures(), list(TEXTS)
    case.embed(seen, read)
    require(
        [each.tobytes() for each in seen] == [each.tobytes() for each in pictures()]
        and read == list(TEXTS),
        "a picture or a list was changed",
    )


PROMISES = (
    it_embeds_pictures_and_texts,
    embeddings_have_the_declared_width,
    embeddings_are_float32_on_the_cpu,
    embeddings_are_finite_and_of_length_1,
    its_scale_is_a_positive_number,
    texts_and_pictures_share_one_space,
    different_inputs_have_different_embeddings,
    the_same_input_has_the_same_embedding,
    an_embedding_does_not_depend_on_its_batch,
    no_inputs_have_no_embeddings,
    pictures_of_any_shape_and_mode_are_read,
    an_empty_text_has_an_embedding,
    a_text_that_is_cut_is_told,
    unknown_words_are_told,
    inputs_are_not_written_to,
)


def _require_whole(vectors: Float[Tensor, "inputs features"], name: str) -> None:
    is_whole = bool(vectors.isfinite().all()) and bool(
        (vectors.norm(dim=-1) - 1).abs().max() <= _LENGTH_ERROR
    )
    require(is_whole, f"{name} has an embedding that is not finite or not of length 1")
