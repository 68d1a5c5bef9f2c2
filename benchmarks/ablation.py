"""Settings of HyperTransport's training, each changed alone: `python benchmarks/ablation.py`.

Every variant is trained for equally many steps on the train concepts, and measured on the dev
concepts at strength 1; no test concept has a part in it. The same command again continues. With
`--write docs/hypertransport.md` the table goes to its place in that page.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from results import difference, number, table, write
from ridge import write_card

from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.steering import baseline

VARIANTS: dict[str, dict[str, object]] = {
    "as-shipped": {},
    "interpolated": {"interpolate": 0.5},
    "noise-0.3": {"noise": 0.3},
    "rank-16": {"rank": 16},
}
"""Settings that differ from the shipped card's, by the name of the variant; the first has none."""
REFERENCES = ("predicted-means", "mean-shift")
"""A control without a hypernetwork, and a fit to each concept."""
METRICS = ("concept_gain", "presence", "image_preservation")


def write_cards(folder: Path, *, steps: int) -> list[Path]:
    """A card per variant, without trained weights, so that a run trains it."""
    card = baseline.load_card("hypertransport")
    return [
        write_card(
            card.with_settings({"steps": steps, **settings}).model_copy(update={"name": name}),
            folder,
        )
        for name, settings in VARIANTS.items()
    ]


def rows(summary: Summary) -> list[list[str]]:
    """Means of every method, and its gain less that of the first variant."""
    first = next(iter(VARIANTS))
    gains = {
        method: summary.means(method, summary.full_strength, "concept_gain")
        for method in (*VARIANTS, *REFERENCES)
    }

    def cells(method: str) -> list[str]:
        means = [summary.means(method, summary.full_strength, metric) for metric in METRICS]
        own = [number(sum(mean.values()) / len(mean)) for mean in means]
        gap = difference("concept_gain", gains[method], gains[first], summary.families)[2]
        return [f"`{method}`", _changed(VARIANTS.get(method, {})), *own, gap]

    return [cells(method) for method in gains]


def _changed(settings: Mapping[str, object]) -> str:
    return ", ".join(f"`{name} = {value}`" for name, value in settings.items())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=600, help="of each training")
    parser.add_argument("--workers", default="2")
    parser.add_argument("--folder", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table in this page")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    paths = write_cards(options.folder, steps=options.steps)
    methods = ["none", *REFERENCES, *map(str, paths)]
    command = [sys.executable, "-m", "htbench", "run", "--model", "emoji", "--concepts", "dev"]
    command += ["--strength", "0", "--strength", "1", "--workers", options.workers]
    command += [word for method in methods for word in ("--method", method)]
    subprocess.run([*command, "--runs-dir", str(options.folder), "--name", "run"], check=True)
    with Store.read(options.folder / "run") as store:
        own = rows(Summary(store))
    head = ["method", "changed", "concept gain", "presence", "image kept"]
    result = table([*head, "gain less that of the first"], own)
    if options.write:
        write(options.write, {"ablation": result})
    else:
        print(result)


if __name__ == "__main__":
    main()
