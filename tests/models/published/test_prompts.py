"""The cache of encoded prompts: damaged files are made again, and none need be kept."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from htbench.core.types import Digest
from htbench.models.published.prompts import PromptCache, PromptEmbeds


class Counting:
    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        self.encoded += prompts
        states = torch.tensor([float(len(prompt)) for prompt in prompts])
        return PromptEmbeds(states=states[:, None, None].expand(-1, 3, 2))

    def move(self, device: str) -> None:
        pass


def encode(folder: Path, *prompts: str, batch: int = 1) -> list[str]:
    """Encode prompts of a cache in `folder`; those that the text encoder got."""
    encoder = Counting()
    cache = PromptCache(
        lambda: encoder, encoder_digest=Digest("x"), folder=folder, device="cpu", batch=batch
    )
    words = cache.encode([{prompt: 1.0} for prompt in prompts])
    assert words.states[:, 0, 0].tolist() == [len(prompt) for prompt in prompts]
    return encoder.encoded


def test_prompts_are_encoded_in_batches_of_one_size(tmp_path: Path) -> None:
    assert encode(tmp_path, "a", "bc", "def", batch=2) == ["a", "bc", "def", "def"]
    assert encode(tmp_path, "def", "ghij", batch=2) == ["ghij", "ghij"]


def test_an_encoded_prompt_is_kept(tmp_path: Path) -> None:
    assert encode(tmp_path, "cat") == ["cat"]
    assert encode(tmp_path, "cat") == []


@pytest.mark.parametrize("folder", ["/proc/htbench", "/sys/htbench"])
def test_a_cache_that_cannot_be_written_is_told_of_once_and_done_without(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert encode(Path(folder), "cat", "dog") == ["cat", "dog"]
    (line,) = capsys.readouterr().err.splitlines()
    assert "XDG_CACHE_HOME" in line


@pytest.mark.parametrize(
    "tensors",
    [
        {"states": torch.full((1, 3, 2), torch.nan)},
        {"states": torch.ones(3)},
        {"states": torch.ones(1, 3, 2), "mask": torch.ones(7, 7)},
        {"other": torch.ones(1)},
    ],
)
def test_a_damaged_file_is_made_again(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    encode(tmp_path, "cat")
    (kept,) = tmp_path.glob("*.safetensors")
    save_file(tensors, kept)
    assert encode(tmp_path, "cat") == ["cat"]
