"""Generates images in batches that mix methods, concepts and strengths.

An image that fails does not fail the others of its batch.
"""

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

from htbench.core import device, pictures
from htbench.core.errors import NotFinite
from htbench.core.types import Digest
from htbench.run.store import CellRow, Failure, GeneratedImage
from htbench.run.workers.messages import GeneratedBatch
from htbench.steering.intervention import Intervention
from htbench.steering.model import Model, Request

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_ENCODERS = 4
"""Threads that encode the images of a batch: one takes 70 ms for 1024 pixels, about as long as a
GPU needs to generate them."""
_LARGE = 256 * 256
"""Pixels from which an image is large."""
Interventions = Mapping[tuple[str, str], Intervention]
"""Interventions by method and concept."""
EncodeBatch = Callable[[], GeneratedBatch]
"""Encodes the images of one batch as files, on any thread, and returns the batch."""


class BatchGenerator:
    """Generates images, in smaller batches once memory ran out."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._max_batch: int | None = None
        self._encoders = ThreadPoolExecutor(min(_MAX_ENCODERS, torch.get_num_threads()))

    def generate(
        self, cells: Sequence[CellRow], interventions: Interventions, *, batch_size: int
    ) -> tuple[list[EncodeBatch], tuple[str, ...]]:
        """The images of at most `batch_size` cells, still to be encoded, and warnings for the user.

        Images that fail together are tried one by one.
        """
        warnings: list[str] = []
        return self._generate(cells, interventions, batch_size, warnings), tuple(warnings)

    def _generate(
        self,
        cells: Sequence[CellRow],
        interventions: Interventions,
        planned: int,
        warnings: list[str],
    ) -> list[EncodeBatch]:
        size = min(planned, self._max_batch or planned)
        if len(cells) > size:
            return self._generate_parts(cells, interventions, planned, warnings, size=size)
        try:
            return [self._generate_batch(cells, interventions, size)]
        except Exception as error:
            failure = failure_of(error, during="generate")
        if failure.kind == "memory" and size > 1:
            self._max_batch = size // 2
            warnings.append(
                f"out of memory: going on with batches of {self._max_batch} instead of {planned}"
            )
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return self._generate(cells, interventions, planned, warnings)
        if len(cells) == 1:
            failed = GeneratedBatch(image_keys=(cells[0].image,), failure=failure)
            return [lambda: failed]
        return self._generate_parts(cells, interventions, planned, warnings, size=1)

    def _generate_parts(
        self,
        cells: Sequence[CellRow],
        interventions: Interventions,
        planned: int,
        warnings: list[str],
        *,
        size: int,
    ) -> list[EncodeBatch]:
        return [
            batch
            for start in range(0, len(cells), size)
            for batch in self._generate(
                cells[start : start + size], interventions, planned, warnings
            )
        ]

    def _generate_batch(
        self, cells: Sequence[CellRow], interventions: Interventions, size: int
    ) -> EncodeBatch:
        unsteered = Intervention()
        requests = [
            Request(
                prompt=cell.prompt,
                seed=cell.seed,
                intervention=(
                    interventions[cell.method, cell.concept] if cell.is_steered else unsteered
                ),
                strength=cell.strength,
            )
            for cell in cells
        ]
        # an image may depend on the size of its batch, to the last bit
        filler = [requests[-1]] * (size - len(requests))
        self._model.synchronise()
        began = time.perf_counter()
        images = self._model.generate([*requests, *filler])[: len(requests)]
        seconds = (time.perf_counter() - began) / size
        keys = tuple(cell.image for cell in cells)
        return lambda: GeneratedBatch(
            image_keys=keys,
            images=self._encode(keys, images),
            seconds=seconds,
            batch_size=size,
        )

    def _encode(
        self, keys: Sequence[Digest], images: "Sequence[Image]"
    ) -> tuple[GeneratedImage, ...]:
        """Encode large images on several threads; small ones take less time than threads cost."""
        is_large = images[0].width * images[0].height >= _LARGE
        return tuple((self._encoders.map if is_large else map)(_encode, keys, images))


def failure_of(error: Exception, *, during: str) -> Failure:
    """An error as a row of the store; `during` is its kind unless the error has one of its own."""
    kind = during
    if isinstance(error, NotFinite):
        kind = "nan"
    elif device.is_out_of_memory(error):
        kind = "memory"
    return Failure(
        kind=kind,
        message=str(error) or type(error).__name__,
        trace="".join(traceback.format_exception(error)),
    )


def _encode(key: Digest, image: "Image") -> GeneratedImage:
    return GeneratedImage(key=key, png=pictures.encode_png(image), blank=pictures.blank_kind(image))
