"""What a model needs: seconds and peak memory of an image by batch and of a learning step, or what compiling gains.

python benchmarks/budget.py dmd2 --weights random                     1024 px, on the GPU if there is one
python benchmarks/budget.py nitro-1-pixart --weights random --model-option size=256 --device cpu --batches 1
python benchmarks/budget.py nitro-1-pixart --weights random --tables compile

Tables in Markdown on stdout. Seconds are medians after one run that does not count; memory is the device's, or of this process on a CPU. Neither
depends on the values of the weights. What runs out of memory says so, and the rest goes on.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch

from htbench.core import device, registry
from htbench.core.phase import phase
from htbench.methods.hypertransport import HyperTransport, TransportTask
from htbench.run.timing import machine
from htbench.run.timing.stopwatch import Stopwatch
from htbench.steering import concept
from htbench.steering.concept import ConceptSet
from htbench.steering.encoder import Encoder
from htbench.steering.fitting.end_to_end import EndToEnd
from htbench.steering.fitting.hypernetwork import Hypernetwork, embed_training_concepts
from htbench.steering.hooks import activations
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.method import fitting_images
from htbench.steering.model import Model, Request

Work = Callable[[], object]


def needs(model: Model, work: Work, *, rounds: int) -> tuple[float, float]:
    """Seconds and peak GiB of `work`."""

    def told() -> None:
        with phase("generate"):
            work()

    watch = Stopwatch(device=model.device, synchronise=model.synchronise)
    peak = max(watch.measure(told, memory=True).memory.values())
    return statistics.median(watch.measure(told).seconds for _ in range(rounds)), peak / 2**30


def gain(plain: Model, compiled: Model, concepts: ConceptSet, batch: int, *, rounds: int) -> None:
    """Print one line: the same images by both models in turn, after one round that does not count; layers are compiled there."""
    times: dict[Model, list[float]] = {plain: [], compiled: []}
    for _ in range(rounds + 1):
        for model, seconds in times.items():
            watch = Stopwatch(device=model.device, synchronise=model.synchronise)
            seconds.append(watch.measure(generation(model, concepts, batch, steered=True)).seconds)
    before, after = (statistics.median(seconds[1:]) for seconds in times.values())
    print(
        f"| {batch} | {before:.3f} | {after:.3f} | {after / before:.3f} | {times[compiled][0]:.1f} |",
        flush=True,
    )


def row(what: str, model: Model, work: Work, *, images: int, rounds: int) -> None:
    """Print one line of a table."""
    try:
        seconds, peak = needs(model, work, rounds=rounds)
        print(
            f"| {what} | {images} | {seconds:.3f} | {seconds / images:.4f} | {peak:.2f} |",
            flush=True,
        )
    except Exception as error:
        if not device.is_out_of_memory(error):
            raise
        print(f"| {what} | {images} | out of memory | | |", flush=True)


@contextmanager
def table(title: str) -> Iterator[None]:
    """A table's head, and an empty line after it."""
    print(
        f"| {title} | images | seconds | an image | peak GiB |\n|---|--:|--:|--:|--:|", flush=True
    )
    yield
    print()


def generation(model: Model, concepts: ConceptSet, batch: int, *, steered: bool) -> Work:
    """Makes `batch` images, each with a map of its own or none."""
    random = torch.Generator().manual_seed(0)

    def change() -> Intervention:
        return Affine(
            {
                site: 1 + torch.randn(info.channels, generator=random) / 100
                for site, info in model.sites.items()
            },
            {
                site: torch.randn(info.channels, generator=random) / 100
                for site, info in model.sites.items()
            },
        )

    changes = [change() if steered else Intervention() for _ in range(batch)]
    prompts = [concepts.prompts[k % len(concepts.prompts)] for k in range(batch)]
    requests = [
        Request(prompt=prompt, seed=k, intervention=changes[k], strength=1.0)
        for k, prompt in enumerate(prompts)
    ]
    return lambda: model.generate(requests)


def lineas_step(model: Model, concepts: ConceptSet, images: int, *, at_once: int) -> Work:
    """One step of LinEAS, gradients of all maps."""
    source, target = fitting_images(concepts.splits["train"][0], images, seed=0)
    with torch.no_grad():
        wanted = activations(model, *target, batch=at_once)
    scale = {
        site: torch.ones(info.channels, device=model.device, requires_grad=True)
        for site, info in model.sites.items()
    }
    shift = {
        site: torch.zeros(info.channels, device=model.device, requires_grad=True)
        for site, info in model.sites.items()
    }
    return lambda: EndToEnd(at_once=at_once, precision="bfloat16").backward(
        model, source, wanted, scale, shift
    )


def hypertransport_step(model: Model, concepts: ConceptSet, *, of: int, images: int) -> Work:
    """One step of HyperTransport: the loss of `of` concepts of `images` images, and its gradient."""
    method, chosen = (
        HyperTransport(concepts=of, images=images, targets=images),
        concepts.splits["train"][: max(2, of)],
    )
    encoder: Encoder = registry.load("encoders", model.concept_encoder)(model.device)
    sites = {site: info.channels for site, info in model.sites.items()}
    network = Hypernetwork(encoder.width, sites, width=method.width, rank=method.rank).to(
        model.device
    )
    task = TransportTask(
        method,
        model,
        network,
        embed_training_concepts(network, encoder, model, chosen, seed=0),
        chosen,
        seed=0,
    )
    return lambda: task.loss(0).backward()  # type: ignore[no-untyped-call]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--weights", help="random: the published architecture without its weights")
    parser.add_argument(
        "--model-option", action="append", default=[], help="name=value, as of htbench run; repeat"
    )
    parser.add_argument("--concepts", default="open")
    parser.add_argument("--device")
    parser.add_argument("--batches", default="1,4,16")
    parser.add_argument(
        "--tables", default="images,learning", help="which of images, learning, compile"
    )
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    place, concepts = device.choose(given.device), concept.load(given.concepts)
    options: dict[str, object] = dict(option.split("=", 1) for option in given.model_option) | (
        {"weights": given.weights} if given.weights else {}
    )
    model = cast(Model, registry.load_model(given.model, place, options))
    print(
        f"{model.name}, {options or 'as it is'}, on {machine.name()}, {place}, {torch.get_num_threads()} threads, torch {torch.__version__}\n"
    )
    batches, tables = [int(batch) for batch in given.batches.split(",")], given.tables.split(",")
    if "images" in tables:
        with table("images"):
            for batch in batches:
                row(
                    "plain",
                    model,
                    generation(model, concepts, batch, steered=False),
                    images=batch,
                    rounds=given.rounds,
                )
                row(
                    "steered",
                    model,
                    generation(model, concepts, batch, steered=True),
                    images=batch,
                    rounds=given.rounds,
                )
    if "learning" in tables:
        with table("a learning step"):
            row(
                "LinEAS, 4 images at once",
                model,
                lineas_step(model, concepts, 4, at_once=4),
                images=4,
                rounds=given.rounds,
            )
            row(
                "LinEAS, 1 image at once",
                model,
                lineas_step(model, concepts, 4, at_once=1),
                images=4,
                rounds=given.rounds,
            )
            row(
                "HyperTransport, 2 concepts",
                model,
                hypertransport_step(model, concepts, of=2, images=2),
                images=4,
                rounds=given.rounds,
            )
    if "compile" in tables:
        compiled = cast(
            Model, registry.load_model(given.model, place, options | {"compile": "true"})
        )
        print(
            "| steered images | seconds | compiled | ratio | the first, compiling |\n|--:|--:|--:|--:|--:|"
        )
        for batch in batches:
            gain(model, compiled, concepts, batch, rounds=given.rounds)


if __name__ == "__main__":
    main()
