"""The stage of a run that trains what methods share between concepts, and fills banks of maps."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.run import plan as plans
from htbench.run.context import Resources
from htbench.run.plan import Plan
from htbench.run.store import Failure
from htbench.run.workers.messages import (
    FitResult,
    FitTask,
    SteeringInfo,
    SteeringSource,
    TrainResult,
    TrainTask,
    run_all,
)
from htbench.steering import baseline
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept
from htbench.steering.fitting import map_bank
from htbench.steering.fitting.map_bank import UsesMapBank
from htbench.steering.intervention import InterventionOrigin
from htbench.steering.method import steering_key


@dataclass(frozen=True, kw_only=True)
class TrainedMethods:
    """What methods share between concepts, and why there is nothing where their code failed."""

    cards: dict[str, Card]
    steerings: dict[str, SteeringInfo]
    failures: dict[str, Failure]


def train_methods(
    plan: Plan, resources: Resources, concepts: Sequence[Concept], *, maps: Path
) -> TrainedMethods:
    cards = {name: baseline.load_card(method) for name, method in plans.labels(plan).items()}
    _fill_map_banks(plan, resources, cards.values(), concepts, maps=maps)
    chains: dict[str, list[str]] = {}
    for (
        name,
        card,
    ) in cards.items():  # cards that build on the same one are learnt by one worker in turn, since they share what it learns
        chains.setdefault(getattr(baseline.load_method(card), "base", name), []).append(name)
    tasks = [
        TrainTask(
            sources=tuple(
                resources.pool.steering_source(name, cards[name], seed=plan.seed) for name in names
            )
        )
        for names in chains.values()
    ]
    found = {
        name: each
        for _, fitted in run_all(resources.pool, tasks)
        if isinstance(fitted, TrainResult)
        for name, each in fitted.steerings.items()
    }
    broken = {name: each for name in cards if isinstance(each := found[name], Failure)}
    for name, failure in broken.items():
        resources.display.warn(f"{name} cannot be learnt: {failure.message}")
    return TrainedMethods(
        cards=cards,
        steerings={name: each for name in cards if isinstance(each := found[name], SteeringInfo)},
        failures=broken,
    )


def _fill_map_banks(
    plan: Plan,
    resources: Resources,
    cards: Iterable[Card],
    concepts: Sequence[Concept],
    *,
    maps: Path,
) -> None:
    """Share out the fitting of maps that banks still lack: who learns from a bank would fit them alone, while the others wait."""
    model, seed = resources.pool.info, plan.seed
    unlearnt = [
        card
        for card in cards
        if not (
            maps / f"steering-{steering_key(card, model.revision, concepts, seed=seed)}"
        ).exists()
    ]
    methods = [baseline.load_method(card) for card in unlearnt if model.name not in card.artifacts]
    for base in sorted({method.base for method in methods if isinstance(method, UsesMapBank)}):
        places = {
            concept.id: map_bank.path_of(maps, base, model.revision, concept, seed=seed)
            for concept in concepts
        }
        waiting = deque(concept for concept in concepts if not places[concept.id].exists())
        source = resources.pool.steering_source(
            f"bank of {base}", baseline.load_card(base), seed=seed
        )
        stage = resources.display.progress(f"fit {base} to training concepts", len(waiting))

        def supply(
            source: SteeringSource = source, waiting: deque[Concept] = waiting
        ) -> FitTask | None:
            return (
                FitTask(source=source, concept=waiting.popleft(), warmup_concept=None)
                if waiting
                else None
            )

        for task, result in resources.pool.run_tasks(supply):
            stage.advance()
            if (
                isinstance(task, FitTask)
                and isinstance(result, FitResult)
                and map_bank.is_affine_map(result.intervention)
            ):
                about = InterventionOrigin(
                    model=model.name,
                    revision=model.revision,
                    method=base,
                    concept=task.concept.id,
                    seed=seed,
                    seconds=result.seconds,
                )
                map_bank.save(result.intervention, places[task.concept.id], about)
            else:
                waiting.clear()  # learning from this bank will fail on the same, and say why
