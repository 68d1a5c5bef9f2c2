"""Calibration of the embedded CLIPs: presence and identity on rendered scenes of known content."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy.stats import rankdata, spearmanr

from htbench.core import registry
from htbench.models.emoji.concepts import modifiers
from htbench.models.emoji.quality import nearest_texts, render_scenes
from htbench.models.emoji.scenes import Scene
from htbench.scorers import metrics
from htbench.steering import concept
from htbench.steering.concept import Concept
from htbench.steering.encoder import Encoder

MIN_AUC = 0.85
"""Least AUC of presence with which a concept can serve as a test; others are listed."""
BLEND_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)

Values = Float[np.ndarray, " scenes"]


@dataclass(frozen=True, kw_only=True)
class ConceptCalibration:
    """An encoder's scores of one concept, on scenes with and without it."""

    concept: Concept
    present: Values
    """Presence in scenes with the concept, from 0 to 1."""
    absent: Values
    """Presence in the same scenes without the concept."""
    blended: Float[np.ndarray, "blends scenes"]
    """Presence in blends of the scenes without and with the concept, by `BLEND_SHARES`."""
    identity: float
    """Share of the scenes with the concept in which it is the nearest of all of its kind."""

    @property
    def auc(self) -> float:
        """Probability that a scene with the concept scores higher than one without.

        It is Mann–Whitney's U divided by the number of pairs; a tie counts half.
        """
        return auc(self.present, self.absent)

    @property
    def accuracy(self) -> float:
        """Share of scenes on the right side of one half."""
        return float(np.mean([*(self.present > 0.5), *(self.absent < 0.5)]))


def auc(positive: Values, negative: Values) -> float:
    """Area under the ROC curve, 0 to 1; one half for scores without information."""
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    count, pairs = len(positive), len(positive) * len(negative)
    return float((ranks.sum() - count * (count + 1) / 2) / pairs)


def calibrate(
    modifier: Concept, prompts: Sequence[str], encoder: Encoder, *, seed: int
) -> ConceptCalibration:
    """Scores of `modifier` by `encoder` in one scene per prompt, with and without the concept.

    Both scenes have the same layout as far as the concept allows.
    """
    seeds = [seed * 100_003 + k for k in range(len(prompts))]
    without = render_scenes([Scene(noun=prompt) for prompt in prompts], seeds)
    with_it = render_scenes(
        [Scene(noun=prompt, **modifiers()[modifier.id].facts) for prompt in prompts], seeds
    )
    change = (
        encoder.texts([modifier.target(prompt) for prompt in prompts]),
        encoder.texts(list(prompts)),
    )

    def presence(images: list[Image.Image]) -> Values:
        values: Values = metrics.presence(
            encoder.images(images), *change, scale=encoder.scale
        ).numpy()
        return values

    blended = np.stack(
        [
            presence([Image.blend(a, b, share) for a, b in zip(without, with_it, strict=True)])
            for share in BLEND_SHARES
        ]
    )
    rivals = [other.text() for other in modifiers().values() if other.kind == modifier.kind]
    identity = float(
        np.mean([answer == modifier.text for answer in nearest_texts(with_it, rivals, encoder)])
    )
    return ConceptCalibration(
        concept=modifier, present=blended[-1], absent=blended[0], blended=blended, identity=identity
    )


def calibration_table(device: str, *, split: str = "test", scenes: int = 20) -> tuple[str, bool]:
    """A table of CLIP `b`'s calibration per kind, and true if every concept reaches `MIN_AUC`."""
    a, b = (registry.load("encoders", f"emoji-clip-{letter}")(device) for letter in "ab")
    concepts = concept.load("emoji")
    rng = np.random.default_rng(11)
    rows = [
        "| kind | concepts | AUC | lowest | accuracy | identity | a agrees | presence at blend "
        + " ".join(map(str, BLEND_SHARES))
        + " |",
        "|" + "---|" * 8,
    ]
    by_kind: dict[str, list[tuple[ConceptCalibration, ConceptCalibration]]] = {}
    for k, modifier in enumerate(concepts.select(split)):
        drawn = rng.choice(concepts.prompts, scenes + 1, replace=False).tolist()
        prompts = [prompt for prompt in drawn if prompt not in modifier.text][:scenes]
        by_kind.setdefault(modifier.kind, []).append(
            (calibrate(modifier, prompts, b, seed=k), calibrate(modifier, prompts, a, seed=k))
        )
    by_kind["all"] = [pair for pairs in by_kind.values() for pair in pairs]
    for kind, pairs in by_kind.items():
        of_b = [calibration for calibration, _ in pairs]
        both = [
            np.concatenate(
                [np.concatenate([pair[side].present, pair[side].absent]) for pair in pairs]
            )
            for side in (0, 1)
        ]
        figures = [
            np.mean([r.auc for r in of_b]),
            min(r.auc for r in of_b),
            np.mean([r.accuracy for r in of_b]),
            np.mean([r.identity for r in of_b]),
        ]
        blended = np.mean([r.blended for r in of_b], axis=(0, 2))
        curve = " ".join(f"{value:.2f}" for value in blended)
        rows.append(
            f"| {kind} | {len(of_b)} | "
            + " | ".join(f"{figure:.3f}" for figure in figures)
            + f" | {spearmanr(*both).statistic:.2f} | {curve} |"
        )
    poor = sorted((r.auc, r.concept.id) for r, _ in by_kind["all"] if r.auc < MIN_AUC)
    listed = ", ".join(f"{name} {value:.2f}" for value, name in poor)
    rows += ["", f"below {MIN_AUC}: {listed or 'none'}"]
    return "\n".join(rows), not poor
