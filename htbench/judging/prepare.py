"""Prepares a tournament from a user's options and a run."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from htbench.core import errors, registry
from htbench.core.display import Display
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.core.types import UNSTEERED
from htbench.judging import budget, newcomers
from htbench.judging import pairs as pairing
from htbench.judging.budget import Budget
from htbench.judging.card import JudgeCard
from htbench.judging.judge import Judge, JudgeContext
from htbench.judging.ledger import Ledger
from htbench.judging.newcomers import NewcomerDesign
from htbench.judging.pairs import ComparablePictures
from htbench.judging.pictures import PictureLoader
from htbench.judging.schedule import ANCHORS, Design, ScheduleSettings
from htbench.judging.tournament import PROTOCOL, Tournament
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
    anchors: int = ANCHORS
    """Methods that each picture of a newcomer is compared with, in a run against a bundle."""

    @property
    def chooses_pairs(self) -> bool:
        """True if the user chooses the pairs; newcomers are then methods like all others."""
        schedule = self.schedule
        return bool(self.methods or schedule.against or schedule.pairs or schedule.swiss)


def check_installed(card: JudgeCard, context: JudgeContext) -> None:
    """Raise `Missing` if a module is not installed that the judge needs for what it is asked."""
    factory = registry.load("judges", card.kind)
    if not context.offline:
        for module in getattr(factory, "needs", ()):
            errors.check_installed(module)


def prepare_tournament(
    folder: Path, ledger: Ledger, card: JudgeCard, options: TournamentOptions, display: Display
) -> Tournament:
    """The tournament, planned over the run's pictures; offline, as it was planned before.

    Raises:
        Missing: if the judge is offline and was never asked; the rest as in `build_tournament`.
    """
    tournament = build_tournament(folder, ledger, card, options, display)
    if not options.context.offline:
        tournament.plan()
    elif tournament.id not in ledger.tournaments():
        raise Missing(
            f"judge {card.name!r} was not asked this in run {folder.name!r}",
            remedy="Give the options that it was asked with, or ask: no --offline.",
        )
    tournament.warn_of_parsers()
    return tournament


def build_tournament(
    folder: Path, ledger: Ledger, card: JudgeCard, options: TournamentOptions, display: Display
) -> Tournament:
    """The tournament, not yet planned.

    In a run against a bundle it adds the newcomers to the bundle's tournament by the same judge,
    unless the options choose the pairs.

    Raises:
        UnknownName: for an unknown criterion or method, with the nearest name.
        UsageError: for options that contradict each other.
        Refused: if the bundle was not judged by this judge.
    """
    meter = options.budget.meter()
    with Store.read(folder) as store:
        summary = Summary(store)
        context = replace(options.context, scorer=summary.scorer, memory=ledger.notes, meter=meter)
        judge: Judge = registry.load("judges", card.kind)(card, context)
        if (tuned := card.for_model(judge.model)) is not card:
            card = tuned.with_model(judge.model)
            judge = registry.load("judges", card.kind)(card, context)
        if summary.facts.against.methods and not options.chooses_pairs:
            design: Design = _newcomer_design(summary, ledger, card, judge, options)
            strength, methods = design.strength, design.methods
            pictures = pairing.find_pictures(store, methods=methods, strength=strength)
        else:
            strength = _strength(options.strength, summary.full_strength)
            pictures = pairing.find_pictures(store, methods=options.methods, strength=strength)
            design = _design(card, options, pictures, strength)
    meter.price = budget.price_of(judge.model, options.prices, options.budget)
    return Tournament(
        ledger=ledger,
        card=card,
        judge=judge,
        design=design,
        pictures=pictures,
        picture_loader=PictureLoader(folder / "images", card.pictures),
        meter=meter,
        display=display,
    )


def _newcomer_design(
    summary: Summary, ledger: Ledger, card: JudgeCard, judge: Judge, options: TournamentOptions
) -> NewcomerDesign:
    """The design that adds the newcomers of a run to the tournament of its bundle."""
    given, against = options.strength, summary.facts.against
    basis = newcomers.find_basis(
        ledger,
        against,
        card,
        model=judge.model,
        protocol=PROTOCOL,
        criteria=options.criteria,
        strength="" if given is None else _strength(given, summary.full_strength),
    )
    schedule = options.schedule
    newcomers.check_same_design(basis, both_orders=schedule.both_orders, seed=schedule.seed)
    criteria = tuple(dict.fromkeys(options.criteria or basis.design["criteria"]))
    return newcomers.design_newcomers(
        basis,
        [method for method in summary.methods if method not in against.methods],
        criteria=criteria,
        about_concept=[each for each in criteria if card.is_about_concept(each)],
        anchors=options.anchors,
    )


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
