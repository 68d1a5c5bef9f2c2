"""The decoder in bfloat16, on the published architecture at a small size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from kit.tiny_twins import SIZE
from torch import Tensor

from htbench.core import registry
from htbench.core.errors import UsageError
from htbench.models.published import decoder
from htbench.models.published.generators import GENERATORS
from htbench.models.published.preset import LoadOptions, architecture
from htbench.steering.intervention import Intervention
from htbench.steering.model import Request

dmd2 = GENERATORS["dmd2"]
FLOAT16_MAX = 65504


def sdxl_decoder() -> AutoencoderKL:
    """SDXL's decoder, its activations beyond the range of float16 and its pixels from -1 to 1."""
    torch.manual_seed(0)
    vae = AutoencoderKL.from_config(architecture("sdxl")["vae"]).eval().requires_grad_(False)
    for name, module in vae.decoder.named_modules():
        if name.endswith("conv2"):
            module.weight.mul_(20_000)
    vae.decoder.conv_out.weight.mul_(1.2)
    return vae


def smooth_latents() -> Float[Tensor, "1 channels rows columns"]:
    """Latents as a denoiser leaves them: of unit variance, smooth with fine detail."""
    noise = torch.Generator().manual_seed(1)
    coarse = torch.randn(1, 4, 2, 2, generator=noise)
    fine = torch.randn(1, 4, 8, 8, generator=noise)
    mixed = torch.nn.functional.interpolate(coarse, size=8, mode="bicubic") + 0.3 * fine
    return mixed / mixed.std()


def levels(pixels: Tensor) -> Tensor:
    return ((pixels / 2 + 0.5).clamp(0, 1) * 255).round()


def test_bfloat16_is_within_a_level_of_float32_where_float16_overflows() -> None:
    vae, largest = sdxl_decoder(), 0.0

    def note(_: object, __: object, output: Tensor) -> None:
        nonlocal largest
        largest = max(largest, float(output.abs().max()))

    for module in vae.decoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(note)
    exact = decoder.decode(vae, smooth_latents(), at_once=1)
    assert largest > FLOAT16_MAX
    assert 0.3 < exact.std() < 0.7
    decoder.prepare(vae, dmd2, LoadOptions(), None, "bfloat16")
    near = decoder.decode(vae, smooth_latents(), at_once=1)
    assert near.dtype == torch.float32
    assert 0 < (levels(near) - levels(exact)).abs().mean() < 1
    vae.to(torch.float16)
    assert not decoder.decode(vae, smooth_latents(), at_once=1).isfinite().all()


def test_a_cpu_decodes_in_float32_and_other_devices_in_bfloat16_unless_told() -> None:
    chosen = [decoder.choose_dtype(LoadOptions(), device) for device in ("cpu", "cuda:0", "meta")]
    assert chosen == ["float32", "bfloat16", "bfloat16"]
    assert decoder.choose_dtype(LoadOptions(decoder="float32"), "cuda") == "float32"
    assert decoder.choose_dtype(LoadOptions(decoder="bfloat16"), "cpu") == "bfloat16"


def test_float16_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match=r"decoder.*'float32' or 'bfloat16'") as refused:
        dmd2.options(decoder="float16")
    assert "exceed the range of float16" in refused.value.remedy


@pytest.mark.parametrize("tile", ["false", "true"])
@pytest.mark.usefixtures("tiny")
def test_the_bfloat16_decoder_draws_nearly_the_same_image(tile: str) -> None:
    def image(dtype: str) -> np.ndarray:
        options = {"weights": "random", "size": str(SIZE), "tile": tile, "decoder": dtype}
        model = registry.load_model("dmd2", "cpu", options | {"dtype": "float32"})
        assert model.facts()["decoder"] == dtype
        request = Request(prompt="a pear", seed=0, intervention=Intervention(), strength=0.0)
        return np.asarray(model.generate([request])[0], np.int16)

    assert np.abs(image("float32") - image("bfloat16")).mean() < 1


def test_the_revision_tells_the_decoder_and_keeps_that_of_float32(
    folders: dict[str, Path],
) -> None:
    def revision(**options: str) -> str:
        files = {"weights": str(folders["sdxl"]), "size": str(SIZE), "dtype": "float32"}
        return registry.load_model("dmd2", "cpu", files | options).revision

    assert revision() == revision(decoder="float32") != revision(decoder="bfloat16")
