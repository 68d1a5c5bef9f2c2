"""Carries out a plan: train, fit, generate, score; finished work in the store is not repeated."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, product
from pathlib import Path

from htbench.core import device as devices
from htbench.core.display import Display
from htbench.core.errors import Refused, UsageError
from htbench.run import (
    activation_scores,
    facts,
    fit_seeds,
    frozen,
    other_scores,
    reuse,
    sessions,
    set_scores,
    tune,
    wording_runs,
)
from htbench.run import plan as plans
from htbench.run.context import FailureLimit, FitFailures, RunContext
from htbench.run.fact_table import Facts
from htbench.run.fit import train_methods
from htbench.run.frozen import Frozen
from htbench.run.generate import generate
from htbench.run.plan import Plan, ResolvedPlan, RunOptions, cells, grid_digest, image_key
from htbench.run.score import score
from htbench.run.store import Failure, Store
from htbench.run.summary import Summary
from htbench.run.tune import DevChoices
from htbench.run.workers import pool
from htbench.run.workers.messages import CheckWords, UnknownWords, WorkerSetup, run_one
from htbench.scorers import scorer
from htbench.scorers.activation_scorer import load_activation_scorer
from htbench.scorers.scorer import Scorer
from htbench.scorers.set_scorer import load_set_scorer
from htbench.steering.leakage import LeakageAudit
from htbench.steering.model import UNKNOWN_WORDS_REMEDY, describe_unknown_words
from htbench.steering.text_limits import Question
from htbench.steering.wording import CANONICAL, MEANING


def run(
    plan: Plan, folder: Path, options: RunOptions | None = None, *, display: Display | None = None
) -> None:
    """Check `plan` and do what is left of it in `folder`.

    Raises:
        HtbenchError: for whatever a user can mend; what was done until then is kept.
    """
    run_resolved(plans.resolve(plan), folder, options, display=display)


def run_resolved(
    plan: ResolvedPlan,
    folder: Path,
    options: RunOptions | None = None,
    *,
    display: Display | None = None,
    command: str | None = None,
    against: str = "",
) -> None:
    """`run` of a plan that is checked already.

    `command` is kept as the command line that made the run; None: that of this process. `against`
    is the SHA-256 digest of the bundle whose cells are in the folder already; empty: none.

    Raises:
        UsageError: if the folder has cells of another bundle.
        Refused: if the bundle's model or scorers are not those that are here.
    """
    options, display = options or RunOptions(), display or Display()
    pool.check(options)
    with Store.open(folder) as store:
        frozen.check_bundle(store, against)
        with display.showing(), _open_context(plan, options, store, display) as opened:
            frozen.check_parts(
                store,
                model=opened.model.name,
                revision=opened.model.revision,
                encoders=[encoder.id for encoder in opened.encoders],
                scorers={scorer.scorer_id(each): each.card.digest for each in opened.scorers},
            )
            untrained = replace(opened, command=command or sessions.command_line())
            _check_words(untrained, options)
            if plan.task.parts and plan.left_out:
                display.warn(
                    f"{len(plan.left_out)} of the chosen concepts have no partner in the task and "
                    f"are left out, such as {plan.left_out[0].id!r}"
                )
            if not options.allow_leak:
                _refuse_training_on_chosen(untrained)
            if options.reuse:
                reuse.take_trainings(untrained)
            trained = train_methods(untrained)
            context = replace(untrained, steerings=trained.steerings)
            choices = _run_stages(context, options, trained.failures)
            _run_wordings(context, options, trained.failures, choices)
            _run_further_fit_seeds(context, options, choices)


@contextmanager
def _open_context(
    plan: ResolvedPlan, options: RunOptions, store: Store, display: Display
) -> Iterator[RunContext]:
    """A context with workers that are ready, and the scorers that stay in this process."""
    settings = plan.settings
    stage = display.progress(f"load {settings.model}", 1)
    setup = WorkerSetup(
        model=settings.model,
        load_options=settings.load_options(),
        encoders=tuple(name for name in settings.scorers if scorer.is_encoder(name)),
        scores_by_both=settings.is_perceptual,
        training_concepts=plan.concept_set.splits["train"],
    )
    maps = store.folder / "maps"
    with pool.open_pool(setup, options, folder=maps, display=display) as workers:
        scorers = _load_scorers(plan, options, detector=workers.info.detector)
        stage.advance()
        yield RunContext(
            plan=plan,
            store=store,
            pool=workers,
            display=display,
            runs=store.folder.absolute().parent,
            scorers=scorers,
            set_scorers=tuple(
                load_set_scorer(name) for name in settings.scorers if scorer.is_set_scorer(name)
            ),
            activation_scorers=tuple(
                load_activation_scorer(name)
                for name in settings.scorers
                if scorer.is_activation_scorer(name)
            ),
            fit_together=options.fit_together,
        )


def _load_scorers(plan: ResolvedPlan, options: RunOptions, *, detector: str) -> tuple[Scorer, ...]:
    """The plan's scorers that are no encoders.

    If the plan names no encoder, also the model's own `detector`, unless it knows none of the
    concepts or none of the prompts.
    """
    names = plan.settings.scorers
    device = devices.choose(None if pool.uses_workers(options) else options.device)
    loaded = [scorer.load(name, device) for name in names if scorer.is_scorer_plugin(name)]
    if detector and detector not in names and not any(map(scorer.is_encoder, names)):
        own = scorer.load(detector, device)
        pairs = product(plan.prompts, (concept.text for concept in plan.concepts))
        if any(scorer.knows(own, prompt, text) for prompt, text in pairs):
            loaded.insert(0, own)
    return tuple(loaded)


def _run_further_fit_seeds(context: RunContext, options: RunOptions, choices: DevChoices) -> None:
    """Repeat the run at each further fit seed, in a folder of its own, at the same strengths."""
    plan = context.plan
    if plan.settings.fit_seeds == 1:
        return
    for label in plan.trained_files:
        context.display.warn(
            f"{label} keeps the one training that its card names; for others: "
            f"htbench train {plan.given_names[label]} --model {plan.settings.model} "
            f"--seed {plan.fit_seed(1)}"
        )
    for number in range(1, plan.settings.fit_seeds) if plan.refitted else ():
        context.display.info(f"Fit seed {number + 1} of {plan.settings.fit_seeds}")
        again = plan.at_fit_seed(number)
        trained = train_methods(replace(context, plan=again))
        with Store.open(fit_seeds.folder(context.store.folder, again.settings.seed)) as store:
            repeated = replace(
                context,
                plan=again,
                store=store,
                scorers=(),
                set_scorers=(),
                activation_scorers=(),
                steerings=trained.steerings,
                repeats=Facts.read(context.store).grid,
            )
            own = choices.only(again.cards)
            _run_stages(repeated, options, trained.failures, choices=own)


def _run_wordings(
    context: RunContext,
    options: RunOptions,
    training_failures: Mapping[str, Failure],
    choices: DevChoices,
) -> None:
    """Repeat the steered cells in each further wording, in a folder of its own.

    Those at strengths of a perceptual scale are not repeated.
    """
    for part in context.plan.wordings:
        context.display.info(f"Wording {part.wording}: {MEANING[part.wording]}")
        with Store.open(wording_runs.folder(context.store.folder, part.wording)) as store:
            repeated = replace(
                context,
                plan=part,
                store=store,
                scorers=(),
                set_scorers=(),
                activation_scorers=(),
                steerings={
                    name: steering
                    for name, steering in context.steerings.items()
                    if name in part.cards
                },
                repeats=Facts.read(context.store).grid,
            )
            failures = {
                name: failure for name, failure in training_failures.items() if name in part.cards
            }
            own = replace(choices.only(part.cards), scales={})
            _run_stages(repeated, options, failures, choices=own)


def _run_stages(
    context: RunContext,
    options: RunOptions,
    training_failures: Mapping[str, Failure],
    *,
    choices: DevChoices | None = None,
) -> DevChoices:
    """All stages after training; returns what was chosen on dev concepts.

    It is chosen here unless it is given as `choices`.
    """
    plan, store, taken = context.plan, context.store, Frozen.read(context.store)
    own = {name: each for name, each in context.steerings.items() if name not in taken.methods}
    context = replace(context, frozen=taken, steerings=own)
    audits = facts.leakage_audits(context)
    for name, audit in audits.items():
        if audit.unverified and plan.wording == CANONICAL:
            context.display.warn(f"training concepts of {name} are unverified: {audit.unverified}")
    if not options.allow_leak:
        _refuse_leaks(audits)
    store.start_session(command=context.command, environment=facts.environment(context))
    if choices is None:
        needs_dev = plan.settings.needs_dev_run
        choices = _choose_on_dev(context, options, training_failures) if needs_dev else DevChoices()
    _plan_cells(context, choices)
    chosen = {name: choice.facts() for name, choice in choices.tuned.items()}
    store.set_facts(**facts.run_facts(context, audits), tuned=taken.with_tuned(chosen))
    learnt = {name: scale.facts() for name, scale in choices.scales.items()}
    if learnt or taken.facts.strength_scales:
        store.set_facts(strength_scales=taken.with_scales(learnt))
    frozen.repeat_grid(store)
    if lost := store.drop_missing_images():
        context.display.warn(f"{lost} image files are gone and are made again")
    for reused in reuse.take(context) if options.reuse else ():
        context.display.note(str(reused))
    limit = FailureLimit(allowed=options.failures_allowed(store.count()))
    context = replace(context, failure_limit=limit)
    fit_failures: FitFailures = {
        (name, concept.digest): failure
        for name, failure in training_failures.items()
        for concept in plan.said
    }
    generate(context, fit_failures)
    if score(context):
        generate(context, fit_failures)
        score(context)
    other_scores.score(context)
    set_scores.score(context, facts.headline_encoder(context))
    activation_scores.score(context)
    return choices


def _check_words(context: RunContext, options: RunOptions) -> None:
    """Refuse words that the model does not know, unless they are allowed, and texts that are cut
    where the concept stands; warn of others that are cut.

    Words of other wordings than the canonical one need not be known.
    """
    plan = context.plan
    targets = (concept.target("") for concept in plan.concepts)
    questions = tuple(
        Question(concept=concept.id, prompt=prompt, target=concept.target(prompt))
        for part in (plan, *plan.wordings)
        for concept, prompt in product(part.said, plan.prompts)
        if concept.template
    )
    task = CheckWords(texts=(*plan.prompts, *targets), questions=questions)
    found = run_one(context.pool, task, UnknownWords)
    if found.words:
        problem = describe_unknown_words(context.model.name, found.words)
        if not options.allow_unknown:
            raise UsageError(problem, remedy=UNKNOWN_WORDS_REMEDY)
        context.display.warn(problem)
    for text in found.cut:
        if text.is_concept_lost:
            raise Refused(
                f"{len(found.cut)} texts are too long: {text}",
                remedy="Shorten the prompts or the concept's text.",
            )
    if found.cut:
        context.display.warn(f"{len(found.cut)} texts are too long: {found.cut[0]}")


def _refuse_training_on_chosen(context: RunContext) -> None:
    """Refuse a method that this run would train on its own concepts, before that takes hours."""
    plan = context.plan
    trained = {concept.id for concept in plan.concept_set.splits["train"]}
    both = [concept.id for concept in plan.concepts if concept.id in trained]
    for name, card in plan.cards.items():
        if both and card.kind == "amortised" and context.model.name not in card.artifacts:
            raise _leak(f"{name} would be trained", both)


def _refuse_leaks(audits: Mapping[str, LeakageAudit]) -> None:
    for name, audit in audits.items():
        if audit.leaked:
            raise _leak(f"{name} was trained", audit.leaked)


def _leak(trained: str, concepts: Sequence[str]) -> Refused:
    return Refused(
        f"{trained} on {len(concepts)} of the chosen concepts, such as {concepts[0]!r}",
        remedy="Choose held-out concepts, or give --allow-leak.",
    )


def _choose_on_dev(
    context: RunContext, options: RunOptions, training_failures: Mapping[str, Failure]
) -> DevChoices:
    """Strengths and scales by a run on dev concepts, which is kept in a folder of its own."""
    plan = context.plan
    dev = plan.with_settings(tune.dev_plan(plan.settings))
    if both := dev.concepts_by_id.keys() & plan.concepts_by_id.keys():
        raise UsageError(
            f"strengths would be chosen on {len(both)} concepts that are evaluated on, "
            f"such as {min(both)!r}",
            remedy="Choose test concepts.",
        )
    with Store.open(context.store.folder / "tuning") as store:
        dev_context = replace(
            context, plan=dev, store=store, scorers=(), set_scorers=(), activation_scorers=()
        )
        _check_words(dev_context, options)
        _run_stages(dev_context, options, training_failures)
        choices = tune.choose(Summary(store), plan.settings)
        return choices.only(plan.cards.keys() - set(context.frozen.methods))


def _plan_cells(context: RunContext, choices: DevChoices) -> None:
    """Plan the grid, unless the same grid is planned already."""
    store, plan, model = context.store, context.plan, context.model.revision
    digests = {
        name: context.steerings[name].digest if name in context.steerings else card.digest
        for name, card in plan.cards.items()
        if name not in context.frozen.methods
    }
    strengths = {name: choice.strength for name, choice in choices.tuned.items()}
    scaled = {name: scale.strengths for name, scale in choices.scales.items()}
    grid = context.frozen.grid(
        grid_digest(plan, model=model, methods=digests, tuned=strengths, scaled=scaled)
    )
    past = Facts.read(store)
    before = {id_: concept.digest for id_, concept in past.concepts.items()}
    store.drop_scores(
        concept.id
        for concept in plan.concepts
        if before.get(concept.id, concept.digest) != concept.digest
    )
    if past.grid == grid:
        return
    settings = plan.settings.model_copy(update={"methods": tuple(digests)})
    rows = (
        (
            cell.method,
            cell.concept.id,
            cell.prompt,
            cell.seed,
            cell.strength,
            image_key(cell, model=model, method_digest=digests[cell.method], batch=settings.batch),
        )
        for cell in cells(
            settings,
            plan.concepts,
            plan.prompts,
            tuned=strengths,
            scaled=scaled,
            wording=plan.wording,
            task_prompts=plan.task_prompts,
        )
    )
    store.plan_cells(chain(context.frozen.rows(store), rows), grid=grid)
