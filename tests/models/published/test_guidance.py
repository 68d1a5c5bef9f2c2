"""Guidance, on tiny twins: against diffusers' own pipelines, and what interventions act on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel
from kit.tiny_twins import SIZE, load_pipeline
from PIL import Image

from htbench.core.errors import UsageError
from htbench.models.model_card import CardGenerator, load_card
from htbench.models.published.adapter import FewStepModel
from htbench.steering import baseline, concept, model_contracts
from htbench.steering.fitting.steered_means import arriving_means, steer_means
from htbench.steering.hooks import activations
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.layout import Layout
from htbench.steering.model import Request
from htbench.steering.model_contracts import ModelCase

PIPELINES = {"sdxl": "StableDiffusionXLPipeline", "pixart-sigma": "PixArtSigmaPipeline"}
OTHERS = {
    "flux": "FluxPipeline",
    "sana-sprint": "SanaSprintPipeline",
    "z-image": "ZImagePipeline",
    "qwen-image": "QwenImagePipeline",
    "flux2-klein": "Flux2KleinPipeline",
}
CARD = """\
name = "guided"
pipeline = "{pipeline}"
folder = "{folder}"
steps = 3
guidance = {guidance}
dtype = "float32"
size = {size}
concept_encoder = "emoji-clip-a"
scorer = "emoji-clip-b"
"""


def card(path: Path, family: str, folder: Path, *, guidance: float, more: str = "") -> Path:
    pipeline = {**PIPELINES, **OTHERS}[family]
    text = CARD.format(pipeline=pipeline, folder=folder, guidance=guidance, size=SIZE)
    (path / "guided.toml").write_text(text + more)
    return path / "guided.toml"


def load(path: Path) -> FewStepModel:
    made = load_card(str(path))
    assert isinstance(made, CardGenerator)
    return made("cpu")


def image(
    model: FewStepModel, change: Intervention | None = None, strength: float = 0.0
) -> Image.Image:
    request = Request(
        prompt="a cat", seed=7, intervention=change or Intervention(), strength=strength
    )
    return model.generate([request])[0]


def shifted(model: FewStepModel, amount: float) -> Affine:
    widths = {site: info.channels for site, info in model.sites.items()}
    return Affine(
        {site: torch.ones(width) for site, width in widths.items()},
        {site: torch.full((width,), amount) for site, width in widths.items()},
    )


@pytest.mark.parametrize("family", PIPELINES)
@pytest.mark.parametrize("negative", [None, "dog"])
def test_a_guided_image_is_that_of_the_plain_pipeline(
    family: str, negative: str | None, folders: dict[str, Path], tmp_path: Path
) -> None:
    more = "" if negative is None else f'negative_prompt = "{negative}"\n'
    model = load(card(tmp_path, family, folders[family], guidance=4.0, more=more))
    pipeline = load_pipeline(folders[family])
    (wanted,) = pipeline(
        "a cat",
        negative_prompt=negative if negative or family == "sdxl" else "",
        num_inference_steps=3,
        guidance_scale=4.0,
        height=SIZE,
        width=SIZE,
        generator=[torch.Generator().manual_seed(7)],
        **({} if family == "sdxl" else {"use_resolution_binning": False}),
    ).images
    assert image(model).tobytes() == wanted.tobytes()


def undistilled(folder: Path, copy: Path) -> Path:
    """A copy of a saved pipeline that does not say that it is distilled."""
    shutil.copytree(folder, copy)
    index = copy / "model_index.json"
    settings = json.loads(index.read_text())
    settings.pop("is_distilled", None)
    index.write_text(json.dumps(settings))
    return copy


@pytest.mark.parametrize("negative", [None, "dog"])
@pytest.mark.parametrize(
    ("family", "guidance", "arguments"),
    [
        ("z-image", 0.5, {"guidance_scale": 0.5}),
        ("qwen-image", 4.0, {"true_cfg_scale": 4.0}),
        ("flux2-klein", 4.0, {"guidance_scale": 4.0}),
    ],
)
def test_a_guided_image_is_within_a_level_of_that_of_a_pipeline_that_asks_twice(
    family: str,
    guidance: float,
    arguments: dict[str, float],
    negative: str | None,
    folders: dict[str, Path],
    tmp_path: Path,
) -> None:
    more = "" if negative is None else f'negative_prompt = "{negative}"\n'
    folder = undistilled(folders[family], tmp_path / "pipeline")
    model = load(card(tmp_path, family, folder, guidance=guidance, more=more))
    pipeline = load_pipeline(folder)
    if family == "flux2-klein":
        given = pipeline.encode_prompt(prompt=[negative or ""], max_sequence_length=512)[0]
        words = {"negative_prompt_embeds": given}
    else:
        words = {"negative_prompt": negative or (" " if family == "qwen-image" else "")}
    (wanted,) = pipeline(
        prompt="a cat",
        num_inference_steps=3,
        height=SIZE,
        width=SIZE,
        generator=[torch.Generator().manual_seed(7)],
        **arguments,
        **words,
    ).images
    made = np.asarray(image(model), dtype=int)
    assert np.abs(made - np.asarray(wanted, dtype=int)).max() <= 1
    plain = load(card(tmp_path, family, folder, guidance=0.0))
    assert (made != np.asarray(image(plain), dtype=int)).any()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_sana_sprint_of_a_card_has_the_guidance_and_the_steps_of_the_plain_pipeline(
    steps: int, folders: dict[str, Path], tmp_path: Path
) -> None:
    path = card(tmp_path, "sana-sprint", folders["sana-sprint"], guidance=3.0)
    path.write_text(path.read_text().replace("steps = 3", f"steps = {steps}"))
    (wanted,) = load_pipeline(folders["sana-sprint"])(
        "a cat",
        num_inference_steps=steps,
        guidance_scale=3.0,
        height=SIZE,
        width=SIZE,
        generator=[torch.Generator().manual_seed(7)],
        use_resolution_binning=False,
        **({} if steps == 2 else {"intermediate_timesteps": None}),
    ).images
    assert image(load(path)).tobytes() == wanted.tobytes()


def test_guidance_of_a_pipeline_that_says_it_is_distilled_is_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    path = card(tmp_path, "flux2-klein", folders["flux2-klein"], guidance=4.0)
    with pytest.raises(UsageError, match="guided has no guidance: its pipeline says"):
        load(path)


@pytest.fixture
def flux_dev(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A twin of FLUX.1 [dev]: guidance is an input, and timesteps shift with the image's size."""
    pipeline = load_pipeline(folders["flux"])
    torch.manual_seed(2)
    transformer = FluxTransformer2DModel.from_config(
        {**pipeline.transformer.config, "guidance_embeds": True}
    )
    scheduler = type(pipeline.scheduler).from_config(
        {**pipeline.scheduler.config, "use_dynamic_shifting": True, "shift": 3.0}
    )
    pipeline.register_modules(transformer=transformer, scheduler=scheduler)
    pipeline.save_pretrained(tmp_path / "flux-dev")
    return tmp_path / "flux-dev"


def test_guidance_that_is_an_input_gives_the_image_of_the_plain_pipeline(
    flux_dev: Path, tmp_path: Path
) -> None:
    model = load(card(tmp_path, "flux", flux_dev, guidance=3.5))
    (wanted,) = load_pipeline(flux_dev)(
        "a cat",
        num_inference_steps=3,
        guidance_scale=3.5,
        height=SIZE,
        width=SIZE,
        generator=[torch.Generator().manual_seed(7)],
        max_sequence_length=256,
    ).images
    assert image(model).tobytes() == wanted.tobytes()
    other = load(card(tmp_path, "flux", flux_dev, guidance=1.5))
    assert image(other).tobytes() != wanted.tobytes()


def test_guidance_of_a_denoiser_that_takes_none_is_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    path = card(tmp_path, "flux", folders["flux"], guidance=3.5)
    with pytest.raises(UsageError, match="guided has no guidance: its denoiser takes none"):
        load(path)


@pytest.mark.parametrize("family", PIPELINES)
def test_interventions_act_on_the_rows_with_the_prompt_alone(
    family: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    model = load(card(tmp_path, family, folders[family], guidance=4.0))
    last, rows = list(model.sites)[-1], []
    module = model._network.get_submodule(last.partition(".")[2])
    module.register_forward_hook(lambda _, inputs, output: rows.append(output.clone()))
    image(model)
    image(model, shifted(model, 0.5), 1.0)
    plain, steered = rows[0], rows[len(rows) // 2]
    assert torch.equal(plain[:1], steered[:1])
    assert not torch.equal(plain[1:], steered[1:])


def test_at_strength_0_a_guided_image_keeps_every_bit(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    model = load(card(tmp_path, "pixart-sigma", folders["pixart-sigma"], guidance=4.0))
    assert image(model, shifted(model, 0.5), 0.0).tobytes() == image(model).tobytes()


def test_activations_are_those_of_the_prompt_a_row_per_image_and_step(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    path = card(tmp_path, "pixart-sigma", folders["pixart-sigma"], guidance=4.0)
    model = load(path)
    site = next(iter(model.sites))
    with torch.no_grad():
        first, other = (activations(model, [prompt], [1]) for prompt in ("a cat", "seven dogs"))
    assert first[site].shape == (3, model.sites[site].channels)
    last = list(model.sites)[-1]
    assert not torch.equal(first[last][0], other[last][0])


def test_checkpointing_gives_the_same_gradients_with_guidance(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    made = load_card(str(card(tmp_path, "pixart-sigma", folders["pixart-sigma"], guidance=4.0)))
    gradients = []
    for checkpoint in (False, True):
        model = made("cpu", checkpoint=checkpoint)
        layout = Layout.of({site: info.channels for site, info in model.sites.items()})
        maps = torch.tensor([[1.1], [0.0]]).repeat(1, layout.channels)[None].requires_grad_()
        means = arriving_means(model, (["a cat", "a dog"], [1, 2]), maps, layout)
        steer_means(means.flatten(0, 1)[None], maps).square().sum().backward()
        gradients.append(maps.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("family", PIPELINES)
def test_a_guided_model_keeps_every_promise_of_models(
    family: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    model = load(card(tmp_path, family, folders[family], guidance=4.0))
    results = model_contracts.check(ModelCase(model=model, prompts=("a cat", "seven dogs")))
    assert {each.promise: each.problem for each in results if each.problem} == {}


def test_end_to_end_learning_goes_through_guidance(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    model = load(card(tmp_path, "pixart-sigma", folders["pixart-sigma"], guidance=4.0))
    concepts = concept.load("emoji").splits["train"][:1]
    settings = {"steps": 2, "samples": 4, "batch": 2}
    change = (
        baseline.load_method(baseline.load_card("lineas").with_settings(settings))
        .train(model, concepts, seed=0)
        .towards(concepts[0])
    )
    assert change.sites == frozenset(model.sites)
    assert any(part.abs().max() > 0 for part in change.shift.values())
