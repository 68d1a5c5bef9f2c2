"""What differs between the pipelines that few-step generators were distilled from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htbench.models.prompts import Reader, Words


class Family(Protocol):
    """One kind of pipeline."""

    @property
    def prefix(self) -> str:
        """What its denoiser is called: the start of the names of sites, and the folder of its settings."""

    @property
    def patterns(self) -> Mapping[str, str]:
        """Preset sites: regular expressions."""

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        """The denoiser, with random weights."""

    def predict(self, network: nn.Module, latents: Tensor, timestep: Tensor, words: Words, *, size: int) -> Float[Tensor, "images 4 rows columns"]:
        """The denoiser's answer, as the scheduler wants it."""

    def reader(self, folder: Path, dtype: torch.dtype) -> Reader:
        """The pipeline's own text encoders."""


class Sdxl:
    """Stable Diffusion XL: a UNet that is also told the size of the image."""

    prefix = "unet"
    patterns = {"norms": r"unet\..*norm.*", "attention": r"unet\..*\.attn[12]", "mlp": r"unet\..*\.ff"}  # noqa: RUF012

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        from diffusers import UNet2DConditionModel

        network: nn.Module = UNet2DConditionModel.from_config(dict(config))
        return network

    def predict(self, network: nn.Module, latents: Tensor, timestep: Tensor, words: Words, *, size: int) -> Float[Tensor, "images 4 rows columns"]:
        seen = torch.tensor([size, size, 0, 0, size, size], dtype=words.states.dtype, device=latents.device).repeat(len(latents), 1)
        told = {"text_embeds": words.pooled, "time_ids": seen}
        answer: Tensor = network(latents, timestep, encoder_hidden_states=words.states, added_cond_kwargs=told, return_dict=False)[0]
        return answer

    def reader(self, folder: Path, dtype: torch.dtype) -> Reader:
        from diffusers import StableDiffusionXLPipeline

        return _Sdxl(StableDiffusionXLPipeline.from_pretrained(folder, unet=None, vae=None, torch_dtype=dtype, variant=_variant(folder)))


class PixArtSigma:
    """PixArt-Sigma: a transformer that reads T5's words."""

    prefix = "transformer"
    patterns = {"norms": r"transformer\..*norm(1|2|_out)", "attention": r"transformer\..*\.attn[12]", "mlp": r"transformer\..*\.ff"}  # noqa: RUF012

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        from diffusers import PixArtTransformer2DModel

        network: nn.Module = PixArtTransformer2DModel.from_config(dict(config))
        return network

    def predict(self, network: nn.Module, latents: Tensor, timestep: Tensor, words: Words, *, size: int) -> Float[Tensor, "images 4 rows columns"]:
        answer: Tensor = network(
            latents, encoder_hidden_states=words.states, encoder_attention_mask=words.mask, timestep=timestep.expand(len(latents)),
            added_cond_kwargs={"resolution": None, "aspect_ratio": None}, return_dict=False,
        )[0]  # fmt: skip
        return answer[:, : latents.shape[1]]  # the other half is the variance, which was learnt and is not used

    def reader(self, folder: Path, dtype: torch.dtype) -> Reader:
        from diffusers import PixArtSigmaPipeline

        return _T5(PixArtSigmaPipeline.from_pretrained(folder, transformer=None, vae=None, torch_dtype=dtype, variant=_variant(folder)))


FAMILIES: Mapping[str, Family] = {"sdxl": Sdxl(), "pixart-sigma": PixArtSigma()}


class _TextEncoders:
    """A pipeline without its denoiser and decoder."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline, self._device = pipeline, "cpu"

    def move(self, device: str) -> None:
        for part in self._pipeline.components.values():
            if isinstance(part, nn.Module):
                part.to(device)
        self._device = device


class _Sdxl(_TextEncoders):
    def read(self, prompt: str) -> Words:
        states, _, pooled, _ = self._pipeline.encode_prompt(prompt, device=self._device, do_classifier_free_guidance=False)
        return Words(states=states, pooled=pooled)


class _T5(_TextEncoders):
    def read(self, prompt: str) -> Words:
        states, mask, _, _ = self._pipeline.encode_prompt(prompt, device=self._device, do_classifier_free_guidance=False)
        return Words(states=states, mask=mask.bool())


def _variant(folder: Path) -> str | None:
    """`fp16` where weights were downloaded in half precision, whose files say so in their names."""
    return "fp16" if any(folder.glob("*/*.fp16.safetensors")) else None
