"""`htbench fetch`: get published weights."""

from typing import Annotated

import typer

from htbench.core import registry
from htbench.core.errors import UsageError
from htbench.core.registry import Group


def fetch(
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Model, with the encoders that it needs; see htbench list models.",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Encoder alone; see htbench list encoders."),
    ] = None,
    scorer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Other scorer: dinov2-small or lpips-alex."),
    ] = None,
) -> None:
    """Download weights and check them. Those that are there are only checked."""
    from rich.console import Console

    from htbench.scorers.scorer import other_group

    if (model, encoder, scorer).count(None) != 2:
        raise UsageError(
            "give one of --model, --encoder and --scorer",
            remedy="Such as: htbench fetch --model dmd2",
        )
    alone: tuple[Group, str] = ("encoders", encoder or "")
    if scorer is not None:
        alone = (other_group(scorer), scorer)
    for group, name in _needed(model) if model else [alone]:
        plugin = registry.load(group, name)
        if not hasattr(plugin, "fetch"):
            typer.echo(f"{name}: nothing to fetch, its weights are part of its package")
            continue
        if hasattr(plugin, "facts"):
            typer.echo(f"licence of {name}: {plugin.facts()['licence']}", err=True)
        with Console(stderr=True).status(f"fetch {name}"):
            folders = plugin.fetch()
        for repository, folder in folders.items():
            typer.echo(f"{name}: {repository} is whole, in {folder}")


def _needed(model: str) -> list[tuple[Group, str]]:
    """The model and its encoders."""
    plugin = registry.load("models", model)
    needed: list[tuple[Group, str]] = [("models", model)]
    return needed + [
        ("encoders", getattr(plugin, role))
        for role in ("concept_encoder", "scorer")
        if hasattr(plugin, role)
    ]
