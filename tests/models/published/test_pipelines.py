"""Images of the generators whose prompts language models read, beside those of plain pipelines."""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from kit.tiny_llm_twins import LORA
from kit.tiny_twins import SIZE, load_pipeline
from PIL import Image
from safetensors.torch import load_file, save_file

from htbench.core.errors import Refused
from htbench.models.published.generators import (
    PublishedGenerator,
    flux2_klein,
    qwen_image_lightning,
    sana_sprint,
    z_image_turbo,
)
from htbench.steering.intervention import Intervention
from htbench.steering.model import Request

PROMPTS = ["a cat", "seven boats on a lake of ice", "A DOG"]


@dataclass(frozen=True, kw_only=True)
class Documented:
    """A generator, and what the authors of its weights do with its pipeline."""

    preset: PublishedGenerator
    arguments: Mapping[str, object] = field(default_factory=dict)
    prepare: Callable[[DiffusionPipeline, Path], None] = lambda pipeline, folder: None

    def images(self, folder: Path, prompts: list[str], **more: object) -> list[Image.Image]:
        pipeline = load_pipeline(folder)
        pipeline.set_progress_bar_config(disable=True)
        self.prepare(pipeline, folder)
        generators = [torch.Generator().manual_seed(seed) for seed, _ in enumerate(prompts)]
        return pipeline(
            prompt=prompts,
            height=SIZE,
            width=SIZE,
            generator=generators,
            **{"num_inference_steps": len(self.preset.timesteps), **self.arguments, **more},
        ).images


SANA = Documented(preset=sana_sprint, arguments={"use_resolution_binning": False})
Z_IMAGE = Documented(preset=z_image_turbo, arguments={"guidance_scale": 0.0})
FLUX2 = Documented(preset=flux2_klein, arguments={"guidance_scale": 1.0})


def set_lightning_schedule(pipeline: DiffusionPipeline) -> None:
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(
        base_image_seq_len=256,
        base_shift=math.log(3),
        max_image_seq_len=8192,
        max_shift=math.log(3),
        num_train_timesteps=1000,
        shift=1.0,
        shift_terminal=None,
        time_shift_type="exponential",
        use_dynamic_shifting=True,
    )


def fuse_lightning(pipeline: DiffusionPipeline, folder: Path) -> None:
    set_lightning_schedule(pipeline)
    tensors = load_file(folder / LORA)
    for name in {name.split(".lora_")[0] for name in tensors if ".lora_" in name}:
        down, up = (tensors[f"{name}.lora_{way}.weight"] for way in ("down", "up"))
        weight = pipeline.transformer.get_submodule(name).weight
        weight.data += tensors[f"{name}.alpha"].item() / 3 * (up @ down)


def hook_lightning(pipeline: DiffusionPipeline, folder: Path) -> None:
    """The updates beside the matrices, as diffusers runs them, and not added to them."""
    set_lightning_schedule(pipeline)
    tensors = load_file(folder / LORA)
    for name in {name.split(".lora_")[0] for name in tensors if ".lora_" in name}:
        down, up = (tensors[f"{name}.lora_{way}.weight"] for way in ("down", "up"))
        scale = tensors[f"{name}.alpha"].item() / 3

        def beside(module, inputs, output, up=up, down=down, scale=scale):
            return output + scale * (inputs[0] @ down.T) @ up.T

        pipeline.transformer.get_submodule(name).register_forward_hook(beside)


QWEN = Documented(
    preset=qwen_image_lightning, arguments={"true_cfg_scale": 1.0}, prepare=fuse_lightning
)
ALL = [SANA, Z_IMAGE, QWEN, FLUX2]


def images(preset: PublishedGenerator, folder: Path, prompts: list[str]) -> list[Image.Image]:
    model = preset("cpu", weights=str(folder), size=SIZE, dtype="float32")
    return model.generate(
        [
            Request(prompt=prompt, seed=seed, intervention=Intervention(), strength=0.0)
            for seed, prompt in enumerate(prompts)
        ]
    )


def levels(found: Image.Image) -> np.ndarray:
    return np.asarray(found, np.int16)


@pytest.mark.parametrize("documented", ALL, ids=lambda documented: documented.preset.name)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_an_image_is_to_the_bit_that_of_the_plain_pipeline(
    documented: Documented, prompt: str, folders: dict[str, Path]
) -> None:
    preset = documented.preset
    folder = folders[preset.family]
    (wanted,), (found,) = documented.images(folder, [prompt]), images(preset, folder, [prompt])
    assert np.ptp(levels(found)) > 50
    assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("documented", ALL, ids=lambda documented: documented.preset.name)
@pytest.mark.parametrize("count", [2, 3])
def test_a_batch_is_within_a_level_of_that_of_the_plain_pipeline(
    documented: Documented, count: int, folders: dict[str, Path]
) -> None:
    folder = folders[documented.preset.family]
    wanted = documented.images(folder, PROMPTS[:count])
    for image, own in zip(images(documented.preset, folder, PROMPTS[:count]), wanted, strict=True):
        assert np.abs(levels(image) - levels(own)).max() <= 1


@pytest.mark.parametrize(
    ("documented", "timesteps", "arguments"),
    [
        (SANA, (1.5708,), {"intermediate_timesteps": None}),
        (
            SANA,
            tuple(torch.linspace(1.5708, 0, 5)[:-1].tolist()),
            {"intermediate_timesteps": None},
        ),
        (Z_IMAGE, (1000,), {}),
        (Z_IMAGE, (1000, 750, 500, 250), {}),
        (QWEN, (1000,), {}),
        (QWEN, (1000, 750, 500, 250), {}),
        (FLUX2, (1000,), {}),
        (FLUX2, (1000, 500), {}),
    ],
)
def test_fewer_and_more_steps_are_to_the_bit_those_of_the_plain_pipeline(
    documented: Documented,
    timesteps: tuple[float, ...],
    arguments: Mapping[str, object],
    folders: dict[str, Path],
) -> None:
    preset = replace(documented.preset, timesteps=timesteps)
    folder = folders[preset.family]
    (wanted,) = replace(documented, preset=preset).images(folder, ["a cat"], **arguments)
    (found,) = images(preset, folder, ["a cat"])
    assert found.tobytes() == wanted.tobytes()


def after_shift(*levels: float) -> list[float]:
    """Noise levels after the shift of 3 that the settings say."""
    return [3 * level / (1 + 2 * level) for level in levels]


@pytest.mark.parametrize(
    ("preset", "asked"),
    [
        (sana_sprint, [1.0, 0.782708]),
        (
            z_image_turbo,
            [
                1 - level
                for level in after_shift(1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8)
            ],
        ),
        (qwen_image_lightning, after_shift(1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8)),
    ],
)
def test_the_denoiser_is_asked_at_the_published_timesteps(
    preset: PublishedGenerator, asked: list[float], folders: dict[str, Path]
) -> None:
    model = preset("cpu", weights=str(folders[preset.family]), size=SIZE, dtype="float32")
    found: list[float] = []
    model._network.register_forward_pre_hook(
        lambda module, inputs, named: found.append(float(named.get("timestep", inputs[1:])[0])),
        with_kwargs=True,
    )
    model.render([Request(prompt="a", seed=0, intervention=Intervention(), strength=0.0)])
    assert found == pytest.approx(asked, rel=1e-5, abs=1e-6)


# The pipeline of FLUX.2 fails where its decoder has another format than its transformer.
@pytest.mark.parametrize(
    "documented", [SANA, Z_IMAGE, QWEN], ids=lambda documented: documented.preset.name
)
def test_in_bfloat16_an_image_is_that_of_the_plain_pipeline(
    documented: Documented, folders: dict[str, Path]
) -> None:
    folder = folders[documented.preset.family]
    pipeline = load_pipeline(folder, torch_dtype={"vae": torch.float32, "default": torch.bfloat16})
    documented.prepare(pipeline, folder)
    (wanted,) = pipeline(
        prompt=["a cat"],
        height=SIZE,
        width=SIZE,
        generator=[torch.Generator().manual_seed(0)],
        num_inference_steps=len(documented.preset.timesteps),
        **documented.arguments,
    ).images
    model = documented.preset("cpu", weights=str(folder), size=SIZE, dtype="bfloat16")
    (found,) = model.generate(
        [Request(prompt="a cat", seed=0, intervention=Intervention(), strength=0.0)]
    )
    assert found.tobytes() == wanted.tobytes()


def test_updates_beside_the_matrices_make_nearly_the_same_image(folders: dict[str, Path]) -> None:
    folder = folders["qwen-image"]
    (beside,) = replace(QWEN, prepare=hook_lightning).images(folder, ["a cat"])
    (without,) = replace(QWEN, prepare=lambda pipeline, _: set_lightning_schedule(pipeline)).images(
        folder, ["a cat"]
    )
    (found,) = images(qwen_image_lightning, folder, ["a cat"])
    assert np.abs(levels(found) - levels(beside)).max() <= 1
    assert np.abs(levels(found) - levels(without)).max() > 10


@pytest.mark.parametrize("name", ["transformer_blocks.0.img_mlp.net.9", "img_in.lora_down"])
def test_updates_of_another_model_are_refused(
    name: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["qwen-image"], tmp_path / "twin")
    tensors = load_file(folder / LORA)
    tensors[f"{name}.lora_down.weight"] = torch.ones(3, 16)
    tensors[f"{name}.lora_up.weight"] = torch.ones(16, 3)
    save_file(tensors, folder / LORA)
    with pytest.raises(Refused, match=f"of another model, such as '{name}"):
        images(qwen_image_lightning, folder, ["a cat"])
