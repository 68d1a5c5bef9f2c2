"""The decoder of a published generator, from latents to pixels, and its number format."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.core import weights
from htbench.core.errors import Missing
from htbench.core.weights import LocalFiles
from htbench.models.published import latents as formats
from htbench.models.published.preset import DecoderDtype, LoadOptions, Preset


def choose_dtype(options: LoadOptions, device: str) -> DecoderDtype:
    """The decoder's number format: that of `options`, else float32 on a CPU and bfloat16 elsewhere.

    The device `meta`, whose tensors have no data, stands for a GPU.
    """
    if options.decoder is not None:
        return options.decoder
    return "float32" if torch.device(device).type == "cpu" else "bfloat16"


def prepare(
    vae: Any, preset: Preset, options: LoadOptions, files: LocalFiles | None, dtype: DecoderDtype
) -> None:
    """Give a float32 autoencoder its weights, where `files` has them, its tiles and its format.

    In bfloat16 its activations of images are channels last too, as tensor cores read them.

    Raises:
        Missing: if `files` have no weights of the decoder.
        Refused: if they are damaged, or another model's.
    """
    if files is not None:
        _load_weights(vae, files, preset.base.repository)
    if options.tile:
        _enable_tiling(vae, options.size or preset.size)
    if dtype == "bfloat16":
        # Convolutions over frames have no such layout.
        has_frames = any(weight.ndim == 5 for weight in vae.parameters())
        layout = torch.preserve_format if has_frames else torch.channels_last
        vae.to(dtype=torch.bfloat16, memory_format=layout)


def decode(
    vae: Any, latents: Float[Tensor, "images channels rows columns"], *, at_once: int
) -> Float[Tensor, "images rgb rows columns"]:
    """Pixels in float32 from about -1 (black) to 1 (white), of `at_once` latents at a time."""
    kind = formats.format_of(vae)
    parts = torch.split(kind.decoder_input(vae, latents.float()).to(vae.dtype), at_once)
    outputs = [vae.decode(part, return_dict=False)[0] for part in parts]
    return torch.cat([kind.pixels(output) for output in outputs]).float()


def _load_weights(vae: Any, files: LocalFiles, repository: str) -> None:
    folder = files.base / "vae"
    paths = sorted(folder.glob("*.safetensors"), key=lambda path: "fp16" not in path.name)
    if not paths:
        raise Missing(
            f"no weights of the decoder in {str(folder)!r}",
            remedy=f"They are in the repository {repository}.",
        )
    state = weights.read(paths[0])
    weights.check(state, vae.state_dict(), paths[0])
    vae.load_state_dict(state)


def _enable_tiling(vae: Any, size: int) -> None:
    """Decode in tiles of half an image's side, which overlap by a quarter of theirs."""
    cell = formats.pixels_per_cell(vae)
    if hasattr(vae, "tile_sample_min_size"):
        vae.enable_tiling()
        vae.tile_sample_min_size = size // 2
        vae.tile_latent_min_size = size // 2 // cell
        return
    cells = max(size // 2 // cell, 1)
    stride = max(cells * 3 // 4, 1) * cell
    vae.enable_tiling(cells * cell, cells * cell, stride, stride)
