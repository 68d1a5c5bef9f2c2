"""Encoded prompts: made once by the pipeline's own text encoders, kept on disk by content."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from htbench.core import content
from htbench.core.phase import phase
from htbench.core.types import Digest


@dataclass(frozen=True, kw_only=True)
class PromptEmbeds:
    """Encoded prompts."""

    states: Float[Tensor, "prompts words width"]
    pooled: Float[Tensor, "prompts width"] | None = None
    mask: Bool[Tensor, "prompts words"] | None = None

    def tensors(self) -> dict[str, Tensor]:
        """What there is, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


class TextEncoder(Protocol):
    """Encodes prompts, one at a time."""

    def encode(self, prompt: str) -> PromptEmbeds:
        """A row."""

    def move(self, device: str) -> None:
        """Take the text encoders to `device`."""


class PromptCache:
    """Prompts and weighted mixtures of them, encoded once: from memory, else from disk, else by the reader that `open_reader` gives.

    Its text encoders leave the device as soon as they have read, and are let go at the first batch that holds nothing new.
    """

    def __init__(
        self,
        load_encoder: Callable[[], TextEncoder],
        *,
        encoder_digest: Digest,
        folder: Path,
        device: str,
    ) -> None:
        self._load_encoder, self._encoder_digest, self._folder, self._device = (
            load_encoder,
            encoder_digest,
            folder,
            device,
        )
        self._embeds: dict[str, PromptEmbeds] = {}
        self._encoder: TextEncoder | None = None
        self._bypass_cache = False

    def forget(self) -> None:
        """Encode all prompts anew from here on: what is on disk is not read any more, nor is anything written there.

        The text encoders are loaded now and stay on the device, so that what is timed afterwards is reading and not loading.
        """
        self._embeds.clear()
        self._bypass_cache = True
        self._encoder = self._encoder or self._load_encoder()
        self._encoder.move(self._device)

    def encode(self, mixtures: Sequence[Mapping[str, float]]) -> PromptEmbeds:
        """A row a mixture."""
        with phase("encode-prompts"):
            self._encode_missing(sorted({prompt for weights in mixtures for prompt in weights}))
        rows = [self._mix(weights).tensors() for weights in mixtures]
        return PromptEmbeds(
            **{name: torch.cat([row[name] for row in rows]).to(self._device) for name in rows[0]}
        )

    def _mix(self, weights: Mapping[str, float]) -> PromptEmbeds:
        """Weighted sums of states and of pooled embeddings; a word counts if it does in any prompt."""
        known = [self._embeds[prompt] for prompt in weights]
        if list(weights.values()) == [1.0]:
            return known[0]
        parts = [words.tensors() for words in known]
        sums = {
            name: torch.stack(
                [
                    weight * part[name].float()
                    for weight, part in zip(weights.values(), parts, strict=True)
                ]
            )
            .sum(0)
            .to(parts[0][name].dtype)
            for name in parts[0]
            if name != "mask"
        }
        return PromptEmbeds(
            **sums,
            **(
                {"mask": torch.stack([part["mask"] for part in parts]).any(0)}
                if "mask" in parts[0]
                else {}
            ),
        )

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
        for prompt in new:
            with torch.no_grad(), torch.autocast(torch.device(self._device).type, enabled=False):
                words = self._encoder.encode(prompt)
            self._embeds[prompt] = PromptEmbeds(
                **{name: value.cpu() for name, value in words.tensors().items()}
            )
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
            self._embeds[prompt] = PromptEmbeds(**load_file(path))
        except (SafetensorError, OSError, TypeError):
            return False
        return True

    def _save(self, prompt: str) -> None:
        if self._bypass_cache:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(prompt)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        save_file(
            {name: value.contiguous() for name, value in self._embeds[prompt].tensors().items()},
            fresh,
        )
        fresh.replace(path)


@dataclass(frozen=True, kw_only=True)
class RandomTextEncoder:
    """For models without weights: noise of the right shape, which depends on the prompt's text alone, and the work that reading it would be."""

    shapes: Mapping[str, Sequence[int]]
    """Of each part of a row."""
    dtype: torch.dtype
    encoders: Sequence[tuple[Any, int]]
    """Text encoders without what they learnt, each with how many tokens it is given; what they answer is thrown away."""

    def encode(self, prompt: str) -> PromptEmbeds:
        random = torch.Generator().manual_seed(int(content.digest(prompt), 16) % 2**63)
        drawn = {
            name: torch.randn(1, *shape, generator=random).to(self.dtype)
            for name, shape in self.shapes.items()
        }
        for encoder, tokens in self.encoders:
            encoder(
                torch.randint(encoder.config.vocab_size, (1, tokens), generator=random).to(
                    next(encoder.parameters()).device
                )
            )
        return PromptEmbeds(
            **drawn,
            mask=None
            if "pooled" in drawn
            else torch.ones(1, self.shapes["states"][0], dtype=torch.bool),
        )

    def move(self, device: str) -> None:
        for encoder, _ in self.encoders:
            encoder.to(device)
