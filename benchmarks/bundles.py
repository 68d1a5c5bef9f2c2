"""Time to pack and to unpack a planted run, against reading and hashing the same bytes.

python benchmarks/bundles.py                          167 concepts x 6 methods x 5 strengths, one
                                                      prompt, images of 64 pixels
python benchmarks/bundles.py --prompts 16 --size 512  more and larger ones
"""

import argparse
import hashlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from report import plant

from htbench.bundles.pack import pack
from htbench.bundles.unpack import unpack
from htbench.run.store import Store


def main() -> None:
    """Print the times, their ratio to the floor, and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--concepts", type=int, default=167)
    parser.add_argument("--prompts", type=int, default=1)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        plant(folder / "run", concepts=options.concepts, prompts=options.prompts, size=options.size)
        bundle = folder / "run.zip"
        packing = seconds(lambda: pack(folder / "run", bundle))
        unpacking = seconds(lambda: unpack(bundle, folder / "unpacked"))
        floor = seconds(lambda: hash_file(bundle))
        with Store.read(folder / "run") as store:
            cells = store.count()
        print(f"{cells:,} cells, {bundle.stat().st_size / 1e6:,.0f} MB, hashed in {floor:.2f} s")
        for name, taken in (("pack", packing), ("unpack", unpacking)):
            print(f"{name}: {taken:.2f} s, {taken / floor:.0f} x, {cells / taken:,.0f} cells/s")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"peak memory with planting: {peak:,.0f} MB")


def seconds(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def hash_file(path: Path) -> str:
    """SHA-256 digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
