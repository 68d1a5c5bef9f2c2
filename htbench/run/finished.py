"""The test whether a run has anything left to do, without its model, torch, or rows in memory."""

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from htbench.core import content, registry
from htbench.core.errors import HtbenchError
from htbench.core.types import Digest
from htbench.run.fact_table import Facts
from htbench.run.plan import ResolvedPlan, RunOptions, grid_digest, map_file
from htbench.run.store import Store
from htbench.scorers.metric_table import METRIC_TABLE

_PACKAGE = "htbench"


def is_finished(plan: ResolvedPlan, folder: Path, options: RunOptions) -> bool:
    """True if a run of `plan` in `folder` would change nothing.

    False also where only a run can tell: where weights, plug-ins or scorers that are not part of
    this version of htbench might be others now, and where a run has runs of its own.
    """
    if not _is_shipped(plan):
        return False
    try:
        with Store.read(folder) as store:
            facts = Facts.read(store)
            return (
                _is_same(plan, facts, options)
                and _has_interventions(plan, facts, folder)
                and not store.pending_count()
                and all(not store.unscored_count(id_, n) for id_, n in _scorers(facts).items())
                and store.has_all_image_files()
            )
    except HtbenchError:
        return False  # the run itself says what is wrong


def _is_shipped(plan: ResolvedPlan) -> bool:
    """True if the version of htbench tells what the plan's model, methods and scorers are."""
    settings = plan.settings
    names: list[tuple[registry.Group, str]] = [
        ("models", settings.model),
        *(("methods", card.method) for card in plan.cards.values()),
        *(
            ("encoders" if name in registry.plugins("encoders") else "scorers", name)
            for name in settings.scorers
        ),
    ]
    shipped = content.folder("baselines")
    return (
        not settings.weights
        and not settings.model_options
        and not settings.tune_strength
        and settings.fit_seeds == 1
        and all(
            not card.artifacts or path.resolve().is_relative_to(shipped.resolve())
            for card in plan.cards.values()
            for path in map(Path, card.artifacts.values())
        )
        and all(_is_own(group, name) for group, name in names)
    )


def _is_own(group: registry.Group, name: str) -> bool:
    entry = registry.plugins(group).get(name)
    return bool(entry and entry.dist and entry.dist.name == _PACKAGE)


def _is_same(plan: ResolvedPlan, facts: Facts, options: RunOptions) -> bool:
    """True if the stored run is one of this plan, made by this version of htbench."""
    digests = {name: Digest(method.digest) for name, method in facts.methods.items()}
    concepts = {concept.id: concept.digest for concept in plan.concepts}
    return (
        facts.environment.stored.get(_PACKAGE) == version(_PACKAGE)
        and facts.plan.stored == plan.settings.model_dump(mode="json")
        and {name: card.digest for name, card in plan.cards.items()}
        == {name: method.card for name, method in facts.methods.items()}
        and concepts == {name: concept.digest for name, concept in facts.concepts.items()}
        and facts.concept_set.version == str(plan.concept_set.version)
        and facts.grid == grid_digest(plan, model=Digest(facts.model.revision), methods=digests)
        and (options.allow_leak or not any(method.leaked for method in facts.methods.values()))
    )


def _has_interventions(plan: ResolvedPlan, facts: Facts, folder: Path) -> bool:
    """True if the intervention of every method for every concept is in the folder."""
    files = {entry.name for entry in os.scandir(folder / "maps")}
    return all(
        map_file(Digest(method.digest), Digest(facts.model.revision), concept) in files
        for method in facts.methods.values()
        for concept in plan.concepts
    )


def _scorers(facts: Facts) -> Mapping[str, int]:
    """Numbers of scores that each cell has by a scorer."""
    return {
        **{encoder.id: len(METRIC_TABLE) for encoder in facts.scorers},
        **{scorer.id: 1 for scorer in facts.gauges},
    }
