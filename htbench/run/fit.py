"""The stage of a run that trains what methods share between concepts, and fills banks of maps."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from htbench.run import plan as plans
from htbench.run.context import Tools
from htbench.run.plan import Plan
from htbench.run.store import Failure
from htbench.run.workers.messages import Change, Fit, Fitted, Shared, Source, Towards, every
from htbench.steering import baseline
from htbench.steering.baseline import Card
from htbench.steering.concept import Concept
from htbench.steering.fitting import map_bank
from htbench.steering.fitting.map_bank import WantsBank
from htbench.steering.intervention import Origin
from htbench.steering.method import steering_key


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What methods share between concepts, and why there is nothing where their code failed."""

    cards: dict[str, Card]
    methods: dict[str, Shared]
    broken: dict[str, Failure]


def learn_shared(plan: Plan, tools: Tools, concepts: Sequence[Concept], *, maps: Path) -> Learnt:
    cards = {name: baseline.card(method) for name, method in plans.labels(plan).items()}
    _fill_banks(plan, tools, cards.values(), concepts, maps=maps)
    chains: dict[str, list[str]] = {}
    for name, card in cards.items():  # cards that build on the same one are learnt by one worker in turn, since they share what it learns
        chains.setdefault(getattr(baseline.method(card), "base", name), []).append(name)
    tasks = [Fit(sources=tuple(tools.crew.source(name, cards[name], seed=plan.seed) for name in names)) for names in chains.values()]
    found = {name: each for _, fitted in every(tools.crew, tasks) if isinstance(fitted, Fitted) for name, each in fitted.methods.items()}
    broken = {name: each for name in cards if isinstance(each := found[name], Failure)}
    for name, failure in broken.items():
        tools.voice.warn(f"{name} cannot be learnt: {failure.message}")
    return Learnt(cards=cards, methods={name: each for name in cards if isinstance(each := found[name], Shared)}, broken=broken)


def _fill_banks(plan: Plan, tools: Tools, cards: Iterable[Card], concepts: Sequence[Concept], *, maps: Path) -> None:
    """Share out the fitting of maps that banks still lack: who learns from a bank would fit them alone, while the others wait."""
    model, seed = tools.crew.model, plan.seed
    unlearnt = [card for card in cards if not (maps / f"steering-{steering_key(card, model.revision, concepts, seed=seed)}").exists()]
    methods = [baseline.method(card) for card in unlearnt if model.name not in card.artifacts]
    for base in sorted({method.base for method in methods if isinstance(method, WantsBank)}):
        places = {concept.id: map_bank.place(maps, base, model.revision, concept, seed=seed) for concept in concepts}
        waiting = deque(concept for concept in concepts if not places[concept.id].exists())
        source = tools.crew.source(f"bank of {base}", baseline.card(base), seed=seed)
        stage = tools.voice.stage(f"fit {base} to training concepts", len(waiting))

        def supply(source: Source = source, waiting: deque[Concept] = waiting) -> Towards | None:
            return Towards(source=source, concept=waiting.popleft(), spare=None) if waiting else None

        for task, result in tools.crew.work(supply):
            stage.advance()
            if isinstance(task, Towards) and isinstance(result, Change) and map_bank.can_hold(result.intervention):
                about = Origin(model=model.name, revision=model.revision, method=base, concept=task.concept.id, seed=seed, seconds=result.seconds)
                map_bank.keep(result.intervention, places[task.concept.id], about)
            else:
                waiting.clear()  # learning from this bank will fail on the same, and say why
