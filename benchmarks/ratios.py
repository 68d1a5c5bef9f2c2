"""What our implementations cost next to what they are measured against: `python benchmarks/ratios.py`.

Every ratio is of medians from one process, its two sides in turn, after one round that does not count. Only ratios are meant to be
compared between machines; how large they are does not depend on the values of the weights.
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
from htbench.steering import concept
from htbench.steering.concept import Concept
from htbench.steering.encoder import Encoder
from htbench.steering.fitting.closed_form import affine, fit_in_one_pass
from htbench.steering.fitting.end_to_end import EndToEnd
from htbench.steering.fitting.hypernetwork import (
    Hypernetwork,
    TrainedHypernetwork,
    embed_training_concepts,
)
from htbench.steering.fitting.transport import linear_map
from htbench.steering.hooks import activations, steer
from htbench.steering.intervention import Affine, Intervention
from htbench.steering.method import PromptsAndSeeds, Training, fitting_images
from htbench.steering.model import Model, Request

Work = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two kinds of work, and how many times as long the first may take, or must."""

    what: str
    work: Work
    against: Work | float
    """Other work, or seconds."""
    most: float | None = None
    least: float | None = None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is measured on."""

    model: Model
    concepts: Sequence[Concept]
    encoder: Encoder
    clock: Callable[[], float]

    def compare(self, comparison: Comparison, *, rounds: int) -> bool:
        """Measure and print; whether the aim is met."""
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
        print(
            f"{comparison.what:<78} {first * 1e3:9.1f} ms / {second * 1e3:9.1f} ms = {ratio:6.3f}   aim: {aim}{'' if met else '   MISSED'}",
            flush=True,
        )
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
    """A batch of 32, every image with a map of its own, against the same batch left alone."""
    changes = [_random_map(bench.model, k) for k in range(32)]
    prompts = [bench.concepts[0].sources[k % len(bench.concepts[0].sources)] for k in range(32)]

    def generate(each: Sequence[Intervention]) -> None:
        bench.model.generate(
            [
                Request(prompt=prompt, seed=k, intervention=each[k], strength=0.7)
                for k, prompt in enumerate(prompts)
            ]
        )

    return Comparison(
        what="generation of 32 with maps / without",
        work=lambda: generate(changes),
        against=lambda: generate([Intervention()] * 32),
        most=1.05,
    )


def one_pass(bench: Bench, *, again: bool) -> Comparison:
    """Linear-AcT as published, which runs sources (and, with `again`, targets) once more for every site, against one run for all."""
    source, target = fitting_images(bench.concepts[0], 32, seed=0)
    sites = tuple(bench.model.sites)

    def fit(site: Site, a: torch.Tensor, b: torch.Tensor) -> Affine:
        return affine(site, linear_map(a, b))

    @torch.no_grad()
    def site_by_site() -> None:
        scale: dict[Site, torch.Tensor] = {}
        shift: dict[Site, torch.Tensor] = {}
        aims = activations(bench.model, *target)
        for site in sites:
            arriving = activations(
                bench.model, *source, change=steer([Affine(scale, shift)] * 32, [1.0] * 32)
            )
            aims = activations(bench.model, *target) if again else aims
            scale[site], shift[site] = linear_map(arriving[site], aims[site])

    what = f"linear-act, {len(sites)} sites: {'all data' if again else 'only sources'} again for every site / one run"
    least = 10.0 if again else len(sites) / 3
    return Comparison(
        what=what,
        work=site_by_site,
        against=lambda: fit_in_one_pass(bench.model, source, target, fit, sites=sites),
        least=least,
    )


def lineas_step(bench: Bench) -> Comparison:
    """One step of LinEAS, 16 images, against a forward and backward pass of the same images through the bare generator."""
    (sources, seeds), target = fitting_images(bench.concepts[0], 16, seed=0)
    with torch.no_grad():
        wanted = activations(bench.model, *target)
    scale = {
        site: torch.ones(info.channels, device=bench.model.device, requires_grad=True)
        for site, info in bench.model.sites.items()
    }
    shift = {
        site: torch.zeros(info.channels, device=bench.model.device, requires_grad=True)
        for site, info in bench.model.sites.items()
    }
    optimiser = torch.optim.Adam([*scale.values(), *shift.values()], 1e-3)

    def step() -> None:
        optimiser.zero_grad()
        EndToEnd().backward(bench.model, (sources, seeds), wanted, scale, shift)
        optimiser.step()

    return Comparison(
        what="LinEAS step of 16 images / bare forward and backward",
        work=step,
        against=_bare(bench.model, (sources, seeds)),
        most=1.3,
    )


def hypertransport_step(bench: Bench) -> Comparison:
    """One step of HyperTransport, 8 concepts of 8 images, against a forward and backward pass of the same images, both in bfloat16."""
    method, network = HyperTransport(), _network(bench)
    readings = embed_training_concepts(
        network, bench.encoder, bench.model, bench.concepts[:8], seed=0
    )
    task = TransportTask(method, bench.model, network, readings, bench.concepts[:8], seed=0)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
    number = iter(range(10**9))

    def step() -> None:
        loss = task.loss(next(number))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()

    images = [
        fitting_images(each, method.images, seed=0, number=1)[0] for each in bench.concepts[:8]
    ]
    batch = (
        [prompt for prompts, _ in images for prompt in prompts],
        [seed for _, seeds in images for seed in seeds],
    )
    bare = _bare(bench.model, batch, half=True)
    return Comparison(
        what="HyperTransport step of 64 images / bare forward and backward",
        work=step,
        against=bare,
        most=1.3,
    )


def prediction(bench: Bench) -> Comparison:
    """Maps of 167 concepts in one batch, their embeddings known, against 20 ms."""
    network = _network(bench).eval().requires_grad_(False)
    known = torch.randn(167, bench.encoder.width, device=bench.model.device)
    steering = TrainedHypernetwork(
        condition="text",
        settings={},
        model=bench.model,
        encoder=bench.encoder,
        network=network,
        training=Training(),
    )

    return Comparison(
        what="167 predictions in one batch / 20 ms",
        work=lambda: steering.maps(known),
        against=0.02,
        most=1.0,
    )


def _bare(model: Model, images: PromptsAndSeeds, *, half: bool = False) -> Work:
    """A forward and backward pass from the first site to the last, and nothing else."""
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
    given = parser.parse_args()
    model: Model = registry.load("models", given.model)(given.device)
    encoder: Encoder = registry.load("encoders", model.concept_encoder)(given.device)
    clock = time.perf_counter if given.clock == "wall" else time.process_time
    bench = Bench(
        model=model,
        concepts=concept.load(given.concepts).splits["train"],
        encoder=encoder,
        clock=clock,
    )
    print(
        f"{model.name} on {given.device}, {torch.get_num_threads()} threads, {given.clock} time, medians of {given.rounds} rounds"
    )
    closed = [one_pass(bench, again=again) for again in (True, False)]
    comparisons = [
        generation(bench),
        prediction(bench),
        *closed,
        lineas_step(bench),
        hypertransport_step(bench),
    ]
    met = [bench.compare(comparison, rounds=given.rounds) for comparison in comparisons]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
