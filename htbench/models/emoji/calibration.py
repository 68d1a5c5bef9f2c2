"""Calibration of the embedded scorers: presence and identity on scenes of known content."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy.stats import rankdata, spearmanr

from htbench.core import registry
from htbench.models.emoji.concepts import modifiers
from htbench.models.emoji.detector import nearest_layout, posterior
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


@dataclass(frozen=True)
class KnownScenes:
    """Scenes of a concept, one per prompt, with and without it.

    Both have the same layout as far as the concept allows.
    """

    concept: Concept
    prompts: Sequence[str]
    seed: int

    @cached_property
    def without(self) -> list[Image.Image]:
        """The scenes of the prompts alone."""
        return self.render({})

    @cached_property
    def with_concept(self) -> list[Image.Image]:
        """The same scenes with the concept."""
        return self.render(modifiers()[self.concept.id].facts)

    def render(self, facts: Mapping[str, str]) -> list[Image.Image]:
        """The scenes of the prompts with these modifiers, by kind."""
        seeds = [self.seed * 100_003 + k for k in range(len(self.prompts))]
        return render_scenes([Scene(noun=prompt, **facts) for prompt in self.prompts], seeds)

    def blend(self, share: float) -> list[Image.Image]:
        """Both mixed, with this share of the scenes with the concept."""
        pairs = zip(self.without, self.with_concept, strict=True)
        return [Image.blend(plain, steered, share) for plain, steered in pairs]


@dataclass(frozen=True, kw_only=True)
class ConceptCalibration:
    """A scorer's readings of one concept, on scenes with and without it."""

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


def calibrate(scenes: KnownScenes, encoder: Encoder) -> ConceptCalibration:
    """Presence and identity of the scenes' concept by `encoder`."""
    texts, modifier = list(scenes.prompts), scenes.concept
    change = encoder.texts([modifier.target(text) for text in texts]), encoder.texts(texts)

    def presence(images: list[Image.Image]) -> Values:
        values: Values = metrics.presence(
            encoder.images(images), *change, scale=encoder.scale
        ).numpy()
        return values

    rivals = [other.text() for other in modifiers().values() if other.kind == modifier.kind]
    answers = nearest_texts(scenes.with_concept, rivals, encoder)
    return _calibration(scenes, presence, [answer == modifier.text for answer in answers])


def calibrate_detector(scenes: KnownScenes) -> ConceptCalibration:
    """Probability of the scenes' concept by the detector.

    Its identity is among the scenes that the detector compares.
    """
    facts = modifiers()[scenes.concept.id].facts
    plain = list(zip(scenes.without, scenes.prompts, strict=True))
    layouts = [nearest_layout(image, noun) for image, noun in plain]

    def posteriors(images: list[Image.Image]) -> list[Values]:
        rows = zip(images, scenes.prompts, layouts, strict=True)
        return [
            posterior(image, noun=noun, facts=facts, layout=layout) for image, noun, layout in rows
        ]

    def probability(images: list[Image.Image]) -> Values:
        return np.array([each[0] for each in posteriors(images)])

    identified = [each.argmax() == 0 for each in posteriors(scenes.with_concept)]
    return _calibration(scenes, probability, identified)


def _calibration(
    scenes: KnownScenes,
    presence: Callable[[list[Image.Image]], Values],
    identified: Sequence[bool],
) -> ConceptCalibration:
    blended = np.stack([presence(scenes.blend(share)) for share in BLEND_SHARES])
    return ConceptCalibration(
        concept=scenes.concept,
        present=blended[-1],
        absent=blended[0],
        blended=blended,
        identity=float(np.mean(identified)),
    )


def calibration_table(device: str, *, split: str = "test", scenes: int = 20) -> tuple[str, bool]:
    """Tables of CLIP `b`'s and the detector's calibration per kind.

    Also true if every concept reaches `MIN_AUC` by both.
    """
    a, b = (registry.load("encoders", f"emoji-clip-{letter}")(device) for letter in "ab")
    concepts = concept.load("emoji")
    rng = np.random.default_rng(11)
    by_a, by_b, by_detector = [], [], []
    for k, modifier in enumerate(concepts.select(split)):
        drawn = rng.choice(concepts.prompts, scenes + 1, replace=False).tolist()
        prompts = [prompt for prompt in drawn if prompt not in modifier.text][:scenes]
        known = KnownScenes(modifier, prompts, k)
        by_a.append(calibrate(known, a))
        by_b.append(calibrate(known, b))
        by_detector.append(calibrate_detector(known))
    lines = [
        "emoji-clip-b:",
        "",
        *_table(by_b, by_a, other="a"),
        "",
        "emoji-detector:",
        "",
        *_table(by_detector, by_b, other="b"),
    ]
    poor = sorted(
        (row.auc, row.concept.id, name)
        for name, rows in {"emoji-clip-b": by_b, "emoji-detector": by_detector}.items()
        for row in rows
        if row.auc < MIN_AUC
    )
    listed = ", ".join(f"{id_} {value:.2f} by {name}" for value, id_, name in poor)
    return "\n".join([*lines, "", f"below {MIN_AUC}: {listed or 'none'}"]), not poor


def _table(
    own: Sequence[ConceptCalibration], others: Sequence[ConceptCalibration], *, other: str
) -> list[str]:
    """A row per kind and one for all; `others` are another scorer's, of the same concepts."""
    blends = " ".join(map(str, BLEND_SHARES))
    header = "kind | concepts | AUC | lowest | accuracy | identity"
    lines = [f"| {header} | {other} agrees | presence at blend {blends} |", "|" + "---|" * 8]
    kinds = list(dict.fromkeys(row.concept.kind for row in own))
    for kind in (*kinds, "all"):
        pairs = [
            pair for pair in zip(own, others, strict=True) if kind in (pair[0].concept.kind, "all")
        ]
        rows = [row for row, _ in pairs]
        figures = [
            np.mean([row.auc for row in rows]),
            min(row.auc for row in rows),
            np.mean([row.accuracy for row in rows]),
            np.mean([row.identity for row in rows]),
        ]
        both = [
            np.concatenate([np.concatenate([row.present, row.absent]) for row in side])
            for side in zip(*pairs, strict=True)
        ]
        curve = " ".join(
            f"{value:.2f}" for value in np.mean([row.blended for row in rows], axis=(0, 2))
        )
        lines.append(
            f"| {kind} | {len(rows)} | "
            + " | ".join(f"{figure:.3f}" for figure in figures)
            + f" | {spearmanr(*both).statistic:.2f} | {curve} |"
        )
    return lines
