"""Every aim on a GPU, as measured against the aim, within ten minutes.

python benchmarks/gpu.py                         the paper's models at 1024 px, on the GPU
python benchmarks/gpu.py --tiny --device cpu     a rehearsal on tiny models: figures mean nothing
python benchmarks/gpu.py --part images           one part; repeat for several

Prints a line per figure and appends it to --out as JSON, both at once. Parts share a process, so
that a model is loaded once; a part that takes longer than its limit is ended, and the next ones go
on in a new process. Weights are random, on which times and memory do not depend.
"""

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from gpu_parts import PARTS, Bench, names_of

from htbench.core import device
from htbench.core.errors import HtbenchError

_MARK = "@figure "
"""Beginning of the lines by which a process tells another its figures."""
_STARTING = 60.0
"""Seconds that a new process may take to import and to load a model, beside its first part."""


def run_parts(names: Sequence[str], *, on: str, tiny: bool) -> None:
    """Measure parts in this process, and tell of each figure."""
    bench = Bench(device=on, tiny=tiny)
    for name in names:
        began = time.monotonic()
        try:
            for figure in PARTS[name].measure(bench):
                _tell(part=name, **figure.record(rehearsed=tiny))
        except Exception as error:  # the next parts do not depend on this one
            _tell(part=name, failed=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        _tell(end=name, seconds=round(time.monotonic() - began, 1))


def _tell(**record: object) -> None:
    print(f"{_MARK}{json.dumps(record)}", flush=True)


class Results:
    """The figures so far: printed, and appended to a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.missed, self.failed = path, 0, 0

    def add(self, record: dict[str, object]) -> None:
        """Print and keep what a part told."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if "end" in record:
            return
        if "failed" in record:
            self.failed += 1
            print(f"{record['part']:<14} FAILED: {record['failed']}", flush=True)
            return
        self.missed += record["met"] == "MISSED"
        columns = f"{record['part']:<14} {record['figure']:<68} {record['measured']:>10}"
        print(f"{columns}  {record['aim']:<27} {record['met']}", flush=True)


def supervise(names: Sequence[str], results: Results, *, end: float, options: list[str]) -> None:
    """Measure parts in processes of their own, each part within its limit, until `end`."""
    waiting = list(names)
    while waiting and time.monotonic() < end:
        sharing = list(takewhile(lambda name: not PARTS[name].alone, waiting))
        group = sharing or waiting[:1]
        done = _in_one_process(group, results, end=end, options=options)
        waiting = [name for name in waiting if name not in done]
    for name in waiting:
        results.add({"part": name, "failed": "not reached in time"})


def _in_one_process(
    group: Sequence[str], results: Results, *, end: float, options: list[str]
) -> list[str]:
    """Measure parts in one process; the parts that are done, or were given up with the process."""
    words = [sys.executable, __file__, "--child", ",".join(group), *options]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=[child, lines], daemon=True).start()
    part, done = group[0], list[str]()
    until = min(end, time.monotonic() + _STARTING + PARTS[part].seconds)
    try:
        while len(done) < len(group):
            try:
                line = lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                limit = "the time for all parts" if until >= end else f"{PARTS[part].seconds:g} s"
                results.add({"part": part, "failed": f"ended, since it took longer than {limit}"})
                return [*done, part]
            if line is None:
                results.add({"part": part, "failed": "its process ended"})
                return [*done, part]
            record = json.loads(line)
            results.add(record)
            if "end" in record:
                done.append(record["end"])
                part = group[min(len(done), len(group) - 1)]
                until = min(end, time.monotonic() + PARTS[part].seconds)
        return done
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _read(child: "subprocess.Popen[str]", lines: "queue.Queue[str | None]") -> None:
    assert child.stdout
    for line in child.stdout:
        if line.startswith(_MARK):
            lines.put(line.removeprefix(_MARK))
    lines.put(None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny models; figures mean nothing")
    parser.add_argument("--part", action="append", choices=list(PARTS))
    parser.add_argument("--minutes", type=float, default=10.0, help="for everything")
    parser.add_argument("--out", type=Path, default=Path("gpu-results.jsonl"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        run_parts(args.child.split(","), on=args.device, tiny=args.tiny)
        return
    try:
        device.choose(args.device)
    except HtbenchError as error:
        sys.exit(f"{error}; to rehearse: --tiny --device cpu")
    began = time.monotonic()
    options = ["--device", args.device, *(["--tiny"] if args.tiny else [])]
    results = Results(args.out)
    supervise(names_of(args.part or ()), results, end=began + 60 * args.minutes, options=options)
    spent = time.monotonic() - began
    print(f"{results.missed} missed, {results.failed} failed, {spent:.0f} s; {args.out}")
    sys.exit(1 if results.missed or results.failed else 0)


if __name__ == "__main__":
    main()
