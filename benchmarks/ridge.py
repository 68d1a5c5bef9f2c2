"""The weight of the penalty on scales, chosen on dev concepts by one rule for every method.

python benchmarks/ridge.py lineas-l2                     four weights, eight dev concepts
python benchmarks/ridge.py hypertransport --set steps=1000

A run on dev concepts has the card with each weight at several strengths; the same command again
continues it. It prints concept gain, presence and image preservation at strength 1, and the gain
at equal image preservation with how much less it is than the highest.

The rule: the smallest weight whose gain is within one standard error of the highest. The gain is
the mean over concepts at an image preservation of 0.5, interpolated between strengths, or at the
largest strength if more is kept there. The standard error is that of the difference of the two, by
a bootstrap of concepts (the one-standard-error rule of Breiman et al., Classification and
Regression Trees, 1984).
"""

import argparse
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

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
class Curves:
    """Scores at each of `STRENGTHS`, which ascend, of each concept."""

    gain: Float[np.ndarray, "strengths concepts"]
    presence: Float[np.ndarray, "strengths concepts"]
    preservation: Float[np.ndarray, "strengths concepts"]

    def gain_at_level(self, concepts: Int[np.ndarray, " some"] | slice = slice(None)) -> float:
        """Mean gain of some concepts where `LEVEL` of the image is kept."""
        gain, kept = (part[:, concepts].mean(1) for part in (self.gain, self.preservation))
        matched = float(matched_gain(gain, kept, LEVEL))
        return float(gain[-1]) if math.isnan(matched) else matched


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A weight's gain at equal preservation, beside the highest."""

    gain: float
    shortfall: float
    """The highest gain minus this one, at least 0."""
    error: float
    """Standard error of the shortfall."""


def compare(curves: Mapping[float, Curves], *, resamples: int = 2000) -> dict[float, Candidate]:
    """The candidates by weight, from their curves on the same concepts in the same order."""
    gains = {weight: line.gain_at_level() for weight, line in curves.items()}
    best = max(gains, key=lambda weight: gains[weight])
    concepts = curves[best].gain.shape[1]
    draws = np.random.default_rng(0).integers(concepts, size=(resamples, concepts))
    resampled = {
        weight: np.array([line.gain_at_level(draw) for draw in draws])
        for weight, line in curves.items()
    }
    return {
        weight: Candidate(
            gain=gain,
            shortfall=gains[best] - gain,
            error=float((resampled[best] - resampled[weight]).std()),
        )
        for weight, gain in gains.items()
    }


def choose(candidates: Mapping[float, Candidate]) -> float:
    """The weight, among the keys, that the rule of this file selects."""
    return min(weight for weight, line in candidates.items() if line.shortfall <= line.error)


def read_curves(summary: Summary, method: str) -> Curves:
    """A method's scores at all strengths, which at 0 are those of `none`."""

    def table(metric: str) -> Float[np.ndarray, "strengths concepts"]:
        rows = [
            summary.means(*(("none", 0.0) if strength == 0 else (method, strength)), metric)
            for strength in STRENGTHS
        ]
        return np.array([[row[concept] for concept in sorted(rows[0])] for row in rows])

    return Curves(
        gain=table(HEADLINE), presence=table("presence"), preservation=table(PRESERVATION)
    )


def write_card(card: Card, folder: Path) -> Path:
    """A file of `card`, from which a run can load it."""
    names = {"name", "method", "summary", "kind", "cost", "reads", "encoders"}
    lines, settings = (
        [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
        for fields in (card.model_dump(mode="json", include=names), card.settings)
    )
    path = folder / f"{card.name}.toml"
    path.write_text("\n".join([*lines, "[settings]", *settings, ""]), encoding="utf-8")
    return path


def show(curves: Mapping[float, Curves], candidates: Mapping[float, Candidate]) -> None:
    """Print the table of Markdown, and the weight that the rule selects."""
    full = STRENGTHS.index(1.0)
    print(f"| ridge | gain | presence | kept | gain at {LEVEL:g} kept | less than the highest |")
    print("|--:|--:|--:|--:|--:|--:|")
    for weight, line in candidates.items():
        scores = curves[weight]
        means = [part[full].mean() for part in (scores.gain, scores.presence, scores.preservation)]
        cells = " | ".join(f"{value:.3f}" for value in (*means, line.gain))
        print(f"| {weight:g} | {cells} | {line.shortfall:.3f} ± {line.error:.3f} |")
    concepts = next(iter(curves.values())).gain.shape[1]
    print(f"\nMeans over {concepts} dev concepts; the first three at strength 1")
    print(f"Chosen: ridge = {choose(candidates):g}")


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
        curves = {weight: read_curves(summary, other.name) for weight, other in cards.items()}
    show(curves, compare(curves))


if __name__ == "__main__":
    main()
