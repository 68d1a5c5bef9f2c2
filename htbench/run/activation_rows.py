"""The scores of activations of a run: which there are to be, and what they follow from."""

from collections.abc import Iterator, Sequence
from itertools import islice

from htbench.core import content
from htbench.core.types import UNSTEERED
from htbench.run.fact_table import Facts
from htbench.run.plan import ResolvedPlan, image_seed
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.steering.concept import Concept

IMAGES = 16
"""Number of images that are steered for a concept, and of those in either half of its targets."""
MAX_CONCEPTS = 16
"""Largest number of concepts, of the run's first ones."""
ALL_SITES = "all"
"""Stands for the mean over sites in files."""
_Value = str | float | int | None
FILE_COLUMNS = (
    *("score", "best", "model", "method", "strength", "site", "value", "low", "high"),
    *("unsteered", "floor", "concepts", "clusters", "images", "reason"),
)
"""Columns of the scores of activations in files."""


def concepts(plan: ResolvedPlan) -> tuple[Concept, ...]:
    """The concepts whose activations are scored."""
    return plan.concepts[:MAX_CONCEPTS]


def images(
    plan: ResolvedPlan, concept: Concept | None, *, part: int
) -> tuple[list[str], list[int]]:
    """Prompts and seeds of the images of a part: 0 is steered, 1 and 2 are halves of the targets.

    They are of the set's evaluation prompts, also of those that the plan leaves out; prompts are
    repeated with other seeds where there are fewer than images. Parts differ in their seeds, and
    targets ask for the `concept`.
    """
    prompts = _prompts(plan)
    rounds = -(-IMAGES // len(prompts))
    chosen = [(prompts[k % len(prompts)], k // len(prompts)) for k in range(IMAGES)]
    seeds = [image_seed(prompt, part * rounds + number) for prompt, number in chosen]
    return [concept.target(prompt) if concept else prompt for prompt, _ in chosen], seeds


def digests(plan: ResolvedPlan, store: Store, facts: Facts) -> dict[str, str]:
    """Digests of all that the score of a method follows from, by method in the plan's order."""
    strength, chosen = Summary(store).full_strength, concepts(plan)
    families = [sorted(facts.families.get(each.id, ())) for each in chosen]
    parts = [
        *(facts.model.revision, strength, plan.settings.batch, _prompts(plan)),
        *([each.digest for each in chosen], families),
    ]
    return {
        method: content.digest([*parts, each.digest])
        for method, each in facts.methods.items()
        if method != UNSTEERED and strength
    }


def are_scored(plan: ResolvedPlan, store: Store, names: Sequence[str]) -> bool:
    """True if every method has its score, or no score for a reason, by these scorers."""
    facts = Facts.read(store)
    expected = set(digests(plan, store, facts).values())
    found = {each.name: {row.digest for row in each.rows} for each in facts.activation_scores}
    return all(found.get(name) == expected for name in names)


def file_rows(facts: Facts) -> Iterator[list[_Value]]:
    """Rows of the scores in files, one per score, method and site, that of all sites first."""
    for each in facts.activation_scores:
        for row in each.rows:
            about: list[_Value] = [each.name, each.best, each.model, row.method, row.strength]
            rest: list[_Value] = [row.concepts, row.clusters, each.images, row.reason]
            mean: list[_Value] = [row.value, row.low, row.high, row.unsteered, row.floor]
            yield [*about, ALL_SITES, *mean, *rest]
            for site, (value, unsteered, floor) in row.sites.items():
                yield [*about, site, value, None, None, unsteered, floor, *rest]


def _prompts(plan: ResolvedPlan) -> tuple[str, ...]:
    return tuple(islice(plan.concept_set.prompts, IMAGES))
