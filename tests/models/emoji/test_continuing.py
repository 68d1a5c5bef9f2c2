"""Training that continues from weights with another vocabulary."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from htbench.core.errors import Missing, Refused
from htbench.models.emoji import clip, train, vocabulary
from htbench.models.emoji.clip_training import untrained_clip
from htbench.models.emoji.continuing import start_from
from htbench.models.emoji.generator import Generator
from htbench.models.emoji.generator_training import untrained_generator
from htbench.models.emoji.icons import WEIGHTS_FOLDER
from htbench.models.emoji.pretrained import recipe
from htbench.steering.fitting.trainer import Recipe

NETWORKS = {"generator": untrained_generator, "clip-a": lambda: untrained_clip("clip-a")}
TABLES = {
    "generator": ["text_encoder.shared.weight", "looks.weight"],
    "clip-a": ["token_embedding.weight"],
}
WORDS = ["zebra-like", *vocabulary.token_ids()][:400]
"""Another vocabulary: other tokens for 399 known words, and a word that is not known now."""


def _former(name: str, folder: Path, network: nn.Module | None = None) -> dict[str, torch.Tensor]:
    """Random weights of `network`, or of one as it is trained, with the vocabulary `WORDS`."""
    torch.manual_seed(7)
    parameters = (network or NETWORKS[name]()).named_parameters()
    tensors = {key: torch.randn(own.shape) for key, own in parameters}
    after = len(clip.build("clip-a").token_embedding.weight) - vocabulary.size()
    for key in TABLES[name]:
        rows = len(WORDS) + 2 + (after if name == "clip-a" else 0)
        tensors[key] = tensors[key][:rows].contiguous()
    save_file(tensors, folder / f"{name}.safetensors", {"recipe": json.dumps({"steps": 3})})
    (folder / "vocabulary.txt").write_text("".join(f"{word}\n" for word in WORDS))
    return tensors


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_of_words_follow_their_word_and_new_words_keep_their_own(
    name: str, tmp_path: Path
) -> None:
    former, network = _former(name, tmp_path), NETWORKS[name]()
    before = {key: own.detach().clone() for key, own in network.named_parameters()}
    start_from(network, name, tmp_path)
    for key in TABLES[name]:
        own = dict(network.named_parameters())[key]
        for word, token in vocabulary.token_ids().items():
            row = former[key][WORDS.index(word) + 2] if word in WORDS else before[key][token]
            assert torch.equal(own[token], row)
        assert torch.equal(own[:2], former[key][:2])


def test_a_generator_with_a_rim_draws_the_former_pixels_in_the_middle(tmp_path: Path) -> None:
    former = _former("generator", tmp_path, Generator(rim=0))
    network = Generator(rim=2)
    start_from(network, "generator", tmp_path)
    for key in ("transformer.proj_out.weight", "transformer.proj_out.bias"):
        own = dict(network.named_parameters())[key].unflatten(0, (3, 12, 12))
        assert torch.equal(own[:, 2:-2, 2:-2], former[key].unflatten(0, (3, 8, 8)))


@pytest.mark.parametrize("name", NETWORKS)
def test_all_else_is_copied(name: str, tmp_path: Path) -> None:
    former, network = _former(name, tmp_path), NETWORKS[name]()
    start_from(network, name, tmp_path)
    for key, own in network.named_parameters():
        if key not in TABLES[name]:
            assert torch.equal(own, former[key])


def test_the_end_mark_of_a_clip_stays_its_end_mark(tmp_path: Path) -> None:
    former, network = _former("clip-a", tmp_path), untrained_clip("clip-a")
    start_from(network, "clip-a", tmp_path)
    assert torch.equal(network.token_embedding.weight[-1], former["token_embedding.weight"][-1])


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"clip-a\.safetensors"):
        start_from(untrained_clip("clip-a"), "clip-a", tmp_path)


@pytest.mark.parametrize("change", [lambda t: t[:, :-1], lambda t: t[:-1]])
def test_weights_of_another_architecture_are_refused(change: object, tmp_path: Path) -> None:
    former = _former("clip-a", tmp_path)
    key = TABLES["clip-a"][0]
    former[key] = change(former[key]).contiguous()  # type: ignore[operator]
    save_file(former, tmp_path / "clip-a.safetensors", {"recipe": "{}"})
    with pytest.raises(Refused, match="cannot start from"):
        start_from(untrained_clip("clip-a"), "clip-a", tmp_path)


def test_a_network_with_other_tensors_is_refused(tmp_path: Path) -> None:
    _former("clip-a", tmp_path)
    with pytest.raises(Refused, match="tensors"):
        start_from(nn.Linear(2, 2), "clip-a", tmp_path)


def test_a_continued_training_records_what_it_started_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Recipe(steps=2, batch=6, seed=1, warmup=2)
    monkeypatch.setattr(train, "CONTINUED_RECIPES", dict.fromkeys(train.RECIPES, short))
    monkeypatch.setattr(
        "sys.argv",
        [
            *("train", "--stage", "clip-a", "--start", str(WEIGHTS_FOLDER)),
            *("--out", str(tmp_path), "--checkpoints", str(tmp_path)),
        ],
    )
    train.main()
    made, started = recipe("clip-a", tmp_path), recipe("clip-a")
    assert made["steps"] == 2
    assert made["after"].pop("digest")
    assert made["after"] == started
    table = "token_embedding.weight"
    shipped = load_file(WEIGHTS_FOLDER / "clip-a.safetensors")[table].float()
    continued = load_file(tmp_path / "clip-a.safetensors")[table].float()
    assert (continued - shipped).abs().mean() < 0.2 * shipped.std()
