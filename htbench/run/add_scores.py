"""Scores by further scorers on the images that a run has, without its model and its methods."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from htbench.core import device as devices
from htbench.core import registry
from htbench.core.display import Display
from htbench.core.errors import Missing, Refused
from htbench.run import (
    activation_scores,
    concept_source,
    fit_seeds,
    other_scores,
    sessions,
    set_scores,
    wording_runs,
)
from htbench.run import facts as run_facts
from htbench.run import plan as plans
from htbench.run.context import RunContext
from htbench.run.fact_table import Facts
from htbench.run.plan import Plan, ResolvedPlan
from htbench.run.score import score
from htbench.run.store import Store
from htbench.run.workers.encoder_worker import EncoderWorker
from htbench.run.workers.local import LocalPool
from htbench.run.workers.messages import WorkerSetup
from htbench.scorers import scorer
from htbench.scorers.activation_scorer import load_activation_scorer
from htbench.scorers.scorer import Scorer
from htbench.scorers.set_scorer import load_set_scorer


@dataclass(frozen=True, kw_only=True)
class AddedScores:
    """Numbers of what was scored, by scorer."""

    cells: dict[str, int]
    sets: dict[str, int] = field(default_factory=dict)
    """Numbers of sets of pictures, each those of a method at a strength."""
    methods: dict[str, int] = field(default_factory=dict)
    """Numbers of methods whose activations were scored."""

    def __str__(self) -> str:
        cells = [f"{name}: {number:,} cells scored" for name, number in self.cells.items()]
        sets = [f"{name}: {number:,} sets scored" for name, number in self.sets.items()]
        methods = [f"{name}: {number:,} methods scored" for name, number in self.methods.items()]
        return "; ".join([*cells, *sets, *methods])


@dataclass(frozen=True, kw_only=True)
class LoadedScorers:
    """Encoders and other scorers, loaded once for as often as a run is scored."""

    worker: EncoderWorker
    scorers: tuple[Scorer, ...]

    @classmethod
    def load(cls, names: Sequence[str], device: str | None = None) -> Self:
        """The scorers of these names, on a device; None: the GPU if there is one.

        Raises:
            Missing: if something that a scorer needs is not there.
        """
        chosen = devices.choose(device)
        encoders = [registry.load("encoders", name) for name in names if scorer.is_encoder(name)]
        return cls(
            worker=EncoderWorker([encoder(chosen) for encoder in encoders], device=chosen),
            scorers=tuple(
                scorer.load(name, chosen) for name in names if scorer.is_scorer_plugin(name)
            ),
        )


def add_scores(
    folder: Path,
    names: Sequence[str],
    *,
    device: str | None = None,
    display: Display | None = None,
    command: str | None = None,
    loaded: LoadedScorers | None = None,
) -> AddedScores:
    """Score the images of the run in `folder` by encoders, installed scorers or scorer cards.

    Images that have a score already are left alone. What was scored is part of the run from then
    on, as if its command had named the scorers. Those of `names` that are `loaded` already are not
    loaded again.

    Raises:
        UnknownName: for the name of no scorer.
        Missing: if the run has no images, or something that a scorer needs is not there.
        Refused: if concepts of the run have changed since.
    """
    for name in names:
        scorer.check(name)
    display = display or Display()
    with Store.open(folder) as store, ExitStack() as stack, display.showing():
        facts = Facts.read(store)
        plan = _wider_plan(facts, names)
        set_names = [name for name in names if scorer.is_set_scorer(name)]
        added = [name for name in _headline(facts, set_names) if name not in names]
        loaded = loaded or LoadedScorers.load([*names, *added], device)
        context = RunContext(
            plan=_resolve(plan, facts, folder),
            store=store,
            pool=LocalPool(loaded.worker),
            display=display,
            runs=folder.absolute().parent,
            scorers=loaded.scorers,
            set_scorers=tuple(map(load_set_scorer, set_names)),
            activation_scorers=tuple(
                load_activation_scorer(name) for name in names if scorer.is_activation_scorer(name)
            ),
            command=command or sessions.command_line(),
        )
        before = _scored_cells(store)
        _score(context)
        further_runs = [each.folder for each in fit_seeds.further_runs(store, facts)]
        further_runs += [each.folder for _, each in wording_runs.further_runs(store, facts)]
        for further in further_runs:
            again = stack.enter_context(Store.open(further))
            _score(replace(context, store=again, scorers=(), set_scorers=()))
        sets = _score_sets(context)
        methods = _score_activations(context, device)
        store.set_facts(plan=plan.model_dump(mode="json"))
        ids = {each.id: each.name for each in context.encoders if each.name not in added}
        ids |= {scorer.scorer_id(each): each.card.name for each in context.scorers}
        after = _scored_cells(store)
        cells = {name: after[id_] - before[id_] for id_, name in ids.items()}
        return AddedScores(cells=cells, sets=sets, methods=methods)


def _wider_plan(facts: Facts, names: Sequence[str]) -> Plan:
    """The plan of the run with more scorers.

    Once it names an encoder, it also names those that a run takes where none is named.
    """
    if not facts.plan.stored:
        raise Missing("the run has no images to score", remedy="Issue its command first.")
    plan = plans.build(facts.plan.stored)
    own = list(plan.scorers)
    if any(map(scorer.is_encoder, names)) and not any(map(scorer.is_encoder, own)):
        own = [encoder.name for encoder in facts.scorers] + own
        installed = registry.plugins("scorers")
        own += [each.name for each in facts.gauges if each.name in installed]
    return plan.model_copy(update={"scorers": tuple(dict.fromkeys((*own, *names)))})


def _headline(facts: Facts, set_names: Sequence[str]) -> list[str]:
    """The encoder of the headline, whose embeddings scorers of sets read; none without these."""
    return [facts.scorer.name] if set_names and facts.scorer.name else []


def _score_sets(context: RunContext) -> dict[str, int]:
    """Score sets of pictures by the encoder of the headline.

    Raises:
        Refused: if it is another here than in the run, or is not loaded.
    """
    if not context.set_scorers:
        return {}
    headline = Facts.read(context.store).scorer
    encoder = next((each for each in context.encoders if each.id == headline.id), None)
    if encoder is None:
        here = ", ".join(each.id for each in context.encoders) or "none"
        raise Refused(
            f"sets of pictures are scored by the encoder of the headline, "
            f"{headline.id or 'which the run does not have yet'}, and here is {here}",
            remedy="Score the run by that encoder first: htbench score RUN --scorer ENCODER",
        )
    return set_scores.score(context, encoder)


def _score_activations(context: RunContext, device: str | None) -> dict[str, int]:
    """Score activations by the model of the run, which is loaded for them alone.

    Raises:
        Refused: if it is another here than in the run, or other programs made the pictures.
    """
    if not context.activation_scorers:
        return {}
    facts, settings = Facts.read(context.store), context.plan.settings
    if facts.is_imported:
        raise Refused(
            "activations of imported pictures cannot be scored: their model is not here",
            remedy="Score activations of a run that htbench made.",
        )
    from htbench.run.workers.worker import Worker

    worker = Worker(
        WorkerSetup(
            model=settings.model,
            load_options=settings.load_options(),
            encoders=tuple(filter(None, [facts.scorer.name])),
            training_concepts=(),
        ),
        device=devices.choose(device),
        folder=context.maps,
    )
    if worker.model.revision != facts.model.revision:
        raise Refused(
            f"activations are scored by the model of the run, {facts.model.name} "
            f"({facts.model.revision}), and here is {worker.model.revision}",
            remedy="Issue the command of the run again.",
        )
    return activation_scores.score(replace(context, pool=LocalPool(worker)))


def _resolve(plan: Plan, facts: Facts, folder: Path) -> ResolvedPlan:
    """The plan with its concepts, as they were when the images were made; without methods."""
    concept_set = concept_source.load_set(facts, folder)
    empty = ResolvedPlan(settings=plan, concept_set=concept_set, concepts=(), cards={})
    if facts.is_imported:  # its prompts are not those of the set
        by_id = {each.id: each for split in concept_set.splits.values() for each in split}
        concepts = tuple(by_id[id_] for id_ in facts.concepts if id_ in by_id)
        resolved = replace(empty, concepts=concepts)
    else:
        resolved = empty.with_settings(plan)
    digests = {each.id: each.digest for each in resolved.concepts}
    changed = [
        name for name, each in facts.concepts.items() if digests.get(name, "") != each.digest
    ]
    if changed:
        raise Refused(
            f"{len(changed)} concepts of run {str(folder)!r} have changed since, "
            f"such as {changed[0]!r}",
            remedy="Issue the command of the run again.",
        )
    return resolved


def _score(context: RunContext) -> None:
    """Score the images of one store, and add the scorers to its facts."""
    store = context.store
    facts = Facts.read(store)
    store.start_session(
        command=context.command,
        environment={**sessions.machine(), "device": context.model.device},
    )
    score(context)
    added = [run_facts.encoder_facts(encoder) for encoder in context.encoders]
    known = {each.id: each.stored for each in (*facts.scorers, *added)}
    store.set_facts(scorers=list(known.values()))
    if added and not facts.scorer.id:
        store.set_facts(scorer=added[0].stored)
    if context.scorers:
        other_scores.score(context)
        gauges = {each.id: each.stored for each in (*facts.gauges, *Facts.read(store).gauges)}
        store.set_facts(gauges=list(gauges.values()))


def _scored_cells(store: Store) -> Counter[str]:
    """Numbers of cells with a score, by scorer."""
    query = "SELECT encoder, count(DISTINCT cell) FROM scores GROUP BY encoder"
    return Counter(dict(store.select(query)))
