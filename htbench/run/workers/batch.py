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
from htbench.run.store import Failure, Picture
from htbench.run.workers.messages import Made, Piece
from htbench.steering.intervention import Intervention
from htbench.steering.model import Model, Request

if TYPE_CHECKING:
    from PIL.Image import Image

_DARK = 4
"""Levels of 255 up to which a picture counts as black, and a picture's range as constant: what a decoder makes of nothing is rarely pure."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What came of some pieces of one batch, before images are files."""

    pieces: Sequence[Piece]
    images: "Sequence[Image]" = ()
    failure: Failure | None = None
    seconds: float = 0.0
    batch: int = 0

    def developed(self) -> Made:
        """The same with images as PNG."""
        keys = tuple(piece.image for piece in self.pieces)
        pictures = tuple(Picture(key=key, png=_png(image), flaw=flaw(image)) for key, image in zip(keys, self.images, strict=False))
        return Made(images=keys, pictures=pictures, failure=self.failure, seconds=self.seconds, batch=self.batch)


class Studio:
    """Makes images, in smaller batches once memory ran out."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._most: int | None = None

    def make(self, pieces: Sequence[Piece], changes: Mapping[str, Intervention], *, batch: int) -> tuple[list[Shot], tuple[str, ...]]:
        """Images of `pieces`, of which there are at most `batch`, and what to tell the user; those that fail together are tried one by one."""
        notes: list[str] = []
        return self._make(pieces, changes, batch, notes), tuple(notes)

    def _make(self, pieces: Sequence[Piece], changes: Mapping[str, Intervention], planned: int, notes: list[str]) -> list[Shot]:
        size = min(planned, self._most or planned)
        if len(pieces) > size:
            return [shot for k in range(0, len(pieces), size) for shot in self._make(pieces[k : k + size], changes, planned, notes)]
        try:
            return [self._shoot(pieces, changes, size)]
        except Exception as error:
            problem = failure(error, during="generate")
        if problem.kind == "memory" and size > 1:
            self._most = size // 2
            notes.append(f"out of memory: going on with batches of {self._most} instead of {planned}")
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return self._make(pieces, changes, planned, notes)
        if len(pieces) == 1:
            return [Shot(pieces=pieces, failure=problem)]
        return [shot for piece in pieces for shot in self._make([piece], changes, planned, notes)]

    def _shoot(self, pieces: Sequence[Piece], changes: Mapping[str, Intervention], size: int) -> Shot:
        plain = Intervention()
        requests = [
            Request(prompt=piece.prompt, seed=piece.seed, intervention=changes[piece.change] if piece.change else plain, strength=piece.strength)
            for piece in pieces
        ]
        filler = [requests[-1]] * (size - len(requests))  # an image may depend on the size of its batch, to the last bit
        self._model.synchronise()
        began = time.perf_counter()
        images = self._model.generate([*requests, *filler])[: len(requests)]
        return Shot(pieces=pieces, images=images, seconds=(time.perf_counter() - began) / size, batch=size)


def failure(error: Exception, *, during: str) -> Failure:
    """What the store keeps of an error; `during` is its kind unless the error itself says more."""
    kind = "nan" if isinstance(error, NotFinite) else "memory" if device.out_of_memory(error) else during
    return Failure(kind=kind, message=str(error) or type(error).__name__, trace="".join(traceback.format_exception(error)))


def _png(image: "Image") -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)  # half the time of the default, as small
    return buffer.getvalue()


def flaw(image: "Image") -> str | None:
    """`black` or `constant` for a picture that shows nothing, else None."""
    ranges = cast(tuple[tuple[int, int], ...], image.convert("RGB").getextrema())
    if max(highest for _, highest in ranges) <= _DARK:
        return "black"
    return "constant" if max(highest - lowest for lowest, highest in ranges) <= _DARK else None
