"""The cache of encoded prompts: damaged files are made again, and none need be kept."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from htbench.core.types import Digest
from htbench.models.published.prompts import PromptCache, PromptEmbeds


class Counting:
    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, prompt: str) -> PromptEmbeds:
        self.encoded.append(prompt)
        return PromptEmbeds(states=torch.ones(1, 3, 2))

    def move(self, device: str) -> None:
        pass


def encode(folder: Path, *prompts: str) -> list[str]:
    encoder = Counting()
    cache = PromptCache(lambda: encoder, encoder_digest=Digest("x"), folder=folder, device="cpu")
    assert cache.encode([{prompt: 1.0} for prompt in prompts]).states.isfinite().all()
    return encoder.encoded


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
