"""Memory and FLOP of published generators, on fake tensors of tiny twins."""

import json

import pytest
import torch
from kit.tiny_twins import SIZE
from typer.testing import CliRunner

from htbench.cli import app
from htbench.core import registry
from htbench.core.errors import UsageError
from htbench.models.published import adapter, footprint
from htbench.models.published.footprint import FakeModel, FootprintCounter
from htbench.models.published.generators import GENERATORS, PublishedGenerator
from htbench.steering.intervention import Intervention
from htbench.steering.model import Request

TOLERANCES = {"qwen-image-lightning": 0.15}
"""Shares by which a calculated peak may differ, where it is not a tenth."""


@pytest.fixture(autouse=True)
def small(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "architecture", adapter.architecture)


def sketch(preset: PublishedGenerator, **options: object) -> FakeModel:
    float32: dict[str, object] = {"size": SIZE, "dtype": "float32", "decoder": "float32"}
    return FakeModel(preset, preset.options(**float32 | options))


@pytest.mark.parametrize("preset", GENERATORS.values(), ids=GENERATORS)
def test_what_is_worked_out_is_what_images_take(
    preset: PublishedGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footprint, "_layout_copies", lambda *_: 0)  # a GPU's, not a CPU's
    model = registry.load_model(
        preset.name, "cpu", {"weights": "random", "size": str(SIZE), "dtype": "float32"}
    )
    requests = [
        Request(prompt="a pear", seed=seed, intervention=Intervention(), strength=0.0)
        for seed in range(3)
    ]
    model.render(requests)
    with FootprintCounter(model._network, model._vae) as real:
        model.render(requests)
    found = sketch(preset).generation(3)
    assert found.flop == real.flop > 0
    assert found.peak == pytest.approx(real.peak, rel=TOLERANCES.get(preset.name, 0.1))


@pytest.mark.parametrize("preset", GENERATORS.values(), ids=GENERATORS)
def test_checkpointing_holds_one_block_at_a_time(preset: PublishedGenerator) -> None:
    plain, saving = (
        sketch(preset, checkpoint=checkpoint).lineas_step(8) for checkpoint in (False, True)
    )
    assert saving.flop > plain.flop
    assert saving.peak < 0.75 * plain.peak


@pytest.mark.parametrize("preset", GENERATORS.values(), ids=GENERATORS)
def test_four_times_the_images_are_four_times_the_work(preset: PublishedGenerator) -> None:
    one, four = (sketch(preset).generation(count) for count in (1, 4))
    assert four.flop == pytest.approx(4 * one.flop, rel=1e-3)


@pytest.mark.parametrize("channels_last", [False, True])
def test_maps_that_are_not_channels_last_are_copied_by_a_convolution(channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    layer = torch.nn.Conv2d(8, 8, 3, padding=1, bias=False).to(memory_format=layout)
    image = torch.zeros(1, 8, 16, 16).contiguous(memory_format=layout)
    with FootprintCounter(layer) as tally, torch.no_grad():
        layer(image)
    made, copied = 4 * 8 * 16 * 16, 0 if channels_last else 2 * 4 * 8 * 16 * 16
    assert tally.peak == 4 * 8 * 8 * 3 * 3 + made + copied


def test_what_operations_make_is_counted_until_it_is_let_go() -> None:
    layer = torch.nn.Linear(10, 10)
    with FootprintCounter(layer) as tally:
        for _ in range(3):
            torch.zeros(1000).t().add(1)
    assert tally.peak == 4 * (10 * 10 + 10 + 2 * 1000)


def test_a_model_is_shown_with_what_it_needs() -> None:
    words = ["show", "model", "dmd2", "--needs", "--model-option", f"size={SIZE}", "--json"]
    shown = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    assert shown["size"] == f"{SIZE} x {SIZE}"
    assert [line.split(":")[0] for line in shown["networks"]] == [
        "denoiser",
        "decoder",
        "text encoder",
        "text encoder",
    ]
    assert [line.split(":")[0] for line in shown["needs"]] == [
        "images, 1",
        "images, 4",
        "images, 16",
        "LinEAS step, 4",
        "LinEAS step, 16",
    ]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["model", "emoji", "--needs"], "measured"),
        (["method", "lineas", "--needs"], "of a model"),
        (["model", "emoji", "--model-option", "size=64"], "no choice of 'size'"),
        (["model", "dmd2", "--model-option", "siz=64"], "did you mean 'size'"),
    ],
)
def test_needs_and_options_are_of_models_that_have_them(words: list[str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        CliRunner().invoke(app, ["show", *words], catch_exceptions=False)
