"""The knowledge of a new concept's activations in embeddings of it: `python benchmarks/readers.py`.

By each reader of concepts, kernel ridge regression on the train concepts predicts by how much each
test concept changes the mean activations of all sites, as `predicted-means` does. The table has the
share of the change that is predicted: 1 less the squared error over the squared change, each site
relative to its variance over train concepts. Nothing is chosen by it. With `--write
docs/results.md` it goes to its place in that page.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from results import estimate, table, write
from torch import Tensor

from htbench.core import registry
from htbench.core.types import Site
from htbench.stats.estimates import over_concepts
from htbench.steering import concept as concepts_of
from htbench.steering.concept import Concept
from htbench.steering.encoder import Condition, embed
from htbench.steering.fitting import kernel_ridge
from htbench.steering.fitting.concept_means import measure_changes, measure_neutral
from htbench.steering.method import fitting_images
from htbench.steering.model import Model

READERS: dict[str, list[tuple[str, Condition]]] = {
    "nothing: the mean change": [],
    "words, CLIP `a`": [("emoji-clip-a", "text")],
    "pictures, CLIP `a`": [("emoji-clip-a", "image")],
    "both, CLIP `a`": [("emoji-clip-a", "text"), ("emoji-clip-a", "image")],
    "words, CLIP `b`": [("emoji-clip-b", "text")],
    "words, wordllama": [("wordllama", "text")],
    "words, CLIP `a` and wordllama": [("emoji-clip-a", "text"), ("wordllama", "text")],
}
"""Encoders, and what of a concept they read."""
SAMPLES = 16
"""Images per concept, as `predicted-means` takes."""


def read(
    parts: Sequence[tuple[str, Condition]], train: Sequence[Concept], new: Sequence[Concept]
) -> tuple[Tensor, Tensor]:
    """Embeddings of train and of new concepts, each part centred and scaled on train concepts."""
    own = [(torch.zeros(len(train), 1), torch.zeros(len(new), 1))]
    for name, condition in parts:
        encoder = registry.load("encoders", name)("cpu")
        known, other = (embed(encoder, some, condition) for some in (train, new))
        mean = known.mean(0)
        deviation = (known - mean).square().mean().sqrt()
        own.append(((known - mean) / deviation, (other - mean) / deviation))
    known_parts, new_parts = zip(*own, strict=True)
    return torch.cat(known_parts, 1), torch.cat(new_parts, 1)


def predicted_shares(
    inputs: tuple[Tensor, Tensor],
    train: Mapping[Site, Float[Tensor, "concepts channels"]],
    new: Mapping[Site, Float[Tensor, "others channels"]],
) -> Float[Tensor, " others"]:
    """The share of each new concept's change that is predicted; 1 is all, below 0 harms."""
    regression = kernel_ridge.fit(inputs[0], train.values(), kernel="rbf")
    weights = regression.weights(inputs[1]).float()
    errors = torch.zeros(len(inputs[1]))
    changes = torch.zeros(len(inputs[1]))
    for site, known in train.items():
        variance = known.var(0, correction=0).sum().clamp_min(torch.finfo(known.dtype).tiny)
        errors += (weights @ known - new[site]).square().sum(1) / variance
        changes += new[site].square().sum(1) / variance
    return 1 - errors / changes


def measure(
    model: Model, folder: Path, train: Sequence[Concept], new: Sequence[Concept]
) -> list[dict[Site, Tensor]]:
    """Changes of mean activations of both, at the sites where train concepts change anything."""
    neutral = measure_neutral(model, *fitting_images(train[0], SAMPLES, seed=0)[0])
    known, other = (
        measure_changes(model, some, neutral, folder=folder).changes for some in (train, new)
    )
    sites = [site for site, values in known.items() if values.any()]
    return [{site: part[site] for site in sites} for part in (known, other)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/readers"))
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table in this page")
    options = parser.parse_args()
    selection = concepts_of.load("emoji", model="emoji")
    train, new = selection.select("train"), selection.select("test")
    changes = measure(registry.load("models", "emoji")("cpu"), options.folder, train, new)
    kinds = dict.fromkeys(concept.kind for concept in new)
    families = {concept.id: concept.families for concept in new}

    def cells(shares: Tensor) -> list[str]:
        values = {one.id: [share] for one, share in zip(new, shares.tolist(), strict=True)}
        groups = [list(values), *([one.id for one in new if one.kind == kind] for kind in kinds)]
        return [estimate(over_concepts({k: values[k] for k in own}, families)) for own in groups]

    rows = [
        [name, *cells(predicted_shares(read(parts, train, new), *changes))]
        for name, parts in READERS.items()
    ]
    counts = [f"{kind} ({sum(one.kind == kind for one in new)})" for kind in kinds]
    result = table(["read by", f"all ({len(new)})", *counts], rows)
    if options.write:
        write(options.write, {"readers": result})
    else:
        print(result)


if __name__ == "__main__":
    main()
