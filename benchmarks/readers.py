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
from typing import Literal

import torch
from jaxtyping import Float
from results import estimate, table, write
from torch import Tensor

from htbench.core import registry
from htbench.core.types import Site
from htbench.models.emoji import clip, vocabulary
from htbench.models.emoji.pretrained import restore
from htbench.stats.estimates import over_concepts
from htbench.steering import concept as concepts_of
from htbench.steering.concept import Concept
from htbench.steering.encoder import Condition, embed
from htbench.steering.fitting import kernel_ridge
from htbench.steering.fitting.concept_means import measure_changes, measure_neutral
from htbench.steering.method import fitting_images
from htbench.steering.model import Model

Part = tuple[str, Condition | Literal["states"]]
"""An encoder, and what it reads; `states`: the text tower's states at each word, see `states`."""
READERS: dict[str, list[Part]] = {
    "nothing: the mean change": [],
    "words, CLIP `a`": [("emoji-clip-a", "text")],
    "words and their states, CLIP `a`": [("emoji-clip-a", "text"), ("emoji-clip-a", "states")],
    "pictures, CLIP `a`": [("emoji-clip-a", "image")],
    "both, CLIP `a`": [("emoji-clip-a", "text"), ("emoji-clip-a", "image")],
    "words, CLIP `b`": [("emoji-clip-b", "text")],
    "words, wordllama": [("wordllama", "text")],
    "words, CLIP `a` and wordllama": [("emoji-clip-a", "text"), ("wordllama", "text")],
}
"""Encoders, and what of a concept they read."""
SAMPLES = 16
"""Images per concept, as `predicted-means` takes."""


@torch.no_grad()
def states(name: str, concepts: Sequence[Concept]) -> Float[Tensor, "concepts features"]:
    """Each concept's mean over its words of the last states of an embedded CLIP's text tower."""
    network = clip.build(name)
    restore(network, name)
    tokens = clip.tokenise([concept.text for concept in concepts])
    kept: list[Tensor] = []
    with network.eval().ln_final.register_forward_hook(lambda *call: kept.append(call[2])):
        network.encode_text(tokens)
    is_word = (tokens != vocabulary.PAD) & (tokens != tokens.max())
    return (kept[0] * is_word[..., None]).sum(1) / is_word.sum(1, keepdim=True)


def read(
    parts: Sequence[Part], train: Sequence[Concept], new: Sequence[Concept]
) -> tuple[Tensor, Tensor]:
    """Embeddings of train and of new concepts, each part centred and scaled on train concepts."""
    own = [(torch.zeros(len(train), 1), torch.zeros(len(new), 1))]
    for name, condition in parts:
        known, other = (_embed(name, some, condition) for some in (train, new))
        mean = known.mean(0)
        deviation = (known - mean).square().mean().sqrt()
        own.append(((known - mean) / deviation, (other - mean) / deviation))
    known_parts, new_parts = zip(*own, strict=True)
    return torch.cat(known_parts, 1), torch.cat(new_parts, 1)


def _embed(
    name: str, concepts: Sequence[Concept], condition: Condition | Literal["states"]
) -> Float[Tensor, "concepts features"]:
    if condition == "states":
        return states(name.removeprefix("emoji-"), concepts)
    return embed(registry.load("encoders", name)("cpu"), concepts, condition)


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
