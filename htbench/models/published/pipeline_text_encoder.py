"""The text encoders of a pipeline, without its denoiser and decoder."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

_MAX_WARNINGS = 10


class PipelineTextEncoder:
    """A pipeline without its denoiser and decoder."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline, self._device = pipeline, "cpu"
        self._cut_count = 0

    def _warn_if_cut(self, prompts: Sequence[str], *, tokeniser: str, limit: int) -> None:
        """Tell of a prompt with more tokens than are read, at its first reading; of ten at most."""
        # a batch that is filled up has its last prompt several times
        for prompt in dict.fromkeys(prompts):
            count = len(getattr(self._pipeline, tokeniser)(prompt, verbose=False).input_ids)
            if count > limit and self._cut_count < _MAX_WARNINGS:
                self._cut_count += 1
                sys.stderr.write(
                    f"htbench: {prompt[:120]!r} has {count} tokens, of which the generator reads "
                    f"{limit}: the rest is ignored\n"
                )

    def move(self, device: str) -> None:
        for part in self._pipeline.components.values():
            if isinstance(part, nn.Module):
                part.to(device)
        self._device = device


def variant(folder: Path) -> str | None:
    """`fp16` if the weights were downloaded in half precision, by the names of files; else None."""
    return "fp16" if any(folder.glob("*/*.fp16.safetensors")) else None
