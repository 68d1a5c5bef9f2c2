r"""LPIPS: perceptual distance of a picture from the unsteered one.

A weighted sum of squared differences between normalised activations of AlexNet's five layers, with
weights that were fitted to people's judgements. 0 for equal pictures; lower keeps more. The package
`torchmetrics` has those weights; AlexNet's own are downloaded, or in a folder.

References:
    Zhang et al. The Unreasonable Effectiveness of Deep Features as a Perceptual Metric. 2018.
    https://arxiv.org/abs/1801.03924
"""

import math
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from htbench.core import pictures
from htbench.core import weights as files
from htbench.core.errors import Missing
from htbench.scorers.scorer import ScorerCard, ScorerInput, ScorerVersion

TRUNK = "alexnet-owt-7be5be79.pth"
CARD = ScorerCard(
    name="lpips-alex",
    gauge="lpips-alex",
    better="lower",
    against="unsteered",
    range=(0, math.inf),
    licence="BSD-2-Clause",
    paper="https://arxiv.org/abs/1801.03924",
    summary="LPIPS distance to the unsteered picture, by AlexNet",
)


class Lpips:
    """Implements `htbench.scorers.scorer.Scorer`."""

    def __init__(self, device: str, *, weights: str = "hub", card: ScorerCard = CARD) -> None:
        self.card, self._device = card, device
        try:
            from torchmetrics.functional.image import lpips
        except ImportError:
            raise Missing(
                "scorer lpips-alex needs the package torchmetrics",
                remedy="Install it: pip install 'htbench[perceptual]'",
            ) from None
        self._trunk = trunk(weights)
        heads = Path(lpips.__file__).parent / "lpips_models" / "alex.pth"
        self.declared = ScorerVersion(
            name=card.name,
            version=f"torchmetrics {version('torchmetrics')}, v0.1",
            weights=files.fingerprint(self._trunk, heads),
        )
        self._network: Any = None

    def measure(self, inputs: Sequence[ScorerInput]) -> list[float | str]:
        self._network = self._network or self._load()
        return [self._distance(item) for item in inputs]

    def close(self) -> None:
        self._network = None

    @torch.no_grad()
    def _distance(self, item: ScorerInput) -> float | str:
        """Computed one by one: pictures of a run may differ in size, and AlexNet is quick."""
        image = _read_pixels(item.image).to(self._device)
        unsteered = _read_pixels(item.unsteered).to(self._device)
        if image.shape != unsteered.shape:
            return "the picture and the unsteered one differ in size"
        value = float(self._network(image, unsteered))
        return value if math.isfinite(value) else "the distance is not finite"

    def _load(self) -> Any:
        from torchmetrics.functional.image import lpips

        network = lpips._LPIPS(net="alex", pnet_rand=True)  # the public one downloads its trunk
        expected, weights = network.net.state_dict(), files.read(self._trunk)
        state = {  # `slice2.3.weight` here is `features.3.weight` of AlexNet
            name: weights[trunk_name]
            for name in expected
            if (trunk_name := f"features.{name.partition('.')[2]}") in weights
        }
        files.check(state, expected, self._trunk)
        network.net.load_state_dict(state)
        return network.to(self._device).eval()


def _read_pixels(path: Path) -> Tensor:
    """The pixels of a picture, from -1 to 1, as a batch of one."""
    levels = torch.from_numpy(
        np.array(pictures.read_picture(path, within=path.parent).convert("RGB"))
    ).permute(2, 0, 1)
    return levels[None].float() / 127.5 - 1


def trunk(weights: str) -> Path:
    """The file with AlexNet's weights, in the folder `weights` or, for `hub`, in torchvision's.

    Raises:
        Missing: if it is not there.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints" if weights == "hub" else Path(weights)
    if not (folder / TRUNK).is_file():
        remedy = (
            "Get it: htbench fetch --scorer lpips-alex; or give a card with its folder: "
            "docs/scorers.md"
        )
        raise Missing(f"the weights of AlexNet, {TRUNK}, are not in {str(folder)!r}", remedy=remedy)
    return folder / TRUNK


def fetch() -> dict[str, Path]:
    """Download AlexNet's weights if they are missing, and check them; gives the file's folder."""
    from urllib.error import URLError

    from torchvision.models import AlexNet_Weights

    try:
        AlexNet_Weights.IMAGENET1K_V1.get_state_dict(check_hash=True, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise Missing(
            f"AlexNet's weights cannot be downloaded: {' '.join(str(error).split())[:200]}",
            remedy="Check the network.",
        ) from None
    return {TRUNK: trunk("hub").parent}


def missing() -> list[str]:
    """Files that are not on this machine."""
    try:
        trunk("hub")
    except Missing:
        return [TRUNK]
    return []
