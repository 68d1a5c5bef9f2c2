"""The benchmark of a GPU, rehearsed on tiny models: every part says what it measured."""

import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, own_cache: None) -> Iterator[ModuleType]:
    """The benchmark's module."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module("gpu")
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == FOLDER:
            del sys.modules[name]


def written(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


QUICK = ["h-dmd2", "h-nitro", "decoder", "prompts", "at-once"]
OTHERS = ["images", "learning", "emoji", "grid", "memory", "speed-up", "contracts", "compile"]


@pytest.mark.parametrize(
    "part", [*QUICK, *(pytest.param(part, marks=pytest.mark.slow) for part in OTHERS)]
)
def test_a_part_tells_its_figures_beside_its_aims(gpu: ModuleType, part: str) -> None:
    figures = list(gpu.PARTS[part].measure(gpu.Bench(device="cpu", tiny=True)))
    assert figures
    assert all(figure.measured >= 0 for figure in figures)


def test_every_part_is_rehearsed_by_a_test(gpu: ModuleType) -> None:
    assert sorted(gpu.PARTS) == sorted([*QUICK, *OTHERS])


@pytest.mark.parametrize(
    ("measured", "bounds", "met"),
    [
        (3.0, {"most": 4.0}, "met"),
        (5.0, {"most": 4.0}, "MISSED"),
        (0.8, {"least": 0.9}, "MISSED"),
        (1.0, {"least": 0.9, "most": 1.1}, "met"),
        (5.0, {}, ""),
    ],
)
def test_an_aim_is_met_within_its_bounds(
    gpu: ModuleType, measured: float, bounds: dict[str, float], met: str
) -> None:
    parts = importlib.import_module("gpu_parts")
    figure = parts.Figure(title="a ratio", measured=measured, **bounds)
    assert figure.record()["met"] == met
    assert figure.record(rehearsed=True)["met"] == ("rehearsed" if bounds else "")


def test_figures_are_written_as_they_come_and_parts_share_a_process(
    gpu: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = gpu.Results(tmp_path / "out.jsonl")
    options = ["--device", "cpu", "--tiny"]
    gpu.supervise(["h-nitro", "prompts"], results, end=time.monotonic() + 300, options=options)
    records = written(tmp_path / "out.jsonl")
    assert [record["end"] for record in records if "end" in record] == ["h-nitro", "prompts"]
    assert (results.missed, results.failed) == (0, 0)
    assert "nitro-1-pixart: h, predict + install" in capsys.readouterr().out


def test_a_part_over_its_limit_is_ended_and_the_next_goes_on(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = importlib.import_module("gpu_parts")
    monkeypatch.setattr(gpu, "_STARTING", 0.0)
    endless = parts.Part(measure=gpu.PARTS["decoder"].measure, seconds=0.01)
    monkeypatch.setitem(gpu.PARTS, "decoder", endless)
    longer = parts.Part(measure=gpu.PARTS["prompts"].measure, seconds=200.0)
    monkeypatch.setitem(gpu.PARTS, "prompts", longer)
    results = gpu.Results(tmp_path / "out.jsonl")
    options = ["--device", "cpu", "--tiny"]
    gpu.supervise(["decoder", "prompts"], results, end=time.monotonic() + 300, options=options)
    first, *others = written(tmp_path / "out.jsonl")
    assert "took longer than 0.01 s" in str(first["failed"])
    assert {record["part"] for record in others if "part" in record} == {"prompts"}


def test_parts_that_the_time_does_not_reach_are_named(gpu: ModuleType, tmp_path: Path) -> None:
    results = gpu.Results(tmp_path / "out.jsonl")
    gpu.supervise(["emoji", "grid"], results, end=time.monotonic() - 1, options=[])
    assert [record["failed"] for record in written(tmp_path / "out.jsonl")] == [
        "not reached in time"
    ] * 2
