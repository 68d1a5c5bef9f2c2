"""Encoders: images and texts into one space."""

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
"""What a concept is read from: its words, or its reference images."""


class Encoder(Protocol):
    """Reads images and texts; a plug-in is a factory `(device: str) -> Encoder`."""

    name: str
    revision: Digest
    width: int
    scale: float
    """The logit scale: what a cosine is multiplied by before a softmax."""

    def images(self, images: "Sequence[Image]") -> Float[Tensor, "images features"]:
        """Embeddings of length 1, on the CPU, in float32."""

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "texts features"]:
        """Embeddings of length 1, on the CPU, in float32."""


def embed(
    encoder: Encoder, concepts: Sequence[Concept], condition: Condition
) -> Float[Tensor, "concepts features"]:
    """Embeddings of concepts: of their words, or the means of their reference images."""
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
    """Any open_clip model."""

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
        self._clip, self._preprocess, self._tokenise = (
            clip.to(device).eval().requires_grad_(False),
            preprocess,
            tokenise,
        )
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
