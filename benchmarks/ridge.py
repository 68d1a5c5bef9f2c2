"""The weight of the penalty on scales, chosen on dev concepts by one rule for every method.

python benchmarks/ridge.py lineas-l2                     four weights, eight dev concepts
python benchmarks/ridge.py hypertransport --set steps=1000

A run on dev concepts has the card with each weight at several strengths; the same command again
continues it. It prints concept gain, presence and image preservation at strength 1, and the gain
at equal image preservation.

The rule: the weight of the highest mean concept gain at an image preservation of 0.5, interpolated
between strengths. A weight that keeps more than that at every strength counts with its gain at the
largest one. Among equals it is the smallest.
"""

import argparse
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from htbench.run import runner
from htbench.run.plan import build
from htbench.run.store import Store
from htbench.run.summary import HEADLINE, Summary
from htbench.run.tune import PRESERVATION
from htbench.stats.tradeoff import matched_gain
from htbench.steering import baseline
from htbench.steering.baseline import Card

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
LEVEL = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Mean scores over dev concepts at each strength, which ascend."""

    strengths: tuple[float, ...]
    gain: np.ndarray
    presence: np.ndarray
    preservation: np.ndarray

    @property
    def gain_at_level(self) -> float:
        """The gain where `LEVEL` of the image is kept; at the largest strength if more is."""
        matched = matched_gain(self.gain, self.preservation, LEVEL)
        return float(self.gain[-1]) if matched is None else matched


def choose(curves: Mapping[float, Curve]) -> float:
    """The weight, among the keys of `curves`, that the rule of this file selects."""
    return max(sorted(curves), key=lambda weight: curves[weight].gain_at_level)


def curve(summary: Summary, method: str) -> Curve:
    """A method's scores at all strengths; those of `none` at 0."""

    def means(metric: str) -> np.ndarray:
        rows = [summary.means(method, strength, metric) for strength in STRENGTHS[1:]]
        unsteered = summary.means("none", 0.0, metric)
        return np.array([np.mean(list(row.values())) for row in (unsteered, *rows)])

    return Curve(
        strengths=STRENGTHS,
        gain=means(HEADLINE),
        presence=means("presence"),
        preservation=means(PRESERVATION),
    )


def write_card(card: Card, folder: Path) -> Path:
    """A file of `card`, from which a run can load it."""
    fields = card.model_dump(mode="json", include={"name", "method", "summary", "kind", "cost"})
    lists = card.model_dump(mode="json", include={"reads", "encoders"})
    lines = [f"{key} = {json.dumps(value)}" for key, value in {**fields, **lists}.items()]
    settings = [f"{key} = {json.dumps(value)}" for key, value in card.settings.items()]
    path = folder / f"{card.name}.toml"
    path.write_text("\n".join([*lines, "[settings]", *settings, ""]), encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("card", help="card of a method with a setting `ridge`")
    parser.add_argument("--weights", default="0,0.1,0.3,1", help="separated by commas")
    parser.add_argument("--set", action="append", default=[], help="another setting: steps=1000")
    parser.add_argument("--limit", type=int, default=8, help="dev concepts")
    parser.add_argument("--folder", type=Path, help="default: runs/ridge-CARD")
    arguments = parser.parse_args()
    weights = [float(weight) for weight in arguments.weights.split(",")]
    folder = arguments.folder or Path("runs") / f"ridge-{arguments.card}"
    folder.mkdir(parents=True, exist_ok=True)
    card = baseline.load_card(arguments.card).with_settings(tomllib.loads("\n".join(arguments.set)))
    cards = {
        weight: card.with_settings({"ridge": weight}).model_copy(
            update={"name": f"{card.name}-{weight:g}"}
        )
        for weight in weights
    }
    paths = [str(write_card(other, folder)) for other in cards.values()]
    plan = {"methods": paths, "concepts": "dev", "limit": arguments.limit, "strengths": STRENGTHS}
    runner.run(build(plan), folder / "run")
    with Store.read(folder / "run") as store:
        summary = Summary(store)
        curves = {weight: curve(summary, other.name) for weight, other in cards.items()}
    full = STRENGTHS.index(1.0)
    print(
        f"| weight | gain | presence | image kept | gain at {LEVEL:g} kept |\n|--:|--:|--:|--:|--:|"
    )
    for weight, line in curves.items():
        at_full = (line.gain[full], line.presence[full], line.preservation[full])
        cells = (f"{value:.3f}" for value in (*at_full, line.gain_at_level))
        print(f"| {weight:g} | {' | '.join(cells)} |")
    print(f"\nChosen: ridge = {choose(curves):g}")


if __name__ == "__main__":
    main()
