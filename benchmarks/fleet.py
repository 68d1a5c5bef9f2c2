"""What a second worker brings, and what many cells cost the process that hands out the work. Needs the extra `ray`.

python benchmarks/fleet.py fit         the fitting phase on the embedded model with one worker and with two, of one thread each
python benchmarks/fleet.py memory      resident memory of the driver over 20,000 cells of the tests' toy model
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import ray

from htbench.core.display import Display, ProgressBar
from htbench.run import runner
from htbench.run.plan import RunOptions, build
from htbench.run.store import Store

FIT = {"methods": ["linear-act", "mean-shift"], "limit": 40, "prompts": 1, "strengths": [0.0]}
CELLS = {
    "model": "toy",
    "methods": ["prompt", "mean-shift"],
    "limit": 50,
    "prompts": 8,
    "seeds": 5,
    "strengths": [0.0, 0.25, 0.5, 0.75, 1.0],
}


@dataclass(frozen=True, kw_only=True)
class Watch(Display):
    """Notes when each stage of a run begins."""

    began: dict[str, float] = field(default_factory=dict)

    def stage(self, what: str, total: int) -> ProgressBar:
        self.began[what.split(maxsplit=1)[0]] = time.perf_counter()
        return super().bars(what, total)


def fit(folder: Path) -> None:
    """Print the seconds from the first fit to the last with one worker and with two; the images that are made besides are a single batch."""
    _start()
    seconds = {}
    for workers in (1, 2):
        watch = Watch()
        runner.run(
            build(FIT),
            folder / str(workers),
            RunOptions(workers=workers, ray="auto", threads=1, device="cpu"),
            display=watch,
        )
        seconds[workers] = watch.began["score"] - watch.began["learn"]
        print(f"{workers} workers: {seconds[workers]:.1f} s", flush=True)
    print(
        f"two take {seconds[2] / seconds[1]:.2f} of the time of one; load average {os.getloadavg()[0]:.1f}"
    )


def memory(folder: Path) -> None:
    """Print resident megabytes of this process at each tenth of the images."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from kit import toy_plugin

    with pytest.MonkeyPatch.context() as patch:
        toy_plugin.install(folder / "plugins", patch)
        _start()
        done, samples = threading.Event(), []

        def sample() -> None:
            while not done.wait(0.5):
                there = folder / "run" / "images"
                samples.append((len(os.listdir(there)) if there.exists() else 0, _resident()))  # noqa: PTH208

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            began = time.perf_counter()
            runner.run(build(CELLS), folder / "run", RunOptions(workers=2, ray="auto", threads=1))
            took = time.perf_counter() - began
        finally:
            done.set()
            sampler.join()
    most = max(count for count, _ in samples)
    for tenth in range(1, 11):
        count, size = next(each for each in samples if each[0] >= most * tenth / 10)
        print(f"{count:>7,} files  {size:7.1f} MB")
    with Store.read(folder / "run") as store:
        print(
            f"{store.count():,} cells in {took:.0f} s; at the end, scores included, {samples[-1][1]:.1f} MB, at most {max(size for _, size in samples):.1f} MB"
        )


def _start() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=2 * 10**8,
    )


def _resident() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["fit", "memory"])
    chosen = parser.parse_args(sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        try:
            {"fit": fit, "memory": memory}[chosen.what](Path(folder))
        finally:
            ray.shutdown()


if __name__ == "__main__":
    main()
