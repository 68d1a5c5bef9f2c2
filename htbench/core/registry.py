"""Finds plug-ins by entry point, ours through the same door as strangers', and the cards that set them up."""

import inspect
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from htbench.core.errors import Missing, UnknownName, UsageError

Group = Literal["models", "methods", "encoders", "scorers", "instruments", "baselines", "judges"]
_FORMER_GROUPS = {"scorers": ("gauges",)}
"""What groups were called in version 0.1.0; read for one release."""


@cache
def plugins(group: Group) -> dict[str, EntryPoint]:
    """Installed plug-ins of a group, by name, without importing any."""
    groups = (group, *_FORMER_GROUPS.get(group, ()))
    return {
        entry.name: entry
        for name in reversed(groups)
        for entry in entry_points(group=f"htbench.{name}")
    }


def check(group: Group, name: str) -> None:
    """Raise `UnknownName` if there is no plug-in `name`, with the nearest names."""
    if name not in plugins(group):
        raise UnknownName(
            group.removesuffix("s"), name, plugins(group), remedy=f"See: htbench list {group}"
        )


def load(group: Group, name: str) -> Any:
    """The object behind plug-in `name`.

    Raises:
        UnknownName: if there is none, with the nearest names.
        Missing: if its module cannot be imported, or lacks it.
    """
    check(group, name)
    try:
        return plugins(group)[name].load()
    except (ImportError, AttributeError) as error:
        raise cannot_import(
            f"plug-in {name!r}", error, remedy="Install what it needs, or uninstall its package."
        ) from None


def cannot_import(what: str, error: Exception, *, remedy: str) -> Missing:
    """The error that says why the code of `what` cannot be imported, and what to do."""
    if isinstance(error, ImportError) and (error.name or "").startswith("htbench."):
        remedy = "It was written for another version of htbench: import what it needs from htbench itself, as docs/add-a-method.md does."
    return Missing(
        f"{what} cannot be imported: {' '.join(str(error).split())[:300]}", remedy=remedy
    )


def load_model(name: str, device: str = "cpu", options: Mapping[str, object] | None = None) -> Any:
    """The text-to-image model `name` on `device`.

    Args:
        options: what may be chosen of it, such as `weights` or `dtype`; see `htbench show model NAME`.

    Raises:
        UnknownName: if there is none of that name.
        UsageError: if it does not have such options, or is written for version 0.1.0.
        Missing: without its weights, or without the memory for them.
    """
    factory, chosen = load("models", name), options or {}
    try:
        inspect.signature(factory).bind(device, **chosen)
    except TypeError:
        raise UsageError(
            f"model {name!r} offers no choice of {', '.join(map(repr, chosen))}",
            remedy="Leave --weights and --model-option out.",
        ) from None
    model = factory(device, **chosen)
    if hasattr(model, "conditioner") and not hasattr(model, "concept_encoder"):
        raise UsageError(
            f"model {name!r} is written for htbench 0.1.0: rename its 'conditioner' to 'concept_encoder'",
            remedy="See docs/models.md.",
        )
    return model
