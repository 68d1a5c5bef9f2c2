"""`python -m htbench.emoji.quality`: how often CLIP `b` recognises what a caption asked for, in generated images and in true ones."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from htbench import registry
from htbench.emoji.icons import nouns
from htbench.emoji.sampling import unseen
from htbench.emoji.scenes import LATENT, VALUES, Scene, phrase
from htbench.encoder import Encoder
from htbench.intervention import Intervention
from htbench.model import Model, Request


def unseen_scenes(kind: str, count: int, *, seed: int) -> list[Scene]:
    """Scenes whose pair of noun and modifier no embedded model met in training."""
    rng = np.random.default_rng((seed, *kind.encode()))
    found: list[Scene] = []
    while len(found) < count:
        noun, value = str(rng.choice(nouns())), str(rng.choice(VALUES[kind]))
        if unseen(noun, kind, value):
            found.append(Scene(noun=noun, **{kind: value}))
    return found


def recognised(images: Sequence[Image.Image], answers: Sequence[str], choices: Sequence[str], encoder: Encoder) -> float:
    """Share of images whose nearest text among `choices` is its answer."""
    nearest = (encoder.images(images) @ encoder.texts(choices).T).argmax(1).tolist()
    return float(np.mean([choices[k] == answer for k, answer in zip(nearest, answers, strict=True)]))


def drawn(scenes: Sequence[Scene], seeds: Sequence[int]) -> list[Image.Image]:
    """True images of scenes, with the layouts that the model's noise for these seeds decides."""
    noise = [torch.randn(LATENT, generator=torch.Generator().manual_seed(seed)).numpy() for seed in seeds]
    return [Image.fromarray(scene.draw(latent)) for scene, latent in zip(scenes, noise, strict=True)]


def generated(scenes: Sequence[Scene], seeds: Sequence[int], model: Model) -> list[Image.Image]:
    """The model's images of the scenes' captions."""
    requests = [Request(prompt=scene.caption(), seed=seed, intervention=Intervention(), strength=0.0) for scene, seed in zip(scenes, seeds, strict=True)]
    return [image for start in range(0, len(requests), 32) for image in model.generate(requests[start : start + 32])]


def sheet(above: Sequence[Image.Image], below: Sequence[Image.Image], *, columns: int = 15) -> Image.Image:
    """Pairs of pictures, one above the other, in rows of `columns`."""
    side = above[0].width + 2
    page = Image.new("RGB", (columns * side, -(-len(above) // columns) * (2 * side + 6)), "white")
    for k, pair in enumerate(zip(above, below, strict=True)):
        row, column = divmod(k, columns)
        for part, picture in enumerate(pair):
            page.paste(picture, (column * side, row * (2 * side + 6) + part * side))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="captions a kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="where to put a picture of true scenes above generated ones")
    given = parser.parse_args()
    model, encoder = registry.load("models", "emoji")("cpu"), registry.load("encoders", "emoji-clip-b")("cpu")
    print("| asked for | of | recognised: generated | true image |\n|---|---|---|---|")
    shown: list[list[Image.Image]] = [[], []]
    for kind, values in VALUES.items():
        scenes, seeds = unseen_scenes(kind, given.count, seed=given.seed), list(range(given.count))
        pictures = [generated(scenes, seeds, model), drawn(scenes, seeds)]
        shown[0] += pictures[1][: 30 if kind in ("companion", "style") else 15]
        shown[1] += pictures[0][: 30 if kind in ("companion", "style") else 15]
        questions = {f"noun beside {kind}": ([scene.noun for scene in scenes], nouns())}
        questions[kind] = ([phrase(kind, scene.facts()[kind]) for scene in scenes], tuple(phrase(kind, value) for value in values))
        for asked, (answers, choices) in questions.items():
            shares = [recognised(images, answers, choices, encoder) for images in pictures]
            print(f"| {asked} | {len(choices)} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    if given.sheet:
        sheet(*shown).save(given.sheet)


if __name__ == "__main__":
    main()
