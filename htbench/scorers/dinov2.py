r"""DINOv2: preservation of the unsteered picture, as the cosine of both pictures' features.

.. math:: \cos(f(x), f(x_0))

From -1 to 1; higher keeps more; 1 for equal pictures. The network was trained without any text.

The whole picture is resized to 224 x 224 pixels. The processor that is published with the weights
would resize to 256 and keep the middle 224, without a sixteenth of the picture at each edge, and
its result depends on the version of transformers.

References:
    Oquab et al. DINOv2: Learning Robust Visual Features without Supervision. 2023.
    https://arxiv.org/abs/2304.07193
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from htbench.core import pictures
from htbench.core.errors import Missing, Refused
from htbench.core.weights import HubFiles, fingerprint, missing_files
from htbench.scorers.scorer import ScorerCard, ScorerInput, ScorerVersion

SOURCE = HubFiles(repository="facebook/dinov2-small", files=("config.json", "model.safetensors"))
SIDE = 224
"""Side of the square that pictures are resized to, in pixels."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of red, green and blue in the network's training."""
CARD = ScorerCard(
    name="dinov2-small",
    gauge="dinov2-small",
    better="higher",
    against="unsteered",
    range=(-1, 1),
    licence="Apache-2.0",
    paper="https://arxiv.org/abs/2304.07193",
    summary="DINOv2 similarity to the unsteered picture: cosine of class tokens",
)


class Dinov2:
    """Implements `htbench.scorers.scorer.Scorer`."""

    def __init__(self, device: str, *, weights: str = "hub", card: ScorerCard = CARD) -> None:
        self.card, self._device = card, device
        self._folder = _folder(weights)
        self.declared = ScorerVersion(
            name=card.name,
            version="2",
            weights=fingerprint(*(self._folder / name for name in SOURCE.files)),
        )
        self._network: Any = None

    def measure(self, inputs: Sequence[ScorerInput]) -> list[float | str]:
        scores: list[float | str] = []
        for start in range(0, len(inputs), self.card.batch):
            batch = inputs[start : start + self.card.batch]
            images = self._embed([item.image for item in batch])
            unsteered = self._embed([item.unsteered for item in batch])
            scores += [
                float(cosine) if cosine.isfinite() else "the cosine is not finite"
                for cosine in (images * unsteered).sum(-1)
            ]
        return scores

    def close(self) -> None:
        self._network = None

    @torch.no_grad()
    def _embed(self, paths: Sequence[Path]) -> Float[Tensor, "images features"]:
        self._network = self._network or self._load()
        pixels = torch.stack([_pixels(path) for path in paths]).to(self._device)
        class_tokens = self._network(pixels).last_hidden_state[:, 0]
        vectors: Tensor = torch.nn.functional.normalize(class_tokens.float(), dim=-1).cpu()
        return vectors

    def _load(self) -> Any:
        from transformers import AutoModel

        try:
            network = AutoModel.from_pretrained(
                self._folder, local_files_only=True, use_safetensors=True
            )
            return network.to(self._device).eval()
        except Exception as error:  # of any kind: it depends on the folder's fault
            reason = " ".join(str(error).split())[:160]
            raise Refused(
                f"weights {str(self._folder)!r} cannot be read: {reason}", remedy="Get them again."
            ) from None


def _pixels(path: Path) -> Float[Tensor, "rgb rows columns"]:
    whole = pictures.read_picture(path, within=path.parent).convert("RGB")
    picture = whole.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    levels = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
    return (levels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]


def _folder(weights: str) -> Path:
    folder = SOURCE.find() if weights == "hub" else Path(weights)
    if folder is None:
        raise Missing(
            f"the weights of dinov2-small are not on this machine: {SOURCE.repository}",
            remedy="Get them: htbench fetch --scorer dinov2-small; or give a card with their "
            "folder: docs/scorers.md",
        )
    if lost := missing_files(folder, SOURCE.files):
        raise Missing(
            f"no {lost[0]!r} in {str(folder)!r}",
            remedy=f"It is in the repository {SOURCE.repository}.",
        )
    return folder


def fetch() -> dict[str, Path]:
    """Download missing files and check them; gives the folder of the repository."""
    folder = SOURCE.download()
    Dinov2("cpu", weights=str(folder))._load()
    return {SOURCE.repository: folder}


def missing() -> list[str]:
    """Repositories whose files are not on this machine."""
    return [] if SOURCE.find() else [SOURCE.repository]
