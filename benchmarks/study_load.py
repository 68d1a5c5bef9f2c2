"""Time and peak memory of the import and the report of a study with many answers.

python benchmarks/study_load.py                    300,000 answers of 3,000 people
python benchmarks/study_load.py --answers 30000    fewer of them, of as many people per answer
python benchmarks/study_load.py --digest           also a digest of what report.json says, by which
                                                   two versions of htbench can be compared
"""

import argparse
import csv
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from htbench.study.answer import Item, Key

METHODS = ("none", "prompt", "mean-shift", "linear-act", "lineas", "hypertransport")
TRIALS = 100
"""Answers of each person: 90 votes, of which 4 are repeated, and 6 controls."""


def plant(folder: Path, *, answers: int) -> Path:
    """Write a key into `folder`, and the answers of people who like later methods better."""
    random = np.random.default_rng(0)
    people = answers // TRIALS
    key = _key(random, items=max(TRIALS, answers // 60))
    key.write(folder / "key.csv")
    votes = [item for item in key.values() if item.kind == "vote"]
    controls = [item for item in key.values() if item.kind != "vote"]
    path = folder / "answers.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("rater", "item", "choice", "rt_ms", "position", "time", "sheet"))
        for person in range(people):
            shown = [votes[k] for k in random.choice(len(votes), TRIALS - 10, replace=False)]
            shown += [key[f"{item.item}r"] for item in shown[:4]]
            shown += [controls[k] for k in random.integers(len(controls), size=6)]
            for position, item in enumerate(shown, start=1):
                time_ms = int(random.lognormal(7.8, 0.4))
                clock = f"2026-01-{person % 28 + 1:02}T{position // 60:02}:{position % 60:02}:00Z"
                choice = _choice(item, random)
                rows.writerow(
                    (f"worker-{person:06}", item.item, choice, time_ms, position, clock, 1)
                )
    return path


def _key(random: np.random.Generator, *, items: int) -> Key:
    key = Key()
    for k in range(items):
        one, two = random.choice(len(METHODS), 2, replace=False)
        place = {"concept": f"thing-{k % 167:03}", "prompt": f"a scene, number {k % 16}", "seed": k}
        left, right = METHODS[one], METHODS[two]
        key[f"i{k}"] = Item(item=f"i{k}", left=left, right=right, **place)
        key[f"i{k}r"] = Item(item=f"i{k}r", kind="repeat", left=right, right=left, **place)
    for k in range(40):
        expected, place = "left" if k % 2 else "right", {"concept": f"thing-{k:03}", "seed": k}
        key[f"c{k}"] = Item(
            item=f"c{k}", kind="check", expected=expected, left="none", right="prompt", **place
        )
    return key


def _choice(item: Item, random: np.random.Generator) -> str:
    if item.kind == "check":
        return item.expected
    if random.random() < 0.1:
        return "tie"
    skill = METHODS.index(item.left) - METHODS.index(item.right)
    return "left" if random.random() < 1 / (1 + np.exp(-0.4 * skill)) else "right"


def timed(*words: str) -> None:
    """Run a command of htbench and print its seconds and its peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "htbench", "study", *words])
    _, status, usage = os.wait4(process.pid, 0)
    seconds, memory = time.perf_counter() - start, usage.ru_maxrss / 1024
    processor = usage.ru_utime + usage.ru_stime
    print(
        f"study {words[0]:<8} {seconds:7.1f} s ({processor:.1f} s of a processor) "
        f"{memory:7.0f} MB  exit {os.waitstatus_to_exitcode(status)}",
        flush=True,
    )


def main() -> None:
    """Plant a study, import it and report it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=300_000)
    parser.add_argument("--digest", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, study = plant(Path(folder), answers=given.answers), Path(folder) / "study"
        key = str(path.with_name("key.csv"))
        timed("import", str(path), "--key", key, "--study", str(study))
        timed("report", "--study", str(study))
        if given.digest:
            print(hashlib.sha256((study / "report.json").read_bytes()).hexdigest()[:16])


if __name__ == "__main__":
    main()
