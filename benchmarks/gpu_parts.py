"""The parts of `gpu.py`: what is measured, and the aims."""

import contextlib
import copy
import importlib.util
import io
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import budget
import grid
import ratios
import torch
from launches import Operators

from htbench.core import registry
from htbench.methods.hypertransport import HyperTransport
from htbench.models.published.adapter import random_text_encoder
from htbench.models.published.footprint import Footprint, FootprintCounter
from htbench.models.published.preset import architecture
from htbench.models.published.prompts import RandomTextEncoder
from htbench.report.sections import time as time_section
from htbench.run.store import Store
from htbench.run.timing import figures
from htbench.run.timing.stopwatch import Stopwatch
from htbench.steering import concept
from htbench.steering.encoder import Encoder
from htbench.steering.fitting.hypernetwork import TrainedHypernetwork
from htbench.steering.fitting.map_network import Hypernetwork
from htbench.steering.model import Request
from htbench.steering.training import Training

Work = Callable[[], object]
ROOT = Path(__file__).parents[1]
CONCEPTS = concept.load("emoji")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A measured figure, and its aim if it has one."""

    title: str
    measured: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
    note: str = ""

    def record(self, *, rehearsed: bool = False) -> dict[str, object]:
        """The figure as JSON-like values; no aim is met or missed where it is `rehearsed`."""
        is_met = (self.most is None or self.measured <= self.most) and (
            self.least is None or self.measured >= self.least
        )
        aims = [
            f"at {word} {bound:.3g}{self.unit}"
            for word, bound in (("least", self.least), ("most", self.most))
            if bound is not None
        ]
        return {
            "figure": self.title,
            "value": self.measured,
            "measured": f"{self.measured:.4g}{self.unit}",
            "aim": ", ".join(aims) or self.note,
            "met": "" if not aims else "rehearsed" if rehearsed else "met" if is_met else "MISSED",
        }


@dataclass(frozen=True)
class Bench:
    """A device and the models on it, which are loaded once."""

    device: str
    tiny: bool

    @cache  # noqa: B019 - one bench per process
    def model(self, name: str, **options: str) -> Any:
        """A model with random weights; tiny if this is a rehearsal."""
        if name == "emoji":
            return registry.load_model(name, self.device, {})
        weights = "tiny" if self.tiny else "random"
        return registry.load_model(name, self.device, {"weights": weights, **options})

    @cache  # noqa: B019
    def encoder(self, name: str) -> Encoder:
        """The encoder that a model's concepts are read with."""
        encoder: Encoder = registry.load("encoders", self.model(name).concept_encoder)(self.device)
        return encoder

    @cache  # noqa: B019
    def steering(self, name: str) -> TrainedHypernetwork:
        """A hypernetwork with random weights."""
        model, encoder, method = self.model(name), self.encoder(name), HyperTransport()
        sites = {site: info.channels for site, info in model.sites.items()}
        network = Hypernetwork(encoder.width, sites, width=method.width, rank=method.rank)
        return TrainedHypernetwork(
            condition="text",
            settings={},
            model=model,
            encoder=encoder,
            network=network.to(self.device).freeze(),
            training=Training(),
        )

    def ratios(self, name: str) -> ratios.Bench:
        """The bench of `ratios.py` on a model."""
        return ratios.Bench(
            model=self.model(name),
            concepts=CONCEPTS.splits["train"],
            encoder=self.encoder(name),
            clock=time.perf_counter,
        )

    def seconds(self, *works: Work, rounds: int = 3) -> list[float]:
        """Median seconds of each work, done in turn, after a round that warms up.

        A rehearsal has one round.
        """
        rounds = 1 if self.tiny else rounds
        times: list[list[float]] = [[] for _ in works]
        for _ in range(rounds + 1):
            for own, work in zip(times, works, strict=True):
                self.synchronise()
                began = time.perf_counter()
                work()
                self.synchronise()
                own.append(time.perf_counter() - began)
        return [statistics.median(own[1:]) for own in times]

    def synchronise(self) -> None:
        """Wait until the device is idle."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)


def kernels(bench: Bench, work: Work) -> int:
    """Kernels that `work` launches on a GPU; on a CPU, operators that are not views."""
    work()
    if not bench.device.startswith("cuda"):
        with Operators() as operators:
            work()
        return operators.kernels
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        work()
        bench.synchronise()
    found = [
        event
        for event in profile.events() or ()
        if event.device_type == torch.autograd.DeviceType.CUDA
        and not event.name.startswith(("Memcpy", "Memset"))
    ]
    if not found:
        raise RuntimeError("the profiler saw no kernel")
    return len(found)


def prediction(bench: Bench, name: str, most: float) -> Iterator[Figure]:
    """h, as `htbench time` measures it: a prediction, and its map installed."""
    model, steering = bench.model(name), bench.steering(name)
    watch = Stopwatch(device=model.device, synchronise=model.synchronise)
    times: list[tuple[float, float]] = []
    for number, each in enumerate(CONCEPTS.splits["test"][:11]):
        predicted = watch.measure(lambda each=each: steering.towards(each))
        change = predicted.result
        request = Request(prompt="a cat", seed=number, intervention=change, strength=1.0)
        image = watch.measure(lambda request=request: model.generate([request]))
        times.append((predicted.seconds, image.phases.get("install", 0.0)))
    predict, install = (1e3 * statistics.median(side) for side in zip(*times[1:], strict=True))
    note = f"{predict:.3g} + {install:.3g}"
    yield Figure(title=f"{name}: h, predict + install", measured=predict + install, unit=" ms",
                 most=most)  # fmt: skip
    yield Figure(title=f"{name}: predict alone", measured=predict, unit=" ms", note=note)
    first = CONCEPTS.splits["test"][0]
    whole = kernels(bench, lambda: steering.towards(first))
    encoder = kernels(bench, lambda: steering.encoder.texts([first.text]))
    yield Figure(
        title=f"{name}: kernels of a prediction besides the encoder", measured=whole - encoder,
        most=60,
    )  # fmt: skip


def images(bench: Bench) -> Iterator[Figure]:
    """Images of dmd2 in a batch of 16, plain and steered in turn."""
    model = bench.model("dmd2")
    works = [budget.generation(model, CONCEPTS, 16, steered=steered) for steered in (False, True)]
    plain, steered = bench.seconds(*works)
    yield Figure(title="dmd2: an image in a batch of 16", measured=plain / 16, unit=" s", most=0.05)
    yield Figure(title="dmd2: 16 images steered / plain", measured=steered / plain, most=1.05)


@torch.no_grad()
def decoder(bench: Bench) -> Iterator[Figure]:
    """The decoder in bfloat16 against float32, on latents with a variance of 1."""
    model = bench.model("dmd2")
    wide = copy.deepcopy(model._vae).float()
    narrow = copy.deepcopy(wide).to(torch.bfloat16)
    factor = 2 ** (len(wide.config.block_out_channels) - 1)
    side = model.size // factor
    random = torch.Generator(bench.device).manual_seed(0)
    shape = (4, wide.config.latent_channels, side, side)
    latents = torch.randn(shape, generator=random, device=bench.device)
    latents /= wide.config.scaling_factor

    def decode(vae: Any) -> torch.Tensor:
        return cast(torch.Tensor, vae.decode(latents.to(vae.dtype), return_dict=False)[0])

    exact, rounded = decode(wide), decode(narrow).float()
    difference = 127.5 * (exact.clamp(-1, 1) - rounded.clamp(-1, 1)).abs().mean().item()
    spread = 127.5 * exact.clamp(-1, 1).std().item()
    yield Figure(title="dmd2: decoder in bfloat16 against float32, levels of 255",
                 measured=difference, most=1.0)  # fmt: skip
    note = "of random weights"
    yield Figure(title="dmd2: standard deviation of those images, levels", measured=spread,
                 note=note)  # fmt: skip
    slow, quick = bench.seconds(lambda: decode(wide), lambda: decode(narrow))
    yield Figure(title="dmd2: decoder in bfloat16 / float32, time", measured=quick / slow,
                 note="the smaller the better")  # fmt: skip


@torch.no_grad()
def prompts(bench: Bench) -> Iterator[Figure]:
    """Prompts encoded one by one and 16 at a time."""
    for name in ("dmd2", "nitro-1-pixart"):
        model = bench.model(name)
        settings = architecture(model.preset.family)
        encoder = RandomTextEncoder(
            shapes=settings["words"],
            dtype=model.dtype,
            encoders=[
                random_text_encoder(config, model.dtype, bench.device)
                for config in settings["text_encoders"]
            ],
        )
        texts = [f"a cat, number {k}" for k in range(16)]
        singly, together = bench.seconds(
            lambda encoder=encoder, texts=texts: [encoder.encode([text]) for text in texts],
            lambda encoder=encoder, texts=texts: encoder.encode(texts),
        )
        yield Figure(title=f"{name}: 16 prompts one by one / together", measured=singly / together,
                     least=5.0)  # fmt: skip


def learning(bench: Bench, name: str) -> Iterator[Figure]:
    """Steps of LinEAS and HyperTransport against bare forward and backward passes."""
    inner = bench.ratios(name)
    for comparison in (ratios.lineas_step(inner), ratios.hypertransport_step(inner)):
        assert callable(comparison.against)
        step, bare = bench.seconds(comparison.work, comparison.against, rounds=2)
        yield Figure(title=f"{name}: {comparison.title}", measured=step / bare, most=1.3)


def one_at_once(bench: Bench) -> Iterator[Figure]:
    """A step of LinEAS that has one image in memory at once, against one with all four."""
    model = bench.model("dmd2")
    works = [budget.lineas_step(model, CONCEPTS, 4, at_once=count) for count in (1, 4)]
    one, four = bench.seconds(*works, rounds=2)
    yield Figure(title="dmd2: LinEAS step, one image at once / four", measured=one / four, most=4.0)


def memory(bench: Bench) -> Iterator[Figure]:
    """Peak memory against what `htbench show model --needs` works out."""
    for name in ("dmd2", "nitro-1-pixart"):
        model = bench.model(name)
        weights, decoder = "tiny" if bench.tiny else "random", model.facts()["decoder"]
        fake = registry.load("models", name)._fake(weights=weights, decoder=decoder)
        for count in (1, 4, 16):
            needed = fake.generation(count)
            work = budget.generation(model, CONCEPTS, count, steered=False)
            yield _memory_figure(bench, model, needed, work)
        work = budget.lineas_step(model, CONCEPTS, 4, at_once=4)
        yield _memory_figure(bench, model, fake.lineas_step(4), work)


def _memory_figure(bench: Bench, model: Any, needed: Footprint, work: Work) -> Figure:
    work()  # prompts are encoded, and their encoders leave the device
    if bench.device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(bench.device)
        resident = torch.cuda.memory_allocated(bench.device)
        own = sum(
            tensor.nbytes
            for part in (model._network, model._vae)
            for tensor in (*part.parameters(), *part.buffers())
        )
        work()
        peak = torch.cuda.max_memory_allocated(bench.device) - (resident - own)
    else:
        with FootprintCounter(model._network, model._vae) as counter:
            work()
        peak = counter.peak
    title = f"{model.name}: peak memory / --needs, {needed.images} {needed.work}"
    return Figure(title=title, measured=peak / needed.peak, least=1 / 1.15, most=1.15)


def compiling(bench: Bench) -> Iterator[Figure]:
    """Compiled layers in bfloat16 against the same ones as they are."""
    name, options = "nitro-1-pixart", {"dtype": "bfloat16"}
    models = [bench.model(name, **options), bench.model(name, **options, compile="true")]
    plain, compiled = bench.seconds(
        *(budget.generation(model, CONCEPTS, 4, steered=True) for model in models)
    )
    yield Figure(title=f"{name}: 4 images compiled / not, bfloat16", measured=compiled / plain,
                 note="the smaller the better")  # fmt: skip


def emoji(bench: Bench) -> Iterator[Figure]:
    """The embedded model, where launches decide."""
    inner = bench.ratios("emoji")
    batch = ratios.generation(inner)
    assert callable(batch.against)
    steered, plain = bench.seconds(batch.work, batch.against, rounds=7)
    yield Figure(title="emoji: 32 images steered / plain", measured=steered / plain, most=1.05)
    (many,) = bench.seconds(ratios.prediction(inner).work, rounds=7)
    yield Figure(title="emoji: 167 predictions", measured=1e3 * many, unit=" ms", most=10.0)
    if not bench.tiny:  # it is not tiny: half a minute a step on a CPU
        yield from learning(bench, "emoji")


def grids(bench: Bench) -> Iterator[Figure]:
    """The rate of a grid against a bare loop over the same images."""
    if bench.tiny:
        grid.GRID = {**grid.GRID, "limit": 2, "prompts": 2}
    out = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(out):
        grid.rate(Path(folder) / "run")
    found = re.search(r"^wall .*?: ([\d.]+) of it", out.getvalue(), re.MULTILINE)
    if not found:
        raise RuntimeError(f"grid.py printed no rate: {out.getvalue()!r}")
    yield Figure(title="emoji: grid / bare loop, images a second", measured=float(found[1]),
                 least=0.9)  # fmt: skip


def speed_up(bench: Bench) -> Iterator[Figure]:
    """S on the paper's models; the paper reports 3,600 to 7,000."""
    minutes = "0.6" if bench.tiny else "2.2"
    with tempfile.TemporaryDirectory() as folder:
        words = ["time", "paper-scale", "--minutes", minutes, "--device", bench.device]
        words += ["--weights", "tiny"] if bench.tiny else []
        subprocess.run(
            [sys.executable, "-m", "htbench", *words, "--runs-dir", folder, "--name", "run"],
            stdout=subprocess.DEVNULL,
            check=True,
            cwd=ROOT,
        )
        with Store.read(Path(folder) / "run") as store:
            sessions = figures.latest_of_models(store)
    for session in sessions:
        model = session.conditions["model"]
        (row,) = time_section.paper_rows([session])
        by_fit = {
            each.fit: each.saving.speedup()
            for each in (*session.comparisons, *session.comparisons_together)
            if each.amortised.method == row.method
        }
        for each in row.cells:
            if each:
                value = by_fit[each.fit]
                ends = f"[{value.low:.4g}, {value.high:.4g}]"
                title = f"{model}: S against {each.fit}"
                note = ends if math.isfinite(value.low) else "too few fits for an interval"
                yield Figure(title=title, measured=value.value, note=note)


def contracts(bench: Bench) -> Iterator[Figure]:
    """The promises of every method, on the device: by the suite's own tests."""
    lacking = [name for name in ("pytest", "beartype") if not importlib.util.find_spec(name)]
    if lacking:
        raise RuntimeError(f"{' and '.join(lacking)} must be installed")
    words = ["-m", "pytest", "-vv", "-W", "ignore", "-p", "no:cacheprovider", "--tb=no"]
    words += ["tests/steering/test_contracts.py", *(["-k", "mean-shift"] if bench.tiny else [])]
    environment = {"HTBENCH_DEVICE": bench.device, "PYTHONUNBUFFERED": "1"}
    try:
        text = subprocess.run(
            [sys.executable, *words],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            check=False,
            timeout=_CONTRACT_SECONDS,
        ).stdout
        note = "all of them"
    except subprocess.TimeoutExpired as error:
        text, note = error.stdout or b"", "cut off: those so far"
    lines = text.decode(errors="replace")
    outcomes = re.findall(r"::(.+?) (PASSED|FAILED|ERROR)\b", lines)
    passed = [name for name, outcome in outcomes if outcome == "PASSED"]
    failing = sorted({name for name, outcome in outcomes if outcome != "PASSED"})
    if not passed:
        raise RuntimeError(f"no test passed: {lines[-300:]}")
    yield Figure(title="contract tests that pass", measured=len(passed), note=note)
    title = f"contract tests that fail{': ' + ', '.join(failing[:5]) if failing else ''}"
    yield Figure(title=title, measured=len(failing), most=0)


_CONTRACT_SECONDS = 85.0
"""Seconds after which contract tests are cut off, and those so far are told."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part: what it measures, and its limit."""

    measure: Callable[[Bench], Iterator[Figure]]
    seconds: float
    """Limit; loading models included, except for the first part of a process."""
    alone: bool = False
    """True for a part that needs a process of its own."""


PARTS: dict[str, Part] = {
    "h-dmd2": Part(measure=lambda bench: prediction(bench, "dmd2", 12.0), seconds=45),
    "h-nitro": Part(measure=lambda bench: prediction(bench, "nitro-1-pixart", 8.0), seconds=45),
    "images": Part(measure=images, seconds=45),
    "decoder": Part(measure=decoder, seconds=30),
    "prompts": Part(measure=prompts, seconds=45),
    "at-once": Part(measure=one_at_once, seconds=40),
    "learning": Part(measure=lambda bench: learning(bench, "dmd2"), seconds=110),
    "emoji": Part(measure=emoji, seconds=60),
    "grid": Part(measure=grids, seconds=90),
    "memory": Part(measure=memory, seconds=75, alone=True),
    "speed-up": Part(measure=speed_up, seconds=170, alone=True),
    "contracts": Part(measure=contracts, seconds=100, alone=True),
    "compile": Part(measure=compiling, seconds=90, alone=True),
}


def names_of(parts: Sequence[str]) -> list[str]:
    """The parts in the order in which they are measured; none: all."""
    return [name for name in PARTS if not parts or name in parts]
