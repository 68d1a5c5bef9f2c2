"""`python -m htbench.models.emoji.seams`: how far steered pictures show the grid of cells that they
are drawn in, against true pictures of what was asked for."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

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

METHODS = ("prompt", "mean-shift", "linear-act", "hypertransport")
_NOUNS = 4


@dataclass(frozen=True)
class Steps:
    """Mean squared differences of neighbouring pixels, in squared levels of 255."""

    between: float
    """The mean over neighbours in two cells."""
    within: float
    """The mean over neighbours in one cell."""

    @property
    def ratio(self) -> float:
        """Differences between cells in units of those within: 1 where no grid can be seen."""
        return self.between / self.within if self.within else np.nan

    @classmethod
    def of(cls, images: Sequence[Image.Image]) -> Self:
        """Those of all neighbouring pixels of some pictures, down and across alike."""
        pixels = np.stack([np.asarray(image, float) for image in images])
        down, across = (
            (np.diff(pixels, axis=axis) ** 2).mean(axis=tuple({0, 1, 2, 3} - {axis}))
            for axis in (1, 2)
        )
        squares = (down + across) / 2
        is_between = np.arange(len(squares)) % CELL == CELL - 1
        return cls(float(squares[is_between].mean()), float(squares[~is_between].mean()))


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
    """Print the steps in each method's pictures, and those in true ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concepts", type=int, default=40, help="of the dev concepts")
    parser.add_argument("--method", action="append", metavar="NAME")
    options = parser.parse_args()
    every = concept.load("emoji").splits["dev"]
    concepts = every[:: max(1, len(every) // options.concepts)][: options.concepts]
    model = registry.load("models", "emoji")("cpu")
    truth = Steps.of(true_images(concepts))
    print("| pictures | strength | between cells | of the true | ratio to within | of the true |")
    print("|---|--:|--:|--:|--:|--:|")
    print(f"| true, {len(concepts)} concepts | | {truth.between:.0f} | | {truth.ratio:.2f} | |")
    for name in options.method or METHODS:
        changes = interventions(model, name, concepts)
        for strength in (0.0, 0.5, 1.0):
            steps = Steps.of(steered_images(model, changes, strength=strength))
            print(
                f"| {name} | {strength:g} | {steps.between:.0f} | "
                f"{steps.between / truth.between:.2f} | {steps.ratio:.2f} | "
                f"{steps.ratio / truth.ratio:.2f} |"
            )


if __name__ == "__main__":
    main()
