"""Training that continues from the weights of another world, word by word."""

import json
import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from htbench.core.content import file_digest
from htbench.core.errors import Missing, Refused
from htbench.models.emoji import vocabulary


def start_from(network: nn.Module, name: str, folder: Path) -> dict[str, object]:
    """Copy to `network` the weights `name` in `folder`, which also has their vocabulary.

    Of tables with a row per word, the rows of words that both vocabularies have are copied, and
    those of padding, of the unknown word and of what follows all words; new words keep the rows of
    `network`. Returns the record of those weights, with the digest of their files.

    Raises:
        Missing: if a file is not there.
        Refused: if the weights are of another architecture.
    """
    weights, words = folder / f"{name}.safetensors", folder / "vocabulary.txt"
    for path in (weights, words):
        if not path.is_file():
            raise Missing(
                f"no file {str(path)!r} to start from",
                remedy="Give a folder with the weights and the vocabulary of a finished training.",
            )
    former = words.read_text(encoding="utf-8").split()
    rows = _rows(former)
    try:
        with safe_open(weights, framework="pt") as file, torch.no_grad():
            keys = set(file.keys())
            named = dict(network.named_parameters())
            if keys ^ named.keys():
                raise RuntimeError(f"it has {len(keys)} tensors, not {len(named)}")
            for key, own in named.items():
                tensor = file.get_tensor(key).float()
                if key.startswith("transformer.proj_out.") and own.shape != tensor.shape:
                    _copy_drawings(own, tensor)
                else:
                    _copy(own, tensor, rows, len(former))
            record: dict[str, object] = json.loads(file.metadata()["recipe"])
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise Refused(
            f"cannot start from {str(weights)!r}: {str(error)[:200]}",
            remedy="Start from weights of the same architecture.",
        ) from None
    return {**record, "digest": file_digest(weights, words)}


def _rows(former: list[str]) -> list[tuple[int, int]]:
    """Pairs of a token of the former vocabulary and the same word's token now."""
    now = vocabulary.token_ids()
    shared = [(old, now[word]) for old, word in enumerate(former, start=2) if word in now]
    return [(vocabulary.PAD, vocabulary.PAD), (vocabulary.UNKNOWN, vocabulary.UNKNOWN), *shared]


def _copy(own: Tensor, former: Tensor, rows: list[tuple[int, int]], words: int) -> None:
    if own.shape == former.shape:
        own.copy_(former)
        return
    after = len(own) - vocabulary.size()  # rows of special tokens, such as the end mark
    if own.shape[1:] != former.shape[1:] or len(former) - words - 2 != after or after < 0:
        raise RuntimeError(f"a tensor has shape {tuple(former.shape)}, not {tuple(own.shape)}")
    old, new = (torch.tensor(column) for column in zip(*rows, strict=True))
    own[new] = former[old]
    if after:
        own[-after:] = former[-after:]


def _copy_drawings(own: Tensor, former: Tensor) -> None:
    """Copy the layer that draws cells: the pixels that both draw, which are in the middle."""
    own_side, side = (math.isqrt(len(tensor) // 3) for tensor in (own, former))
    rim = (own_side - side) // 2
    inner = slice(rim, own_side - rim)
    if own.shape[1:] != former.shape[1:] or 2 * rim + side != own_side or rim < 0:
        raise RuntimeError(f"a tensor has shape {tuple(former.shape)}, not {tuple(own.shape)}")
    pixels = own.view(3, own_side, own_side, *own.shape[1:])
    pixels[:, inner, inner] = former.view(3, side, side, *own.shape[1:])
