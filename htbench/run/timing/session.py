"""One session of `htbench time`: from the names of methods to samples in a run's folder."""

import os
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch

from htbench.core import content, registry
from htbench.core.display import Display
from htbench.core.errors import HtbenchError
from htbench.run.store import Sample, Store
from htbench.run.timing import machine
from htbench.run.timing.protocol import TimedMethod, TimingHarness, TimingProtocol
from htbench.steering.concept import ConceptSet
from htbench.steering.model import CachesPrompts, Model


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
            "conditions": conditions(loaded, load_options=load_options),
            "protocol": asdict(protocol),
            "forgets": isinstance(loaded, CachesPrompts),
            "before": machine.load() | machine.gpu(device),
        }
        session = content.digest([started, facts["conditions"]])
        harness = TimingHarness(
            model=loaded,
            concepts=concepts.splits["test"],
            training_concepts=concepts.splits["train"],
            warmup_concept=concepts.splits["dev"][0],
            prompt=concepts.prompts[0],
            protocol=protocol,
            folder=Path(maps),
            sink=lambda samples: store.add_samples(session, samples),
            started_at=start,
            has_weights=load_options.get("weights") != "random",
        )
        loading = Sample(
            method="", work="load", phase="load", concept="", round=1, seconds=load_seconds
        )
        harness.sink([loading])
        _record_model(store, facts, loaded)
        entries, untimed = _prepare(harness, methods, display)
        facts |= {
            "methods": {entry.card.name: entry.facts() for entry in entries},
            "untimed": untimed,
        }
        stage = display.progress("time", min(protocol.rounds, len(harness.concepts)))
        _record_session(store, session, facts)
        for _ in harness.run(entries):
            stage.advance()
            _record_session(store, session, facts | {"after": machine.load() | machine.gpu(device)})


def _prepare(
    harness: TimingHarness, methods: Sequence[str], display: Display
) -> tuple[list[TimedMethod], dict[str, str]]:
    """The methods that can be timed, warmed up, and the reasons why the others cannot."""
    entries, untimed = [], {}
    stage = display.progress("prepare", len(methods))
    for name in methods:
        display.info(f"prepare {name}")
        try:
            entry = harness.prepare(name)
            harness.warm_up(entry)
        except Exception as error:  # one method's fault is not that of the others
            untimed[name] = (
                str(error)
                if isinstance(error, HtbenchError)
                else f"{type(error).__name__}: {error}"
            )
            display.warn(f"{name} is not timed: {untimed[name]}")
        else:
            entries.append(entry)
        stage.advance()
    return entries, untimed


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
