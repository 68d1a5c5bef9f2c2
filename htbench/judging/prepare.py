"""From a user's wishes to a tournament that can be played."""

from dataclasses import dataclass
from pathlib import Path

from htbench.core import registry
from htbench.core.display import Display
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.core.types import UNSTEERED
from htbench.judging import budget
from htbench.judging import pairs as pairing
from htbench.judging.budget import Budget
from htbench.judging.card import JudgeCard
from htbench.judging.judge import Judge, JudgeContext
from htbench.judging.ledger import Ledger
from htbench.judging.pairs import ComparablePictures
from htbench.judging.pictures import PictureLoader
from htbench.judging.schedule import Design
from htbench.judging.tournament import Tournament
from htbench.run.store import Store
from htbench.run.summary import Summary


@dataclass(frozen=True, kw_only=True)
class TournamentOptions:
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


def prepare_tournament(
    folder: Path, ledger: Ledger, card: JudgeCard, options: TournamentOptions, display: Display
) -> Tournament:
    """The tournament, planned over the pictures that there are; if it is to be played offline, as it was planned.

    Raises:
        UnknownName: for a criterion or a method that there is not, with the nearest.
        UsageError: for wishes that make no sense together.
        Missing: if nothing may be asked and nothing was.
    """
    with Store.read(folder) as store:
        strength = _strength(options.strength, Summary(store).full_strength)
        found = pairing.find_pictures(store, methods=options.methods, strength=strength)
    design = _design(card, options, found, strength)
    setting = JudgeContext(
        scorer=found.scorer,
        device=options.device,
        concurrency=options.concurrency,
        wait=options.wait,
        offline=options.offline,
        memory=ledger.notes,
    )
    judge: Judge = registry.load("judges", card.kind)(card, setting)
    tournament = Tournament(
        ledger=ledger,
        card=card,
        judge=judge,
        design=design,
        pictures=found,
        picture_loader=PictureLoader(folder / "images", card.pictures),
        budget=_budget(options, judge.model),
        display=display,
    )
    if not options.offline:
        tournament.plan()
    elif tournament.id not in ledger.tournaments():
        raise Missing(
            f"judge {card.name!r} was not asked this in run {folder.name!r}",
            remedy="Give the options that it was asked with, or ask: no --offline.",
        )
    if odd := [parser for parser in ledger.parsers(tournament.id) if parser != judge.parser]:
        display.warn(
            f"some replies were read by {', '.join(odd)}, which is {judge.parser} now; --reparse reads them again and costs nothing"
        )
    return tournament


def _design(
    card: JudgeCard,
    options: TournamentOptions,
    pictures: ComparablePictures,
    strength: float | None,
) -> Design:
    criteria = tuple(dict.fromkeys(options.criteria or card.criteria))
    about_concept = tuple(each for each in criteria if card.is_about_concept(each))
    if options.against and options.against not in pictures.methods:
        raise UnknownName("method of the tournament", options.against, pictures.methods)
    if options.against and options.swiss:
        raise UsageError(
            "pairs with one method only leave nothing to choose",
            remedy="Give either --against or --swiss.",
        )
    return Design(
        methods=pictures.methods,
        criteria=criteria,
        strength=strength,
        against=options.against,
        pairs=options.pairs,
        swiss=options.swiss,
        controls=options.controls,
        about_concept=about_concept,
        shows=pictures.prompt_method
        or next(method for method in pictures.methods if method != UNSTEERED),
        both_orders=options.both_orders,
        seed=options.seed,
    )


def _strength(text: str | None, full: float) -> float | None:
    if text is None:
        return full
    if text == "tuned":
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--strength {text[:60]!r} is neither a number nor 'tuned'") from None


def _budget(options: TournamentOptions, model: str) -> Budget:
    price = budget.read_prices(options.prices).price(model) if options.prices else None
    if options.max_cost is not None and price is None:
        raise UsageError(
            "--max-cost needs the price of tokens",
            remedy="Give your table of prices with --prices.",
        )
    return Budget(requests=options.max_requests, cost=options.max_cost, price=price)
