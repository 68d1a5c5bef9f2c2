"""Finds plug-ins by entry point, ours through the same door as strangers', and the cards that set them up."""

import inspect
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from htbench.core.errors import UnknownName, UsageError

Group = Literal["models", "methods", "encoders", "scorers", "instruments", "baselines", "judges"]
_FORMER_GROUPS = {"scorers": ("gauges",)}
"""What groups were called in version 0.1.0; read for one release."""


@cache
def plugins(group: Group) -> dict[str, EntryPoint]:
    """Installed plug-ins of a group, by name, without importing any."""
    groups = (group, *_FORMER_GROUPS.get(group, ()))
    return {entry.name: entry for name in reversed(groups) for entry in entry_points(group=f"htbench.{name}")}


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


def model(name: str, device: str, options: Mapping[str, object]) -> Any:
    """The model `name` on `device`.

    Raises:
        UsageError: if it cannot be loaded in other ways than its own.
    """
    factory = load("models", name)
    try:
        inspect.signature(factory).bind(device, **options)
    except TypeError:
        raise UsageError(f"model {name!r} offers no choice of {', '.join(map(repr, options))}", remedy="Leave --weights and --model-option out.") from None
    return factory(device, **options)
