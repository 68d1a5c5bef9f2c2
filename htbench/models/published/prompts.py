"""Encoded prompts: made once by the pipeline's own text encoders, cached on disk by content."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

from htbench.core import content
from htbench.core.phase import phase
from htbench.core.types import Digest

_MAX_BYTES = 1 << 28
"""The largest file of an encoded prompt that is read; others are made again."""


@dataclass(frozen=True, kw_only=True)
class PromptEmbeds:
    """Encoded prompts."""

    states: Float[Tensor, "prompts words width"]
    pooled: Float[Tensor, "prompts width"] | None = None
    mask: Bool[Tensor, "prompts words"] | None = None

    @property
    def is_valid(self) -> bool:
        """True if shapes are those of one prompt, and all numbers are finite."""
        return (
            self.states.ndim == 3
            and self.states.is_floating_point()
            and (self.pooled is None or self.pooled.shape[:1] == self.states.shape[:1])
            and (self.mask is None or self.mask.shape == self.states.shape[:2])
            and all(bool(tensor.isfinite().all()) for tensor in self.tensors().values())
        )

    def rows(self) -> list[Float[Tensor, "words width"]]:
        """The states of each prompt without the words that fill it up."""
        if self.mask is None:
            return list(self.states.unbind())
        return [row[mask] for row, mask in zip(self.states, self.mask, strict=True)]

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are not None, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


class TextEncoder(Protocol):
    """Encodes prompts, several in one batch."""

    def encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        """The encodings of prompts, with a row per prompt."""

    def move(self, device: str) -> None:
        """Move the text encoders to `device`."""


class PromptCache:
    """Encodings of prompts and of their mixtures: from memory, from disk, or by a text encoder.

    `load_encoder` is called at the first new prompt. The text encoder leaves the device as soon as
    it has encoded all new prompts, and is released at the first call without a new prompt.

    New prompts are encoded `batch` at a time, the last batch filled up, so that an encoding does
    not depend on the number of prompts beside it: kernels are chosen by the size of a batch.
    """

    def __init__(
        self,
        load_encoder: Callable[[], TextEncoder],
        *,
        encoder_digest: Digest,
        folder: Path,
        device: str,
        batch: int = 1,
    ) -> None:
        self._batch = batch
        self._load_encoder, self._encoder_digest = load_encoder, encoder_digest
        self._folder, self._device = folder, device
        self._embeds: dict[str, PromptEmbeds] = {}
        self._encoder: TextEncoder | None = None
        self._bypass_cache, self._is_kept = False, True

    def forget(self) -> None:
        """Encode all prompts anew from here on, without reading from or writing to the disk.

        The text encoders are loaded now and stay on the device, so that times measured afterwards
        are of encoding and not of loading.
        """
        self._embeds.clear()
        self._bypass_cache = True
        self._encoder = self._encoder or self._load_encoder()
        self._encoder.move(self._device)

    def encode(self, mixtures: Sequence[Mapping[str, float]]) -> PromptEmbeds:
        """The encodings of mixtures, prompts with their weights, with one row per mixture."""
        with phase("encode-prompts"):
            self._encode_missing(sorted({prompt for weights in mixtures for prompt in weights}))
        rows = [self._mix(weights).tensors() for weights in mixtures]
        return PromptEmbeds(
            **{name: torch.cat([row[name] for row in rows]).to(self._device) for name in rows[0]}
        )

    def _mix(self, weights: Mapping[str, float]) -> PromptEmbeds:
        """Weighted sums of states and of pooled embeddings; masks are combined by `or`."""
        embeds = [self._embeds[prompt] for prompt in weights]
        if list(weights.values()) == [1.0]:
            return embeds[0]
        parts = [words.tensors() for words in embeds]
        mixture: dict[str, Tensor] = {}
        for name, first in parts[0].items():
            if name == "mask":
                mixture[name] = torch.stack([part[name] for part in parts]).any(0)
                continue
            pairs = zip(weights.values(), parts, strict=True)
            total = torch.stack([weight * part[name].float() for weight, part in pairs]).sum(0)
            mixture[name] = total.to(first.dtype)
        return PromptEmbeds(**mixture)

    def _encode_missing(self, prompts: Sequence[str]) -> None:
        new = [
            prompt for prompt in prompts if prompt not in self._embeds and not self._load(prompt)
        ]
        if not new:
            self._encoder = self._encoder if self._bypass_cache else None
            return
        if self._encoder is None:
            self._encoder = self._load_encoder()
        self._encoder.move(self._device)
        for start in range(0, len(new), self._batch):
            part = new[start : start + self._batch]
            filled = part + part[-1:] * (self._batch - len(part))
            with torch.no_grad(), torch.autocast(torch.device(self._device).type, enabled=False):
                words = self._encoder.encode(filled)
            rows = {name: torch.split(value.cpu(), 1) for name, value in words.tensors().items()}
            for k, prompt in enumerate(part):
                own = {name: row[k].clone() for name, row in rows.items()}
                self._embeds[prompt] = PromptEmbeds(**own)
                self._save(prompt)
        if not self._bypass_cache:
            self._encoder.move("cpu")

    def _path(self, prompt: str) -> Path:
        return self._folder / f"{content.digest([self._encoder_digest, prompt])}.safetensors"

    def _load(self, prompt: str) -> bool:
        if self._bypass_cache:
            return False
        path = self._path(prompt)
        try:
            if not path.is_file() or path.stat().st_size > _MAX_BYTES:
                return False
            embeds = PromptEmbeds(**load_file(path))
        except (SafetensorError, OSError, TypeError, ValueError):
            return False
        if not embeds.is_valid:
            return False
        self._embeds[prompt] = embeds
        return True

    def _save(self, prompt: str) -> None:
        if self._bypass_cache or not self._is_kept:
            return
        tensors = self._embeds[prompt].tensors()
        stored = serialise({name: value.contiguous() for name, value in tensors.items()})
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            content.write_whole(self._path(prompt), stored)
        except OSError as error:
            if self._is_kept:
                sys.stderr.write(
                    f"htbench: encoded prompts are not kept, since {str(self._folder)[:300]!r} "
                    f"cannot be written: {error.strerror}; XDG_CACHE_HOME names another folder\n"
                )
            self._is_kept = False


def whole_mask(
    shapes: Mapping[str, Sequence[int]], count: int
) -> Bool[Tensor, "prompts words"] | None:
    """A mask of all words of prompts without weights; None where `shapes` have no mask."""
    return torch.ones(count, *shapes["mask"], dtype=torch.bool) if "mask" in shapes else None


@dataclass(frozen=True, kw_only=True)
class RandomTextEncoder:
    """The text encoder of models without weights: random encodings by the text of the prompt.

    It also does the work that encoding would be, so that times are valid.
    """

    shapes: Mapping[str, Sequence[int]]
    """Shapes of the tensors of one prompt, by name."""
    dtype: torch.dtype
    encoders: Sequence[tuple[Any, int]]
    """Text encoders with random weights, each with the number of its tokens; their output is
    discarded."""

    def encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        generators = [
            torch.Generator().manual_seed(int(content.digest(prompt), 16) % 2**63)
            for prompt in prompts
        ]
        tensors = {
            name: torch.stack([torch.randn(*shape, generator=random) for random in generators])
            for name, shape in self.shapes.items()
            if name != "mask"
        }
        tensors = {name: values.to(self.dtype) for name, values in tensors.items()}
        for encoder, length in self.encoders:
            words = encoder.config.get_text_config().vocab_size
            tokens = torch.stack(
                [torch.randint(words, (length,), generator=random) for random in generators]
            )
            encoder(tokens.to(next(encoder.parameters()).device))
        return PromptEmbeds(**tensors, mask=whole_mask(self.shapes, len(prompts)))

    def move(self, device: str) -> None:
        for encoder, _ in self.encoders:
            encoder.to(device)
