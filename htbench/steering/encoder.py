"""Encoders: images and texts embedded in one space."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from htbench.core import threads
from htbench.core.errors import UsageError
from htbench.core.types import Digest
from htbench.steering.concept import Concept

if TYPE_CHECKING:
    from open_clip import CLIP
    from PIL.Image import Image

Condition = Literal["text", "image"]
"""The modality that a concept is embedded from: its words, or its reference images."""


class Encoder(Protocol):
    """A CLIP-like model that embeds images and texts in one space, where cosines compare them.

    A plug-in in the group `htbench.encoders` is a factory `(device: str) -> Encoder`. Hypernetworks
    embed concepts with one encoder; images are scored with another.
    """

    name: str
    revision: Digest
    """Changes with everything that can change an embedding."""
    width: int
    """Number of features of an embedding."""
    scale: float
    """The logit scale: the factor of a cosine before a softmax."""

    def images(self, images: "Sequence[Image]") -> Float[Tensor, "images features"]:
        """Embeddings of length 1 in the order of `images`, on the CPU, in float32.

        Raises:
            UsageError: if it reads words alone, see `reads_images`.
        """

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "texts features"]:
        """Embeddings of length 1 in the order of `texts`, on the CPU, in float32."""


def reads_images(encoder: Encoder) -> bool:
    """False for an encoder of words alone, which declares `reads_images = False`."""
    return bool(getattr(encoder, "reads_images", True))


def embed(
    encoder: Encoder, concepts: Sequence[Concept], condition: Condition
) -> Float[Tensor, "concepts features"]:
    """Embeddings of concepts: of their words, or the means of those of their reference images.

    Means of several embeddings are shorter than 1.

    Raises:
        UsageError: if `condition` is `image` and a concept has no reference images, or the encoder
            reads words alone.
    """
    if condition == "text":
        return encoder.texts([concept.text for concept in concepts])
    for concept in concepts:
        if not concept.references:
            raise UsageError(
                f"concept {concept.id!r} has no reference images",
                remedy="Use a method that reads words, such as the card hypertransport.",
            )
    return torch.stack([_embed_references(encoder, concept).mean(0) for concept in concepts])


def _embed_references(encoder: Encoder, concept: Concept) -> Float[Tensor, "pictures features"]:
    """Embeddings of a concept's reference images, of which few are in memory at a time."""
    return torch.cat(
        [
            encoder.images([reference.open() for reference in concept.references[k : k + _BATCH]])
            for k in range(0, len(concept.references), _BATCH)
        ]
    )


_BATCH = 64
"""Images or texts that an encoder takes at a time."""
_MAX_WARNINGS = 10


class ClipEncoder:
    """An encoder made of any open_clip model.

    A text with more tokens than its context is cut. A line on stderr warns of each such text, once,
    where `tokens` is given.
    """

    def __init__(
        self,
        name: str,
        revision: Digest,
        clip: "CLIP",
        *,
        width: int,
        preprocess: "Callable[[Image], Tensor]",
        tokenise: Callable[[Sequence[str]], Int[Tensor, "texts words"]],
        device: str,
        batch: int = _BATCH,
        tokens: Callable[[str], Sequence[object]] | None = None,
        context_length: int = 77,
    ) -> None:
        """Move `clip` to `device`, and freeze it.

        Args:
            width: number of features of an embedding.
            batch: images or texts at a time.
            tokens: tokens of a text before it is cut, with its start and end marks; None: texts
                that are cut are not warned of.
            context_length: the number of tokens that a text is cut to.
        """
        self.name, self.revision, self.width = name, revision, width
        self._clip = clip.to(device).eval().requires_grad_(False)
        self._weights = sum(weight.numel() for weight in self._clip.parameters())
        self._preprocess, self._tokenise = preprocess, tokenise
        self._device, self._batch = device, batch
        self._tokens, self.context_length = tokens, context_length
        self._cut_texts: set[str] = set()
        self.scale = float(self._clip.logit_scale.exp())

    def images(self, images: "Sequence[Image]") -> Float[Tensor, "images features"]:
        return self._in_batches(
            len(images),
            lambda part: self._clip.encode_image(
                torch.stack([self._preprocess(image) for image in images[part]]).to(self._device),
                normalize=True,
            ),
        )

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "texts features"]:
        self._warn_of_cut_texts(texts)
        work = len(texts) * self.context_length * self._weights
        with threads.for_work(work, self._device):
            return self._in_batches(
                len(texts),
                lambda part: self._clip.encode_text(
                    self._tokenise(texts[part]).to(self._device), normalize=True
                ),
            )

    def tokens(self, text: str) -> Sequence[object]:
        """All tokens of a text, with its marks; none where they are not known."""
        return self._tokens(text) if self._tokens else ()

    def _warn_of_cut_texts(self, texts: Sequence[str]) -> None:
        """Name each text that is cut, at its first encoding; after ten of them say so instead."""
        if self._tokens is None:
            return
        for text in texts:
            if text in self._cut_texts or len(self._cut_texts) > _MAX_WARNINGS:
                continue
            count = len(self._tokens(text))
            if count <= self.context_length:
                continue
            self._cut_texts.add(text)
            warning = (
                f"{text[:60]!r} has {count} tokens, of which {self.name} "
                f"reads {self.context_length}: the rest is ignored"
                if len(self._cut_texts) <= _MAX_WARNINGS
                else f"{self.name} cuts further texts to {self.context_length} tokens; "
                "they are not named"
            )
            print(f"htbench: {warning}", file=sys.stderr)

    @torch.inference_mode()
    def _in_batches(self, count: int, encode: Callable[[slice], Tensor]) -> Tensor:
        parts = [
            encode(slice(start, start + self._batch)).float().cpu()
            for start in range(0, count, self._batch)
        ]
        return torch.cat(parts) if parts else torch.zeros(0, self.width)
