"""A run on two machines that loses one, or its driver, ends like an undisturbed run."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.contents import contents

from htbench.core import registry
from htbench.run import runner
from htbench.run.plan import RunOptions, build

pytestmark = pytest.mark.slow

PLAN = {
    "model": "toy",
    "methods": ["prompt", "mean-shift", "linear-act"],
    "limit": 20,
    "prompts": 8,
    "strengths": [0.0, 0.5, 1.0],
    "batch": 8,
}
DRIVER = """
import json, sys
from pathlib import Path
from htbench.run import runner
from htbench.run.plan import RunOptions, build
options = RunOptions(workers=2, ray=sys.argv[3], threads=1, reuse=False)
runner.run(build(json.loads(sys.argv[1])), Path(sys.argv[2]), options)
"""


@pytest.fixture
def machines(toy_plugins: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of two machines of one processor each, and of a head that does no work."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    store = {"object_store_memory": 10**8}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **store}
    )
    cluster.two = [cluster.add_node(num_cpus=1, **store) for _ in range(2)]
    yield cluster
    cluster.shutdown()
    registry.plugins.cache_clear()


def until_half_of_the_images_are_made(folder: Path) -> None:
    while not folder.exists() or len(list(folder.iterdir())) < 400:
        time.sleep(0.02)


def test_a_machine_is_lost_in_the_middle(
    machines: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def remove_machine() -> None:
        until_half_of_the_images_are_made(tmp_path / "workers" / "images")
        machines.remove_node(machines.two[1], allow_graceful=False)

    runner.run(build(PLAN), tmp_path / "alone", RunOptions(threads=1, reuse=False))
    remover = threading.Thread(target=remove_machine)
    remover.start()
    options = RunOptions(workers=2, ray=machines.address, threads=1, reuse=False)
    runner.run(build(PLAN), tmp_path / "workers", options)
    remover.join()
    assert contents(tmp_path / "workers") == contents(tmp_path / "alone")
    assert "is lost, others take its work" in capsys.readouterr().err


def test_the_driver_is_killed_and_started_again(machines: Any, tmp_path: Path) -> None:
    arguments = [json.dumps(PLAN), str(tmp_path / "workers"), machines.address]
    command = [sys.executable, "-c", DRIVER, *arguments]
    driver = subprocess.Popen(command)
    until_half_of_the_images_are_made(tmp_path / "workers" / "images")
    driver.kill()
    driver.wait()
    subprocess.run(command, check=True)
    runner.run(build(PLAN), tmp_path / "alone", RunOptions(threads=1, reuse=False))
    assert contents(tmp_path / "workers") == contents(tmp_path / "alone")
