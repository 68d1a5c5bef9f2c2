"""A worker with encoders and no model; without encoders it needs no torch."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from htbench.core.types import Digest
from htbench.run.sessions import machine
from htbench.run.workers.messages import (
    Embeddings,
    EmbedImages,
    EmbedTexts,
    EncoderInfo,
    Result,
    Task,
    WorkerInfo,
)

if TYPE_CHECKING:
    from torch import Tensor

    from htbench.steering.encoder import Encoder


class EncoderWorker:
    """Encoders on a device, without the model whose images they read."""

    def __init__(self, encoders: "Sequence[Encoder]", *, device: str) -> None:
        self.encoders, self.device = encoders, device
        self._text_embedding = lru_cache(maxsize=4096)(
            lambda encoder, text: self.encoders[encoder].texts([text])[0]
        )

    def info(self) -> WorkerInfo:
        """Description of the encoders and the machine."""
        return WorkerInfo(
            name="",
            revision=Digest(""),
            sites={},
            device=self.device,
            facts={},
            encoders=tuple(
                EncoderInfo(name=encoder.name, revision=encoder.revision, scale=encoder.scale)
                for encoder in self.encoders
            ),
            environment=machine(),
        )

    def begin(self, task: Task) -> Result | Callable[[], Result]:
        """The result of `task`, or a function that returns it.

        The function may be called on any thread, while the next task is begun.

        Raises:
            HtbenchError: for whatever a user can mend, other than a failed image or intervention.
        """
        match task:
            case EmbedImages():
                return self._embed_images(task)
            case EmbedTexts():
                texts = self.encoders[task.encoder].texts(task.texts)
                return Embeddings(images=_no_vectors(), texts=texts)
            case _:
                raise TypeError(f"{type(task).__name__} needs a model")

    def _embed_images(self, task: EmbedImages) -> Embeddings:
        import torch

        images = [Image.open(BytesIO(png)) for png in task.pngs]
        # a vector may depend on the size of its batch, to the last bit
        filler = images[-1:] * (-len(images) % task.batch_size)
        encoder = self.encoders[task.encoder]
        vectors = encoder.images([*images, *filler])[: len(images)] if images else _no_vectors()
        texts = [self._text_embedding(task.encoder, text) for text in task.texts]
        stacked = torch.stack(texts) if texts else _no_vectors()
        return Embeddings(images=vectors, texts=stacked)


def _no_vectors() -> "Tensor":
    import torch

    return torch.zeros(0, 0)
