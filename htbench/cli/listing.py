"""`htbench list`: methods, models, encoders, concepts, judges, metrics, plans and runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from htbench.cli.options import Json, Out
from htbench.core import registry
from htbench.core.errors import HtbenchError, UnknownName

Rows = list[tuple[str, str]]
"""Names, and a line about each."""


def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            help="methods, models, encoders, concepts, judges, metrics, plans or runs; left out: "
            "what each of these is."
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
    listings = _listings(concept_set, out)
    if what is None:
        rows = [(name, about) for name, (about, _) in listings.items()]
    elif what in listings:
        rows = listings[what][1]()
    else:
        raise UnknownName("list", what, listings)
    _print_rows(rows, as_json=as_json)
    if not rows and not as_json:
        typer.echo(f"htbench: no {what} in {str(out)!r}", err=True)


def _listings(concept_set: str | None, out: Path) -> dict[str, tuple[str, Callable[[], Rows]]]:
    """The topics of `htbench list`, by name: a line about it, and its rows."""
    return {
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
        "judges": ("what compares pictures in pairs: htbench judge --judge", _judges),
        "metrics": ("the scores of a leaderboard", _metrics),
        "plans": ("runs with all their settings: htbench run NAME", _plans),
        "runs": ("what was run: htbench report, judge, check, diff and export", lambda: _runs(out)),
    }


def _print_rows(rows: Rows, *, as_json: bool) -> None:
    from htbench.core.display import print_json, printable

    if as_json:
        for name, text in rows:
            print_json(name=name, about=text)
        return
    width = min(40, max((len(name) for name, _ in rows), default=0))
    for name, text in rows:
        typer.echo(f"{printable(name, max_length=200):<{width}}  {printable(text, max_length=300)}")


def _methods() -> Rows:
    """Kind, cost per concept, encoders and reference of each baseline, then its summary."""
    from htbench.steering import baseline

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


def _plugins(group: registry.Group) -> Rows:
    return [(name, entry.value) for name, entry in sorted(registry.plugins(group).items())]


def _runs(out: Path) -> Rows:
    folders = sorted(path.parent for path in out.glob("*/run.sqlite"))
    return [(folder.name, _progress(folder)) for folder in folders]


def _judges() -> Rows:
    from htbench.judging import card as judge_cards

    cards = {name: judge_cards.load_judge_card(name) for name in judge_cards.judge_names()}
    models = {
        name: card.model or "(model: --model, or what is there)" for name, card in cards.items()
    }
    return [
        (name, f"{card.kind}  {models[name]}  {', '.join(card.criteria)}: {card.summary}")
        for name, card in cards.items()
    ]


def _plans() -> Rows:
    from htbench.run import plan as plans

    return [(name, f"htbench run {name}") for name in plans.names()]


def _metrics() -> Rows:
    from htbench.scorers.metric_table import METRIC_TABLE

    return [(metric.name, metric.title) for metric in METRIC_TABLE]


def _progress(folder: Path) -> str:
    from htbench.run.store import Store
    from htbench.run.summary import Summary

    try:
        with Store.read(folder) as store:
            summary = Summary(store)
            done, methods = f"{summary.done}/{summary.planned} cells done", len(summary.methods)
            return f"{done}, {methods} methods, {summary.concepts} concepts"
    except HtbenchError as error:
        return str(error)


def _concepts() -> Rows:
    from htbench.steering import concept

    rows = []
    for concept_set in map(concept.load, concept.names()):
        sizes = [f"{len(concept_set.splits[split])} {split}" for split in concept.SPLITS]
        rows.append((concept_set.name, f"version {concept_set.version}: {', '.join(sizes)}"))
    return rows


def _concepts_of(name: str) -> Rows:
    from htbench.steering import concept as concept_sets

    return [
        (concept.id, f"{split:<5}  {concept.text}")
        for split, concepts in concept_sets.load(name).splits.items()
        for concept in concepts
    ]
