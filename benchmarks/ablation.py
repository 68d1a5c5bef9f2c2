"""A method's settings, each changed alone: `python benchmarks/ablation.py hypertransport`.

Variants are trained on the train concepts, each for equally many steps, or fitted to each concept,
and measured on dev concepts at strength 1; no test concept has a part in it. The same command again
continues. With `--write docs/results.md` the table goes to its place in that page.
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

Settings = Mapping[str, object]
SHIPPED = "as-shipped"
VARIANTS: dict[str, dict[str, Settings]] = {
    "hypertransport": {
        "noisier": {"noise": 0.3},
        "narrower": {"rank": 16},
    },
    "lineas-l2": {
        "longer": {"steps": 120},
        "faster": {"rate": 0.1},
        "slower": {"rate": 0.025},
        "broader": {"samples": 64, "batch": 32},
    },
}
"""Settings that differ from those of a shipped card, by the name of the variant."""
COMMON: dict[str, Settings] = {"hypertransport": {"steps": 600}}
"""Settings of all variants: a training of all 4,000 steps would take an hour each."""
METRICS = ("concept_gain", "presence", "image_preservation")


def write_cards(name: str, folder: Path) -> list[Path]:
    """A card per variant, without trained weights, so that a run trains it."""
    card, common = baseline.load_card(name), COMMON.get(name, {})
    return [
        write_card(
            card.with_settings({**common, **settings}).model_copy(update={"name": variant}), folder
        )
        for variant, settings in {SHIPPED: {}, **VARIANTS[name]}.items()
    ]


def rows(summary: Summary, variants: Mapping[str, Settings]) -> list[list[str]]:
    """Means of every variant, and its gain less that of the first."""
    at = summary.full_strength
    first = summary.means(SHIPPED, at, "concept_gain")

    def cells(variant: str) -> list[str]:
        means = {metric: summary.means(variant, at, metric) for metric in METRICS}
        own = [number(sum(each.values()) / len(each)) for each in means.values()]
        gap = difference("concept_gain", means["concept_gain"], first, summary.families)[2]
        return [_changed(variants[variant]), *own, gap if variant != SHIPPED else ""]

    return [cells(variant) for variant in variants]


def _changed(settings: Settings) -> str:
    return ", ".join(f"`{name} = {value}`" for name, value in settings.items()) or "nothing"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("card", choices=VARIANTS)
    parser.add_argument("--limit", type=int, default=60, help="dev concepts")
    parser.add_argument("--workers", default="2")
    parser.add_argument("--folder", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table in this page")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    paths = write_cards(options.card, options.folder)
    command = [sys.executable, "-m", "htbench", "run", "--model", "emoji", "--concepts", "dev"]
    command += ["--limit", str(options.limit), "--strength", "0", "--strength", "1"]
    command += [word for method in ("none", *map(str, paths)) for word in ("--method", method)]
    command += ["--workers", options.workers, "--runs-dir", str(options.folder)]
    subprocess.run([*command, "--name", options.card], check=True)
    with Store.read(options.folder / options.card) as store:
        own = rows(Summary(store), {SHIPPED: {}, **VARIANTS[options.card]})
    head = ["changed", "concept gain", "presence", "image kept", "gain less that of the first"]
    result = table(head, own)
    if options.write:
        write(options.write, {f"ablation of {options.card}": result})
    else:
        print(result)


if __name__ == "__main__":
    main()
