"""A reader of words alone: the sentence embeddings of the package `wordllama`, weights included.

An embedding is the mean of the embeddings of a text's tokens, scaled to length 1. Concepts can be
read with it (`--set encoder=wordllama`); pictures cannot be scored, since it sees none.

References:
    Miller. WordLlama. 2024. https://github.com/dleemiller/WordLlama
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from htbench.core.content import file_digest
from htbench.core.errors import Missing, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image


class WordEncoder:
    """Implements `htbench.steering.encoder.Encoder` for texts; it works on the CPU."""

    name = "wordllama"
    reads_images = False
    scale = 100.0

    def __init__(self, weights: Path, tokeniser: Path) -> None:
        from safetensors import safe_open
        from tokenizers import Tokenizer

        self.revision = file_digest(weights, tokeniser)
        with safe_open(weights, framework="pt") as file:
            self._vectors = file.get_tensor("embedding.weight").float()
        self.width = self._vectors.shape[1]
        self._tokeniser = Tokenizer.from_file(str(tokeniser))
        self._tokeniser.no_truncation()

    def images(self, images: "Sequence[Image]") -> NoReturn:
        """Refused, since it reads words alone.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"encoder {self.name!r} reads words alone",
            remedy="Name an encoder that reads images too; see htbench list encoders.",
        )

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "texts features"]:
        means = [self._vectors[self._tokens(text)].mean(0) for text in texts]
        stacked = torch.stack(means) if means else torch.zeros(0, self.width)
        return torch.nn.functional.normalize(stacked, dim=-1)

    def _tokens(self, text: str) -> list[int]:
        """The tokens of a text without marks; of an empty one its start mark."""
        words = self._tokeniser.encode(text, add_special_tokens=False)
        tokens: list[int] = words.ids or self._tokeniser.encode(text).ids
        return tokens


def wordllama(device: str) -> WordEncoder:
    """The encoder; `device` does not matter.

    Raises:
        Missing: if the package is not installed, or has other weights.
    """
    package = find_spec("wordllama")
    folder = Path(package.origin).parent if package and package.origin else None
    files = folder and (
        folder / "weights" / "l2_supercat_256.safetensors",
        folder / "tokenizers" / "l2_supercat_tokenizer_config.json",
    )
    if not files or not all(file.is_file() for file in files):
        raise Missing(
            "encoder 'wordllama' needs the weights of the package wordllama",
            remedy="Install them: pip install 'htbench[words]'",
        )
    return WordEncoder(*files)
