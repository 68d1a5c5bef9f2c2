"""Mutations of every kind of input and record: no traceback, no hang, no flood of memory.

`pytest -m fuzz` takes about ten minutes; `HTBENCH_FUZZ=…` is the number of mutations of a kind of
weight 1.
"""

import os
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kit.fuzzed import KINDS, MARK, Kind
from kit.mutations import mutate_file

pytestmark = pytest.mark.fuzz
MUTATIONS = int(os.environ.get("HTBENCH_FUZZ", "400"))
MAX_SECONDS, MAX_MEMORY = 10, 500e6


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "-"))
def test_a_mutated_input_is_used_or_refused(kind: Kind, tmp_path: Path) -> None:
    healthy = tmp_path / "healthy"
    healthy.mkdir()
    kind.build(healthy)
    _mark(healthy)
    _use(kind, healthy, tmp_path / "first", None)
    base = _peak_memory()

    @settings(
        max_examples=max(1, round(MUTATIONS * kind.weight)),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(seed=st.integers(min_value=0, max_value=2**64))
    def mutate(seed: int) -> None:
        _use(kind, healthy, tmp_path / "mutated", seed)
        assert _peak_memory() - base < MAX_MEMORY, f"seed {seed}"

    mutate()


def _use(kind: Kind, healthy: Path, folder: Path, seed: int | None) -> None:
    """Use a copy of the healthy input, mutated by a seed."""
    shutil.copytree(healthy, folder, copy_function=shutil.copy2)
    try:
        if seed is not None:
            random = Random(seed)
            mutate_file(random.choice(sorted(folder.glob(kind.files))), random)
        with _limited():
            kind.use(folder)
    finally:
        shutil.rmtree(folder)


def _mark(folder: Path) -> None:
    """Give all files the same time, by which a mutated one is known."""
    for path in folder.rglob("*"):
        os.utime(path, ns=(MARK, MARK))


@contextmanager
def _limited() -> Iterator[None]:
    def over(*_: object) -> None:
        raise AssertionError(f"more than {MAX_SECONDS} s")

    signal.signal(signal.SIGALRM, over)
    signal.alarm(MAX_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def _peak_memory() -> float:
    """The largest memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
