"""Z-Image: one transformer over the words of a prompt and the cells of an image together.

References:
    Z-Image Team. Z-Image: An Efficient Image Generation Foundation Model with Single-Stream
    Diffusion Transformer. 2025. https://arxiv.org/abs/2511.22699
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
    chat_tokens,
    padded,
    variant,
)
from htbench.models.published.prompts import PromptEmbeds, TextEncoder

_TOKENS = 512
"""Tokens of a prompt that are read, with those of the chat around it."""


class ZImage:
    """Z-Image: time runs from noise, 0, to the image, 1, and the answer points back to the noise.

    Of each prompt the transformer reads its own words alone, filled up to a multiple of 32. In its
    layers the outputs of sites have the image's cells and the words. In a batch, the shorter ones
    are filled up to the longest.
    """

    prefix = "transformer"
    has_maps = False
    guidance = "0"
    autoencoder = "AutoencoderKL"
    latent_dtype = torch.float32
    timesteps = staticmethod(schedule.evenly_spaced)
    set_timesteps = staticmethod(schedule.set_by_size)
    patterns: ClassVar[Mapping[str, str]] = {
        "norms": r"transformer\..*\.(attention|ffn)_norm[12]|transformer\..*\.norm_final",
        "attention": r"transformer\..*\.attention",
        "mlp": r"transformer\..*\.feed_forward",
    }

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        from diffusers import ZImageTransformer2DModel

        network: nn.Module = ZImageTransformer2DModel.from_config(dict(config))
        return network

    def example_inputs(
        self, config: Mapping[str, Any]
    ) -> tuple[Float[Tensor, "1 channels rows columns"], PromptEmbeds]:
        words = PromptEmbeds(states=torch.empty(1, 8, config["cap_feat_dim"]))
        return torch.empty(1, config["in_channels"], 4, 4), words

    def predict(
        self,
        network: nn.Module,
        latents: Tensor,
        timestep: Tensor,
        embeds: PromptEmbeds,
        *,
        size: int,
    ) -> Float[Tensor, "images channels rows columns"]:
        frames = latents.to(embeds.states.dtype)[:, :, None]
        answers = network(
            list(frames.unbind()),
            (1000 - timestep.expand(len(latents))) / 1000,
            embeds.rows(),
            return_dict=False,
        )[0]
        return -torch.stack([answer.float() for answer in answers])[:, :, 0]

    def load_text_encoder(self, folder: Path, dtype: torch.dtype) -> TextEncoder:
        from diffusers import ZImagePipeline

        return _ZImageTextEncoder(
            ZImagePipeline.from_pretrained(
                folder, transformer=None, vae=None, torch_dtype=dtype, variant=variant(folder)
            )
        )


class _ZImageTextEncoder(PipelineTextEncoder):
    def encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        around = chat_tokens(self._pipeline.tokenizer, thinking=True)
        self._warn_if_cut(prompts, tokeniser="tokenizer", limit=_TOKENS - around)
        rows, _ = self._pipeline.encode_prompt(
            list(prompts),
            device=self._device,
            do_classifier_free_guidance=False,
            max_sequence_length=_TOKENS,
        )
        return padded(rows, _TOKENS)
