"""Time to build a board of many bundles, against the seconds of processor that it may take.

python benchmarks/board.py                       200 bundles of 5,018 cells, of 4 models
python benchmarks/board.py --bundles 20          fewer
python benchmarks/board.py --keep FOLDER         make the bundles there once, and use them again

Every bundle is a planted run of 193 concepts x 6 methods x 5 strengths with pictures of 8 pixels.
They differ in model and time alone, so that one run is planted for all of them: the tables after
the pictures are written anew, and the manifest. The processor's seconds do not depend on what else
the machine does.
"""

import argparse
import hashlib
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

sys.path.insert(0, str(Path(__file__).parent))

from report import plant

from htbench.board import collection, site
from htbench.bundles.archive import MANIFEST
from htbench.bundles.pack import pack
from htbench.run.store import Store

MODELS = 4
FACTS, SESSIONS = "run/tables/facts.jsonl", "run/tables/sessions.jsonl"
START = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Print the times, where they go, and the size of the board."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bundles", type=int, default=200)
    parser.add_argument("--concepts", type=int, default=193)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        bundles = folder / f"{options.bundles}-of-{options.concepts}"
        if not bundles.is_dir():
            make(bundles, folder / "base", number=options.bundles, concepts=options.concepts)
        out = Path(temporary) / "site"
        reading = measure_reading()
        wall, processor = time.perf_counter(), time.process_time()
        built = site.build(bundles, out)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        print(f"{built.bundles} bundles, {built.files:,} files, {size / 1e6:,.0f} MB")
        print(f"built in {processor:.1f} s of one processor, {wall:.1f} s by the clock")
        print(f"of these {sum(reading):.1f} s of one processor to read the bundles")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"peak memory: {peak:,.0f} MB")


def measure_reading() -> list[float]:
    """The seconds of processor that bundles are read in, once they were: empty before."""
    read, seconds = collection.collect, list[float]()

    def collect(*words: Any, **options: Any) -> collection.Collection:
        began = time.process_time()
        found = read(*words, **options)
        seconds.append(time.process_time() - began)
        return found

    collection.collect = collect
    return seconds


def make(bundles: Path, base: Path, *, number: int, concepts: int) -> None:
    """Write the bundles of a planted run into the new folder `bundles`, whole or not at all."""
    shutil.rmtree(base, ignore_errors=True)
    plant(base / "run", concepts=concepts, prompts=1, size=8)
    with Store.open(base / "run") as store:
        store.start_session(command="htbench run", environment={})
        with store.writing():
            pass
        print(f"{store.count():,} cells per bundle")
    first = pack(base / "run", base / "first.zip").path
    for k in range(number):
        copy(first, base / "copies" / f"bundle-{k:03}.zip", k)
    (base / "copies").rename(bundles)


def copy(first: Path, path: Path, k: int) -> None:
    """Write a copy of a bundle with another model and time."""
    path.parent.mkdir(exist_ok=True)
    shutil.copyfile(first, path)
    ended = (START + timedelta(days=k)).isoformat(timespec="seconds")

    def change_model(row: list[object]) -> None:
        if row[0] == "model":
            row[1] = json.dumps({"name": f"planted-{k % MODELS}"})

    def change_time(row: list[object]) -> None:
        row[-2:] = [ended, ended]

    with ZipFile(path, "a") as archive:
        tail = [info for info in archive.filelist if not info.filename.startswith("images/")]
        data = {info.filename: archive.read(info) for info in tail}
        data[FACTS] = changed(data[FACTS], change_model)
        data[SESSIONS] = changed(data[SESSIONS], change_time)
        manifest = json.loads(data.pop(MANIFEST))
        manifest["files"] |= {name: hashlib.sha256(text).hexdigest() for name, text in data.items()}
        data[MANIFEST] = json.dumps(manifest).encode()
        archive.start_dir = min(info.header_offset for info in tail)
        for info in tail:
            archive.filelist.remove(info)
            del archive.NameToInfo[info.filename]
        for name, text in data.items():
            archive.writestr(ZipInfo(name), text)


def changed(table: bytes, change: Callable[[list[object]], None]) -> bytes:
    """The lines of a table whose rows were changed."""
    head, *lines = table.splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        change(row)
    return b"".join(line + b"\n" for line in (head, *(json.dumps(row).encode() for row in rows)))


if __name__ == "__main__":
    main()
