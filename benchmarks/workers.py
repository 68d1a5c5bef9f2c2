"""Speed-up by a second Ray worker, and memory of the driver over many cells; needs the extra `ray`.

python benchmarks/workers.py fit         fitting on the embedded model by one worker and by two, of
                                         one thread each
python benchmarks/workers.py memory      resident memory of the driver over 20,000 cells of the
                                         tests' toy model
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import ray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from kit import toy_plugin

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
class StageClock(Display):
    """A display that notes when each stage of a run begins, by the first word of its title."""

    began: dict[str, float] = field(default_factory=dict)

    def progress(self, title: str, total: int) -> ProgressBar:
        self.began[title.split(maxsplit=1)[0]] = time.perf_counter()
        return super().progress(title, total)


def fit(folder: Path) -> None:
    """Print the seconds from the first fit to the last, with one worker and with two.

    The run makes a single batch of images, which hardly counts.
    """
    _start_ray()
    seconds = {}
    for workers in (1, 2):
        clock = StageClock()
        options = RunOptions(workers=workers, ray="auto", threads=1, device="cpu", reuse=False)
        runner.run(build(FIT), folder / str(workers), options, display=clock)
        seconds[workers] = clock.began["score"] - clock.began["learn"]
        print(f"{workers} workers: {seconds[workers]:.1f} s", flush=True)
    share, load = seconds[2] / seconds[1], os.getloadavg()[0]
    print(f"two take {share:.2f} of the time of one; load average {load:.1f}")


def memory(folder: Path) -> None:
    """Print resident megabytes of this process at each tenth of the images."""
    with pytest.MonkeyPatch.context() as patch:
        toy_plugin.install(folder / "plugins", patch)
        _start_ray()
        with _sampling_memory(folder / "run" / "images") as samples:
            began = time.perf_counter()
            runner.run(
                build(CELLS),
                folder / "run",
                RunOptions(workers=2, ray="auto", threads=1, reuse=False),
            )
            seconds = time.perf_counter() - began
    most = max(files for files, _ in samples)
    for tenth in range(1, 11):
        files, size = next(sample for sample in samples if sample[0] >= most * tenth / 10)
        print(f"{files:>7,} files  {size:7.1f} MB")
    end, peak = samples[-1][1], max(size for _, size in samples)
    with Store.read(folder / "run") as store:
        cells = f"{store.count():,} cells in {seconds:.0f} s"
    print(f"{cells}; at the end, scores included, {end:.1f} MB, at most {peak:.1f} MB")


@contextmanager
def _sampling_memory(images: Path) -> Iterator[list[tuple[int, float]]]:
    """Number of files in `images` and resident megabytes of this process, twice a second."""
    stop = threading.Event()
    samples: list[tuple[int, float]] = []

    def sample() -> None:
        while not stop.wait(0.5):
            files = len(os.listdir(images)) if images.exists() else 0  # noqa: PTH208
            samples.append((files, _resident()))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield samples
    finally:
        stop.set()
        sampler.join()


def _start_ray() -> None:
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
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            {"fit": fit, "memory": memory}[args.what](Path(folder))
        finally:
            ray.shutdown()


if __name__ == "__main__":
    main()
