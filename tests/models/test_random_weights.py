"""Random weights: drawn by name, without the initialisation of libraries."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from kit import tiny_llm_twins
from kit.tiny_twins import TEXT
from torch import nn

from htbench.models.published.adapter import random_text_encoder
from htbench.models.random_weights import draw


def tower(*, widths: tuple[int, int] = (64, 32)) -> nn.Module:
    first, second = widths
    return nn.ModuleDict(
        {"enter": nn.Linear(first, second), "norm": nn.LayerNorm(second), "rows": nn.RNN(second, 4)}
    )


def test_matrices_have_the_variance_of_one_over_their_inputs() -> None:
    network = draw(lambda: tower(widths=(900, 600)), "cpu")
    assert network["enter"].weight.std().item() == pytest.approx(1 / 30, rel=0.02)
    assert network["enter"].bias.count_nonzero() == 0
    assert torch.equal(network["norm"].weight, torch.ones(600))


def test_weights_depend_on_their_names_and_on_no_order() -> None:
    before, after = draw(tower, "cpu"), draw(tower, "cpu")
    assert torch.equal(before["enter"].weight, after["enter"].weight)
    other = draw(lambda: nn.ModuleDict({"leave": nn.Linear(64, 32)}), "cpu")["leave"].weight
    assert not torch.equal(before["enter"].weight, other)


def test_the_random_numbers_of_others_are_not_used_up() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    draw(tower, "cpu")
    assert torch.equal(torch.rand(3), expected)


def test_rows_of_a_large_matrix_differ() -> None:
    weight = draw(lambda: nn.Linear(512, 2048, bias=False), "cpu").weight
    assert len(weight.unique(dim=0)) == 2048


def test_no_initialisation_is_calculated(monkeypatch: pytest.MonkeyPatch) -> None:
    initialised: list[str] = []

    class Slow(nn.Linear):
        def reset_parameters(self) -> None:
            initialised.append(self.weight.device.type)

    draw(lambda: Slow(4, 4), "cpu")
    assert initialised == ["meta"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    "config",
    [
        *TEXT["sdxl"],
        *TEXT["pixart-sigma"],
        *tiny_llm_twins.TEXT["sana-sprint"],
        *tiny_llm_twins.TEXT["z-image"],
    ],
    ids=lambda c: c["kind"],
)
def test_text_encoders_are_finite_and_as_their_classes_make_them(
    config: dict[str, object], dtype: torch.dtype
) -> None:
    encoder, tokens = random_text_encoder(config, dtype, "cpu")
    settings = {key: value for key, value in config.items() if key not in ("kind", "tokens")}
    own = type(encoder)(type(encoder).config_class(**settings))
    shapes = {name: weight.shape for name, weight in own.state_dict().items()}
    assert {name: weight.shape for name, weight in encoder.state_dict().items()} == shapes
    assert {weight.dtype for weight in encoder.parameters()} == {dtype}
    for name, buffer in own.named_buffers():
        assert torch.equal(buffer, encoder.get_buffer(name))
    ids = torch.arange(tokens)[None] % 60
    assert encoder(ids).last_hidden_state.isfinite().all()


def test_a_weight_that_modules_share_is_drawn_once() -> None:
    encoder, _ = random_text_encoder(TEXT["pixart-sigma"][0], torch.float32, "cpu")
    assert encoder.shared.weight is encoder.encoder.embed_tokens.weight


def test_an_encoder_of_concepts_is_the_one_that_its_library_builds(tmp_path: Path) -> None:
    text = {"width": 16, "layers": 1, "heads": 2}
    vision = {"image_size": 16, "patch_size": 8, "layers": 1, "width": 16, "head_width": 8}
    settings = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}
    (tmp_path / "drawn-clip.json").write_text(json.dumps(settings))
    open_clip.add_model_config(tmp_path / "drawn-clip.json")
    library = open_clip.create_model("drawn-clip")
    drawn = draw(lambda: open_clip.CLIP(**open_clip.get_model_config("drawn-clip")), "cpu")
    assert drawn.logit_scale.item() == library.logit_scale.item()
    assert [*drawn.state_dict()] == [*library.state_dict()]
    assert torch.equal(drawn.attn_mask, library.attn_mask)
    with torch.no_grad():
        assert drawn.encode_text(torch.ones(1, 77, dtype=torch.long)).isfinite().all()
