"""Runs a plan: learn, generate, score; what the store already has is not done again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from htbench.core import content
from htbench.core import device as devices
from htbench.core.display import Display
from htbench.core.errors import Refused, UsageError
from htbench.run import facts, other_scores, tune
from htbench.run import plan as plans
from htbench.run.context import FailureLimit, FitFailures, Resources, RunContext
from htbench.run.fit import TrainedMethods, train_methods
from htbench.run.generate import generate
from htbench.run.plan import Plan, RunOptions, cells, image_key
from htbench.run.score import score
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.run.workers import pool
from htbench.run.workers.messages import CheckWords, UnknownWords, WorkerSetup, run_one
from htbench.scorers import scorer
from htbench.steering.concept import Concept, ConceptSet


def run(
    plan: Plan, folder: Path, options: RunOptions | None = None, *, display: Display | None = None
) -> None:
    """Do what is left of `plan` in `folder`.

    Raises:
        HtbenchError: for whatever a user can mend; what was done until then is kept.
    """
    options, display = options or RunOptions(), display or Display()
    checked = plans.check(plan)
    pool.check(options)
    with (
        Store.open(folder) as store,
        display.showing(),
        _open_resources(plan, options, checked[0], store, display) as tools,
    ):
        learnt = train_methods(plan, tools, checked[0].splits["train"], maps=store.folder / "maps")
        _run_stages(plan, store, options, tools, checked, learnt)


@contextmanager
def _open_resources(
    plan: Plan, options: RunOptions, concept_set: ConceptSet, store: Store, display: Display
) -> Iterator[Resources]:
    """The crew that does a plan, and the gauges, which stay in this process."""
    stage = display.progress(f"load {plan.model}", 1)
    encoders = tuple(name for name in plan.scorers if not scorer.is_scorer_plugin(name))
    outfit = WorkerSetup(
        model=plan.model,
        load_options=plan.load_options(),
        encoders=encoders,
        training_concepts=concept_set.splits["train"],
    )
    with pool.open_pool(outfit, options, folder=store.folder / "maps", display=display) as crew:
        gauges = tuple(
            scorer.load(
                name, devices.choose(None if pool.uses_workers(options) else options.device)
            )
            for name in plan.scorers
            if scorer.is_scorer_plugin(name)
        )
        stage.advance()
        yield Resources(pool=crew, scorers=gauges, display=display)


def _run_stages(
    plan: Plan,
    store: Store,
    options: RunOptions,
    resources: Resources,
    selection: tuple[ConceptSet, tuple[Concept, ...]],
    trained: TrainedMethods,
) -> None:
    concept_set, concepts = selection
    job = RunContext(
        plan=plan,
        store=store,
        resources=resources,
        concepts=concepts,
        concept_set=concept_set,
        cards=trained.cards,
        steerings=trained.steerings,
    )
    texts = [*concept_set.prompts[: plan.prompts], *(concept.target("") for concept in concepts)]
    for word in cast(UnknownWords, run_one(resources.pool, CheckWords(texts=tuple(texts)))).words:
        resources.display.warn(f"{word!r} is not in the vocabulary of {job.model.name}")
    audits = facts.leakage_audits(job)
    for name, audit in audits.items():
        if audit.leaked and not options.allow_leak:
            raise Refused(
                f"{name} was trained on {len(audit.leaked)} of the chosen concepts, such as {audit.leaked[0]!r}",
                remedy="Choose held-out concepts, or give --allow-leak.",
            )
    tuned = (
        _tune(plan, store.folder / "tuning", options, resources, concepts, trained)
        if plan.tune_strength
        else {}
    )
    _plan_cells(job, tuned)
    store.set_facts(
        **facts.run_facts(job, audits),
        tuned={name: choice.facts() for name, choice in tuned.items()},
    )
    if lost := store.drop_missing_images():
        resources.display.warn(f"{lost} image files are gone and are made again")
    job = replace(job, failure_limit=FailureLimit(allowed=options.failures_allowed(store.count())))
    unlearnt: FitFailures = {
        (name, c.id): failure for name, failure in trained.failures.items() for c in concepts
    }
    generate(job, unlearnt)
    if score(job):
        generate(job, unlearnt)
        score(job)
    other_scores.score(job)


def _tune(
    plan: Plan,
    folder: Path,
    options: RunOptions,
    resources: Resources,
    concepts: Sequence[Concept],
    trained: TrainedMethods,
) -> dict[str, tune.TunedStrength]:
    """Strengths chosen by a run on dev concepts, which is kept in a folder of its own."""
    dev = tune.dev_plan(plan)
    checked = plans.check(dev)
    if both := {c.id for c in checked[1]} & {c.id for c in concepts}:
        raise UsageError(
            f"strengths would be chosen on {len(both)} concepts that are evaluated on, such as {min(both)!r}",
            remedy="Choose test concepts.",
        )
    with Store.open(folder) as store:
        _run_stages(dev, store, options, replace(resources, scorers=()), checked, trained)
        return tune.choose_strengths(Summary(store), floor=plan.tune_floor)


def _plan_cells(context: RunContext, tuned: dict[str, tune.TunedStrength]) -> None:
    """Plan the grid, unless it is planned already: a million cells take a minute to plan and none to find planned."""
    store, plan, model = context.store, context.plan, context.model.revision
    digests = {
        name: context.steerings[name].digest if name in context.steerings else card.digest
        for name, card in context.cards.items()
    }
    strengths = {name: choice.strength for name, choice in tuned.items()}
    prompts = context.concept_set.prompts[: plan.prompts]
    named = plan.model_copy(update={"methods": tuple(context.cards)})
    shape = named.model_dump(mode="json", include={"methods", "strengths", "seeds", "batch"})
    grid = content.digest(
        [shape, model, digests, strengths, prompts, [[c.id, c.digest] for c in context.concepts]]
    )
    known = store.facts()
    before = {name: fact.get("digest") for name, fact in known.get("concepts", {}).items()}
    store.drop_scores(c.id for c in context.concepts if before.get(c.id, c.digest) != c.digest)
    if known.get("grid") != grid:
        keyed = (
            (
                cell,
                image_key(cell, model=model, method_digest=digests[cell.method], batch=plan.batch),
            )
            for cell in cells(named, context.concepts, prompts, tuned=strengths)
        )
        store.plan_cells(
            (
                (cell.method, cell.concept.id, cell.prompt, cell.seed, cell.strength, key)
                for cell, key in keyed
            ),
            grid=grid,
        )
