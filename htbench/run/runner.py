"""Runs a plan: learn, generate, score; what the store already has is not done again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from htbench.core import content
from htbench.core import device as devices
from htbench.core.display import Voice
from htbench.core.errors import Refused, UsageError
from htbench.run import facts, other_scores, tune
from htbench.run import plan as plans
from htbench.run.context import Job, Patience, Tools, Unlearnt
from htbench.run.fit import Learnt, learn_shared
from htbench.run.generate import generate
from htbench.run.plan import Circumstances, Plan, cells, image_key
from htbench.run.score import score
from htbench.run.store import Store
from htbench.run.summary import Summary
from htbench.run.workers import pool
from htbench.run.workers.messages import Outfit, Spell, Spelt, ask
from htbench.scorers import scorer
from htbench.steering.concept import Concept, ConceptSet


def run(plan: Plan, folder: Path, how: Circumstances | None = None, *, voice: Voice | None = None) -> None:
    """Do what is left of `plan` in `folder`.

    Raises:
        HtbenchError: for whatever a user can mend; what was done until then is kept.
    """
    how, voice = how or Circumstances(), voice or Voice()
    checked = plans.check(plan)
    pool.check(how)
    with Store.open(folder) as store, voice.speaking(), _hired(plan, how, checked[0], store, voice) as tools:
        learnt = learn_shared(plan, tools, checked[0].splits["train"], maps=store.folder / "maps")
        _run(plan, store, how, tools, checked, learnt)


@contextmanager
def _hired(plan: Plan, how: Circumstances, concept_set: ConceptSet, store: Store, voice: Voice) -> Iterator[Tools]:
    """The crew that does a plan, and the gauges, which stay in this process."""
    stage = voice.stage(f"load {plan.model}", 1)
    encoders = tuple(name for name in plan.scorers if not scorer.is_gauge(name))
    outfit = Outfit(model=plan.model, loading=plan.loading(), scorers=encoders, concepts=concept_set.splits["train"])
    with pool.hire(outfit, how, folder=store.folder / "maps", voice=voice) as crew:
        gauges = tuple(scorer.load(name, devices.choose(None if pool.is_wanted(how) else how.device)) for name in plan.scorers if scorer.is_gauge(name))
        stage.advance()
        yield Tools(crew=crew, gauges=gauges, voice=voice)


def _run(plan: Plan, store: Store, how: Circumstances, tools: Tools, checked: tuple[ConceptSet, tuple[Concept, ...]], learnt: Learnt) -> None:
    concept_set, concepts = checked
    job = Job(plan=plan, store=store, tools=tools, concepts=concepts, concept_set=concept_set, cards=learnt.cards, methods=learnt.methods)
    texts = [*concept_set.prompts[: plan.prompts], *(concept.target("") for concept in concepts)]
    for word in cast(Spelt, ask(tools.crew, Spell(texts=tuple(texts)))).unknown:
        tools.voice.warn(f"{word!r} is not in the vocabulary of {job.model.name}")
    audits = facts.audits(job)
    for name, audit in audits.items():
        if audit.leaked and not how.allow_leak:
            raise Refused(
                f"{name} was trained on {len(audit.leaked)} of the chosen concepts, such as {audit.leaked[0]!r}",
                remedy="Choose held-out concepts, or give --allow-leak.",
            )
    tuned = _tune(plan, store.folder / "tuning", how, tools, concepts, learnt) if plan.tune_strength else {}
    _plan(job, tuned)
    store.set_facts(**facts.facts(job, audits), tuned={name: choice.facts() for name, choice in tuned.items()})
    if lost := store.forget_lost():
        tools.voice.warn(f"{lost} image files are gone and are made again")
    job = replace(job, patience=Patience(allowed=how.failures_allowed(store.count())))
    unlearnt: Unlearnt = {(name, c.id): failure for name, failure in learnt.broken.items() for c in concepts}
    generate(job, unlearnt)
    if score(job):
        generate(job, unlearnt)
        score(job)
    other_scores.gauge(job)


def _tune(plan: Plan, folder: Path, how: Circumstances, tools: Tools, concepts: Sequence[Concept], learnt: Learnt) -> dict[str, tune.Choice]:
    """Strengths chosen by a run on dev concepts, which is kept in a folder of its own."""
    dev = tune.dev_plan(plan)
    checked = plans.check(dev)
    if both := {c.id for c in checked[1]} & {c.id for c in concepts}:
        raise UsageError(f"strengths would be chosen on {len(both)} concepts that are evaluated on, such as {min(both)!r}", remedy="Choose test concepts.")
    with Store.open(folder) as store:
        _run(dev, store, how, replace(tools, gauges=()), checked, learnt)
        return tune.choose(Summary(store), floor=plan.tune_floor)


def _plan(job: Job, tuned: dict[str, tune.Choice]) -> None:
    """Plan the grid, unless it is planned already: a million cells take a minute to plan and none to find planned."""
    store, plan, model = job.store, job.plan, job.model.revision
    digests = {name: job.methods[name].digest if name in job.methods else card.digest for name, card in job.cards.items()}
    strengths = {name: choice.strength for name, choice in tuned.items()}
    prompts = job.concept_set.prompts[: plan.prompts]
    named = plan.model_copy(update={"methods": tuple(job.cards)})
    shape = named.model_dump(mode="json", include={"methods", "strengths", "seeds", "batch"})
    grid = content.digest([shape, model, digests, strengths, prompts, [[c.id, c.digest] for c in job.concepts]])
    known = store.facts()
    before = {name: fact.get("digest") for name, fact in known.get("concepts", {}).items()}
    store.forget_scores(c.id for c in job.concepts if before.get(c.id, c.digest) != c.digest)
    if known.get("grid") != grid:
        keyed = (
            (cell, image_key(cell, model=model, learnt=digests[cell.method], batch=plan.batch)) for cell in cells(named, job.concepts, prompts, tuned=strengths)
        )
        store.plan_cells(((cell.method, cell.concept.id, cell.prompt, cell.seed, cell.strength, key) for cell, key in keyed), grid=grid)
