"""Bundles of made-up runs: their model, version of the concept set and time are given."""

from collections.abc import Sequence
from pathlib import Path

from htbench.bundles.pack import pack
from htbench.run.store import Store
from kit import report_run

METHODS = ("none", "prompt", "lineas")


def add(
    folder: Path,
    name: str,
    *,
    made: str = "2026-03-01",
    model: str = "emoji",
    version: str = "1",
    methods: Sequence[str] = METHODS,
    concepts: int = 4,
    size: int = 8,
    words: str = "",
) -> Path:
    """Pack a run as `folder/NAME.bundle.zip`; the run is in a folder beside `folder`."""
    run = report_run.build(
        folder.parent / "runs" / name,
        methods=methods,
        concepts=concepts,
        prompts=report_run.PROMPTS[:1],
        strengths=(0.0, 1.0),
        size=size,
        text=words,
    )
    with Store.open(run) as store:
        facts = store.facts()
        store.set_facts(
            model={**facts["model"], "name": model},
            concept_set={**facts["concept_set"], "version": version},
        )
        store.start_session(command="htbench run", environment={})
        with store.writing() as (write, _):
            times = {"started": f"{made}T10:00:00+00:00", "ended": f"{made}T11:00:00+00:00"}
            write.execute("UPDATE sessions SET started = :started, ended = :ended", times)
    folder.mkdir(parents=True, exist_ok=True)
    return pack(run, folder / f"{name}.bundle.zip").path
