"""FLUX.2 [klein]: a transformer over words and over cells of 2 x 2 latents, which are normalised.

References:
    Black Forest Labs. FLUX.2: Frontier Visual Intelligence. 2025. https://bfl.ai/blog/flux-2
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
    variant,
)
from htbench.models.published.prompts import PromptEmbeds, TextEncoder

_TOKENS = 512
"""Tokens of a prompt that are read, with those of the chat around it."""


class Flux2Klein:
    """FLUX.2 [klein]: prompts are the states of three layers of Qwen 3, side by side.

    In its later blocks the output of a site has both words and cells.
    """

    prefix = "transformer"
    has_maps = False
    guidance = "0"
    autoencoder = "AutoencoderKLFlux2"
    latent_dtype = None
    timesteps = staticmethod(schedule.evenly_spaced)
    patterns: ClassVar[Mapping[str, str]] = {
        "norms": r"transformer\.transformer_blocks\.\d+\.norm[12](_context)?"
        r"|transformer\.single_transformer_blocks\.\d+\.norm"
        r"|transformer\.norm_out\.norm",
        "attention": r"transformer\.transformer_blocks\..*\.attn\.to(_out\.0|_add_out)"
        r"|transformer\.single_transformer_blocks\.\d+\.attn",
        "mlp": r"transformer\..*\.(ff|ff_context|mlp_act_fn)",
    }

    def set_timesteps(
        self, scheduler: Any, timesteps: Sequence[float], *, side: int, device: str
    ) -> None:
        from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

        mu = compute_empirical_mu(side**2, len(timesteps))
        schedule.set_shifted(scheduler, timesteps, device=device, mu=mu)

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        from diffusers import Flux2Transformer2DModel

        network: nn.Module = Flux2Transformer2DModel.from_config(dict(config))
        return network

    def example_inputs(
        self, config: Mapping[str, Any]
    ) -> tuple[Float[Tensor, "1 channels rows columns"], PromptEmbeds]:
        words = PromptEmbeds(states=torch.empty(1, 8, config["joint_attention_dim"]))
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
        device, (count, words, _) = latents.device, embeds.states.shape
        rows, columns = latents.shape[2:]
        zero = torch.arange(1, device=device)
        down, right, number = (
            torch.arange(length, device=device) for length in (rows, columns, words)
        )
        cells: Tensor = network(
            latents.flatten(2).transpose(1, 2),
            timestep=timestep.expand(count).to(latents.dtype) / 1000,
            guidance=None,
            encoder_hidden_states=embeds.states,
            txt_ids=torch.cartesian_prod(zero, zero, zero, number).expand(count, -1, -1),
            img_ids=torch.cartesian_prod(zero, down, right, zero).expand(count, -1, -1),
            return_dict=False,
        )[0]
        return cells.transpose(1, 2).reshape(count, -1, rows, columns)

    def load_text_encoder(self, folder: Path, dtype: torch.dtype) -> TextEncoder:
        from diffusers import Flux2KleinPipeline

        return _Flux2TextEncoder(
            Flux2KleinPipeline.from_pretrained(
                folder, transformer=None, vae=None, torch_dtype=dtype, variant=variant(folder)
            )
        )


class _Flux2TextEncoder(PipelineTextEncoder):
    def encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        around = chat_tokens(self._pipeline.tokenizer, thinking=False)
        self._warn_if_cut(prompts, tokeniser="tokenizer", limit=_TOKENS - around)
        states, _ = self._pipeline.encode_prompt(
            list(prompts), device=self._device, max_sequence_length=_TOKENS
        )
        return PromptEmbeds(states=states)
