"""`htbench list`: what there is."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import Json, Out
from htbench.core import registry
from htbench.core.errors import UnknownName
from htbench.judging import card as judge_cards
from htbench.run import plan as plans
from htbench.steering import baseline


def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            help="methods, models, encoders, concepts, judges, metrics, plans or runs; left out: what each of these is."
        ),
    ] = None,
    concept_set: Annotated[
        str | None,
        typer.Option(help="With `concepts`: list each of this set, shipped or your own."),
    ] = None,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """List what there is, a line each."""
    from htbench.core.display import print_json, printable

    listings: dict[str, tuple[str, Callable[[], list[tuple[str, str]]]]] = {
        "methods": ("what steers: htbench run --method", _methods),
        "models": ("text-to-image models that are steered: --model", lambda: _plugins("models")),
        "encoders": (
            "what scores images, and what reads concepts: --scorer",
            lambda: _plugins("encoders"),
        ),
        "concepts": (
            "sets of concepts to steer towards: --concept-set",
            lambda: _concepts_of(concept_set) if concept_set else _concepts(),
        ),
        "judges": (
            "what compares pictures in pairs: htbench judge --judge",
            lambda: [(name, _judge(name)) for name in judge_cards.judge_names()],
        ),
        "metrics": ("the scores of a leaderboard", _metrics),
        "plans": (
            "runs with all their settings: htbench run NAME",
            lambda: [(name, f"htbench run {name}") for name in plans.names()],
        ),
        "runs": ("what was run: htbench report, judge, check, diff and export", lambda: _runs(out)),
    }
    if what is None:
        rows = [(name, about) for name, (about, _) in listings.items()]
    elif what in listings:
        rows = listings[what][1]()
    else:
        raise UnknownName("list", what, listings)
    if as_json:
        for name, text in rows:
            print_json(name=name, about=text)
        return
    width = min(40, max((len(name) for name, _ in rows), default=0))
    for name, text in rows:
        typer.echo(f"{printable(name, max_length=200):<{width}}  {printable(text, max_length=300)}")
    if not rows:
        typer.echo(f"htbench: no {what} in {str(out)!r}", err=True)


def _methods() -> list[tuple[str, str]]:
    """Kind, cost of a new concept, encoders and reference of each baseline, then what it does."""
    cards = baseline.cards()
    facts = {
        name: (card.kind, card.cost, " ".join(card.encoders), card.paper.removeprefix("https://"))
        for name, card in cards.items()
    }
    widths = [max(map(len, column)) for column in zip(*facts.values(), strict=True)]
    rows = {
        name: "  ".join(
            f"{fact or '-':<{width}}" for fact, width in zip(fact_row, widths, strict=True)
        )
        for name, fact_row in facts.items()
    }
    return [(name, f"{rows[name]}  {card.summary}") for name, card in cards.items()]


def _plugins(group: registry.Group) -> list[tuple[str, str]]:
    return [(name, entry.value) for name, entry in sorted(registry.plugins(group).items())]


def _runs(out: Path) -> list[tuple[str, str]]:
    return [
        (folder.name, _progress(folder))
        for folder in sorted(path.parent for path in out.glob("*/run.sqlite"))
    ]


def _judge(name: str) -> str:
    card = judge_cards.load_judge_card(name)
    return f"{card.kind}  {card.model or '(model: --model, or what is there)'}  {', '.join(card.criteria)}: {card.summary}"


def _metrics() -> list[tuple[str, str]]:
    from htbench.run.summary import METRICS

    return [(f"{metric}", title) for metric, title in METRICS.items()]


def _progress(folder: Path) -> str:
    from htbench.core.errors import HtbenchError
    from htbench.run.store import Store
    from htbench.run.summary import Summary

    try:
        with Store.read(folder) as store:
            summary = Summary(store)
            return f"{summary.done}/{summary.planned} cells done, {len(summary.methods)} methods, {summary.concepts} concepts"
    except HtbenchError as error:
        return str(error)


def _concepts() -> list[tuple[str, str]]:
    from htbench.steering import concept

    sets = [concept.load(name) for name in concept.names()]
    return [
        (
            each.name,
            f"version {each.version}: "
            + ", ".join(f"{len(each.splits[split])} {split}" for split in concept.SPLITS),
        )
        for each in sets
    ]


def _concepts_of(name: str) -> list[tuple[str, str]]:
    from htbench.steering import concept

    return [
        (each.id, f"{split:<5}  {each.text}")
        for split, concepts in concept.load(name).splits.items()
        for each in concepts
    ]
