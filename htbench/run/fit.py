"""The training stage of a run: the parts that methods share between concepts, and map banks."""

from collections import deque
from dataclasses import dataclass

from htbench.run.context import RunContext
from htbench.run.store import Failure
from htbench.run.workers.messages import (
    FitResult,
    FitTask,
    SteeringInfo,
    TrainResult,
    TrainTask,
    run_all,
)
from htbench.steering import baseline
from htbench.steering.fitting import map_bank
from htbench.steering.fitting.map_bank import UsesMapBank
from htbench.steering.intervention import InterventionOrigin
from htbench.steering.training import steering_key


@dataclass(frozen=True, kw_only=True)
class TrainedMethods:
    """Descriptions of the trained methods, and the failures of the others, by method."""

    steerings: dict[str, SteeringInfo]
    failures: dict[str, Failure]


def train_methods(context: RunContext) -> TrainedMethods:
    """Train every method of the plan, in the workers."""
    cards = context.plan.cards
    _fill_map_banks(context)
    # cards with one base are trained by one worker in turn, since they share the base's training
    chains: dict[str, list[str]] = {}
    for name, card in cards.items():
        chains.setdefault(getattr(baseline.load_method(card), "base", name), []).append(name)
    tasks = [
        TrainTask(sources=tuple(context.steering_source(name) for name in names))
        for names in chains.values()
    ]
    stage = context.display.progress("train methods", len(tasks))
    results: dict[str, SteeringInfo | Failure] = {}
    for _, trained in run_all(context.pool, tasks, TrainResult):
        results |= trained.steerings
        stage.advance()
    steerings, failures = dict[str, SteeringInfo](), dict[str, Failure]()
    for name in cards:
        result = results[name]
        if isinstance(result, Failure):
            failures[name] = result
            context.display.warn(f"{name} cannot be learnt: {result.message}")
        else:
            steerings[name] = result
    return TrainedMethods(steerings=steerings, failures=failures)


def _fill_map_banks(context: RunContext) -> None:
    """Share out the fits that map banks still lack.

    A method that is trained on a bank would otherwise do them alone, while the other workers wait.
    """
    for base in _bases_to_fit(context):
        _fill_map_bank(context, base)


def _bases_to_fit(context: RunContext) -> list[str]:
    """Cards whose maps are the training data of a method that is still to be trained."""
    model, plan = context.model, context.plan
    training_concepts = plan.concept_set.splits["train"]
    bases = set()
    for card in plan.cards.values():
        key = steering_key(card, model.revision, training_concepts, seed=plan.settings.seed)
        if model.name in card.artifacts or (context.maps / f"steering-{key}").exists():
            continue
        method = baseline.load_method(card)
        if isinstance(method, UsesMapBank):
            bases.add(method.base)
    return sorted(bases)


def _fill_map_bank(context: RunContext, base: str) -> None:
    model, seed = context.model, context.plan.settings.seed
    concepts = context.plan.concept_set.splits["train"]
    paths = {
        concept.id: map_bank.path_of(context.maps, base, model.revision, concept, seed=seed)
        for concept in concepts
    }
    waiting = deque(concept for concept in concepts if not paths[concept.id].exists())
    source = context.pool.steering_source(f"bank of {base}", baseline.load_card(base), seed=seed)
    stage = context.display.progress(f"fit {base} to training concepts", len(waiting))

    def supply() -> FitTask | None:
        if not waiting:
            return None
        concept = waiting.popleft()
        stage.show(concept.id)
        return FitTask(source=source, concepts=(concept,), warmup_concept=None)

    for task, result in context.pool.run_tasks(supply):
        stage.advance()
        (concept,) = task.concepts
        change = result.interventions[0] if isinstance(result, FitResult) else None
        if not isinstance(result, FitResult) or not map_bank.is_affine_map(change):
            waiting.clear()  # training on this bank will fail on the same, and name the reason
            continue
        origin = InterventionOrigin(
            model=model.name,
            revision=model.revision,
            method=base,
            concept=concept.id,
            seed=seed,
            seconds=result.seconds,
        )
        map_bank.save(change, paths[concept.id], origin)
