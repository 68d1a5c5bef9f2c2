"""`htbench list`: what there is."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from htbench import plan as plans
from htbench import registry
from htbench.cli.options import Out
from htbench.errors import UnknownName


def list_(what: Annotated[str, typer.Argument(help="methods, models, encoders, concepts, plans or runs")], out: Out = Path("runs")) -> None:
    """List what there is, a line each."""
    listings: dict[str, Callable[[], list[tuple[str, str]]]] = {
        "methods": lambda: [(name, card.summary) for name, card in registry.cards().items()],
        "models": lambda: [(name, entry.value) for name, entry in sorted(registry.plugins("models").items())],
        "encoders": lambda: [(name, entry.value) for name, entry in sorted(registry.plugins("encoders").items())],
        "concepts": _concepts,
        "plans": lambda: [(name, f"htbench run {name}") for name in plans.names()],
        "runs": lambda: [(path.parent.name, str(path.parent)) for path in sorted(out.glob("*/run.sqlite"))],
    }
    if what not in listings:
        raise UnknownName("list", what, listings)
    rows = listings[what]()
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        typer.echo(f"{name:<{width}}  {text}")


def _concepts() -> list[tuple[str, str]]:
    from htbench import concept

    sets = [concept.load(name) for name in concept.names()]
    return [(each.name, f"version {each.version}: " + ", ".join(f"{len(each.splits[split])} {split}" for split in concept.SPLITS)) for each in sets]
