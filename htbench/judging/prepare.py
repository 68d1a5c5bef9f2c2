"""From a user's wishes to a tournament that can be played."""

from dataclasses import dataclass
from pathlib import Path

from htbench.core import registry
from htbench.core.display import Voice
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.judging import budget
from htbench.judging import pairs as pairing
from htbench.judging.budget import Budget
from htbench.judging.card import JudgeCard
from htbench.judging.judge import Judge, Setting
from htbench.judging.ledger import Ledger
from htbench.judging.pairs import Grounds
from htbench.judging.pictures import Gallery
from htbench.judging.schedule import Design
from htbench.judging.tournament import Tournament
from htbench.run.store import Store
from htbench.run.summary import Summary


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was asked for; empty or None: what the judge's card or the run has."""

    methods: tuple[str, ...] = ()
    criteria: tuple[str, ...] = ()
    strength: str | None = None
    """A number, or `tuned`."""
    against: str = ""
    pairs: int | None = None
    swiss: int = 0
    controls: int = 20
    both_orders: bool = True
    seed: int = 0
    max_requests: int | None = None
    max_cost: float | None = None
    prices: Path | None = None
    concurrency: int = 8
    wait: float = 120.0
    offline: bool = False
    device: str | None = None


def enter(folder: Path, ledger: Ledger, card: JudgeCard, wish: Wish, voice: Voice) -> Tournament:
    """The tournament, planned over the pictures that there are; if it is to be played offline, as it was planned.

    Raises:
        UnknownName: for a criterion or a method that there is not, with the nearest.
        UsageError: for wishes that make no sense together.
        Missing: if nothing may be asked and nothing was.
    """
    with Store.read(folder) as store:
        strength = _strength(wish.strength, Summary(store).full)
        found = pairing.survey(store, methods=wish.methods, strength=strength)
    design = _design(card, wish, found, strength)
    setting = Setting(scorer=found.scorer, device=wish.device, concurrency=wish.concurrency, wait=wish.wait, offline=wish.offline, memory=ledger.notes)
    judge: Judge = registry.load("judges", card.kind)(card, setting)
    tournament = Tournament(
        ledger=ledger,
        card=card,
        judge=judge,
        design=design,
        grounds=found,
        gallery=Gallery(folder / "images", card.pictures),
        budget=_budget(wish, judge.model),
        voice=voice,
    )
    if not wish.offline:
        tournament.plan()
    elif tournament.id not in ledger.tournaments():
        raise Missing(f"judge {card.name!r} was not asked this in run {folder.name!r}", remedy="Give the options that it was asked with, or ask: no --offline.")
    if odd := [parser for parser in ledger.parsers(tournament.id) if parser != judge.parser]:
        voice.warn(f"some replies were read by {', '.join(odd)}, which is {judge.parser} now; --reparse reads them again and costs nothing")
    return tournament


def _design(card: JudgeCard, wish: Wish, found: Grounds, strength: float | None) -> Design:
    criteria = tuple(dict.fromkeys(wish.criteria or card.criteria))
    about_concept = tuple(each for each in criteria if card.is_about_concept(each))
    if wish.against and wish.against not in found.methods:
        raise UnknownName("method of the tournament", wish.against, found.methods)
    if wish.against and wish.swiss:
        raise UsageError("pairs with one method only leave nothing to choose", remedy="Give either --against or --swiss.")
    return Design(
        methods=found.methods,
        criteria=criteria,
        strength=strength,
        against=wish.against,
        pairs=wish.pairs,
        swiss=wish.swiss,
        controls=wish.controls,
        about_concept=about_concept,
        shows=found.prompting or next(method for method in found.methods if method != "none"),
        both_orders=wish.both_orders,
        seed=wish.seed,
    )


def _strength(wanted: str | None, full: float) -> float | None:
    if wanted is None:
        return full
    if wanted == "tuned":
        return None
    try:
        return float(wanted)
    except ValueError:
        raise UsageError(f"--strength {wanted[:60]!r} is neither a number nor 'tuned'") from None


def _budget(wish: Wish, model: str) -> Budget:
    price = budget.read(wish.prices).price(model) if wish.prices else None
    if wish.max_cost is not None and price is None:
        raise UsageError("--max-cost needs the price of tokens", remedy="Give your table of prices with --prices.")
    return Budget(requests=wish.max_requests, cost=wish.max_cost, price=price)
