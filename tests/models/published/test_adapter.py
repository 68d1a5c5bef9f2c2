"""The published generators' adapter, on tiny twins of them."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DiffusionPipeline,
    EulerDiscreteScheduler,
    LCMScheduler,
    PixArtTransformer2DModel,
    UNet2DConditionModel,
)
from kit.tiny_twins import SIZE, load_pipeline
from PIL import Image
from safetensors.torch import load_file
from torch._dynamo.utils import counters

from htbench.core import weights
from htbench.core.errors import HtbenchError, Missing, Refused, UnknownName, UsageError
from htbench.models.published.adapter import FewStepModel
from htbench.models.published.generators import (
    PublishedGenerator,
    dmd2,
    dmd2_4step,
    flux2_klein,
    flux_schnell,
    nitro_1_pixart,
    qwen_image_lightning,
    sana_sprint,
    sdxl_lightning_4step,
    z_image_turbo,
)
from htbench.run.timing.stopwatch import Stopwatch
from htbench.steering import baseline, concept, contracts
from htbench.steering.contracts import Case
from htbench.steering.fitting.steered_means import arriving_means, steer_means
from htbench.steering.hooks import activations, steer
from htbench.steering.intervention import Affine, Interpolate, Intervention
from htbench.steering.layout import Layout
from htbench.steering.model import Request

NOT_LLM = [dmd2, dmd2_4step, nitro_1_pixart, sdxl_lightning_4step, flux_schnell]
"""Generators whose prompts no language model reads; `test_pipelines.py` has the others."""
GENERATORS = [*NOT_LLM, sana_sprint, z_image_turbo, qwen_image_lightning, flux2_klein]
NAMES = [preset.name for preset in GENERATORS]


def twin(preset: PublishedGenerator, folders: dict[str, Path], **options: object) -> FewStepModel:
    model = preset(
        "cpu",
        **{"weights": str(folders[preset.family]), "size": SIZE, "dtype": "float32", **options},
    )
    model.concept_encoder, model.scorer = "emoji-clip-a", "emoji-clip-b"
    return model


@pytest.fixture(scope="session", params=GENERATORS, ids=NAMES)
def model(request: pytest.FixtureRequest, folders: dict[str, Path]) -> FewStepModel:
    return twin(request.param, folders)


def images(model: FewStepModel, *wanted: tuple[str, int]) -> list[Image.Image]:
    return model.generate(
        [
            Request(prompt=prompt, seed=seed, intervention=Intervention(), strength=0.0)
            for prompt, seed in wanted
        ]
    )


def as_documented(preset: PublishedGenerator, folder: Path) -> DiffusionPipeline:
    """The pipeline put together as the weights' authors say."""
    if preset.family == "pixart-sigma":
        transformer = PixArtTransformer2DModel.from_config(folder / "transformer" / "config.json")
        transformer.load_state_dict(load_file(folder / "nitro.safetensors"))
        return load_pipeline(folder, transformer=transformer)
    if preset.family == "flux":
        return load_pipeline(folder)
    unet, file = (
        UNet2DConditionModel.from_config(folder / "unet" / "config.json"),
        folder / preset.denoiser.files[0],
    )
    unet.load_state_dict(load_file(file) if file.suffix == ".safetensors" else torch.load(file))
    pipeline = load_pipeline(folder, unet=unet)
    if preset is sdxl_lightning_4step:
        pipeline.scheduler = EulerDiscreteScheduler.from_config(
            pipeline.scheduler.config, timestep_spacing="trailing"
        )
    else:
        pipeline.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)
    return pipeline


TIMESTEPS = {"dmd2": [399], "dmd2-4step": [999, 749, 499, 249], "nitro-1-pixart": [400]}
"""Timesteps of the generators whose authors state them; others state the number of steps."""
DOCUMENTED = {
    "nitro-1-pixart": {"use_resolution_binning": False},
    "flux-schnell": {"max_sequence_length": 256},
}


@pytest.mark.parametrize("preset", NOT_LLM, ids=lambda preset: preset.name)
def test_an_image_is_that_of_the_plain_pipeline(
    preset: PublishedGenerator, folders: dict[str, Path]
) -> None:
    steps = {"timesteps": TIMESTEPS[preset.name]} if preset.name in TIMESTEPS else {}
    (wanted,) = as_documented(preset, folders[preset.family])(
        "a cat",
        num_inference_steps=len(preset.timesteps),
        guidance_scale=0,
        height=SIZE,
        width=SIZE,
        generator=[torch.Generator().manual_seed(7)],
        **steps,
        **DOCUMENTED.get(preset.name, {}),
    ).images
    (image,) = images(twin(preset, folders), ("a cat", 7))
    assert np.ptp(np.asarray(image)) > 50
    assert image.tobytes() == wanted.tobytes()


@pytest.mark.parametrize(
    ("preset", "timesteps"),
    list(
        zip(
            NOT_LLM,
            ([399], [999, 749, 499, 249], [400], [999, 749, 499, 249], [1, 0.75, 0.5, 0.25]),
            strict=True,
        )
    ),
    ids=[preset.name for preset in NOT_LLM],
)
def test_the_denoiser_is_asked_at_exactly_the_published_timesteps(
    preset: PublishedGenerator, timesteps: list[float], folders: dict[str, Path]
) -> None:
    model, asked = twin(preset, folders), []
    model._network.register_forward_pre_hook(
        lambda module, inputs, named: asked.append(
            float(torch.as_tensor(named.get("timestep", inputs[-1])).flatten()[0])
        ),
        with_kwargs=True,
    )
    images(model, ("a cat", 7))
    assert asked == timesteps


def test_the_noise_of_an_image_does_not_depend_on_its_batch(model: FewStepModel) -> None:
    (alone,) = images(model, ("a cat", 1))
    _, beside = images(model, ("a dog", 2), ("a cat", 1))
    assert np.abs(np.asarray(alone, np.int16) - np.asarray(beside, np.int16)).max() <= 1


def test_images_depend_on_prompt_and_seed(model: FewStepModel) -> None:
    first, other_seed, other_prompt = images(model, ("a cat", 1), ("a cat", 2), ("seven boats", 1))
    assert first.tobytes() != other_seed.tobytes()
    assert first.tobytes() != other_prompt.tobytes()


def test_prompts_are_mixed_by_their_weights(model: FewStepModel) -> None:
    first, half, second = (
        model._prompts.encode([weights])
        for weights in ({"cat": 1.0}, {"cat": 0.5, "dog": 0.5}, {"dog": 1.0})
    )
    torch.testing.assert_close(half.states, (first.states + second.states) / 2)
    change = Interpolate(template="{prompt} in snow")
    request = Request(prompt="a cat", seed=1, intervention=change, strength=0.5)
    assert model.generate([request])[0].tobytes() != images(model, ("a cat", 1))[0].tobytes()


def test_prompts_of_a_batch_are_encoded_as_one_by_one(model: FewStepModel) -> None:
    encoder = model._prompts._load_encoder()
    prompts = ["cat", "a dog with a very long tail", "dog"]
    batch = encoder.encode(prompts).tensors()
    for k, prompt in enumerate(prompts):
        own = {name: values[k : k + 1] for name, values in batch.items()}
        torch.testing.assert_close(own, encoder.encode([prompt]).tensors())


def test_prompts_are_encoded_once_and_found_again_on_disk(folders: dict[str, Path]) -> None:
    (first,) = images(twin(dmd2, folders), ("a kept prompt", 1))
    again = twin(dmd2, folders)
    assert again._prompts._load("a kept prompt")
    assert images(again, ("a kept prompt", 1))[0].tobytes() == first.tobytes()


def test_forgotten_prompts_are_encoded_anew_and_neither_read_from_disk_nor_written(
    folders: dict[str, Path],
) -> None:
    (first,) = images(twin(dmd2, folders), ("kept", 1))
    model, encoded = twin(dmd2, folders), []
    model.forget_prompts()
    encoder = model._prompts._encoder
    encode_all = encoder.encode
    encoder.encode = lambda prompts: encoded.extend(prompts) or encode_all(prompts)
    for _ in range(2):
        assert [image.tobytes() for _ in range(2) for image in images(model, ("kept", 1))] == 2 * [
            first.tobytes()
        ]
        images(model, ("not kept", 2))
        model.forget_prompts()
    assert encoded == 2 * ["kept", "not kept"]
    assert not twin(dmd2, folders)._prompts._load("not kept")


def test_prompts_found_on_disk_are_work_too(folders: dict[str, Path]) -> None:
    model = twin(dmd2, folders)
    images(model, ("a cat", 1))
    watch = Stopwatch(device="cpu", synchronise=model.synchronise)
    assert (
        watch.measure(lambda: images(twin(dmd2, folders), ("a cat", 1))).phases["encode-prompts"]
        > 0
    )


@pytest.mark.parametrize("promise", contracts.PROMISES, ids=contracts.name)
@pytest.mark.parametrize(
    ("card", "settings"), [("mean-shift", {"samples": 4}), ("prompt-interp", {})]
)
def test_methods_keep_their_promises_on_it(
    promise: contracts.Promise,
    card: str,
    settings: dict[str, object],
    model: FewStepModel,
    tmp_path: Path,
) -> None:
    promise(
        Case(
            card=baseline.load_card(card).with_settings(settings),
            model=model,
            concepts=concept.load("emoji"),
            folder=tmp_path,
        )
    )


@pytest.mark.parametrize(
    ("card", "settings"),
    [
        ("lineas", {"steps": 2, "samples": 4, "batch": 2, "at_once": 1}),
        ("hypertransport", {"steps": 2}),
    ],
)
def test_end_to_end_learning_goes_through_it(
    card: str, settings: dict[str, object], model: FewStepModel
) -> None:
    concepts = concept.load("emoji").splits["train"][:2]
    change = (
        baseline.load_method(baseline.load_card(card).with_settings(settings))
        .train(model, concepts, seed=0)
        .towards(concepts[0])
    )
    assert change.sites == frozenset(model.sites)
    assert all(part.isfinite().all() for part in change.shift.values())
    assert any(part.abs().max() > 0 for part in change.shift.values())


@pytest.mark.parametrize("preset", GENERATORS, ids=NAMES)
def test_checkpointing_gives_the_same_gradients(
    preset: PublishedGenerator, folders: dict[str, Path]
) -> None:
    gradients = []
    for checkpoint in (False, True):
        model = twin(preset, folders, checkpoint=checkpoint)
        layout = Layout.of({site: info.channels for site, info in model.sites.items()})
        maps = torch.tensor([[1.1], [0.0]]).repeat(1, layout.channels)[None].requires_grad_()
        means = arriving_means(model, (["a cat", "a dog"], [1, 2]), maps, layout)
        steer_means(means.flatten(0, 1)[None], maps).square().sum().backward()
        gradients.append(maps.grad)
    torch.testing.assert_close(*gradients)


def test_smaller_parts_are_nearly_the_same_image(folders: dict[str, Path]) -> None:
    wanted = images(twin(dmd2, folders), ("a cat", 1), ("a dog", 2))
    for options in ({"decode": 1}, {"offload": True}):
        for first, second in zip(
            wanted, images(twin(dmd2, folders, **options), ("a cat", 1), ("a dog", 2)), strict=True
        ):
            assert np.abs(np.asarray(first, np.int16) - np.asarray(second, np.int16)).mean() < 1


def test_an_image_in_tiles_is_decoded_in_parts_and_nearly_the_same(
    folders: dict[str, Path],
) -> None:
    whole, other = images(twin(dmd2, folders), ("a cat", 1), ("a cat", 2))
    model, decoded = twin(dmd2, folders, tile=True), []
    model._vae.decoder.register_forward_pre_hook(
        lambda module, inputs: decoded.append(inputs[0].shape[-1])
    )
    (tiled,) = images(model, ("a cat", 1))
    near, far = (
        np.abs(np.asarray(whole, np.int16) - np.asarray(image, np.int16)).mean()
        for image in (tiled, other)
    )
    assert len(decoded) > 1
    assert max(decoded) == SIZE // 4
    assert near < far / 4


@pytest.fixture
def untranslated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are captured as always, and run by PyTorch's operators: C++ would take minutes."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    torch._dynamo.reset()
    counters.clear()


def steered(model: FewStepModel, seed: int, *, count: int = 2) -> torch.Tensor:
    """Pixels of images, one in two of which is steered, by random maps of some of the sites."""
    random = torch.Generator().manual_seed(seed)
    widths = {site: info.channels for site, info in [*model.sites.items()][seed % 2 :: 2]}
    change = Affine(
        {site: 1 + 0.1 * torch.randn(width, generator=random) for site, width in widths.items()},
        {site: 0.1 * torch.randn(width, generator=random) for site, width in widths.items()},
    )
    requests = [
        Request(prompt="a cat", seed=seed + k, intervention=change, strength=float(k % 2))
        for k in range(count)
    ]
    return model.render(requests)


@pytest.mark.usefixtures("untranslated")
@pytest.mark.parametrize(
    ("preset", "compiled"),
    [
        (dmd2, True),
        (nitro_1_pixart, "reduce-overhead"),
        (flux_schnell, True),
        (sana_sprint, True),
    ],
)
def test_a_denoiser_compiled_once_makes_the_images_of_all_maps(
    preset: PublishedGenerator, compiled: bool | str, folders: dict[str, Path]
) -> None:
    plain, model = twin(preset, folders), twin(preset, folders, compile=compiled)
    for seed in (1, 2):
        wanted = steered(plain, seed)
        torch.testing.assert_close(steered(model, seed), wanted, rtol=1e-5, atol=1e-5)
        assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


@pytest.mark.usefixtures("untranslated")
def test_a_denoiser_compiled_in_parts_makes_the_images_of_all_maps(
    folders: dict[str, Path],
) -> None:
    plain, model = twin(z_image_turbo, folders), twin(z_image_turbo, folders, compile=True)
    for seed in (1, 2):
        wanted = steered(plain, seed)
        torch.testing.assert_close(steered(model, seed), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("untranslated")
def test_a_compiled_denoiser_leaves_what_is_no_affine_map_and_gradients_to_the_plain_one(
    folders: dict[str, Path],
) -> None:
    model = twin(nitro_1_pixart, folders, compile=True, checkpoint=False)
    site, info = next(iter(model.sites.items()))
    limits = {site: torch.zeros(info.channels)}
    limited = Affine(limits, limits, low=limits, high=limits)
    model.render([Request(prompt="a cat", seed=1, intervention=limited, strength=1.0)])
    shift = {site: torch.zeros(info.channels, requires_grad=True)}
    change = Affine({site: torch.ones(info.channels)}, shift)
    reached = activations(model, ["a cat"], [1], change=steer([change], [1.0]))
    reached[site].sum().backward()
    assert shift[site].grad is not None
    assert "unique_graphs" not in counters["stats"]


def test_what_is_not_at_work_is_kept_off_the_device(folders: dict[str, Path]) -> None:
    model, places = twin(dmd2, folders, offload=True), []
    model._network.to = lambda device: places.append(("denoiser", device))
    model._vae.to = lambda device: places.append(("decoder", device))
    images(model, ("a cat", 1))
    assert places == [
        ("denoiser", "cpu"),
        ("denoiser", "cpu"),
        ("decoder", "cpu"),
        ("decoder", "cpu"),
    ]


def test_revisions_differ_by_what_can_change_an_image(folders: dict[str, Path]) -> None:
    changes: list[dict[str, object]] = [
        {},
        {"size": 48},
        {"dtype": "bfloat16"},
        {"tile": True},
        {"sites": "mlp"},
    ]
    same, *others = (twin(dmd2, folders, **options).revision for options in changes)
    assert same == twin(dmd2, folders, offload=True, checkpoint=True).revision
    assert len({same, twin(dmd2_4step, folders).revision, *others}) == 6


@pytest.mark.parametrize(
    ("preset", "modules", "channels"),
    [
        (dmd2, 256, 294_080),
        (nitro_1_pixart, 57, 65_664),
        (flux_schnell, 115, 353_280),
        (sana_sprint, 41, 91_840),
    ],
)
def test_published_architectures_have_the_known_sites(
    preset: PublishedGenerator, modules: int, channels: int
) -> None:
    sites = preset.sketch().sites
    assert (len(sites), sum(info.channels for info in sites.values())) == (modules, channels)
    assert {info.channel_axis for info in sites.values()} == ({-1, 1} if preset is dmd2 else {-1})


@pytest.mark.parametrize("pattern", ["attention", "mlp", "*norm1", r"unet\.mid_block.*norm\d"])
def test_sites_are_chosen_by_preset_glob_or_expression(
    pattern: str, folders: dict[str, Path]
) -> None:
    model = twin(dmd2, folders, sites=pattern)
    assert set(activations(model, ["a cat"], [1])) == set(model.sites)


@pytest.mark.parametrize("sites", ["norms", "attention", "mlp"])
def test_preset_sites_of_every_model_are_tokens_or_maps_of_its_channels(
    sites: str, folders: dict[str, Path]
) -> None:
    for preset in GENERATORS[2:]:
        model = twin(preset, folders, sites=sites)
        assert {
            site: values.shape[1] for site, values in activations(model, ["a cat"], [1]).items()
        } == {site: info.channels for site, info in model.sites.items()}


def test_no_site_is_offered_whose_channels_are_those_of_one_head(folders: dict[str, Path]) -> None:
    with pytest.raises(UnknownName):
        twin(flux_schnell, folders, sites="*norm_q")


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"sites": "unet.mid_blok"}, UnknownName, "unet.mid_block"),
        ({"guidance": 7.5}, UnknownName, "guidance"),
        ({"dtype": "int8"}, UsageError, "float16"),
        ({"size": 1000}, UsageError, "multiple of 16"),
        ({"weights": "nowhere"}, Missing, "nowhere"),
        ({"compile": "fast"}, UsageError, "valid boolean.* or .*'reduce-overhead', not 'fast'"),
        ({"compile": "reduce-overhead", "offload": True}, UsageError, "exclude each other"),
    ],
)
def test_what_does_not_exist_is_refused(
    options: dict[str, object], kind: type[HtbenchError], says: str, folders: dict[str, Path]
) -> None:
    with pytest.raises(kind, match=says):
        twin(dmd2, folders, **options)


def test_missing_weights_are_answered_with_the_command_that_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Missing, match="tianweiy/DMD2") as caught:
        dmd2("cpu")
    assert caught.value.remedy == "Get them: htbench fetch --model dmd2"


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code was run",)


def test_files_that_are_no_weights_are_refused_in_one_line(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (folders["sdxl"] / "dmd2_sdxl_1step_unet_fp16.bin").read_bytes()
    safe = (folders["pixart-sigma"] / "nitro.safetensors").read_bytes()
    (tmp_path / "cut.bin").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.bin").write_bytes(b"")
    (tmp_path / "text.bin").write_text("version https://example.org\n")
    (tmp_path / "cut.safetensors").write_bytes(safe[: len(safe) // 2])
    torch.save({"a": Code()}, tmp_path / "code.bin")
    torch.save([1, 2], tmp_path / "list.bin")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(Refused) as caught:
            weights.read(path)
        assert "\n" not in str(caught.value)
        assert ("code" in str(caught.value)) == (path.name == "code.bin") or path.name == "text.bin"
    assert "code was run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "damage", "kind", "says"),
    [
        (
            "text_encoder/model.safetensors",
            lambda whole: whole[: len(whole) // 2],
            Refused,
            "text encoders",
        ),
        (
            "vae/diffusion_pytorch_model.safetensors",
            lambda whole: whole[: len(whole) // 2],
            Refused,
            "cannot be read",
        ),
        ("vae/diffusion_pytorch_model.safetensors", None, Missing, "weights of the decoder"),
        ("unet/config.json", lambda whole: whole[: len(whole) // 2], Refused, "settings"),
        ("unet/config.json", None, Missing, "unet/config.json"),
        ("dmd2_sdxl_1step_unet_fp16.bin", None, Missing, "dmd2_sdxl_1step_unet_fp16.bin"),
    ],
)
def test_a_folder_with_a_part_missing_or_cut_short_is_answered_in_one_line(
    part: str,
    damage: Callable[[bytes], bytes] | None,
    kind: type[HtbenchError],
    says: str,
    folders: dict[str, Path],
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(folders["sdxl"], tmp_path / "twin")
    whole = (folder / part).read_bytes()
    (folder / part).unlink()
    if damage:
        (folder / part).write_bytes(damage(whole))
    with pytest.raises(kind, match=says) as caught:
        images(twin(dmd2, {"sdxl": folder}), (f"never read: {tmp_path}", 1))
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_answered_with_what_needs_less(
    error: Exception, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_: object) -> None:
        raise error

    monkeypatch.setattr("diffusers.AutoencoderKL.from_config", allocate)
    with pytest.raises(Missing, match="does not fit into the memory of cpu") as caught:
        twin(dmd2, folders)
    assert "offload" in caught.value.remedy


def test_a_part_of_a_denoiser_that_is_missing_is_named(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["flux"], tmp_path / "twin")
    first, *others = sorted((folder / "transformer").glob("*.safetensors"))
    assert others
    first.unlink()
    with pytest.raises(Missing, match=f"{len(others)} of {len(others) + 1} parts"):
        twin(flux_schnell, {"flux": folder})


def test_weights_of_another_model_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    model = twin(dmd2, folders)
    state = dict(model._network.state_dict())
    weights.check(state, model._network.state_dict(), tmp_path)
    del state["conv_in.weight"]
    with pytest.raises(Refused, match=r"1 tensors too many or too few, such as 'conv_in\.weight'"):
        weights.check(state, model._network.state_dict(), tmp_path)
