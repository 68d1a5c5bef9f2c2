"""CPU seconds that each kind of score takes, on the pictures of a run, by one thread.

python benchmarks/scorers.py                          a run that it makes, of about 1,900 pictures
python benchmarks/scorers.py --run runs/emoji-full    an existing run, which stays as it is
python benchmarks/scorers.py --profile pixels         the functions that one kind spends it in

The run is copied, its scores are removed, and `htbench score` makes them anew. Encoders are loaded
beforehand; the model, which scores of activations run, is loaded within their time.
"""

import argparse
import cProfile
import os
import pstats
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from htbench.core import registry
from htbench.run import embeddings
from htbench.run.add_scores import LoadedScorers, add_scores
from htbench.run.fact_table import Facts
from htbench.run.store import Store

PLAN = [
    "--method",
    "none",
    "--method",
    "prompt",
    "--method",
    "mean-shift",
    "--method",
    "hypertransport",
]
PLAN += ["--limit", "24", "--strength", "0,0.5,1", "--prompts", "8", "--seeds", "2"]
PIXELS = ["contrast", "clipping", "noise", "sharpness", "brightness", "saturation", "hue-shift"]


def kinds(headline: str) -> dict[str, list[str]]:
    """The scorers of each kind, which are named together, as a run would name them."""
    return {
        "encoder": [headline],
        "detector": ["emoji-detector"],
        "pixels": PIXELS,
        "objects and coverage": ["object-count", "shift-right", "shift-down", "coverage"],
        "encoder and sets": [headline, *registry.plugins("set_scorers")],
        "activation": [*registry.plugins("activation_scorers")],
    }


def unscored_copy(run: Path, folder: Path, names: Sequence[str]) -> None:
    """A copy of a run, with links to its pictures, without its scores by some scorers."""
    shutil.copytree(run, folder, copy_function=os.link)
    (folder / embeddings.FILE).unlink(missing_ok=True)
    for path in folder.glob("run.sqlite*"):
        path.unlink()
        shutil.copy2(run / path.name, path)
    with Store.open(folder) as store, store.writing() as (write, _):
        write.executemany(
            "DELETE FROM scores WHERE encoder LIKE ?", [(f"{name}@%",) for name in names]
        )
    with Store.open(folder) as store:
        store.set_facts(set_scores=[], activation_scores=[])


def measure(run: Path, names: Sequence[str], profile: cProfile.Profile | None) -> float:
    """CPU seconds of scoring all pictures of a run."""
    with tempfile.TemporaryDirectory(dir=run.parent) as place:
        copy = Path(place) / "run"
        unscored_copy(run, copy, names)
        with Store.read(run) as store:
            headline = Facts.read(store).scorer.name
        loaded = LoadedScorers.load(list(dict.fromkeys([*names, headline])), "cpu")
        began = time.process_time()
        if profile:
            profile.enable()
        add_scores(copy, names, device="cpu", loaded=loaded)
        if profile:
            profile.disable()
        return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path)
    parser.add_argument("--kind", action="append", help="unless given, every kind of score")
    parser.add_argument("--profile", metavar="KIND", help="profile this kind alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = options.run or Path("runs") / "scorers"
    if not options.run:
        command = [sys.executable, "-m", "htbench", "run", "--name", run.name, *PLAN]
        subprocess.run([*command, "--runs-dir", str(run.parent), "--json"], check=True)
    with Store.read(run) as store:
        headline = Facts.read(store).scorer.name
        query = "SELECT count(*), count(DISTINCT image) FROM cells JOIN images ON key = image"
        ((cells, pictures),) = store.select(f"{query} WHERE file IS NOT NULL")
    chosen = [options.profile] if options.profile else options.kind
    print(f"{run}: {cells:,} cells, {pictures:,} pictures\n")
    print("| scores | CPU seconds | per 1,000 pictures |\n|---|---|---|")
    for kind, names in kinds(headline).items():
        if chosen and kind not in chosen:
            continue
        profile = cProfile.Profile() if options.profile else None
        seconds = measure(run, names, profile)
        print(f"| {kind}: {', '.join(names)} | {seconds:.2f} | {1000 * seconds / pictures:.3f} |")
        if profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
