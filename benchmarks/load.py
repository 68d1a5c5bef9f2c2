"""Seconds and peak memory of commands on a run of 213,760 cells that is finished.

python benchmarks/load.py                 16 methods x 167 concepts x 10 prompts x 8 strengths
python benchmarks/load.py --keep FOLDER   the store is built there once and used again

`htbench run` has nothing left to do, and `htbench report` writes the page anew. The store is that
of a run on the embedded model, apart from its images and scores, which are planted.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

METHODS, CONCEPTS, PROMPTS = 16, 167, 10
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
FILES = 400
"""Number of image files, which stand for those of all cells."""
_CARD = """name = "method-{k}"
method = "prompt"
summary = "The concept's words after the prompt."
kind = "per-concept"
cost = "one run"
"""


def plan_file(folder: Path) -> Path:
    """Write the plan and its cards into `folder`."""
    cards = []
    for k in range(METHODS - 3):
        cards.append(folder / f"method-{k}.toml")
        cards[-1].write_text(_CARD.format(k=k), encoding="utf-8")
    methods = ["prompt", "hypertransport", *map(str, cards)]
    path = folder / "load.toml"
    path.write_text(
        f"methods = {methods!r}\nconcepts = 'test'\nprompts = {PROMPTS}\n"
        f"strengths = {list(STRENGTHS)!r}\n",
        encoding="utf-8",
    )
    return path


def build(folder: Path) -> None:
    """Build the store: everything is what a run does, but for the images and scores."""
    from io import BytesIO

    import numpy as np
    from PIL import Image

    from htbench.run import plan as plans
    from htbench.run import runner
    from htbench.run.context import RunContext
    from htbench.run.store import GeneratedImage
    from htbench.run.summary import METRICS

    random, fit = np.random.default_rng(0), runner.generate

    def generate(context: RunContext, failures: object) -> None:
        pictures = []
        for k in range(FILES):
            buffer = BytesIO()
            Image.fromarray(random.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(buffer, "PNG")
            pictures.append(GeneratedImage(key=f"planted-{k}", png=buffer.getvalue()))
        store = context.store
        store.add_images(pictures, seconds=0.1, batch=16)
        store.select("CREATE TEMP TABLE names (k INTEGER PRIMARY KEY, file TEXT)")
        for k, picture in enumerate(pictures):
            store.select("INSERT INTO names VALUES (?, ?)", k, picture.file)
        store.select(
            "UPDATE images SET seconds = 0.1, batch = 16,"
            f" file = (SELECT file FROM names WHERE k = abs(random()) % {FILES})"
        )
        fit(context, failures)  # type: ignore[arg-type]

    def score(context: RunContext) -> int:
        rows = context.store.select("SELECT id, strength FROM cells ORDER BY id")
        values = random.random((len(rows), len(METRICS)))
        for encoder in context.encoders:
            context.store.add_scores(
                (cell, metric, encoder.id, float(values[k, number] * (0.2 + strength)))
                for k, (cell, strength) in enumerate(rows)
                for number, metric in enumerate(METRICS)
            )
        return 0

    runner.generate, runner.score = generate, score  # type: ignore[assignment]
    runner.run(plans.build(plans.read(str(plan_file(folder)))), folder / "runs" / "load")


def measure(title: str, *command: str) -> None:
    """Print seconds and peak memory of a command."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "htbench", *command],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds, code = time.perf_counter() - began, os.waitstatus_to_exitcode(status)
    busy = usage.ru_utime + usage.ru_stime
    numbers = f"{seconds:6.2f} s, {busy:6.2f} s of processor, {usage.ru_maxrss / 1024:5.0f} MB"
    print(f"{title:<25} {numbers}, exit {code}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=Path, help="folder that the store is built in and kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "runs").exists():
            process = [sys.executable, __file__, "--build", str(folder)]
            subprocess.run(process, check=True)
        plan, runs = str(folder / "load.toml"), str(folder / "runs")
        run = ("run", plan, "--runs-dir", runs, "--name", "load")
        measure("report", "report", "load", "--runs-dir", runs)
        measure("run, nothing left", *run)
        measure("run, nothing left, again", *run)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--build"]:
        build(Path(sys.argv[2]))
    else:
        main()
