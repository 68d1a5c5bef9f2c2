"""Gated methods beside the same method without a gate: the gain, and the images left bit for bit.

python benchmarks/gates.py                 eight dev concepts, four prompts, strength 1
python benchmarks/gates.py --limit 16

A run on dev concepts makes images of neutral prompts; the same command again continues it. With
the maps that it fitted, images of other prompts are then made: evaluation nouns that ask for the
concept already, and evaluation nouns that ask for a concept of the test split instead, of which no
gate has seen the words. It prints the mean concept gain of neutral prompts, and the share of images
of either other kind of prompt that equal the unsteered ones bit for bit.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from htbench.run import runner
from htbench.run.plan import build
from htbench.run.store import Store
from htbench.run.summary import HEADLINE, Summary
from htbench.steering import concept as concept_sets
from htbench.steering import intervention
from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.intervention import Intervention
from htbench.steering.model import Model, Request

METHODS = ("mean-shift", "mean-shift-gated", "mean-shift-gated-tokens")
COUNT = 8
"""Other prompts of either kind per concept."""


def fitted(folder: Path) -> dict[tuple[str, str], Intervention]:
    """The interventions that a run has kept, by method and id of the concept."""
    paths = sorted((folder / "maps").glob("*.safetensors"))
    origins = {path: intervention.read_origin(path) for path in paths}
    return {
        (origin.method, origin.concept): intervention.load(path)
        for path, origin in origins.items()
        if origin
    }


def other_prompts(concept: Concept, concepts: ConceptSet) -> tuple[list[str], list[str]]:
    """Prompts that ask for the concept, and prompts that ask for others of the test split."""
    rng = random.Random(concept.id)
    nouns = rng.sample(concepts.prompts, COUNT)
    others = [
        each for each in concepts.splits["test"] if not {*each.families} & {*concept.families}
    ]
    asked = rng.sample(others, COUNT)
    return [concept.target(noun) for noun in nouns], [
        other.target(noun) for other, noun in zip(asked, nouns, strict=True)
    ]


def count_unchanged(model: Model, prompts: Sequence[str], change: Intervention) -> int:
    """The number of prompts whose steered image has the bits of the unsteered one."""
    plain, steered = (
        model.generate(
            [
                Request(prompt=prompt, seed=seed, intervention=each, strength=strength)
                for seed, prompt in enumerate(prompts)
            ]
        )
        for each, strength in ((Intervention(), 0.0), (change, 1.0))
    )
    return sum(a.tobytes() == b.tobytes() for a, b in zip(plain, steered, strict=True))


def main() -> None:
    """Make the run and the other images, and print a table of Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, default=8, help="Number of dev concepts.")
    parser.add_argument("--prompts", type=int, default=4, help="Neutral prompts per concept.")
    parser.add_argument("--method", action="append", help="Method; repeatable. Default: all three.")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/gates"), help="Folder of the run."
    )
    options = parser.parse_args()
    methods = options.method or METHODS
    plan = build(
        {
            "model": "emoji",
            "methods": ["none", *methods],
            "concepts": "dev",
            "limit": options.limit,
            "prompts": options.prompts,
            "strengths": [0.0, 1.0],
        }
    )
    runner.run(plan, options.folder)
    with Store.read(options.folder) as store:
        summary = Summary(store)
        gains = {method: summary.means(method, 1.0, HEADLINE) for method in methods}

    from htbench.models.emoji.model import load

    model, concepts, changes = load("cpu"), concept_sets.load("emoji"), fitted(options.folder)
    print("| method | concept gain | asks for the concept | asks for another |")
    print("|---|--:|--:|--:|")
    for method in methods:
        unchanged = [0, 0]
        for concept in map(concepts.select, gains[method]):
            for kind, prompts in enumerate(other_prompts(concept[0], concepts)):
                unchanged[kind] += count_unchanged(model, prompts, changes[method, concept[0].id])
        gain = sum(gains[method].values()) / len(gains[method])
        shares = [count / COUNT / len(gains[method]) for count in unchanged]
        print(f"| `{method}` | {gain:.3f} | {shares[0]:.0%} | {shares[1]:.0%} |")


if __name__ == "__main__":
    main()
