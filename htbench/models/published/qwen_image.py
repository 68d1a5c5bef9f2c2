"""Qwen-Image: a transformer with a stream of words and one of the cells of an image.

References:
    Wu et al. Qwen-Image Technical Report. 2025. https://arxiv.org/abs/2508.02324
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htbench.models.published import schedule
from htbench.models.published.pipeline_text_encoder import (
    PipelineTextEncoder,
    padded,
    variant,
)
from htbench.models.published.prompts import PromptEmbeds, TextEncoder

_TOKENS = 512
"""Tokens of a prompt that are read, with those of the template behind it."""
_BEHIND = "<|im_end|>\n<|im_start|>assistant\n"


class QwenImage:
    """Qwen-Image: prompts are read by a model of pictures and words behind a request to describe.

    The stream of words is as long as the longest prompt of a batch, so that means over it depend on
    the batch. The named patterns of sites are of the image's stream, whose length is always the
    same.
    """

    prefix = "transformer"
    has_maps = False
    guidance = "0"
    autoencoder = "AutoencoderKLQwenImage"
    latent_dtype = None
    timesteps = staticmethod(schedule.evenly_spaced)
    set_timesteps = staticmethod(schedule.set_by_size)
    patterns: ClassVar[Mapping[str, str]] = {
        "norms": r"transformer\..*\.img_norm[12]|transformer\.norm_out\.norm",
        "attention": r"transformer\..*\.attn\.to_out\.0",
        "mlp": r"transformer\..*\.img_mlp",
    }

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        from diffusers import QwenImageTransformer2DModel

        network: nn.Module = QwenImageTransformer2DModel.from_config(dict(config))
        return network

    def example_inputs(
        self, config: Mapping[str, Any]
    ) -> tuple[Float[Tensor, "1 channels rows columns"], PromptEmbeds]:
        words = PromptEmbeds(states=torch.empty(1, 8, config["joint_attention_dim"]))
        return torch.empty(1, config["in_channels"] // 4, 4, 4), words

    def predict(
        self,
        network: nn.Module,
        latents: Tensor,
        timestep: Tensor,
        embeds: PromptEmbeds,
        *,
        size: int,
    ) -> Float[Tensor, "images channels rows columns"]:
        rows, columns = latents.shape[2] // 2, latents.shape[3] // 2
        states = nn.utils.rnn.pad_sequence(embeds.rows(), batch_first=True)
        cells: Tensor = network(
            # contiguous, as in the pipeline: a matrix product rounds by the layout
            nn.functional.pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2).contiguous(),
            timestep=timestep.expand(len(latents)).to(latents.dtype) / 1000,
            guidance=None,
            encoder_hidden_states=states,
            encoder_hidden_states_mask=_mask(embeds, states.shape[1]),
            img_shapes=[[(1, rows, columns)]] * len(latents),
            return_dict=False,
        )[0]
        maps = cells.transpose(1, 2).reshape(len(latents), -1, rows, columns)
        return nn.functional.pixel_shuffle(maps, 2)

    def load_text_encoder(self, folder: Path, dtype: torch.dtype) -> TextEncoder:
        from diffusers import QwenImagePipeline

        return _QwenTextEncoder(
            QwenImagePipeline.from_pretrained(
                folder, transformer=None, vae=None, torch_dtype=dtype, variant=variant(folder)
            )
        )


def _mask(embeds: PromptEmbeds, longest: int) -> Tensor | None:
    """Tells which are words of prompts that are filled up to the longest; None if all are."""
    if embeds.mask is None:
        return None
    mask = embeds.mask[:, :longest]
    return None if bool(mask.all()) else mask


class _QwenTextEncoder(PipelineTextEncoder):
    def encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        behind = len(self._pipeline.tokenizer(_BEHIND).input_ids)
        self._warn_if_cut(prompts, tokeniser="tokenizer", limit=_TOKENS - behind)
        states, mask = self._pipeline.encode_prompt(
            list(prompts), device=self._device, max_sequence_length=_TOKENS
        )
        words = PromptEmbeds(states=states, mask=None if mask is None else mask.bool())
        return padded(words.rows(), _TOKENS)
