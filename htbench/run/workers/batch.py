"""Makes images in batches that mix methods, concepts and strengths; one that fails does not take its batch with it."""

import time
import traceback
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, cast

import torch

from htbench.core import device
from htbench.core.errors import NotFinite
from htbench.run.store import Failure, GeneratedImage
from htbench.run.workers.messages import GeneratedBatch, ImageTask
from htbench.steering.intervention import Intervention
from htbench.steering.model import Model, Request

if TYPE_CHECKING:
    from PIL.Image import Image

_BLACK_LEVEL = 4
"""Levels of 255 up to which a picture counts as black, and a picture's range as constant: what a decoder makes of nothing is rarely pure."""


@dataclass(frozen=True, kw_only=True)
class RawBatch:
    """What came of some pieces of one batch, before images are files."""

    image_tasks: Sequence[ImageTask]
    images: "Sequence[Image]" = ()
    failure: Failure | None = None
    seconds: float = 0.0
    batch_size: int = 0

    def encode(self) -> GeneratedBatch:
        """The same with images as PNG."""
        keys = tuple(piece.image_key for piece in self.image_tasks)
        pictures = tuple(
            GeneratedImage(key=key, png=_encode_png(image), blank=blank_kind(image))
            for key, image in zip(keys, self.images, strict=False)
        )
        return GeneratedBatch(
            image_keys=keys,
            images=pictures,
            failure=self.failure,
            seconds=self.seconds,
            batch_size=self.batch_size,
        )


class BatchGenerator:
    """Makes images, in smaller batches once memory ran out."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._max_batch: int | None = None

    def generate(
        self,
        image_tasks: Sequence[ImageTask],
        interventions: Mapping[str, Intervention],
        *,
        batch_size: int,
    ) -> tuple[list[RawBatch], tuple[str, ...]]:
        """Images of `image_tasks`, of which there are at most `batch_size`, and what to tell the user; those that fail together are tried one by one."""
        notes: list[str] = []
        return self._generate(image_tasks, interventions, batch_size, notes), tuple(notes)

    def _generate(
        self,
        pieces: Sequence[ImageTask],
        changes: Mapping[str, Intervention],
        planned: int,
        notes: list[str],
    ) -> list[RawBatch]:
        size = min(planned, self._max_batch or planned)
        if len(pieces) > size:
            return [
                shot
                for k in range(0, len(pieces), size)
                for shot in self._generate(pieces[k : k + size], changes, planned, notes)
            ]
        try:
            return [self._generate_batch(pieces, changes, size)]
        except Exception as error:
            problem = failure_of(error, during="generate")
        if problem.kind == "memory" and size > 1:
            self._max_batch = size // 2
            notes.append(
                f"out of memory: going on with batches of {self._max_batch} instead of {planned}"
            )
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return self._generate(pieces, changes, planned, notes)
        if len(pieces) == 1:
            return [RawBatch(image_tasks=pieces, failure=problem)]
        return [
            shot for piece in pieces for shot in self._generate([piece], changes, planned, notes)
        ]

    def _generate_batch(
        self, pieces: Sequence[ImageTask], changes: Mapping[str, Intervention], size: int
    ) -> RawBatch:
        plain = Intervention()
        requests = [
            Request(
                prompt=piece.prompt,
                seed=piece.seed,
                intervention=changes[piece.intervention] if piece.intervention else plain,
                strength=piece.strength,
            )
            for piece in pieces
        ]
        filler = [requests[-1]] * (
            size - len(requests)
        )  # an image may depend on the size of its batch, to the last bit
        self._model.synchronise()
        began = time.perf_counter()
        images = self._model.generate([*requests, *filler])[: len(requests)]
        return RawBatch(
            image_tasks=pieces,
            images=images,
            seconds=(time.perf_counter() - began) / size,
            batch_size=size,
        )


def failure_of(error: Exception, *, during: str) -> Failure:
    """What the store keeps of an error; `during` is its kind unless the error itself says more."""
    kind = (
        "nan"
        if isinstance(error, NotFinite)
        else "memory"
        if device.is_out_of_memory(error)
        else during
    )
    return Failure(
        kind=kind,
        message=str(error) or type(error).__name__,
        trace="".join(traceback.format_exception(error)),
    )


def _encode_png(image: "Image") -> bytes:
    buffer = BytesIO()
    image.save(
        buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE
    )  # half the time of the default, as small
    return buffer.getvalue()


def blank_kind(image: "Image") -> str | None:
    """`black` or `constant` for a picture that shows nothing, else None."""
    ranges = cast(tuple[tuple[int, int], ...], image.convert("RGB").getextrema())
    if max(highest for _, highest in ranges) <= _BLACK_LEVEL:
        return "black"
    return (
        "constant" if max(highest - lowest for lowest, highest in ranges) <= _BLACK_LEVEL else None
    )
