"""Runs a plan: learn, generate, score; what the store already has is not done again."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from htbench import content, gauge, gauging, record, registry, tuning
from htbench import device as devices
from htbench import plan as plans
from htbench.concept import Concept, ConceptSet
from htbench.encoder import Encoder
from htbench.errors import HtbenchError, Refused, UsageError
from htbench.generation import generate, learn_each
from htbench.job import Job, Patience, Tools, Unlearnt, failure
from htbench.leaderboard import Summary
from htbench.method import Learnt, learn_shared
from htbench.model import Model, unknown_words
from htbench.plan import Circumstances, Plan, cells, image_key
from htbench.registry import Card
from htbench.scoring import score
from htbench.store import Failure, Store
from htbench.voice import Voice


def run(plan: Plan, folder: Path, how: Circumstances | None = None, *, voice: Voice | None = None) -> None:
    """Do what is left of `plan` in `folder`.

    Raises:
        HtbenchError: for whatever a user can mend; what was done until then is kept.
    """
    how, voice = how or Circumstances(), voice or Voice()
    checked = plans.check(plan)
    place = devices.choose(how.device)
    with Store.open(folder) as store, voice.speaking():
        _run(plan, store, how, load(plan, place, voice), checked)


def load(plan: Plan, device: str, voice: Voice) -> Tools:
    """The model and the scorers of a plan."""
    stage = voice.stage(f"load {plan.model}", 1)
    model: Model = registry.model(plan.model, device, plan.loading())
    gauges = tuple(gauge.load(name, device) for name in plan.scorers if gauge.is_gauge(name))
    names = [name for name in plan.scorers if not gauge.is_gauge(name)] or [model.scorer]
    scorers: list[Encoder] = [registry.load("encoders", name)(device) for name in names]
    stage.advance()
    return Tools(model=model, scorers=tuple(scorers), gauges=gauges, voice=voice)


def _run(plan: Plan, store: Store, how: Circumstances, tools: Tools, checked: tuple[ConceptSet, tuple[Concept, ...]]) -> None:
    concept_set, concepts = checked
    cards = {name: registry.card(method) for name, method in plans.labels(plan).items()}
    learnt, broken = _learn_shared(cards, tools, concept_set, store.folder / "maps", seed=plan.seed)
    job = Job(plan=plan, store=store, tools=tools, concepts=concepts, concept_set=concept_set, methods=learnt)
    for word in unknown_words(tools.model, [*concept_set.prompts[: plan.prompts], *(concept.target("") for concept in concepts)]):
        tools.voice.warn(f"{word!r} is not in the vocabulary of {tools.model.name}")
    audits = record.audits(job)
    for name, audit in audits.items():
        if audit.leaked and not how.allow_leak:
            raise Refused(
                f"{name} was trained on {len(audit.leaked)} of the chosen concepts, such as {audit.leaked[0]!r}",
                remedy="Choose held-out concepts, or give --allow-leak.",
            )
    tuned = _tune(plan, store.folder / "tuning", how, tools, concepts) if plan.tune_strength else {}
    _plan(job, cards, tuned)
    store.set_facts(**record.facts(job, audits), tuned={name: choice.facts() for name, choice in tuned.items()})
    if lost := store.forget_lost():
        tools.voice.warn(f"{lost} image files are gone and are made again")
    job = replace(job, patience=Patience(allowed=how.failures_allowed(store.count())))
    unlearnt: Unlearnt = {(name, c.id): broken[name] for name in broken for c in concepts} | learn_each(job)
    generate(job, unlearnt)
    if score(job):
        generate(job, unlearnt)
        score(job)
    gauging.gauge(job)


def _learn_shared(cards: dict[str, Card], tools: Tools, concept_set: ConceptSet, folder: Path, *, seed: int) -> tuple[dict[str, Learnt], dict[str, Failure]]:
    """What methods share between concepts, and why there is nothing where their code failed."""
    learnt: dict[str, Learnt] = {}
    broken: dict[str, Failure] = {}
    for name, card in cards.items():
        try:
            learnt[name] = learn_shared(card, tools.model, concept_set.splits["train"], folder=folder, seed=seed)
        except HtbenchError:
            raise
        except Exception as error:
            broken[name] = failure(error, during="learn")
            tools.voice.warn(f"{name} cannot be learnt: {broken[name].message}")
    return learnt, broken


def _tune(plan: Plan, folder: Path, how: Circumstances, tools: Tools, concepts: Sequence[Concept]) -> dict[str, tuning.Choice]:
    """Strengths chosen by a run on dev concepts, which is kept in a folder of its own."""
    dev = tuning.dev_plan(plan)
    checked = plans.check(dev)
    if both := {c.id for c in checked[1]} & {c.id for c in concepts}:
        raise UsageError(f"strengths would be chosen on {len(both)} concepts that are evaluated on, such as {min(both)!r}", remedy="Choose test concepts.")
    with Store.open(folder) as store:
        _run(dev, store, how, replace(tools, gauges=()), checked)
        return tuning.choose(Summary(store), floor=plan.tune_floor)


def _plan(job: Job, cards: dict[str, Card], tuned: dict[str, tuning.Choice]) -> None:
    """Plan the grid, unless it is planned already: a million cells take a minute to plan and none to find planned."""
    store, plan, model = job.store, job.plan, job.model.revision
    digests = {name: job.methods[name].digest if name in job.methods else card.digest for name, card in cards.items()}
    strengths = {name: choice.strength for name, choice in tuned.items()}
    prompts = job.concept_set.prompts[: plan.prompts]
    named = plan.model_copy(update={"methods": tuple(cards)})
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
