"""SANA-Sprint: a transformer with linear attention over maps, distilled to one to four steps.

References:
    Chen et al. SANA-Sprint: One-Step Diffusion with Continuous-Time Consistency Distillation. 2025.
    https://arxiv.org/abs/2503.09641
"""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from htbench.models.published.pipeline_text_encoder import PipelineTextEncoder, variant
from htbench.models.published.prompts import PromptEmbeds, TextEncoder

GUIDANCE = 4.5
"""The pipeline's scale of guidance, which the denoiser is told as a number: one pass per step."""


class SanaSprint:
    """SANA-Sprint: times are angles, and prompts are read by Gemma 2 behind an instruction.

    Latents are in units of the scheduler's `sigma_data`. It is a power of two, so this changes no
    bit of an image.
    """

    prefix = "transformer"
    has_maps = True
    guidance = f"{GUIDANCE}, embedded"
    autoencoder = "AutoencoderDC"
    latent_dtype = torch.float32
    patterns: ClassVar[Mapping[str, str]] = {
        "norms": r"transformer\..*\.norm[12]|transformer\.norm_out\.norm",
        "attention": r"transformer\..*\.attn[12]",
        "mlp": r"transformer\..*\.ff",
    }

    def timesteps(self, steps: int) -> Sequence[float]:
        if steps == 2:
            return 1.5708, 1.3
        angles: list[float] = np.linspace(1.5708, 0.0, steps + 1)[:-1].tolist()
        return angles

    def set_timesteps(
        self, scheduler: Any, timesteps: Sequence[float], *, side: int, device: str
    ) -> None:
        scheduler.register_to_config(sigma_data=1.0)
        scheduler.set_timesteps(
            len(timesteps),
            timesteps=[*timesteps, 0.0],
            max_timesteps=None,
            intermediate_timesteps=None,
            device=device,
        )

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        from diffusers import SanaTransformer2DModel

        network: nn.Module = SanaTransformer2DModel.from_config(dict(config))
        return network

    def example_inputs(
        self, config: Mapping[str, Any]
    ) -> tuple[Float[Tensor, "1 channels rows columns"], PromptEmbeds]:
        words = PromptEmbeds(
            states=torch.empty(1, 8, config["caption_channels"]),
            mask=torch.ones(1, 8, dtype=torch.bool),
        )
        side = config["sample_size"]
        return torch.empty(1, config["in_channels"], side, side), words

    def predict(
        self,
        network: nn.Module,
        latents: Tensor,
        timestep: Tensor,
        embeds: PromptEmbeds,
        *,
        size: int,
    ) -> Float[Tensor, "images channels rows columns"]:
        angles = timestep.expand(len(latents))
        times = torch.sin(angles) / (torch.cos(angles) + torch.sin(angles))
        time = times.view(-1, 1, 1, 1)
        norm = torch.sqrt(time**2 + (1 - time) ** 2)
        scaled = latents * norm
        flow = network(
            scaled.to(embeds.states.dtype),
            encoder_hidden_states=embeds.states,
            encoder_attention_mask=embeds.mask,
            timestep=times,
            return_dict=False,
        )[0]
        # From the velocity of flow matching to that of the angles.
        turned: Tensor = ((1 - 2 * time) * scaled + (1 - 2 * time + 2 * time**2) * flow) / norm
        return turned.float()

    def load_text_encoder(self, folder: Path, dtype: torch.dtype) -> TextEncoder:
        from diffusers import SanaSprintPipeline

        return _SanaTextEncoder(
            SanaSprintPipeline.from_pretrained(
                folder, transformer=None, vae=None, torch_dtype=dtype, variant=variant(folder)
            )
        )


class _SanaTextEncoder(PipelineTextEncoder):
    def encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        self._warn_if_cut(prompts, tokeniser="tokenizer", limit=299)
        call = inspect.signature(type(self._pipeline).__call__)
        states, mask = self._pipeline.encode_prompt(
            list(prompts),
            device=self._device,
            complex_human_instruction=call.parameters["complex_human_instruction"].default,
        )
        return PromptEmbeds(states=states, mask=mask.bool())
