"""Encoders: images and texts embedded in one space."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

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
        """Embeddings of length 1 in the order of `images`, on the CPU, in float32."""

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "texts features"]:
        """Embeddings of length 1 in the order of `texts`, on the CPU, in float32."""


def embed(
    encoder: Encoder, concepts: Sequence[Concept], condition: Condition
) -> Float[Tensor, "concepts features"]:
    """Embeddings of concepts: of their words, or the means of those of their reference images.

    Means of several embeddings are shorter than 1.

    Raises:
        UsageError: if `condition` is `image` and a concept has no reference images.
    """
    if condition == "text":
        return encoder.texts([concept.text for concept in concepts])
    for concept in concepts:
        if not concept.references:
            raise UsageError(
                f"concept {concept.id!r} has no reference images",
                remedy="Use a method that reads words, such as the card hypertransport.",
            )
    return torch.stack(
        [
            encoder.images([reference.open() for reference in concept.references]).mean(0)
            for concept in concepts
        ]
    )


class ClipEncoder:
    """An encoder made of any open_clip model."""

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
        batch: int = 64,
    ) -> None:
        self.name, self.revision, self.width = name, revision, width
        self._clip = clip.to(device).eval().requires_grad_(False)
        self._preprocess, self._tokenise = preprocess, tokenise
        self._device, self._batch = device, batch
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
        return self._in_batches(
            len(texts),
            lambda part: self._clip.encode_text(
                self._tokenise(texts[part]).to(self._device), normalize=True
            ),
        )

    @torch.inference_mode()
    def _in_batches(self, count: int, encode: Callable[[slice], Tensor]) -> Tensor:
        parts = [
            encode(slice(start, start + self._batch)).float().cpu()
            for start in range(0, count, self._batch)
        ]
        return torch.cat(parts) if parts else torch.zeros(0, self.width)
