"""Cost of htbench's implementations as ratios to a reference: `python benchmarks/ratios.py`.

Every ratio is of medians from one process, which times the two sides in turn after a warm-up round.
Only ratios are meant to be compared between machines; they do not depend on the values of the
weights.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from htbench.core import registry
from htbench.core.types import Site
from htbench.methods.hypertransport import HyperTransport, TransportTask
from htbench.steering import concept as concept_sets
from htbench.steering.concept import Concept
from htbench.steering.encoder import Encoder
from htbench.steering.fitting.closed_form import affine, fit_in_one_pass
from htbench.steering.fitting.end_to_end import EndToEnd, Targets
from htbench.steering.fitting.hypernetwork import (
    TrainedHypernetwork,
    embed_training_concepts,
)
from htbench.steering.fitting.map_network import Hypernetwork
from htbench.steering.fitting.steered_means import unsteered_means
from htbench.steering.fitting.transport import linear_map
from htbench.steering.hooks import activations, steer
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.layout import Layout
from htbench.steering.method import PromptsAndSeeds, fitting_images
from htbench.steering.model import Model, Request
from htbench.steering.training import Training

Work = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two kinds of work, and the largest or smallest ratio of their times that meets the aim."""

    title: str
    work: Work
    against: Work | float
    """Other work, or seconds."""
    most: float | None = None
    least: float | None = None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The model, concepts and encoder that every comparison uses, and a clock."""

    model: Model
    concepts: Sequence[Concept]
    encoder: Encoder
    clock: Callable[[], float]

    def compare(self, comparison: Comparison, *, rounds: int) -> bool:
        """Measure, print, and return whether the aim is met."""
        times: list[tuple[float, float]] = []
        for _ in range(rounds + 1):
            times.append((self.seconds(comparison.work), self.seconds(comparison.against)))
        first, second = (statistics.median(side) for side in zip(*times[1:], strict=True))
        ratio = first / second
        aim = (
            f"at most {comparison.most:g}" if comparison.most else f"at least {comparison.least:g}"
        )
        met = bool(
            ratio <= comparison.most if comparison.most else ratio >= (comparison.least or 0)
        )
        times_and_ratio = f"{first * 1e3:9.1f} ms / {second * 1e3:9.1f} ms = {ratio:6.3f}"
        missed = "" if met else "   MISSED"
        print(f"{comparison.title:<78} {times_and_ratio}   aim: {aim}{missed}", flush=True)
        return met

    def seconds(self, work: Work | float) -> float:
        if not callable(work):
            return work
        self.model.synchronise()
        began = self.clock()
        work()
        self.model.synchronise()
        return self.clock() - began


def generation(bench: Bench) -> Comparison:
    """A batch of 32 images, each with a map of its own, against the same batch unsteered."""
    maps = [_random_map(bench.model, k) for k in range(32)]
    prompts = [bench.concepts[0].sources[k % len(bench.concepts[0].sources)] for k in range(32)]

    def generate(interventions: Sequence[Intervention]) -> None:
        bench.model.generate(
            [
                Request(prompt=prompt, seed=k, intervention=interventions[k], strength=0.7)
                for k, prompt in enumerate(prompts)
            ]
        )

    return Comparison(
        title="generation of 32 with maps / without",
        work=lambda: generate(maps),
        against=lambda: generate([Intervention()] * 32),
        most=1.05,
    )


def one_pass(bench: Bench, *, again: bool) -> Comparison:
    """Linear-AcT as published against one run for all sites.

    The published procedure runs the sources (and, with `again`, the targets) anew for every site.
    """
    source, target = fitting_images(bench.concepts[0], 32, seed=0)
    sites = tuple(bench.model.sites)

    def fit(site: Site, a: torch.Tensor, b: torch.Tensor) -> Affine:
        return affine(site, linear_map(a, b))

    @torch.no_grad()
    def site_by_site() -> None:
        scale: dict[Site, torch.Tensor] = {}
        shift: dict[Site, torch.Tensor] = {}
        targets = activations(bench.model, *target)
        for site in sites:
            steering = steer([Affine(scale, shift)] * 32, [1.0] * 32)
            sources = activations(bench.model, *source, change=steering)
            targets = activations(bench.model, *target) if again else targets
            scale[site], shift[site] = linear_map(sources[site], targets[site])

    data = "all data" if again else "only sources"
    least = 10.0 if again else len(sites) / 3
    return Comparison(
        title=f"linear-act, {len(sites)} sites: {data} again for every site / one run",
        work=site_by_site,
        against=lambda: fit_in_one_pass(bench.model, source, target, fit, sites=sites),
        least=least,
    )


def lineas_step(bench: Bench) -> Comparison:
    """One step of LinEAS on 16 images against their forward and backward pass.

    The pass goes through the bare generator.
    """
    (sources, seeds), target = fitting_images(bench.concepts[0], 16, seed=0)
    layout = Layout.of({site: info.channels for site, info in bench.model.sites.items()})
    values = unsteered_means(bench.model, target, layout)
    targets = Targets.of(values, layout, samples=len(values))
    maps = Affine({}, {}).over(layout)[None].to(bench.model.device).requires_grad_()
    optimiser = torch.optim.Adam([maps], 1e-3, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        EndToEnd().backward(bench.model, (sources, seeds), targets, maps, layout)
        optimiser.step()

    return Comparison(
        title="LinEAS step of 16 images / bare forward and backward",
        work=step,
        against=_bare(bench.model, (sources, seeds)),
        most=1.3,
    )


def side_by_side(bench: Bench, *, batch: int) -> Comparison:
    """Maps of 4 concepts fitted side by side against 4 fits, in 10 steps of LinEAS."""
    settings, concepts = EndToEnd(steps=10, batch=batch), bench.concepts[:4]

    def one_by_one() -> None:
        for concept in concepts:
            settings.optimise(bench.model, concept, start=None, seed=0)

    return Comparison(
        title=f"LinEAS of 4 concepts side by side, {batch} images a step each / one by one",
        work=lambda: settings.optimise_many(bench.model, concepts, starts=[None] * 4, seed=0),
        against=one_by_one,
        most=1.1,
    )


def hypertransport_step(bench: Bench) -> Comparison:
    """One step of HyperTransport on 8 images of 8 concepts against their forward and backward pass.

    Both are in bfloat16.
    """
    method, network = HyperTransport(), _network(bench)
    embeddings = embed_training_concepts(
        network, bench.encoder, bench.model, bench.concepts[:8], seed=0
    )
    task = TransportTask(method, bench.model, network, embeddings, bench.concepts[:8], seed=0)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
    number = iter(range(10**9))

    def step() -> None:
        loss = task.loss(next(number))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()

    images = [
        fitting_images(concept, method.images, seed=0, number=1)[0]
        for concept in bench.concepts[:8]
    ]
    batch = (
        [prompt for prompts, _ in images for prompt in prompts],
        [seed for _, seeds in images for seed in seeds],
    )
    bare = _bare(bench.model, batch, half=True)
    return Comparison(
        title="HyperTransport step of 64 images / bare forward and backward",
        work=step,
        against=bare,
        most=1.3,
    )


def prediction(bench: Bench) -> Comparison:
    """Maps of 167 concepts in one batch, from their embeddings, against 20 ms."""
    network = _network(bench).freeze()
    embeddings = torch.randn(167, bench.encoder.width, device=bench.model.device)
    steering = TrainedHypernetwork(
        condition="text",
        settings={},
        model=bench.model,
        encoder=bench.encoder,
        network=network,
        training=Training(),
    )

    return Comparison(
        title="167 predictions in one batch / 20 ms",
        work=lambda: steering.maps(embeddings),
        against=0.02,
        most=1.0,
    )


def _bare(model: Model, images: PromptsAndSeeds, *, half: bool = False) -> Work:
    """A bare forward pass, and a backward pass from the last site to the first."""
    first, *_, last = model.sites
    leaf = torch.zeros((), device=model.device, requires_grad=True)

    def run() -> None:
        seen: list[torch.Tensor] = []

        def tap(site: Site, z: torch.Tensor) -> torch.Tensor:
            if site == last:
                seen.append(z)
            return z + leaf if site == first else z

        with torch.autocast(torch.device(model.device).type, torch.bfloat16, enabled=half):
            model.trace(*images, tap)
        torch.cat(seen).float().square().mean().backward()  # type: ignore[no-untyped-call]

    return run


def _network(bench: Bench) -> Hypernetwork:
    sites = {site: info.channels for site, info in bench.model.sites.items()}
    network = Hypernetwork(
        bench.encoder.width, sites, width=HyperTransport().width, rank=HyperTransport().rank
    ).to(bench.model.device)
    for directions in network.directions:
        torch.nn.init.normal_(directions, std=1e-3)
    return network


def _random_map(model: Model, seed: int) -> Affine:
    random = torch.Generator().manual_seed(seed)
    parts = [
        {
            site: torch.randn(info.channels, generator=random) / 10
            for site, info in model.sites.items()
        }
        for _ in range(2)
    ]
    return Affine({site: 1 + part for site, part in parts[0].items()}, parts[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="emoji")
    parser.add_argument("--concepts", default="emoji")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="cpu: time of this process alone, for a machine that does other things too",
    )
    args = parser.parse_args()
    model: Model = registry.load("models", args.model)(args.device)
    encoder: Encoder = registry.load("encoders", model.concept_encoder)(args.device)
    clock = time.perf_counter if args.clock == "wall" else time.process_time
    bench = Bench(
        model=model,
        concepts=concept_sets.load(args.concepts).splits["train"],
        encoder=encoder,
        clock=clock,
    )
    machine = f"{model.name} on {args.device}, {torch.get_num_threads()} threads"
    print(f"{machine}, {args.clock} time, medians of {args.rounds} rounds")
    closed = [one_pass(bench, again=again) for again in (True, False)]
    comparisons = [
        generation(bench),
        prediction(bench),
        *closed,
        lineas_step(bench),
        *(side_by_side(bench, batch=batch) for batch in (4, 16)),
        hypertransport_step(bench),
    ]
    met = [bench.compare(comparison, rounds=args.rounds) for comparison in comparisons]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
