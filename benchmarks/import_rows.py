"""Time per row and peak memory of an import, by the length of its table.

python benchmarks/import_rows.py 1000 10000 100000

All rows name two pictures of 8 x 8 pixels, so that the time is that of the rows. Prints a table in
Markdown: the first import, and a second one that finds everything there. Memory is the peak of a
process for each length. A first import of 1,000,000 rows took 70 MiB.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from htbench.importing import tables
from htbench.importing.importer import ImportSettings, import_rows
from htbench.importing.rows import RowReader

_METHODS, _CONCEPTS, _PROMPTS = 4, 50, 20


def write_table(path: Path, rows: int) -> None:
    """Write a table of so many rows, and its two pictures."""
    for name, colour in (("steered", "red"), ("plain", "blue")):
        Image.new("RGB", (8, 8), colour).save(path.parent / f"{name}.png")
    with path.open("w", encoding="utf-8") as file:
        file.write("file,method,concept,prompt,seed,unsteered\n")
        for k in range(rows):
            rest, method = divmod(k, _METHODS)
            rest, concept = divmod(rest, _CONCEPTS)
            seed, prompt = divmod(rest, _PROMPTS)
            file.write(f"steered.png,m{method},c{concept},prompt {prompt},{seed},plain.png\n")


def measure(rows: int) -> None:
    """Print the row of the table for one length."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        table = folder / "pictures.csv"
        write_table(table, rows)
        settings = ImportSettings(root=folder, source=str(table))
        seconds = []
        for _ in range(2):
            began = time.perf_counter()
            import_rows(
                tables.read(table, RowReader(root=folder, fixed={})), folder / "run", settings
            )
            seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    first, second = (f"{each / rows * 1e6:,.0f}" for each in seconds)
    print(f"| {rows:,} | {first} | {second} | {peak:,.0f} |", flush=True)


def main() -> None:
    """Measure each length of the command line in a process of its own."""
    if sys.argv[1:2] == ["--one"]:
        measure(int(sys.argv[2]))
        return
    print("| rows | µs per row | µs per row, again | peak MiB |\n|--:|--:|--:|--:|", flush=True)
    for rows in sys.argv[1:] or ["1000", "10000"]:
        subprocess.run([sys.executable, __file__, "--one", rows], check=True)


if __name__ == "__main__":
    main()
