"""`python -m htbench.models.emoji.seams`: how far steered pictures show the grid of cells that they
are drawn in, against true pictures of what was asked for."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from htbench.core import registry
from htbench.models.emoji.detector import read_facts
from htbench.models.emoji.generator import CELL
from htbench.models.emoji.icons import nouns
from htbench.models.emoji.quality import render_scenes
from htbench.models.emoji.scenes import Scene
from htbench.steering import baseline, concept
from htbench.steering.concept import Concept
from htbench.steering.intervention import Intervention
from htbench.steering.method import load_or_train
from htbench.steering.model import Model, Request

METHODS = ("mean-shift", "linear-act", "hypertransport", "prompt")
_NOUNS = 4


def seam_energy(images: Sequence[Image.Image]) -> float:
    """Mean squared difference of neighbouring pixels of two cells, in squared levels of 255."""
    pixels = np.stack([np.asarray(image, float) for image in images])
    squares = [
        (np.diff(pixels, axis=axis) ** 2).take(range(CELL - 1, pixels.shape[axis] - 1, CELL), axis)
        for axis in (1, 2)
    ]
    return float(np.mean([each.mean() for each in squares]))


def steered_images(
    model: Model, changes: Iterable[Intervention], *, strength: float
) -> list[Image.Image]:
    """`_NOUNS` pictures per intervention, whose seeds are counted through."""
    asked = [(change, noun) for change in changes for noun in _chosen_nouns()]
    return [
        image
        for start in range(0, len(asked), 32)
        for image in model.generate(
            [
                Request(prompt=noun, seed=start + k, intervention=change, strength=strength)
                for k, (change, noun) in enumerate(asked[start : start + 32])
            ]
        )
    ]


def true_images(concepts: Iterable[Concept]) -> list[Image.Image]:
    """The true scenes of what `steered_images` of these concepts are asked for."""
    scenes = [
        Scene(noun=noun, **read_facts(each.text)) for each in concepts for noun in _chosen_nouns()
    ]
    return render_scenes(scenes, range(len(scenes)))


def interventions(model: Model, name: str, concepts: Sequence[Concept]) -> list[Intervention]:
    """The interventions of a method for concepts, trained first on the train split if it learns."""
    train = concept.load("emoji").splits["train"]
    with TemporaryDirectory() as folder:
        trained = load_or_train(baseline.load_card(name), model, train, folder=Path(folder), seed=0)
        return [trained.steering.towards(each) for each in concepts]


def _chosen_nouns() -> Sequence[str]:
    return nouns()[:: len(nouns()) // _NOUNS][:_NOUNS]


def main() -> None:
    """Print the energy of each method's pictures, and its ratio to that of the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concepts", type=int, default=40, help="of the dev concepts")
    parser.add_argument("--method", action="append", metavar="NAME")
    options = parser.parse_args()
    every = concept.load("emoji").splits["dev"]
    concepts = every[:: max(1, len(every) // options.concepts)][: options.concepts]
    model = registry.load("models", "emoji")("cpu")
    truth = seam_energy(true_images(concepts))
    print(f"true scenes of {len(concepts)} concepts: {truth:.0f}\n")
    print("| method | strength 0.5 | of the truth | strength 1 | of the truth |")
    print("|---|--:|--:|--:|--:|")
    for name in options.method or METHODS:
        changes = interventions(model, name, concepts)
        energies = [
            seam_energy(steered_images(model, changes, strength=strength)) for strength in (0.5, 1)
        ]
        print(f"| {name} |", *(f"{energy:.0f} | {energy / truth:.2f} |" for energy in energies))


if __name__ == "__main__":
    main()
