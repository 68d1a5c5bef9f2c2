"""Training data of the embedded models: endless captioned scenes, by seed and batch number."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from htbench.models.emoji.icons import nouns
from htbench.models.emoji.scenes import LATENT, Scene, caption
from htbench.models.emoji.worlds import N_TRAINED_WORDINGS, SHIPPED, World

PROBABILITIES = {"companion": 0.5, "style": 0.3, "background": 0.35, "frame": 0.12, "weather": 0.12}
"""Probability of a modifier of each kind in a training scene."""
CLIP_LATE_PROBABILITIES = PROBABILITIES | {"style": 0.7}
"""The same for the late steps of a CLIP, which are for drawings in every style."""
GENERATOR_LATE_PROBABILITIES = PROBABILITIES | {
    "style": 0.6, "background": 0.45, "frame": 0.15, "weather": 0.2
}  # fmt: skip
"""The same for the late steps of the generator, which are for every style and background."""
GENERATOR_FINISH_PROBABILITIES = GENERATOR_LATE_PROBABILITIES | {"weather": 0.25}
"""The same for its last steps: weather has the finest drawings."""
REWORDING_PROBABILITY = 0.15
"""Probability of another phrasing of a modifier than the usual one."""
SYNONYM_PROBABILITY = 0.35
"""Probability of a synonym instead of a value's name where a CLIP reads."""


@dataclass(frozen=True, kw_only=True)
class SceneBatch:
    """Scenes with their noise and pixels."""

    scenes: list[Scene]
    captions: list[str]
    latents: Float[Tensor, "scenes 4 8 8"]
    pixels: Float[Tensor, "scenes rgb 64 64"]
    """From -1 (black) to 1 (white)."""


def is_held_out(noun: str, kind: str, value: str) -> bool:
    """True for one in twenty pairs of a noun and a modifier, which no training scene has."""
    return hashlib.sha256(f"{noun}|{kind}|{value}".encode()).digest()[0] < 256 // 20


def sample_scene(
    rng: np.random.Generator,
    probabilities: Mapping[str, float] = PROBABILITIES,
    *,
    world: World = SHIPPED,
) -> Scene:
    """A random scene of `world` without held-out pairs."""
    scene = Scene(noun=_choose(nouns(), rng))
    for kind, chance in probabilities.items():
        if rng.random() < chance:
            value = _choose(world.values[kind], rng)
            if not is_held_out(scene.noun, kind, value):
                scene = replace(scene, **{kind: value})
    return scene


def _choose(values: Sequence[str], rng: np.random.Generator) -> str:
    """The same value as `rng.choice`, which makes an array of all of them at each call."""
    return values[int(rng.integers(len(values)))]


def sample_batch(
    seed: int,
    step: int,
    size: int,
    probabilities: Mapping[str, float] = PROBABILITIES,
    *,
    world: World = SHIPPED,
) -> SceneBatch:
    """Batch `step` of a training run, with captions for the generator, which have no synonyms."""
    rng = np.random.default_rng((seed, step))
    scenes = [sample_scene(rng, probabilities, world=world) for _ in range(size)]
    latents = rng.standard_normal((size, *LATENT), np.float32)
    captions = [caption(scene.facts(), sample_wordings(rng)) for scene in scenes]
    return SceneBatch(
        scenes=scenes,
        captions=captions,
        latents=torch.from_numpy(latents),
        pixels=render(scenes, latents),
    )


def sample_wordings(rng: np.random.Generator) -> dict[str, int]:
    """Random phrasings of the kinds of modifiers that do not get the usual one."""
    return {
        kind: int(rng.integers(1, N_TRAINED_WORDINGS))
        for kind in PROBABILITIES
        if rng.random() < REWORDING_PROBABILITY
    }


def with_synonyms(
    facts: Mapping[str, str], rng: np.random.Generator, *, world: World = SHIPPED
) -> dict[str, str]:
    """The facts with the names of some values replaced by synonyms, for captions of a CLIP.

    Each is with `SYNONYM_PROBABILITY`, if it has synonyms, by any of them.
    """
    return {
        kind: _choose(texts, rng)
        if (texts := world.synonyms(kind, value)) and rng.random() < SYNONYM_PROBABILITY
        else value
        for kind, value in facts.items()
    }


def render(scenes: list[Scene], latents: np.ndarray) -> Float[Tensor, "scenes rgb 64 64"]:
    """True images of scenes, from -1 to 1."""
    pixels = np.stack([scene.draw(latent) for scene, latent in zip(scenes, latents, strict=True)])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
