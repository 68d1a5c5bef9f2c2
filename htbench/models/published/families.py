"""Families of pipelines that few-step generators were distilled from, and their differences."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htbench.models.published import schedule
from htbench.models.published.flux2 import Flux2Klein
from htbench.models.published.pipeline_text_encoder import PipelineTextEncoder, variant
from htbench.models.published.preset import TINY
from htbench.models.published.prompts import PromptEmbeds, TextEncoder
from htbench.models.published.qwen_image import QwenImage
from htbench.models.published.sana import SanaSprint
from htbench.models.published.z_image import ZImage


class Family(Protocol):
    """One kind of pipeline."""

    @property
    def prefix(self) -> str:
        """Name of its denoiser, with which names of sites begin, and of the folder of settings."""

    @property
    def patterns(self) -> Mapping[str, str]:
        """Regular expressions of sites by the names that presets use for them."""

    @property
    def has_maps(self) -> bool:
        """True if outputs of four axes are maps, whose channels are the second; else they are heads
        of attention, which are no sites."""

    @property
    def guidance(self) -> str:
        """Scale of guidance, and the manner of it where there is any."""

    @property
    def autoencoder(self) -> str:
        """Class of its autoencoder, in diffusers."""

    @property
    def latent_dtype(self) -> torch.dtype | None:
        """Number format of its latents between steps; None: that of encoded prompts."""

    def timesteps(self, steps: int) -> Sequence[float]:
        """The pipeline's timesteps, where it is given only their number; empty: the scheduler's."""

    def set_timesteps(
        self, scheduler: Any, timesteps: Sequence[float], *, side: int, device: str
    ) -> None:
        """Set a scheduler to the pipeline's timesteps for latents of `side` rows and columns."""

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        """The denoiser, with random weights."""

    def example_inputs(
        self, config: Mapping[str, Any]
    ) -> tuple[Float[Tensor, "1 channels rows columns"], PromptEmbeds]:
        """Latents and encoded prompts of valid shapes, without data."""

    def predict(
        self,
        network: nn.Module,
        latents: Tensor,
        timestep: Tensor,
        embeds: PromptEmbeds,
        *,
        size: int,
    ) -> Float[Tensor, "images channels rows columns"]:
        """The denoiser's prediction in the scheduler's format."""

    def load_text_encoder(self, folder: Path, dtype: torch.dtype) -> TextEncoder:
        """The pipeline's own text encoders."""


class Sdxl:
    """Stable Diffusion XL: a UNet, which also takes the size of the image."""

    prefix = "unet"
    has_maps = True
    guidance = "0"
    autoencoder = "AutoencoderKL"
    latent_dtype = None
    timesteps = staticmethod(schedule.left_to_scheduler)
    set_timesteps = staticmethod(schedule.set_listed)
    patterns: ClassVar[Mapping[str, str]] = {
        "norms": r"unet\..*norm.*",
        "attention": r"unet\..*\.attn[12]",
        "mlp": r"unet\..*\.ff",
    }

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        from diffusers import UNet2DConditionModel

        network: nn.Module = UNet2DConditionModel.from_config(dict(config))
        return network

    def example_inputs(
        self, config: Mapping[str, Any]
    ) -> tuple[Float[Tensor, "1 channels rows columns"], PromptEmbeds]:
        pooled = (
            config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
        )
        words = PromptEmbeds(
            states=torch.empty(1, 8, config["cross_attention_dim"]), pooled=torch.empty(1, pooled)
        )
        return torch.empty(
            1, config["in_channels"], config["sample_size"], config["sample_size"]
        ), words

    def predict(
        self,
        network: nn.Module,
        latents: Tensor,
        timestep: Tensor,
        embeds: PromptEmbeds,
        *,
        size: int,
    ) -> Float[Tensor, "images channels rows columns"]:
        sizes = torch.tensor(
            [size, size, 0, 0, size, size], dtype=embeds.states.dtype, device=latents.device
        ).repeat(len(latents), 1)
        prediction: Tensor = network(
            latents,
            timestep,
            encoder_hidden_states=embeds.states,
            added_cond_kwargs={"text_embeds": embeds.pooled, "time_ids": sizes},
            return_dict=False,
        )[0]
        return prediction

    def load_text_encoder(self, folder: Path, dtype: torch.dtype) -> TextEncoder:
        from diffusers import StableDiffusionXLPipeline

        return _SdxlTextEncoder(
            StableDiffusionXLPipeline.from_pretrained(
                folder, unet=None, vae=None, torch_dtype=dtype, variant=variant(folder)
            )
        )


class PixArtSigma:
    """PixArt-Sigma: a transformer with prompts encoded by T5."""

    prefix = "transformer"
    has_maps = False
    guidance = "0"
    autoencoder = "AutoencoderKL"
    latent_dtype = None
    timesteps = staticmethod(schedule.left_to_scheduler)
    set_timesteps = staticmethod(schedule.set_listed)
    patterns: ClassVar[Mapping[str, str]] = {
        "norms": r"transformer\..*norm(1|2|_out)",
        "attention": r"transformer\..*\.attn[12]",
        "mlp": r"transformer\..*\.ff",
    }

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        from diffusers import PixArtTransformer2DModel

        network: nn.Module = PixArtTransformer2DModel.from_config(dict(config))
        return network

    def example_inputs(
        self, config: Mapping[str, Any]
    ) -> tuple[Float[Tensor, "1 channels rows columns"], PromptEmbeds]:
        words = PromptEmbeds(
            states=torch.empty(1, 8, config["caption_channels"]),
            mask=torch.ones(1, 8, dtype=torch.bool),
        )
        return torch.empty(
            1, config["in_channels"], config["sample_size"], config["sample_size"]
        ), words

    def predict(
        self,
        network: nn.Module,
        latents: Tensor,
        timestep: Tensor,
        embeds: PromptEmbeds,
        *,
        size: int,
    ) -> Float[Tensor, "images channels rows columns"]:
        prediction: Tensor = network(
            latents,
            encoder_hidden_states=embeds.states,
            encoder_attention_mask=embeds.mask,
            timestep=timestep.expand(len(latents)),
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
            return_dict=False,
        )[0]
        # The other half is the learnt variance, which is not used.
        return prediction[:, : latents.shape[1]]

    def load_text_encoder(self, folder: Path, dtype: torch.dtype) -> TextEncoder:
        from diffusers import PixArtSigmaPipeline

        return _PixArtTextEncoder(
            PixArtSigmaPipeline.from_pretrained(
                folder, transformer=None, vae=None, torch_dtype=dtype, variant=variant(folder)
            )
        )


class Flux:
    """FLUX.1: a transformer over words and over cells of 2 x 2 latents.

    In its later blocks the output of a site has both.
    """

    prefix = "transformer"
    has_maps = False
    guidance = "0"
    autoencoder = "AutoencoderKL"
    latent_dtype = None
    timesteps = staticmethod(schedule.left_to_scheduler)
    set_timesteps = staticmethod(schedule.set_listed)
    patterns: ClassVar[Mapping[str, str]] = {
        "norms": r"transformer\..*\.norm(1|1_context)?\.norm"
        r"|transformer\..*\.norm2(_context)?"
        r"|transformer\.norm_out\.norm",
        "attention": r"transformer\.transformer_blocks\..*\.attn\.to(_out\.0|_add_out)"
        r"|transformer\.single_transformer_blocks\.\d+\.attn",
        "mlp": r"transformer\..*\.(ff|ff_context|act_mlp)",
    }

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        from diffusers import FluxTransformer2DModel

        network: nn.Module = FluxTransformer2DModel.from_config(dict(config))
        return network

    def example_inputs(
        self, config: Mapping[str, Any]
    ) -> tuple[Float[Tensor, "1 channels rows columns"], PromptEmbeds]:
        words = PromptEmbeds(
            states=torch.empty(1, 8, config["joint_attention_dim"]),
            pooled=torch.empty(1, config["pooled_projection_dim"]),
        )
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
        down, right = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        positions = torch.stack([torch.zeros_like(down), down, right], -1).flatten(0, 1)
        count = embeds.states.shape[1]
        cells: Tensor = network(
            nn.functional.pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2),
            encoder_hidden_states=embeds.states,
            pooled_projections=embeds.pooled,
            timestep=timestep.expand(len(latents)).to(latents.dtype) / 1000,
            img_ids=positions.to(latents),
            return_dict=False,
            txt_ids=torch.zeros(count, 3, dtype=latents.dtype, device=latents.device),
        )[0]
        maps = cells.transpose(1, 2).reshape(len(latents), -1, rows, columns)
        return nn.functional.pixel_shuffle(maps, 2)

    def load_text_encoder(self, folder: Path, dtype: torch.dtype) -> TextEncoder:
        from diffusers import FluxPipeline

        return _FluxTextEncoder(
            FluxPipeline.from_pretrained(folder, transformer=None, vae=None, torch_dtype=dtype)
        )


_KINDS: Mapping[str, Family] = {
    "sdxl": Sdxl(),
    "pixart-sigma": PixArtSigma(),
    "flux": Flux(),
    "sana-sprint": SanaSprint(),
    "z-image": ZImage(),
    "qwen-image": QwenImage(),
    "flux2-klein": Flux2Klein(),
}
FAMILIES = {f"{name}{ending}": family for name, family in _KINDS.items() for ending in ("", TINY)}


class _SdxlTextEncoder(PipelineTextEncoder):
    def encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        self._warn_if_cut(prompts, tokeniser="tokenizer", limit=77)
        states, _, pooled, _ = self._pipeline.encode_prompt(
            list(prompts), device=self._device, do_classifier_free_guidance=False
        )
        return PromptEmbeds(states=states, pooled=pooled)


class _PixArtTextEncoder(PipelineTextEncoder):
    def encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        self._warn_if_cut(prompts, tokeniser="tokenizer", limit=300)
        states, mask, _, _ = self._pipeline.encode_prompt(
            list(prompts), device=self._device, do_classifier_free_guidance=False
        )
        return PromptEmbeds(states=states, mask=mask.bool())


class _FluxTextEncoder(PipelineTextEncoder):
    def encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        self._warn_if_cut(prompts, tokeniser="tokenizer_2", limit=256)
        states, pooled, _ = self._pipeline.encode_prompt(
            list(prompts), device=self._device, max_sequence_length=256
        )
        return PromptEmbeds(states=states, pooled=pooled)
