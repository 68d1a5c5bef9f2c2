"""Time and memory that a model needs per image and per training step, and what compiling saves.

python benchmarks/budget.py dmd2 --weights random          1024 px, on the GPU if there is one
python benchmarks/budget.py nitro-1-pixart --weights random --model-option size=256 --batches 1
python benchmarks/budget.py nitro-1-pixart --weights random --tables compile

Prints tables in Markdown. Seconds are medians after one warm-up run; memory is the peak of the
device, or of this process on a CPU. Neither depends on the values of the weights. A row that runs
out of memory says so, and the others follow.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch

from htbench.core import device, registry
from htbench.core.phase import phase
from htbench.core.types import Site
from htbench.methods.hypertransport import HyperTransport, TransportTask
from htbench.run.timing import machine
from htbench.run.timing.stopwatch import Stopwatch
from htbench.steering import concept
from htbench.steering.concept import ConceptSet
from htbench.steering.encoder import Encoder
from htbench.steering.fitting.end_to_end import EndToEnd, Targets
from htbench.steering.fitting.hypernetwork import embed_training_concepts
from htbench.steering.fitting.map_network import Hypernetwork
from htbench.steering.fitting.steered_means import unsteered_means
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.layout import Layout
from htbench.steering.method import fitting_images
from htbench.steering.model import Model, Request

Work = Callable[[], object]


def measure(model: Model, work: Work, *, rounds: int) -> tuple[float, float]:
    """Median seconds and peak GiB of `work`."""

    def work_in_phase() -> None:
        with phase("generate"):
            work()

    watch = Stopwatch(device=model.device, synchronise=model.synchronise)
    peak = max(watch.measure(work_in_phase, memory=True).memory.values())
    seconds = statistics.median(watch.measure(work_in_phase).seconds for _ in range(rounds))
    return seconds, peak / 2**30


def compare_compiled(
    plain: Model, compiled: Model, concepts: ConceptSet, batch: int, *, rounds: int
) -> None:
    """Print one line: seconds of both models for the same images, made in turn.

    Layers are compiled in the warm-up round, whose seconds stand in the last column.
    """
    times: dict[Model, list[float]] = {plain: [], compiled: []}
    for _ in range(rounds + 1):
        for model, seconds in times.items():
            watch = Stopwatch(device=model.device, synchronise=model.synchronise)
            seconds.append(watch.measure(generation(model, concepts, batch, steered=True)).seconds)
    before, after = (statistics.median(seconds[1:]) for seconds in times.values())
    warmup = times[compiled][0]
    line = f"| {batch} | {before:.3f} | {after:.3f} | {after / before:.3f} | {warmup:.1f} |"
    print(line, flush=True)


def print_row(title: str, model: Model, work: Work, *, images: int, rounds: int) -> None:
    """Print one line of a table."""
    try:
        seconds, peak = measure(model, work, rounds=rounds)
        cells = f"{seconds:.3f} | {seconds / images:.4f} | {peak:.2f}"
    except Exception as error:
        if not device.is_out_of_memory(error):
            raise
        cells = "out of memory | |"
    print(f"| {title} | {images} | {cells} |", flush=True)


@contextmanager
def table(title: str) -> Iterator[None]:
    """Print the head of a table, and an empty line after the table."""
    print(f"| {title} | images | seconds | an image | peak GiB |")
    print("|---|--:|--:|--:|--:|", flush=True)
    yield
    print()


def generation(model: Model, concepts: ConceptSet, batch: int, *, steered: bool) -> Work:
    """Generation of `batch` images, each with a map of its own or with none."""
    random = torch.Generator().manual_seed(0)

    def noise() -> dict[Site, torch.Tensor]:
        return {
            site: torch.randn(info.channels, generator=random) / 100
            for site, info in model.sites.items()
        }

    def intervention() -> Intervention:
        if not steered:
            return Intervention()
        return Affine({site: 1 + part for site, part in noise().items()}, noise())

    prompts = [concepts.prompts[k % len(concepts.prompts)] for k in range(batch)]
    requests = [
        Request(prompt=prompt, seed=k, intervention=intervention(), strength=1.0)
        for k, prompt in enumerate(prompts)
    ]
    return lambda: model.generate(requests)


def lineas_step(model: Model, concepts: ConceptSet, images: int, *, at_once: int) -> Work:
    """One step of LinEAS: the gradients of all maps, `at_once` images at a time."""
    source, target = fitting_images(concepts.splits["train"][0], images, seed=0)
    layout = Layout.of({site: info.channels for site, info in model.sites.items()})
    values = unsteered_means(model, target, layout)
    targets = Targets.of(values, layout, samples=len(values))
    maps = Affine({}, {}).over(layout)[None].to(model.device).requires_grad_()
    return lambda: EndToEnd(at_once=at_once, precision="bfloat16").backward(
        model, source, targets, maps, layout
    )


def hypertransport_step(model: Model, concept_set: ConceptSet, *, concepts: int) -> Work:
    """One step of HyperTransport: the gradient of the loss of `concepts`, on 2 images each."""
    method = HyperTransport(concepts=concepts, images=2, targets=2)
    training = concept_set.splits["train"][: max(2, concepts)]
    encoder: Encoder = registry.load("encoders", model.concept_encoder)(model.device)
    sites = {site: info.channels for site, info in model.sites.items()}
    network = Hypernetwork(encoder.width, sites, width=method.width, rank=method.rank).to(
        model.device
    )
    task = TransportTask(
        method,
        model,
        network,
        embed_training_concepts(network, encoder, model, training, seed=0),
        training,
        seed=0,
    )
    return lambda: task.loss(0).backward()  # type: ignore[no-untyped-call]


def image_table(model: Model, concepts: ConceptSet, batches: Sequence[int], rounds: int) -> None:
    """Print seconds and memory of images, plain and steered, by batch."""
    with table("images"):
        for batch in batches:
            for title, steered in (("plain", False), ("steered", True)):
                work = generation(model, concepts, batch, steered=steered)
                print_row(title, model, work, images=batch, rounds=rounds)


def step_table(model: Model, concepts: ConceptSet, rounds: int) -> None:
    """Print seconds and memory of a training step of 4 images."""
    steps: dict[str, Callable[[], Work]] = {
        "LinEAS, 4 images at once": lambda: lineas_step(model, concepts, 4, at_once=4),
        "LinEAS, 1 image at once": lambda: lineas_step(model, concepts, 4, at_once=1),
        "HyperTransport, 2 concepts": lambda: hypertransport_step(model, concepts, concepts=2),
    }
    with table("a learning step"):
        for title, step in steps.items():
            print_row(title, model, step(), images=4, rounds=rounds)


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
    args = parser.parse_args()
    place, concepts = device.choose(args.device), concept.load(args.concepts)
    options: dict[str, object] = dict(option.split("=", 1) for option in args.model_option)
    if args.weights:
        options["weights"] = args.weights
    model = cast(Model, registry.load_model(args.model, place, options))
    threads = f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{model.name}, {options or 'as it is'}, on {machine.name()}, {place}, {threads}\n")
    batches, tables = [int(batch) for batch in args.batches.split(",")], args.tables.split(",")
    if "images" in tables:
        image_table(model, concepts, batches, args.rounds)
    if "learning" in tables:
        step_table(model, concepts, args.rounds)
    if "compile" in tables:
        compiled = registry.load_model(args.model, place, options | {"compile": "true"})
        print("| steered images | seconds | compiled | ratio | the first, compiling |")
        print("|--:|--:|--:|--:|--:|")
        for batch in batches:
            compare_compiled(model, cast(Model, compiled), concepts, batch, rounds=args.rounds)


if __name__ == "__main__":
    main()
