"""The embedded models' weights, read from their files."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from htbench.core.content import file_digest
from htbench.core.errors import Missing, Refused
from htbench.core.types import Digest
from htbench.models.emoji.icons import WEIGHTS_FOLDER


def restore(network: nn.Module, name: str, folder: Path = WEIGHTS_FOLDER) -> Digest:
    """Load the weights `name` into `network`; returns the digest of the weights and the vocabulary.

    Raises:
        Missing: if the file is not there.
        Refused: if it is damaged or of another architecture.
    """
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        raise Missing(
            f"no weights {str(path)!r}",
            remedy=f"Make them: python -m htbench.models.emoji.train --stage {name}",
        )
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        network.load_state_dict(tensors, strict=False)
        absent = {key for key, _ in network.named_parameters()} ^ tensors.keys()
        if absent:
            raise RuntimeError(
                f"{len(absent)} tensors too many or too few, such as {min(absent)!r}"
            )
    except (SafetensorError, RuntimeError, OSError) as error:
        raise Refused(
            f"weights {str(path)!r} cannot be read: {str(error)[:200]}",
            remedy="Install htbench again.",
        ) from None
    return file_digest(path, folder / "vocabulary.txt")


def recipe(name: str, folder: Path = WEIGHTS_FOLDER) -> dict[str, object]:
    """The recipe and the cost of these weights: settings, steps, seconds and device."""
    with safe_open(folder / f"{name}.safetensors", framework="pt") as file:
        record: dict[str, object] = json.loads(file.metadata()["recipe"])
    return record
