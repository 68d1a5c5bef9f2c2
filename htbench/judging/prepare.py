"""Prepares a tournament from a user's options and a run."""

import math
from dataclasses import dataclass, field, replace
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
from htbench.judging.schedule import Design, ScheduleSettings
from htbench.judging.tournament import Tournament
from htbench.run.store import Store
from htbench.run.summary import Summary


@dataclass(frozen=True, kw_only=True)
class TournamentOptions:
    """A user's options; what is empty or None is taken from the judge's card or the run."""

    methods: tuple[str, ...] = ()
    criteria: tuple[str, ...] = ()
    strength: str | None = None
    """A number, or `tuned`."""
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    context: JudgeContext = field(default_factory=JudgeContext)
    """Its scorer, memory and meter are taken from the run, the ledger and the budget."""
    budget: Budget = field(default_factory=Budget)
    prices: Path | None = None
    """A table of prices, a TOML file."""


def prepare_tournament(
    folder: Path, ledger: Ledger, card: JudgeCard, options: TournamentOptions, display: Display
) -> Tournament:
    """The tournament, planned over the run's pictures; offline, as it was planned before.

    Raises:
        UnknownName: for an unknown criterion or method, with the nearest name.
        UsageError: for options that contradict each other.
        Missing: if the judge is offline and was never asked.
    """
    with Store.read(folder) as store:
        strength = _strength(options.strength, Summary(store).full_strength)
        pictures = pairing.find_pictures(store, methods=options.methods, strength=strength)
    design = _design(card, options, pictures, strength)
    meter = options.budget.meter()
    context = replace(options.context, scorer=pictures.scorer, memory=ledger.notes, meter=meter)
    judge: Judge = registry.load("judges", card.kind)(card, context)
    meter.price = budget.price_of(judge.model, options.prices, options.budget)
    tournament = Tournament(
        ledger=ledger,
        card=card,
        judge=judge,
        design=design,
        pictures=pictures,
        picture_loader=PictureLoader(folder / "images", card.pictures),
        meter=meter,
        display=display,
    )
    if not context.offline:
        tournament.plan()
    elif tournament.id not in ledger.tournaments():
        raise Missing(
            f"judge {card.name!r} was not asked this in run {folder.name!r}",
            remedy="Give the options that it was asked with, or ask: no --offline.",
        )
    if outdated := [parser for parser in ledger.parsers(tournament.id) if parser != judge.parser]:
        display.warn(
            f"some replies were read by {', '.join(outdated)}, which is {judge.parser} now; "
            "--reparse reads them again and costs nothing"
        )
    return tournament


def _design(
    card: JudgeCard,
    options: TournamentOptions,
    pictures: ComparablePictures,
    strength: float | None,
) -> Design:
    schedule, methods = options.schedule, pictures.methods
    criteria = tuple(dict.fromkeys(options.criteria or card.criteria))
    about_concept = tuple(each for each in criteria if card.is_about_concept(each))
    if schedule.against and schedule.against not in methods:
        raise UnknownName("method of the tournament", schedule.against, methods)
    if schedule.against and schedule.swiss:
        raise UsageError(
            "pairs with one method only leave nothing to choose",
            remedy="Give either --against or --swiss.",
        )
    steered = (method for method in methods if method != UNSTEERED)
    return Design(
        **vars(schedule),
        methods=methods,
        criteria=criteria,
        strength=strength,
        about_concept=about_concept,
        shows=pictures.prompt_method or next(steered),
    )


def _strength(text: str | None, full: float) -> float | None:
    if text is None:
        return full
    if text == "tuned":
        return None
    try:
        strength = float(text)
    except ValueError:
        strength = math.nan
    if not math.isfinite(strength):
        raise UsageError(f"--strength {text[:60]!r} is neither a number nor 'tuned'")
    return strength
