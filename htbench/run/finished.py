"""The test whether a run has anything left to do, without its model, torch, or rows in memory."""

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from htbench.core import content, registry
from htbench.core.errors import HtbenchError
from htbench.core.types import Digest
from htbench.run import activation_rows, cell_sets, fit_seeds, tune, wording_runs
from htbench.run.fact_table import Facts
from htbench.run.frozen import Frozen
from htbench.run.plan import ResolvedPlan, RunOptions, grid_digest, map_file
from htbench.run.store import Store
from htbench.scorers import scorer as scorers
from htbench.scorers.metric_table import METRIC_TABLE
from htbench.steering.baseline import Card
from htbench.steering.training import method_digest, steering_key

_PACKAGE = "htbench"


def is_finished(
    plan: ResolvedPlan, folder: Path, options: RunOptions, *, against: str = ""
) -> bool:
    """True if a run of `plan` in `folder` would change nothing.

    `against` is the digest of the bundle whose cells are there already; empty: none.

    False also where only a run can tell: where weights or plug-ins that are not part of this
    version of htbench, or code that is not beside its card, might be others now.
    """
    try:
        return (
            _can_be_told(plan)
            and _has_scorer_cards(plan, folder)
            and _has_set_scores(plan, folder)
            and _has_activation_scores(plan, folder)
            and _is_against(folder, against)
            and all(_is_done(part, place, options) for part, place in _parts(plan, folder))
        )
    except (HtbenchError, OSError):
        return False  # the run itself says what is wrong


def _is_against(folder: Path, sha256: str) -> bool:
    """True if the cells that are taken from a bundle are those of the bundle of this digest."""
    with Store.read(folder) as store:
        return Facts.read(store).against.sha256 == sha256


def _can_be_told(plan: ResolvedPlan) -> bool:
    """True if the version of htbench and digests of files tell what the plan names."""
    settings = plan.settings
    installed: list[tuple[registry.Group, str]] = [
        ("models", settings.model),
        *(("methods", card.method) for card in plan.cards.values() if not card.code_file),
        *(
            (scorers.plugin_group(name), name)
            for name in settings.scorers
            if not name.endswith(".toml")
        ),
    ]
    return (
        not settings.weights
        and not settings.model_options
        and all(_is_own(group, name) for group, name in installed)
    )


def _is_own(group: registry.Group, name: str) -> bool:
    entry = registry.plugins(group).get(name)
    return bool(entry and entry.dist and entry.dist.name == _PACKAGE)


def _parts(plan: ResolvedPlan, folder: Path) -> Iterator[tuple[ResolvedPlan, Path]]:
    """The plan with its folder, then those of its run on dev concepts, of further fit seeds and of
    further wordings.
    """
    settings = plan.settings
    yield plan, folder
    if settings.needs_dev_run:
        yield plan.with_settings(tune.dev_plan(settings)), folder / "tuning"
    for number in range(1, settings.fit_seeds) if plan.refitted else ():
        again = plan.at_fit_seed(number)
        yield again, fit_seeds.folder(folder, again.settings.seed)
    for part in plan.wordings:
        yield part, wording_runs.folder(folder, part.wording)


def _is_done(plan: ResolvedPlan, folder: Path, options: RunOptions) -> bool:
    """True if the run in `folder` is one of `plan` and lacks nothing."""
    with Store.read(folder) as store:
        facts = Facts.read(store)
        taken = facts.against.methods
        return (
            _is_same(plan, facts, options)
            and _has_interventions(plan, facts, folder)
            and not store.pending_count(without=taken)
            and all(
                not store.unscored_count(id_, n, without=taken)
                for id_, n in _scorers(facts).items()
            )
            and store.has_all_image_files()
        )


def _is_same(plan: ResolvedPlan, facts: Facts, options: RunOptions) -> bool:
    """True if the stored run is one of this plan, made by this version of htbench."""
    concepts = {concept.id: concept.digest for concept in plan.concepts}
    taken = Frozen(facts=facts)
    own = {name: each for name, each in facts.methods.items() if name not in taken.methods}
    digests = {
        name: _method_digest(plan, card, Digest(facts.model.revision))
        for name, card in plan.cards.items()
        if name not in taken.methods
    }
    tuned = {
        name: choice.strength for name, choice in facts.tuned.items() if name not in taken.methods
    }
    scaled = {
        name: scale.strengths
        for name, scale in facts.strength_scales.items()
        if name not in taken.methods
    }
    return (
        facts.environment.stored.get(_PACKAGE) == version(_PACKAGE)
        and facts.plan.stored == taken.plan(plan.settings.model_dump(mode="json"))
        and digests == {name: method.digest for name, method in own.items()}
        and concepts == {name: concept.digest for name, concept in facts.concepts.items()}
        and facts.concept_set.version == str(plan.concept_set.version)
        and facts.grid
        == taken.grid(
            grid_digest(
                plan,
                model=Digest(facts.model.revision),
                methods=digests,
                tuned=tuned,
                scaled=scaled,
            )
        )
        and (options.allow_leak or not any(method.leaked for method in own.values()))
    )


def _method_digest(plan: ResolvedPlan, card: Card, model: Digest) -> Digest:
    """Digest of a method that was trained as its card says now."""
    concepts, seed = plan.concept_set.splits["train"], plan.settings.seed
    file = card.artifact(plan.settings.model)
    weights = content.file_digest(file) if file else steering_key(card, model, concepts, seed=seed)
    return method_digest(card, weights, seed=seed)


def _has_scorer_cards(plan: ResolvedPlan, folder: Path) -> bool:
    """True if the run scored by the scorers whose cards the plan names, as their files are now."""
    paths = (Path(name) for name in plan.settings.scorers if name.endswith(".toml"))
    cards = {(card.name, card.digest) for card in map(scorers.read, paths)}
    with Store.read(folder) as store:
        return cards <= {(gauge.name, gauge.digest) for gauge in Facts.read(store).gauges}


def _has_set_scores(plan: ResolvedPlan, folder: Path) -> bool:
    """True if the sets of the run's present pictures were scored by the plan's scorers of sets."""
    names = [name for name in plan.settings.scorers if scorers.is_set_scorer(name)]
    with Store.read(folder) as store:
        return not names or cell_sets.are_scored(store, Facts.read(store), names)


def _has_activation_scores(plan: ResolvedPlan, folder: Path) -> bool:
    """True if the present interventions were scored by the plan's scorers of activations."""
    names = [name for name in plan.settings.scorers if scorers.is_activation_scorer(name)]
    with Store.read(folder) as store:
        return not names or activation_rows.are_scored(plan, store, names)


def _has_interventions(plan: ResolvedPlan, facts: Facts, folder: Path) -> bool:
    """True if the intervention of every method for every concept is in the folder."""
    files = {entry.name for entry in os.scandir(folder / "maps")}
    return all(
        map_file(Digest(method.digest), Digest(facts.model.revision), concept) in files
        for name, method in facts.methods.items()
        if name not in facts.against.methods
        for concept in plan.said
    )


def _scorers(facts: Facts) -> Mapping[str, int]:
    """Numbers of scores that each cell has by a scorer."""
    return {
        **{encoder.id: len(METRIC_TABLE) for encoder in facts.scorers},
        **{scorer.id: 1 for scorer in facts.gauges},
    }
