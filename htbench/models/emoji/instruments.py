"""Can the embedded world's scores tell truth? Presence and identity, measured on rendered scenes where the truth is known."""

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
"""A concept whose presence is told less well than this is no test of anything, and is named."""
BLEND_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)

Values = Float[np.ndarray, " scenes"]


@dataclass(frozen=True, kw_only=True)
class ConceptCalibration:
    """What an encoder says about one concept, on scenes with it and without it."""

    concept: Concept
    present: Values
    absent: Values
    blended: Float[np.ndarray, "blends scenes"]
    """Presence as a scene without the concept is blended into the same scene with it, by `BLEND_SHARES`."""
    identity: float
    """Share of the scenes with the concept in which it is the nearest of all of its kind."""

    @property
    def auc(self) -> float:
        """Probability that a scene with the concept scores higher than one without: Mann–Whitney's U over all pairs; a tie counts half."""
        return auc(self.present, self.absent)

    @property
    def accuracy(self) -> float:
        """Share of scenes on the right side of one half."""
        return float(np.mean([*(self.present > 0.5), *(self.absent < 0.5)]))


def auc(positive: Values, negative: Values) -> float:
    """Area under the ROC curve, 0 to 1; one half where nothing is told apart."""
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return float(
        (ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative))
    )


def calibrate(
    modifier: Concept, prompts: Sequence[str], encoder: Encoder, *, seed: int
) -> ConceptCalibration:
    """What `encoder` says about `modifier` in one scene a prompt, with and without it, in the same layout where the concept leaves it."""
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
    rivals = [each.text() for each in modifiers().values() if each.kind == modifier.kind]
    identity = float(
        np.mean([answer == modifier.text for answer in nearest_texts(with_it, rivals, encoder)])
    )
    return ConceptCalibration(
        concept=modifier, present=blended[-1], absent=blended[0], blended=blended, identity=identity
    )


def calibration_table(device: str, *, split: str = "test", scenes: int = 20) -> tuple[str, bool]:
    """A table of what CLIP `b` can tell, kind by kind, and whether every concept passes `MIN_AUC`."""
    a, b = (registry.load("encoders", f"emoji-clip-{letter}")(device) for letter in "ab")
    concepts = concept.load("emoji")
    rng = np.random.default_rng(11)
    rows = [
        "| kind | concepts | AUC | lowest | accuracy | identity | a agrees | presence at blend "
        + " ".join(map(str, BLEND_SHARES))
        + " |",
        "|" + "---|" * 8,
    ]
    chosen = concepts.select(split)
    readings: dict[str, list[tuple[ConceptCalibration, ConceptCalibration]]] = {}
    for k, wanted in enumerate(chosen):
        prompts = [
            prompt
            for prompt in rng.choice(concepts.prompts, scenes + 1, replace=False).tolist()
            if prompt not in wanted.text
        ][:scenes]
        readings.setdefault(wanted.kind, []).append(
            (calibrate(wanted, prompts, b, seed=k), calibrate(wanted, prompts, a, seed=k))
        )
    readings["all"] = [pair for pairs in readings.values() for pair in pairs]
    for kind, pairs in readings.items():
        best = [reading for reading, _ in pairs]
        both = [
            np.concatenate(
                [np.concatenate([pair[side].present, pair[side].absent]) for pair in pairs]
            )
            for side in (0, 1)
        ]
        figures = [
            np.mean([r.auc for r in best]),
            min(r.auc for r in best),
            np.mean([r.accuracy for r in best]),
            np.mean([r.identity for r in best]),
        ]
        curve = " ".join(
            f"{value:.2f}" for value in np.mean([r.blended for r in best], axis=(0, 2))
        )
        rows.append(
            f"| {kind} | {len(best)} | "
            + " | ".join(f"{figure:.3f}" for figure in figures)
            + f" | {spearmanr(*both).statistic:.2f} | {curve} |"
        )
    poor = sorted((r.auc, r.concept.id) for r, _ in readings["all"] if r.auc < MIN_AUC)
    rows.append("")
    rows.append(
        f"below {MIN_AUC}: " + (", ".join(f"{name} {value:.2f}" for value, name in poor) or "none")
    )
    return "\n".join(rows), not poor
