"""Workers do what one process does: the same cells, maps, images and scores.

This holds for any number of workers, and for any order in which they finish.
"""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kit import toy_plugin
from kit.contents import contents

from htbench import __main__
from htbench.core import registry
from htbench.core.display import Display
from htbench.core.errors import UsageError
from htbench.run import runner
from htbench.run.plan import RunOptions, build
from htbench.run.workers import pool
from htbench.run.workers.local import LocalPool
from htbench.run.workers.messages import (
    CheckWords,
    Embeddings,
    FitTask,
    Pool,
    Result,
    Task,
    UnknownWords,
    WorkerSetup,
    run_one,
)
from htbench.run.workers.placement import Node, plan_placement
from htbench.run.workers.worker import Worker
from htbench.steering.concept import load

PLAN: dict[str, Any] = {
    "model": "toy",
    "methods": ["prompt", "mean-shift", "linear-act"],
    "limit": 4,
    "prompts": 3,
    "strengths": [0.0, 0.5, 1.0],
    "batch": 8,
}


class Unruly(LocalPool):
    """A pool that does waiting tasks in any order, as several workers would."""

    size = 3

    def run_tasks(self, supply: Callable[[], Task | None]) -> Iterator[tuple[Task, Result]]:
        dice, waiting = random.Random(1), []
        while True:
            while len(waiting) < 6 and (task := supply()):
                waiting.append(task)
            if not waiting:
                return
            single = iter([waiting.pop(dice.randrange(len(waiting)))])
            yield from super().run_tasks(lambda single=single: next(single, None))


@pytest.mark.parametrize(
    ("device", "order"),
    [
        ("cpu", ["generate 1", "encode 1", "generate 2", "encode 2"]),
        ("cuda", ["generate 1", "generate 2", "encode 1", "encode 2"]),
    ],
)
def test_images_are_encoded_beside_a_gpu_and_never_beside_a_busy_processor(
    device: str, order: list[str]
) -> None:
    done, second = [], Event()

    def begin(task: int) -> Callable[[], str]:
        done.append(f"generate {task}")
        if task == 2:
            second.set()

        def encode() -> str:
            if device != "cpu":
                assert second.wait(10)
            done.append(f"encode {task}")
            return f"images {task}"

        return encode

    worker = SimpleNamespace(info=lambda: SimpleNamespace(device=device), begin=begin)
    workers, tasks = LocalPool(cast(Worker, worker)), iter((1, 2))
    assert [*workers.run_tasks(lambda: next(tasks, None))] == [(1, "images 1"), (2, "images 2")]
    assert done == order


def test_a_run_is_the_same_in_any_order_of_completion(
    toy_plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def unruly(
        setup: WorkerSetup, options: RunOptions, *, folder: Path, display: object
    ) -> Iterator[Pool]:
        yield Unruly(Worker(setup, device="cpu", folder=folder))

    runner.run(build(PLAN), tmp_path / "alone")
    monkeypatch.setattr(pool, "open_pool", unruly)
    runner.run(build(PLAN), tmp_path / "unruly", RunOptions(reuse=False))
    whole = contents(tmp_path / "alone")
    assert contents(tmp_path / "unruly") == whole
    assert [len(part) for part in whole] == [
        120,
        5 * 120,
        4 * 4,
        3 + 4 * 3 * (1 + 2 + 2),
    ]  # a prompt is the same at both strengths


def _blend(folder: Path, name: str, *, base: str, condition: str = "text") -> str:
    head = f'name = "{name}"\nmethod = "mean-of-maps"\nsummary = "Learns from all concepts."\n'
    settings = f'[settings]\nbase = "{base}"\ncondition = "{condition}"\n'
    card = folder / f"{name}.toml"
    card.write_text(head + settings)
    return str(card)


@pytest.fixture
def fitted(toy_plugins: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Training concepts whose maps an unruly pool fits for a bank, as nothing else may."""
    concepts: list[str] = []

    class Watched(Unruly):
        def run_tasks(self, supply: Callable[[], Task | None]) -> Iterator[tuple[Task, Result]]:
            for task, result in super().run_tasks(supply):
                if isinstance(task, FitTask) and task.source.name.startswith("bank of"):
                    concepts.append(task.concepts[0].id)
                yield task, result

    @contextmanager
    def watched(
        setup: WorkerSetup, options: RunOptions, *, folder: Path, display: object
    ) -> Iterator[Pool]:
        yield Watched(Worker(setup, device="cpu", folder=folder))

    monkeypatch.setattr(pool, "open_pool", watched)
    return concepts


def test_the_maps_of_a_bank_are_shared_out_and_each_is_fitted_once(
    fitted: list[str], tmp_path: Path
) -> None:
    plan = build(
        PLAN,
        {
            "methods": [
                _blend(tmp_path, "one", base="mean-shift"),
                _blend(tmp_path, "other", base="mean-shift", condition="nothing"),
            ]
        },
    )
    for _ in range(2):
        runner.run(plan, tmp_path / "run")
    assert sorted(fitted) == sorted(concept.id for concept in load("emoji").splits["train"])


def test_a_base_that_no_bank_can_hold_is_found_out_at_once(
    fitted: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="'bures-ot' does not learn affine maps"):
        runner.run(
            build(PLAN, {"methods": [_blend(tmp_path, "one", base="bures-ot")]}), tmp_path / "run"
        )
    assert len(fitted) < 10


def test_a_result_of_another_type_is_an_error() -> None:
    class Mistaken(LocalPool):
        def run_tasks(self, supply: Callable[[], Task | None]) -> Iterator[tuple[Task, Result]]:
            while task := supply():
                yield task, UnknownWords(words=("zeppelin",))

    workers = Mistaken(cast(Worker, SimpleNamespace(info=lambda: None)))
    task = CheckWords(texts=("a zeppelin",))
    assert run_one(workers, task, UnknownWords).words == ("zeppelin",)
    with pytest.raises(TypeError, match="CheckWords gave UnknownWords"):
        run_one(workers, task, Embeddings)


@pytest.mark.parametrize(
    ("nodes", "workers", "on_gpu", "expected"),
    [
        ([Node(cpus=2)], 2, False, (2, 1.0, 0.0, 1)),
        ([Node(cpus=2)], 4, False, (4, 0.5, 0.0, 1)),
        ([Node(cpus=2)], 3, False, (3, 0.5, 0.0, 1)),
        ([Node(cpus=2), Node(cpus=2)], 3, False, (3, 1.0, 0.0, 1)),
        ([Node(cpus=3), Node(cpus=5)], 4, False, (4, 1.0, 0.0, 1)),
        ([Node(cpus=16), Node(cpus=16)], None, False, (2, 16.0, 0.0, 16)),
        ([Node(cpus=64, gpus=8)], None, True, (8, 8.0, 1.0, 8)),
        ([Node(cpus=64, gpus=4)], 8, True, (8, 8.0, 0.5, 8)),
        ([Node(cpus=8, gpus=1), Node(cpus=8, gpus=1)], 3, True, (3, 4.0, 0.5, 4)),
    ],
)
def test_what_there_is_is_shared_out_so_that_all_find_room(
    nodes: list[Node], workers: int | None, on_gpu: bool, expected: tuple[int, float, float, int]
) -> None:
    each = plan_placement(nodes, workers=workers, on_gpu=on_gpu)
    assert (each.workers, each.cpus, each.gpus, each.threads) == expected


def test_threads_are_those_asked_for() -> None:
    assert plan_placement([Node(cpus=64)], workers=2, on_gpu=False, threads=3).threads == 3


def test_one_gpu_is_no_device_for_several_workers() -> None:
    with pytest.raises(UsageError, match="every worker"):
        pool.check(RunOptions(workers=2, device="cuda:1"))


def test_without_ray_several_workers_end_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for words in (["--workers", "2"], ["--ray", "auto"]):
        monkeypatch.setattr(
            sys,
            "argv",
            ["htbench", "run", "quickstart", "--runs-dir", str(tmp_path / "runs"), *words],
        )
        with pytest.raises(SystemExit) as stop:
            __main__.main()
        assert stop.value.code == 4
        assert "pip install 'htbench[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_an_interrupt_inside_ray_is_still_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from htbench.run.workers import ray_pool

    def interrupted() -> None:
        raise SystemError from KeyboardInterrupt()

    monkeypatch.setattr(
        ray_pool, "ray", SimpleNamespace(is_initialized=lambda: True, nodes=interrupted)
    )
    with (
        pytest.raises(KeyboardInterrupt),
        ray_pool.open_ray_pool(
            cast("WorkerSetup", None), RunOptions(), folder=tmp_path, display=Display()
        ),
    ):
        pass


@pytest.fixture(scope="module")
def poison(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file that kills the worker that finds it, on a cluster of this machine alone."""
    import ray

    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        toy_plugin.install(folder / "plugins", patch)
        patch.setenv("TOY_POISON", str(folder / "poison"))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address="local",
            num_cpus=4,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=10**8,
        )
        yield folder / "poison"
        ray.shutdown()
    registry.plugins.cache_clear()


def test_what_a_lost_worker_had_in_hand_goes_to_another(
    poison: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner.run(build(PLAN), tmp_path / "alone", RunOptions(threads=1, reuse=False))
    poison.touch()
    runner.run(
        build(PLAN), tmp_path / "workers", RunOptions(workers=2, ray="auto", threads=1, reuse=False)
    )
    assert not poison.exists()
    assert "is lost, others take its work" in capsys.readouterr().err
    assert contents(tmp_path / "workers") == contents(tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_leaves_the_same_run(
    poison: Path, tmp_path: Path, workers: int
) -> None:
    plan = build(
        PLAN, {"methods": [*PLAN["methods"], _blend(tmp_path, "blend", base="mean-shift")]}
    )
    runner.run(plan, tmp_path / "alone", RunOptions(threads=1, reuse=False))
    runner.run(
        plan, tmp_path / "workers", RunOptions(workers=workers, ray="auto", threads=1, reuse=False)
    )
    assert contents(tmp_path / "workers") == contents(tmp_path / "alone")
    kept = [
        sorted(path.name for path in (tmp_path / run / "maps" / "bank").iterdir())
        for run in ("alone", "workers")
    ]
    assert kept[0] == kept[1] != []


def test_two_cards_that_ship_the_same_file_are_what_they_are_without_workers(
    poison: Path, tmp_path: Path
) -> None:
    card = 'method = "mean-of-maps"\nsummary = "Learns from all concepts."\n'
    (tmp_path / "learns.toml").write_text(
        f'name = "learns"\n{card}[settings]\nbase = "mean-shift"\n'
    )
    runner.run(
        build(PLAN, {"methods": [str(tmp_path / "learns.toml")]}),
        tmp_path / "learning",
        RunOptions(threads=1, reuse=False),
    )
    (learnt,) = (
        path
        for path in (tmp_path / "learning" / "maps").glob("steering-*")
        if path.stat().st_size > 1000
    )
    learnt.rename(tmp_path / "learnt")
    for name, condition in (("one", "text"), ("other", "nothing")):
        settings = f'[settings]\nbase = "mean-shift"\ncondition = "{condition}"\n'
        (tmp_path / f"{name}.toml").write_text(
            f'name = "{name}"\n{card}{settings}[artifacts]\ntoy = "learnt"\n'
        )
    plan = build(PLAN, {"methods": [str(tmp_path / "one.toml"), str(tmp_path / "other.toml")]})
    runner.run(plan, tmp_path / "alone", RunOptions(threads=1, reuse=False))
    runner.run(
        plan, tmp_path / "workers", RunOptions(workers=2, ray="auto", threads=1, reuse=False)
    )
    assert contents(tmp_path / "workers") == contents(tmp_path / "alone")
    steerings = [
        {path.name for path in (tmp_path / run / "maps").glob("steering-*")}
        for run in ("alone", "workers")
    ]
    assert steerings[0] == steerings[1]
