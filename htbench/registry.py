"""Finds plug-ins by entry point, ours through the same door as strangers', and the cards that set them up."""

import dataclasses
import importlib
import tomllib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from htbench import content
from htbench.errors import Missing, UnknownName, UsageError
from htbench.types import Digest

Group = Literal["models", "methods", "encoders"]


@cache
def plugins(group: Group) -> dict[str, EntryPoint]:
    """Installed plug-ins of a group, by name, without importing any."""
    return {entry.name: entry for entry in entry_points(group=f"htbench.{group}")}


def check(group: Group, name: str) -> None:
    """Raise `UnknownName` if there is no plug-in `name`, with the nearest names."""
    if name not in plugins(group):
        raise UnknownName(group.removesuffix("s"), name, plugins(group), remedy=f"See: htbench list {group}")


def load(group: Group, name: str) -> Any:
    """The object behind plug-in `name`.

    Raises:
        UnknownName: if there is none, with the nearest names.
    """
    check(group, name)
    return plugins(group)[name].load()


class Published(BaseModel):
    """A figure from a paper, with the conditions it was measured under."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    what: str
    value: str
    conditions: str


class Card(BaseModel):
    """A baseline: which method class, with which settings, from which paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    method: str
    """Entry point in the group `htbench.methods`, or `module:Class`."""
    summary: str
    settings: dict[str, Any] = {}
    paper: str = ""
    bibtex: str = ""
    published: tuple[Published, ...] = ()
    artifacts: dict[str, Path] = {}
    """Files with what was learnt beforehand, by model; relative to the card."""

    @property
    def digest(self) -> Digest:
        """Changes with the method or any of its settings."""
        return content.digest([self.method, self.settings])


def cards() -> dict[str, Card]:
    """All shipped baselines by name."""
    return {path.stem: _read(path) for path in sorted(content.folder("baselines").glob("*.toml"))}


def card(name: str) -> Card:
    """The baseline `name`: a shipped one, or the path of a card file."""
    path = Path(name) if name.endswith(".toml") else content.folder("baselines") / f"{name}.toml"
    if name.endswith(".toml") and not path.is_file():
        raise Missing(f"no card file {name!r}", remedy="Give the path of a TOML file, or a name from: htbench list methods")
    known = sorted(path.stem for path in content.folder("baselines").glob("*.toml"))
    if not name.endswith(".toml") and name not in known:
        raise UnknownName("method", name, known, remedy="See: htbench list methods")
    return _read(path)


def method(card: Card) -> Any:
    """The method of a card, set up; refuses settings that the method does not have."""
    if ":" in card.method:
        module, _, name = card.method.partition(":")
        try:
            kind = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise Missing(f"card {card.name!r} names {card.method!r}, which cannot be loaded: {error}") from None
    else:
        kind = load("methods", card.method)
    known = [field.name for field in dataclasses.fields(kind)]
    for setting in card.settings:
        if setting not in known:
            raise UnknownName(f"setting of {card.method}", setting, known)
    return kind(**card.settings)


def _read(path: Path) -> Card:
    try:
        card = Card.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        return card.model_copy(update={"artifacts": {model: path.parent / file for model, file in card.artifacts.items()}})
    except (ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"card {str(path)!r} is not valid: {' '.join(str(error).split())[:300]}") from None
