"""Runs a plan: learn, generate, score; what the store already has is not done again."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from htbench import bank, content, fleet, gauge, gauging, record, registry, tuning
from htbench import device as devices
from htbench import plan as plans
from htbench.bank import WantsBank
from htbench.concept import Concept, ConceptSet
from htbench.errors import Refused, UsageError
from htbench.fleet.task import Change, Fit, Fitted, Outfit, Shared, Source, Spell, Spelt, Towards, ask, every
from htbench.generation import generate
from htbench.intervention import Origin
from htbench.job import Job, Patience, Tools, Unlearnt
from htbench.leaderboard import Summary
from htbench.method import steering_key
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
    fleet.check(how)
    with Store.open(folder) as store, voice.speaking(), _hired(plan, how, checked[0], store, voice) as tools:
        learnt = _learn_shared(plan, tools, checked[0].splits["train"], maps=store.folder / "maps")
        _run(plan, store, how, tools, checked, learnt)


@contextmanager
def _hired(plan: Plan, how: Circumstances, concept_set: ConceptSet, store: Store, voice: Voice) -> Iterator[Tools]:
    """The crew that does a plan, and the gauges, which stay in this process."""
    stage = voice.stage(f"load {plan.model}", 1)
    encoders = tuple(name for name in plan.scorers if not gauge.is_gauge(name))
    outfit = Outfit(model=plan.model, loading=plan.loading(), scorers=encoders, concepts=concept_set.splits["train"])
    with fleet.hire(outfit, how, folder=store.folder / "maps", voice=voice) as crew:
        gauges = tuple(gauge.load(name, devices.choose(None if fleet.is_wanted(how) else how.device)) for name in plan.scorers if gauge.is_gauge(name))
        stage.advance()
        yield Tools(crew=crew, gauges=gauges, voice=voice)


@dataclass(frozen=True, kw_only=True)
class _Learnt:
    """What methods share between concepts, and why there is nothing where their code failed."""

    cards: dict[str, Card]
    methods: dict[str, Shared]
    broken: dict[str, Failure]


def _learn_shared(plan: Plan, tools: Tools, concepts: Sequence[Concept], *, maps: Path) -> _Learnt:
    cards = {name: registry.card(method) for name, method in plans.labels(plan).items()}
    _fill_banks(plan, tools, cards.values(), concepts, maps=maps)
    chains: dict[str, list[str]] = {}
    for name, card in cards.items():  # cards that build on the same one are learnt by one worker in turn, since they share what it learns
        chains.setdefault(getattr(registry.method(card), "base", name), []).append(name)
    tasks = [Fit(sources=tuple(tools.crew.source(name, cards[name], seed=plan.seed) for name in names)) for names in chains.values()]
    found = {name: each for _, fitted in every(tools.crew, tasks) if isinstance(fitted, Fitted) for name, each in fitted.methods.items()}
    broken = {name: each for name in cards if isinstance(each := found[name], Failure)}
    for name, failure in broken.items():
        tools.voice.warn(f"{name} cannot be learnt: {failure.message}")
    return _Learnt(cards=cards, methods={name: each for name in cards if isinstance(each := found[name], Shared)}, broken=broken)


def _fill_banks(plan: Plan, tools: Tools, cards: Iterable[Card], concepts: Sequence[Concept], *, maps: Path) -> None:
    """Share out the fitting of maps that banks still lack: who learns from a bank would fit them alone, while the others wait."""
    model, seed = tools.crew.model, plan.seed
    unlearnt = [card for card in cards if not (maps / f"steering-{steering_key(card, model.revision, concepts, seed=seed)}").exists()]
    methods = [registry.method(card) for card in unlearnt if model.name not in card.artifacts]
    for base in sorted({method.base for method in methods if isinstance(method, WantsBank)}):
        places = {concept.id: bank.place(maps, base, model.revision, concept, seed=seed) for concept in concepts}
        waiting = deque(concept for concept in concepts if not places[concept.id].exists())
        source = tools.crew.source(f"bank of {base}", registry.card(base), seed=seed)
        stage = tools.voice.stage(f"fit {base} to training concepts", len(waiting))

        def supply(source: Source = source, waiting: deque[Concept] = waiting) -> Towards | None:
            return Towards(source=source, concept=waiting.popleft(), spare=None) if waiting else None

        for task, result in tools.crew.work(supply):
            stage.advance()
            if isinstance(task, Towards) and isinstance(result, Change) and bank.can_hold(result.intervention):
                about = Origin(model=model.name, revision=model.revision, method=base, concept=task.concept.id, seed=seed, seconds=result.seconds)
                bank.keep(result.intervention, places[task.concept.id], about)
            else:
                waiting.clear()  # learning from this bank will fail on the same, and say why


def _run(plan: Plan, store: Store, how: Circumstances, tools: Tools, checked: tuple[ConceptSet, tuple[Concept, ...]], learnt: _Learnt) -> None:
    concept_set, concepts = checked
    job = Job(plan=plan, store=store, tools=tools, concepts=concepts, concept_set=concept_set, cards=learnt.cards, methods=learnt.methods)
    texts = [*concept_set.prompts[: plan.prompts], *(concept.target("") for concept in concepts)]
    for word in cast(Spelt, ask(tools.crew, Spell(texts=tuple(texts)))).unknown:
        tools.voice.warn(f"{word!r} is not in the vocabulary of {job.model.name}")
    audits = record.audits(job)
    for name, audit in audits.items():
        if audit.leaked and not how.allow_leak:
            raise Refused(
                f"{name} was trained on {len(audit.leaked)} of the chosen concepts, such as {audit.leaked[0]!r}",
                remedy="Choose held-out concepts, or give --allow-leak.",
            )
    tuned = _tune(plan, store.folder / "tuning", how, tools, concepts, learnt) if plan.tune_strength else {}
    _plan(job, tuned)
    store.set_facts(**record.facts(job, audits), tuned={name: choice.facts() for name, choice in tuned.items()})
    if lost := store.forget_lost():
        tools.voice.warn(f"{lost} image files are gone and are made again")
    job = replace(job, patience=Patience(allowed=how.failures_allowed(store.count())))
    unlearnt: Unlearnt = {(name, c.id): failure for name, failure in learnt.broken.items() for c in concepts}
    generate(job, unlearnt)
    if score(job):
        generate(job, unlearnt)
        score(job)
    gauging.gauge(job)


def _tune(plan: Plan, folder: Path, how: Circumstances, tools: Tools, concepts: Sequence[Concept], learnt: _Learnt) -> dict[str, tuning.Choice]:
    """Strengths chosen by a run on dev concepts, which is kept in a folder of its own."""
    dev = tuning.dev_plan(plan)
    checked = plans.check(dev)
    if both := {c.id for c in checked[1]} & {c.id for c in concepts}:
        raise UsageError(f"strengths would be chosen on {len(both)} concepts that are evaluated on, such as {min(both)!r}", remedy="Choose test concepts.")
    with Store.open(folder) as store:
        _run(dev, store, how, replace(tools, gauges=()), checked, learnt)
        return tuning.choose(Summary(store), floor=plan.tune_floor)


def _plan(job: Job, tuned: dict[str, tuning.Choice]) -> None:
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
