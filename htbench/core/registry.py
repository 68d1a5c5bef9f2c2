"""Plug-ins, found by entry point: ours through the same door as strangers'."""

import inspect
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from htbench.core import content
from htbench.core.errors import Missing, UnknownName, UsageError, not_installed

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Group = Literal[
    "models",
    "methods",
    "encoders",
    "scorers",
    "set_scorers",
    "activation_scorers",
    "calibrations",
    "baselines",
    "judges",
    "cards",
]
_FORMER_GROUPS = {"scorers": ("gauges",), "calibrations": ("instruments",)}
"""Names of groups in version 0.1.0; read for one release."""


@cache
def plugins(group: Group) -> "dict[str, EntryPoint]":
    """Installed plug-ins of a group, by name, without importing any."""
    from importlib.metadata import entry_points  # slow, and `htbench --help` needs none

    groups = (group, *_FORMER_GROUPS.get(group, ()))
    return {
        entry.name: entry
        for name in reversed(groups)
        for entry in entry_points(group=f"htbench.{name}")
    }


@dataclass(frozen=True, kw_only=True)
class Description:
    """A plug-in in words."""

    about: str
    """One sentence."""
    size: str = ""
    licence: str = ""
    shipped: bool = False
    """True if its weights are part of htbench."""


def describe(group: Group, name: str) -> Description:
    """The description of a plug-in, without importing it: for others' that of their package.

    Raises:
        UnknownName: if there is none, with the nearest names.
    """
    if is_card(group, name):
        description: Description = load(group, name).description
        return description
    check(group, name)
    own = _own_descriptions().get(group, {}).get(name)
    package = plugins(group)[name].dist
    if own and package and package.name == "htbench":
        return Description(**own)
    if package is None:
        return Description(about="From another package.")
    summary = package.metadata.json.get("summary", "")
    return Description(about=f"{summary} (from {package.name})".strip())


def missing(group: Group, name: str) -> list[str] | None:
    """The parts that a plug-in lacks on this machine, such as weights; None if it cannot tell.

    It or its module tells by a function `missing()`.
    """
    plugin = load(group, name)
    if is_card(group, name):
        return [str(part) for part in plugin.missing()]
    entry = plugins(group)[name]
    missing_parts = getattr(plugin, "missing", None) or getattr(
        sys.modules[entry.module], "missing", None
    )
    return [str(part) for part in missing_parts()] if missing_parts else None


@cache
def _own_descriptions() -> dict[str, dict[str, dict[str, Any]]]:
    path = content.folder("reports") / "plugins.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def is_card(group: Group, name: str) -> bool:
    """True if `name` is the path of a card, which stands for a plug-in of its group."""
    return name.endswith(".toml") and group in plugins("cards")


def own_name(group: Group, name: str) -> str:
    """The name of a plug-in; of a card that is given by its path, the name on it."""
    return str(load(group, name).name) if is_card(group, name) else name


def check(group: Group, name: str) -> None:
    """Raise `UnknownName` if there is no plug-in `name`, with the nearest names.

    A card that is given by its path is read, and raises what is wrong with it.
    """
    if is_card(group, name):
        load(group, name)
        return
    if name not in plugins(group):
        raise UnknownName(
            group.removesuffix("s"), name, plugins(group), remedy=f"See: htbench list {group}"
        )


def load(group: Group, name: str) -> Any:
    """The object behind plug-in `name`, or behind the card at the path `name`.

    Cards of a group are read by the plug-in of that name in the group `htbench.cards`.

    Raises:
        UnknownName: if there is none, with the nearest names.
        Missing: if its module cannot be imported, or lacks it, or if there is no such card.
        UsageError: if the card is not valid.
    """
    if is_card(group, name):
        return plugins("cards")[group].load()(name)
    check(group, name)
    try:
        return plugins(group)[name].load()
    except (ImportError, AttributeError) as error:
        raise cannot_import(
            f"plug-in {name!r}", error, remedy="Install what it needs, or uninstall its package."
        ) from None


def cannot_import(what: str, error: Exception, *, remedy: str) -> Missing:
    """The error for code that cannot be imported, with its reason and remedy."""
    if isinstance(error, ImportError) and (missing_extra := not_installed(error)):
        return missing_extra
    if isinstance(error, ImportError) and (error.name or "").startswith("htbench."):
        remedy = (
            "It was written for another version of htbench: import what it needs from htbench "
            "itself, as docs/add-a-method.md does."
        )
    return Missing(
        f"{what} cannot be imported: {' '.join(str(error).split())[:300]}", remedy=remedy
    )


def load_model(name: str, device: str = "cpu", options: Mapping[str, object] | None = None) -> Any:
    """The text-to-image model `name` on `device`.

    Args:
        options: settings of the model, such as `weights` or `dtype`; see `htbench show model NAME`.

    Raises:
        UnknownName: if there is none of that name.
        UsageError: if it does not have such options, or is written for version 0.1.0.
        Missing: without its weights, or without the memory for them.
    """
    factory, options = load("models", name), options or {}
    try:
        inspect.signature(factory).bind(device, **options)
    except TypeError:
        raise UsageError(
            f"model {name!r} offers no choice of {', '.join(map(repr, options))}",
            remedy="Leave --weights and --model-option out.",
        ) from None
    model = factory(device, **options)
    if hasattr(model, "conditioner") and not hasattr(model, "concept_encoder"):
        problem = "is written for htbench 0.1.0: rename its 'conditioner' to 'concept_encoder'"
        raise UsageError(f"model {name!r} {problem}", remedy="See docs/models.md.")
    return model
