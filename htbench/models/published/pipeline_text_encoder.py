"""The text encoders of a pipeline, without its denoiser and decoder."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htbench.models.published.prompts import PromptEmbeds

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


def chat_tokens(tokeniser: Any, *, thinking: bool) -> int:
    """The number of tokens that a chat puts around the words of a user."""
    messages = [{"role": "user", "content": ""}]
    chat = tokeniser.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking
    )
    return len(tokeniser(chat).input_ids)


def padded(rows: Sequence[Float[Tensor, "words width"]], count: int) -> PromptEmbeds:
    """Prompts of different lengths as one tensor of `count` words, zeros behind the last of each.

    The mask tells which are words. `count` is the same for all, so that prompts can be mixed.
    """
    states = torch.stack(
        [nn.functional.pad(row[:count], [0, 0, 0, count - len(row[:count])]) for row in rows]
    )
    lengths = torch.tensor([len(row) for row in rows], device=states.device)
    return PromptEmbeds(
        states=states, mask=torch.arange(count, device=states.device) < lengths[:, None]
    )
