"""Operators that each kind of work dispatches, counted on a CPU: what a GPU would launch.

python benchmarks/launches.py             the table for the embedded model and a narrow dmd2
python benchmarks/launches.py --check     compare with launches.json: no count may have grown
python benchmarks/launches.py --write     replace the counts in launches.json

A small operator takes a GPU as long as its launch, whatever it calculates; so counts say where time
goes there. Counts of views, which launch nothing and cost time in Python alone, follow a plus sign.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from htbench.core import registry
from htbench.methods import hypertransport
from htbench.methods.hypertransport import HyperTransport, TransportTask
from htbench.models.published import adapter
from htbench.models.published.generators import dmd2
from htbench.models.published.preset import architecture
from htbench.steering import concept, hooks
from htbench.steering.encoder import Encoder
from htbench.steering.fitting.end_to_end import EndToEnd, Targets
from htbench.steering.fitting.hypernetwork import (
    TrainedHypernetwork,
    embed_training_concepts,
)
from htbench.steering.fitting.map_network import Hypernetwork
from htbench.steering.fitting.steered_means import unsteered_means
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.layout import Layout
from htbench.steering.method import fitting_images
from htbench.steering.model import Model, Request
from htbench.steering.training import Training

TABLE = Path(__file__).with_name("launches.json")
Counts = dict[str, list[int]]
"""Operators that calculate, and views, by kind of work."""

IMAGES = 16
"""Images of a batch, each with a map of its own."""
CONCEPTS = 2
"""Concepts of a HyperTransport step."""


class Operators(TorchDispatchMode):
    """Counts the operators that are dispatched while inside; allocations are not counted."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = self.views = 0

    def __torch_dispatch__(
        self, func: Any, types: object, args: Any = (), kwargs: Any = None
    ) -> object:
        if func.is_view:
            self.views += 1
        elif "empty" not in func.name():
            self.kernels += 1
        return func(*args, **(kwargs or {}))


def count(work: Callable[[], object]) -> list[int]:
    """Operators and views of `work`, at its second run: prompts are encoded by then."""
    work()
    with Operators() as operators:
        work()
    return [operators.kernels, operators.views]


def minus(counts: Sequence[int], others: Sequence[int]) -> list[int]:
    """Differences of counts."""
    return [a - b for a, b in zip(counts, others, strict=True)]


def count_all(model: Model, encoder: Encoder) -> Counts:
    """The counts of every kind of work on `model`."""
    steering = TrainedHypernetwork(
        condition="text",
        settings={},
        model=model,
        encoder=encoder,
        network=_network(model, encoder).freeze(),
        training=Training(),
    )
    return (
        _predictions(encoder, steering)
        | _generation(model, steering)
        | _training_steps(model, encoder)
    )


def _network(model: Model, encoder: Encoder) -> Hypernetwork:
    sites = {site: info.channels for site, info in model.sites.items()}
    method = HyperTransport()
    return Hypernetwork(encoder.width, sites, width=method.width, rank=method.rank)


def _predictions(encoder: Encoder, steering: TrainedHypernetwork) -> Counts:
    concepts = concept.load("emoji").splits["test"][:IMAGES]
    one = count(lambda: encoder.texts([concepts[0].text]))
    many = count(lambda: encoder.texts([each.text for each in concepts]))
    return {
        "encoder: 1 concept": one,
        "predict 1 concept, besides the encoder": minus(
            count(lambda: steering.towards(concepts[0])), one
        ),
        f"predict {IMAGES} concepts, besides the encoder": minus(
            count(lambda: steering.predict(concepts)), many
        ),
    }


def _generation(model: Model, steering: TrainedHypernetwork) -> Counts:
    embeddings = torch.zeros(IMAGES, steering.encoder.width)
    maps: list[Intervention] = [*steering.maps(embeddings)]
    (prompts, seeds), _ = fitting_images(concept.load("emoji").splits["test"][0], IMAGES, seed=0)
    first = next(iter(model.sites))
    z = torch.zeros(IMAGES, 1, model.sites[first].channels)

    def generate(changes: Sequence[Intervention]) -> None:
        model.generate(
            [
                Request(prompt=prompt, seed=seed, intervention=change, strength=0.7)
                for prompt, seed, change in zip(prompts, seeds, changes, strict=True)
            ]
        )

    plain = count(lambda: generate([Intervention()] * IMAGES))
    return {
        f"install {IMAGES} maps, steer one site": count(
            lambda: hooks.steer(maps, [0.7] * IMAGES)(first, z)
        ),
        f"generate {IMAGES} images": plain,
        f"steer {IMAGES} images, besides generation": minus(count(lambda: generate(maps)), plain),
    }


def _training_steps(model: Model, encoder: Encoder) -> Counts:
    concepts = concept.load("emoji").splits["train"][:CONCEPTS]
    method = HyperTransport(images=4, targets=8, concepts=CONCEPTS)
    sources, target = fitting_images(concepts[0], method.images, seed=0)
    lineas = EndToEnd(samples=method.images, batch=method.images)
    network = _network(model, encoder)
    embeddings = embed_training_concepts(network, encoder, model, concepts, seed=0)
    task = TransportTask(method, model, network, embeddings, concepts, seed=0)
    layout = Layout.of({site: info.channels for site, info in model.sites.items()})
    values = unsteered_means(model, target, layout)
    targets = Targets.of(values, layout, samples=len(values))
    maps = Affine({}, {}).over(layout)[None].requires_grad_()

    def bare_pass() -> None:
        first, *_, last = model.sites
        leaf, seen = torch.zeros((), requires_grad=True), []

        def tap(site: str, z: torch.Tensor) -> torch.Tensor:
            if site == last:
                seen.append(z)
            return z + leaf if site == first else z

        model.trace(*sources, tap)
        seen[0].float().square().mean().backward()  # type: ignore[no-untyped-call]

    def hypertransport_step() -> None:
        # in float32 everywhere, as without instructions for bfloat16
        with mock.patch.object(hypertransport, "autocast_bfloat16", nullcontext):
            task.loss(0).backward()  # type: ignore[no-untyped-call]

    bare = count(bare_pass)
    return {
        f"forward and backward of {method.images} images": bare,
        "LinEAS step, besides forward and backward": minus(
            count(lambda: lineas.backward(model, sources, targets, maps, layout)), bare
        ),
        "HyperTransport step, besides forward and backward": minus(
            count(hypertransport_step), bare
        ),
    }


def narrow(family: str) -> Mapping[str, Any]:
    """The architecture of `family`, SDXL's, with all its modules and a tenth of its channels."""
    published = architecture(family)
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "projection_dim": 16}
    return {
        **published,
        "denoiser": {
            **published["denoiser"],
            "block_out_channels": [32, 64, 128],
            "cross_attention_dim": 32,
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + 16,
            "norm_num_groups": 8,
        },
        "vae": {**published["vae"], "block_out_channels": [8] * 4, "norm_num_groups": 2},
        "words": {"states": [77, 32], "pooled": [16]},
        "text_encoders": [{**encoder, **text} for encoder in published["text_encoders"]],
    }


def load(name: str) -> Model:
    """The embedded model, or a narrow dmd2 with random weights; on a CPU."""
    if name == "emoji":
        return registry.load_model("emoji", "cpu")
    with mock.patch.object(adapter, "architecture", narrow):
        return dmd2("cpu", weights="random", size=64, dtype="float32")


def count_models(names: Sequence[str]) -> dict[str, Counts]:
    """Counts by model. Encoded prompts of random text encoders are kept in no cache."""
    encoder: Encoder = registry.load("encoders", "emoji-clip-a")("cpu")
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {"XDG_CACHE_HOME": folder}),
    ):
        return {name: count_all(load(name), encoder) for name in names}


def grown(found: Mapping[str, Counts], recorded: Mapping[str, Counts]) -> list[str]:
    """A line for each count that is greater than the recorded one."""
    return [
        f"{model}, {work}: {part} {old} -> {new}"
        for model, counts in found.items()
        for work, pair in counts.items()
        for part, new, old in zip(("operators", "views"), pair, recorded[model][work], strict=True)
        if new > old
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", choices=["emoji", "dmd2"], help="count on one of the models alone"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if a count has grown")
    parser.add_argument("--write", action="store_true", help="record the counts")
    options = parser.parse_args()
    found = count_models([options.model] if options.model else ["emoji", "dmd2"])
    recorded = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    print(f"| operators + views | {' | '.join(found)} |")
    print(f"|---|{'--:|' * len(found)}")
    for work in next(iter(found.values())):
        cells = [f"{counts[work][0]:,} + {counts[work][1]:,}" for counts in found.values()]
        print(f"| {work} | {' | '.join(cells)} |")
    if options.write:
        TABLE.write_text(json.dumps(recorded | found, indent=2) + "\n")
    if options.check and (lines := grown(found, recorded)):
        sys.exit("\n".join(["counts that have grown:", *lines]))


if __name__ == "__main__":
    main()
