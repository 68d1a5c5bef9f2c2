"""Published encoders, on a tiny one of open_clip's own classes."""

import json
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import tokenizers
import torch
from PIL import Image
from safetensors.torch import save_file

from htbench.core.errors import Missing, Refused
from htbench.core.weights import HubFiles
from htbench.models.emoji.encoders import load_b
from htbench.models.encoders import PublishedEncoder, clip_vit_l_14, siglip_vit_b_16

TINY = PublishedEncoder(
    name="tiny-clip",
    architecture="tiny-clip",
    source=HubFiles(repository="tiny/clip", files=("open_clip_model.safetensors",)),
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the model hub that holds the tiny encoder; gives the folder of its files."""
    tower = {"width": 16, "layers": 1, "heads": 2}
    vision = {"image_size": 16, "patch_size": 8, "layers": 1, "width": 16, "head_width": 8}
    (tmp_path / "tiny-clip.json").write_text(
        json.dumps({"embed_dim": 8, "vision_cfg": vision, "text_cfg": tower})
    )
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "models--tiny--clip" / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    (tmp_path / "hub" / "models--tiny--clip" / "refs").mkdir()
    (tmp_path / "hub" / "models--tiny--clip" / "refs" / "main").write_text("0" * 40)
    save_file(
        open_clip.create_model("tiny-clip").state_dict(), folder / "open_clip_model.safetensors"
    )
    return folder


def test_a_downloaded_encoder_reads_images_and_texts(hub: Path) -> None:
    encoder = TINY("cpu")
    assert TINY.missing() == []
    assert (
        encoder.images([Image.new("RGB", (20, 30), "red")]).shape
        == encoder.texts(["red"]).shape
        == (1, encoder.width)
    )
    assert encoder.texts(["red"]).norm().item() == pytest.approx(1)


def test_a_text_that_is_cut_is_warned_of_once_and_in_one_line(
    hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = TINY("cpu")
    encoder.texts(["red " * 75, "blue " * 76])
    encoder.texts(["blue " * 76])
    warning = capsys.readouterr().err
    assert warning.startswith(f"htbench: {('blue ' * 76)[:60]!r} has 78 tokens, of which tiny-clip")
    assert "reads 77" in warning
    assert warning.count("\n") == 1


def test_a_text_of_the_embedded_encoder_is_cut_after_20_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    vectors = load_b("cpu").texts(["panda " * 20, "panda " * 21])
    assert torch.equal(vectors[0], vectors[1])
    assert capsys.readouterr().err.startswith(f"htbench: {('panda ' * 21)[:60]!r} has 22 tokens")


def test_many_texts_that_are_cut_are_not_all_named(capsys: pytest.CaptureFixture[str]) -> None:
    load_b("cpu").texts([f"{word} " * 30 for word in "abcdefghijklmnop"])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert "further texts" in lines[-1]


def test_tokens_of_a_downloaded_tokeniser_are_counted_before_it_cuts(
    hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tokenizers.models.WordLevel({"<pad>": 0, "<end>": 1, "red": 2}, unk_token="<pad>")
    tokeniser = tokenizers.Tokenizer(words)
    tokeniser.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokeniser.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A <end>", special_tokens=[("<end>", 1)]
    )
    tokeniser.save(str(hub / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}
    (hub / "tokenizer_config.json").write_text(json.dumps(settings))
    files = ("open_clip_model.safetensors", "tokenizer.json", "tokenizer_config.json")
    encoder = replace(TINY, source=replace(TINY.source, files=files))("cpu")
    encoder.texts(["red " * 76, "red " * 77])
    warning = capsys.readouterr().err
    assert "has 78 tokens" in warning
    assert warning.count("\n") == 1


def test_its_revision_changes_with_its_weights(hub: Path) -> None:
    before = TINY("cpu").revision
    assert TINY("cpu").revision == before
    save_file(open_clip.create_model("tiny-clip").state_dict(), hub / "open_clip_model.safetensors")
    assert TINY("cpu").revision != before


@pytest.mark.parametrize("encoder", [clip_vit_l_14, siglip_vit_b_16], ids=["clip", "siglip"])
def test_a_missing_encoder_is_answered_with_the_command_that_gets_it(
    encoder: PublishedEncoder, hub: Path
) -> None:
    with pytest.raises(Missing) as caught:
        encoder("cpu")
    assert caught.value.remedy == f"Get them: htbench fetch --encoder {encoder.name}"


def test_a_truncated_file_is_refused_in_one_line(hub: Path) -> None:
    path = hub / "open_clip_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(Refused, match="cannot be read") as caught:
        TINY("cpu")
    assert "\n" not in str(caught.value)
