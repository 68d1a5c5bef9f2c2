"""Latents of each class of autoencoder: their shape, and their way into its decoder."""

from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LatentFormat(Protocol):
    """The latents that a denoiser makes for one class of autoencoder."""

    def shape(self, vae: Any, size: int) -> tuple[int, int, int]:
        """Channels, rows and columns of an image of `size` rows and columns."""

    def decoder_input(self, vae: Any, latents: Tensor) -> Tensor:
        """Latents in float32 as the decoder takes them."""

    def pixels(self, output: Tensor) -> Float[Tensor, "images rgb rows columns"]:
        """The images in the decoder's output."""


class Scaled:
    """Latents that are scaled, and shifted where the autoencoder says so."""

    def shape(self, vae: Any, size: int) -> tuple[int, int, int]:
        side = size // pixels_per_cell(vae)
        return vae.config.latent_channels, side, side

    def decoder_input(self, vae: Any, latents: Tensor) -> Tensor:
        shift: float = getattr(vae.config, "shift_factor", None) or 0.0
        scaled: Tensor = latents / vae.config.scaling_factor + shift
        return scaled

    def pixels(self, output: Tensor) -> Tensor:
        return output


class OneFrame:
    """Latents of Qwen-Image: each channel has its scale and shift, and an image is one frame."""

    def shape(self, vae: Any, size: int) -> tuple[int, int, int]:
        side = size // pixels_per_cell(vae)
        return vae.config.z_dim, side, side

    def decoder_input(self, vae: Any, latents: Tensor) -> Tensor:
        shift, scale = (
            torch.tensor(values, device=latents.device)[:, None, None]
            for values in (vae.config.latents_mean, vae.config.latents_std)
        )
        # divided, to the bit of the pipeline
        return (latents / (1.0 / scale) + shift)[:, :, None]

    def pixels(self, output: Tensor) -> Tensor:
        return output[:, :, 0]


class Patched:
    """Latents of FLUX.2: four cells are the channels of one, with running means and variances."""

    def shape(self, vae: Any, size: int) -> tuple[int, int, int]:
        side = size // pixels_per_cell(vae) // 2
        return 4 * vae.config.latent_channels, side, side

    def decoder_input(self, vae: Any, latents: Tensor) -> Tensor:
        shift, variance = (
            values.float()[:, None, None] for values in (vae.bn.running_mean, vae.bn.running_var)
        )
        scaled = latents * torch.sqrt(variance + vae.config.batch_norm_eps) + shift
        return nn.functional.pixel_shuffle(scaled, 2)

    def pixels(self, output: Tensor) -> Tensor:
        return output


_FORMATS: dict[str, LatentFormat] = {
    "AutoencoderKL": Scaled(),
    "AutoencoderDC": Scaled(),
    "AutoencoderKLQwenImage": OneFrame(),
    "AutoencoderKLFlux2": Patched(),
}


def format_of(vae: Any) -> LatentFormat:
    """The format of an autoencoder's latents."""
    return _FORMATS[type(vae).__name__]


def pixels_per_cell(vae: Any) -> int:
    """Pixels along a side of a cell that the decoder takes."""
    ratio: int | None = getattr(vae, "spatial_compression_ratio", None)
    return ratio or 2 ** (len(vae.config.block_out_channels) - 1)
