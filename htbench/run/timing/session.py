"""One session of `htbench time`: from the names of methods to samples in a run's folder."""

import os
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from htbench.core import content, registry
from htbench.core.display import Display
from htbench.core.errors import HtbenchError
from htbench.core.interrupts import Interrupted
from htbench.run.store import Sample, Store
from htbench.run.timing import machine, side_by_side
from htbench.run.timing.plan import TimingProtocol
from htbench.run.timing.protocol import TimedMethod, TimingHarness
from htbench.run.timing.schedule import MethodPace, Schedule
from htbench.run.timing.side_by_side import SideBySide
from htbench.run.timing.trainings import KeptTrainings
from htbench.stats import durations
from htbench.steering.concept import ConceptSet
from htbench.steering.model import CachesPrompts, Model

NO_WEIGHTS = ("random", "tiny")
"""Weights of models without which shipped trainings mean nothing."""


def conditions(model: Model, *, load_options: Mapping[str, str]) -> dict[str, object]:
    """The conditions that times depend on besides the method."""
    return {
        "machine": machine.name(),
        "device": "cpu" if model.device == "cpu" else torch.cuda.get_device_name(model.device),
        "threads": torch.get_num_threads(),
        "dtype": str(getattr(model, "dtype", "float32")).removeprefix("torch."),
        "model": model.name,
        "revision": model.revision,
        "weights": load_options.get("weights") or "the model's own",
        "loaded with": ", ".join(
            f"{name}={value}" for name, value in sorted(load_options.items()) if name != "weights"
        ),
        "torch": torch.__version__,
        "process": os.getpid(),
    }


def run(
    folder: Path,
    methods: Sequence[str],
    concepts: ConceptSet,
    protocol: TimingProtocol,
    *,
    model: str,
    device: str,
    load_options: Mapping[str, str],
    display: Display,
) -> None:
    """Time `methods` and write the samples into `folder`, a new run or an existing one."""
    with Store.open(folder) as store, tempfile.TemporaryDirectory() as maps, display.showing():
        registry.load("models", model)  # importing its code is no part of loading it
        began, start = time.perf_counter(), time.monotonic()
        loaded: Model = registry.load_model(model, device, load_options)
        loaded.synchronise()
        load_seconds = time.perf_counter() - began
        started = datetime.now(UTC).isoformat(timespec="seconds")
        facts: dict[str, object] = {
            "started": started,
            "command": shlex.join(["htbench", *sys.argv[1:]]),
            "protocol": asdict(protocol),
            "forgets": isinstance(loaded, CachesPrompts),
            "before": machine.load() | machine.gpu(device),
        }
        own = conditions(loaded, load_options=load_options)
        facts["conditions"] = own
        session = content.digest([started, own])
        harness = TimingHarness(
            model=loaded,
            concepts=concepts.splits["test"],
            training_concepts=concepts.splits["train"],
            warmup_concept=concepts.splits["dev"][0],
            prompt=concepts.prompts[0],
            protocol=protocol,
            folder=Path(maps),
            kept=KeptTrainings(
                folder=folder / "timing",
                conditions={name: value for name, value in own.items() if name != "process"},
            ),
            sink=lambda samples: store.add_samples(session, samples),
            started_at=start,
            has_weights=load_options.get("weights") not in NO_WEIGHTS,
        )
        loading = Sample(
            method="", work="load", phase="load", concept="", round=1, seconds=load_seconds
        )
        harness.sink([loading])
        _record_model(store, facts, loaded)
        prepared = _prepare(harness, methods, display)
        schedule = harness.plan([method.pace for method in prepared.methods])
        entries = [harness.with_steps(each.entry, schedule.steps) for each in prepared.methods]
        _announce(entries, schedule, protocol, display)
        facts |= {
            "methods": {
                entry.card.name: entry.facts() | _facts_of(each.together)
                for each, entry in zip(prepared.methods, entries, strict=True)
            },
            "untimed": prepared.untimed,
            "schedule": asdict(schedule),
        }
        rounds = {"repeated": schedule.again, "once": schedule.rounds - schedule.again}
        stage = display.progress("time", schedule.rounds, parts=rounds)
        _record_session(store, session, facts)
        began = time.monotonic()
        try:
            for number in harness.run(entries, again=schedule.again):
                part = "repeated" if number <= schedule.again else "once"
                stage.advance(part=part, seconds=time.monotonic() - began)
                facts["after"] = machine.load() | machine.gpu(device)
                _record_session(store, session, facts)
                began = time.monotonic()
        except Interrupted:
            _record_session(store, session, facts | {"interrupted": True})
            raise


@dataclass(frozen=True, kw_only=True)
class _WarmMethod:
    """A method that is ready, and the seconds that it took on one concept."""

    entry: TimedMethod
    pace: MethodPace
    together: SideBySide | None
    """Its fits of several concepts, if it has such."""


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    methods: list[_WarmMethod]
    untimed: dict[str, str]
    """Reasons why the others cannot be timed."""

    def leave_out(self, name: str, error: Exception, display: Display) -> None:
        """Record and show the reason why something is not timed."""
        known = isinstance(error, HtbenchError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        self.untimed[name] = reason
        display.warn(f"{name} is not timed: {reason}")


def _prepare(harness: TimingHarness, methods: Sequence[str], display: Display) -> _Prepared:
    """Make ready and warm up the methods that can be timed."""
    prepared = _Prepared(methods=[], untimed={})
    stage = display.progress("prepare", len(methods))
    for name in methods:
        display.info(f"prepare {name}")
        stage.show(name)
        try:
            entry = harness.prepare(name)
            pace = harness.warm_up(entry)
        except Exception as error:  # one method's fault is not that of the others
            prepared.leave_out(name, error, display)
        else:
            together = None
            try:
                together = side_by_side.measure(harness, entry)
            except Exception as error:  # such as too little memory for so many concepts
                size = harness.protocol.together
                prepared.leave_out(f"{name}, {size} side by side", error, display)
            prepared.methods.append(_WarmMethod(entry=entry, pace=pace, together=together))
        stage.advance()
    return prepared


def _facts_of(together: SideBySide | None) -> dict[str, object]:
    return {"together": asdict(together)} if together else {}


def _announce(
    entries: Sequence[TimedMethod], schedule: Schedule, protocol: TimingProtocol, display: Display
) -> None:
    """Say how much will be measured, and warn where it is less than the protocol asks for."""
    parts = [
        f"{entry.card.name} over {entry.steps} of its {entry.of_steps:,} steps"
        for entry in entries
        if entry.steps
    ]
    seconds = schedule.seconds(schedule.rounds)
    length = f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
    text = f"at most {schedule.rounds} rounds, about {length}"
    display.announce("; ".join([text, *parts]))
    if not schedule.is_enough and protocol.rounds >= durations.MIN_SAMPLES:
        needed = schedule.seconds(durations.MIN_SAMPLES)
        display.warn(
            f"{durations.MIN_SAMPLES} rounds need about {needed / 60:.1f} minutes after warming up:"
            " raise --minutes, or name fewer methods"
        )


def _record_model(store: Store, facts: Mapping[str, object], model: Model) -> None:
    """Write the model's facts, if the run is a new one."""
    if "model" not in store.facts():
        sites = {
            "sites": len(model.sites),
            "channels": sum(site.channels for site in model.sites.values()),
        }
        store.set_facts(
            model={"name": model.name, "revision": model.revision, **sites},
            command=facts["command"],
            environment={
                "started": facts["started"],
                "torch": torch.__version__,
                "device": model.device,
            },
        )


def _record_session(store: Store, session: str, facts: Mapping[str, object]) -> None:
    timing = store.facts().get("timing", {})
    others = {name: fact for name, fact in timing.items() if name != session}
    store.set_facts(timing={**others, session: dict(facts)})
