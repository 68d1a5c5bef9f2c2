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
class Words:
    """Encoded prompts."""

    states: Float[Tensor, "prompts words width"]
    pooled: Float[Tensor, "prompts width"] | None = None
    mask: Bool[Tensor, "prompts words"] | None = None

    def tensors(self) -> dict[str, Tensor]:
        """What there is, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Reader(Protocol):
    """Encodes prompts, one at a time."""

    def read(self, prompt: str) -> Words:
        """A row."""

    def move(self, device: str) -> None:
        """Take the text encoders to `device`."""


class Prompts:
    """Prompts and weighted mixtures of them, encoded once: from memory, else from disk, else by the reader that `open_reader` gives.

    Its text encoders leave the device as soon as they have read, and are let go at the first batch that holds nothing new.
    """

    def __init__(self, open_reader: Callable[[], Reader], *, identity: Digest, folder: Path, device: str) -> None:
        self._open, self._identity, self._folder, self._device = open_reader, identity, folder, device
        self._known: dict[str, Words] = {}
        self._reader: Reader | None = None
        self._anew = False

    def forget(self) -> None:
        """Encode all prompts anew from here on: what is on disk is not read any more, nor is anything written there.

        The text encoders are loaded now and stay on the device, so that what is timed afterwards is reading and not loading.
        """
        self._known.clear()
        self._anew = True
        self._reader = self._reader or self._open()
        self._reader.move(self._device)

    def mixed(self, mixtures: Sequence[Mapping[str, float]]) -> Words:
        """A row a mixture."""
        with phase("encode-prompts"):
            self._learn(sorted({prompt for weights in mixtures for prompt in weights}))
        rows = [self._mix(weights).tensors() for weights in mixtures]
        return Words(**{name: torch.cat([row[name] for row in rows]).to(self._device) for name in rows[0]})

    def _mix(self, weights: Mapping[str, float]) -> Words:
        """Weighted sums of states and of pooled embeddings; a word counts if it does in any prompt."""
        known = [self._known[prompt] for prompt in weights]
        if list(weights.values()) == [1.0]:
            return known[0]
        parts = [words.tensors() for words in known]
        sums = {
            name: torch.stack([weight * part[name].float() for weight, part in zip(weights.values(), parts, strict=True)]).sum(0).to(parts[0][name].dtype)
            for name in parts[0]
            if name != "mask"
        }
        return Words(**sums, **({"mask": torch.stack([part["mask"] for part in parts]).any(0)} if "mask" in parts[0] else {}))

    def _learn(self, prompts: Sequence[str]) -> None:
        new = [prompt for prompt in prompts if prompt not in self._known and not self._recall(prompt)]
        if not new:
            self._reader = self._reader if self._anew else None
            return
        if self._reader is None:
            self._reader = self._open()
        self._reader.move(self._device)
        for prompt in new:
            with torch.no_grad(), torch.autocast(torch.device(self._device).type, enabled=False):
                words = self._reader.read(prompt)
            self._known[prompt] = Words(**{name: value.cpu() for name, value in words.tensors().items()})
            self._keep(prompt)
        if not self._anew:
            self._reader.move("cpu")

    def _path(self, prompt: str) -> Path:
        return self._folder / f"{content.digest([self._identity, prompt])}.safetensors"

    def _recall(self, prompt: str) -> bool:
        if self._anew:
            return False
        path = self._path(prompt)
        try:
            self._known[prompt] = Words(**load_file(path))
        except (SafetensorError, OSError, TypeError):
            return False
        return True

    def _keep(self, prompt: str) -> None:
        if self._anew:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(prompt)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        save_file({name: value.contiguous() for name, value in self._known[prompt].tensors().items()}, fresh)
        fresh.replace(path)


@dataclass(frozen=True, kw_only=True)
class Imagined:
    """For models without weights: noise of the right shape, which depends on the prompt's text alone, and the work that reading it would be."""

    shapes: Mapping[str, Sequence[int]]
    """Of each part of a row."""
    dtype: torch.dtype
    encoders: Sequence[tuple[Any, int]]
    """Text encoders without what they learnt, each with how many tokens it is given; what they answer is thrown away."""

    def read(self, prompt: str) -> Words:
        random = torch.Generator().manual_seed(int(content.digest(prompt), 16) % 2**63)
        drawn = {name: torch.randn(1, *shape, generator=random).to(self.dtype) for name, shape in self.shapes.items()}
        for encoder, tokens in self.encoders:
            encoder(torch.randint(encoder.config.vocab_size, (1, tokens), generator=random).to(next(encoder.parameters()).device))
        return Words(**drawn, mask=None if "pooled" in drawn else torch.ones(1, self.shapes["states"][0], dtype=torch.bool))

    def move(self, device: str) -> None:
        for encoder, _ in self.encoders:
            encoder.to(device)
