"""Settings from several places: a file, the environment, options; later ones win, and each knows where it came from."""

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from htbench.core.errors import UnknownName, UsageError

PREFIX = "HTBENCH_"
_BOOLEANS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


class Settings(BaseModel):
    """Frozen, typed settings; nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


AnySettings = TypeVar("AnySettings", bound=Settings)


@dataclass(frozen=True, kw_only=True)
class ResolvedSetting:
    """A setting's value and where it came from."""

    name: str
    value: object
    origin: str


def fill(
    settings_type: type[AnySettings],
    layers: Sequence[Mapping[str, object]],
    *,
    other: type[Settings],
) -> AnySettings:
    """The settings of `settings_type` that `layers` make, later ones over earlier ones; None leaves a setting alone.

    Raises:
        UnknownName: for a setting that neither `settings_type` nor `other` has, with the nearest that one of them has.
        UsageError: for a value that makes no sense.
    """
    merged: dict[str, object] = {}
    for layer in layers:
        merged.update({key: value for key, value in layer.items() if value is not None})
    known = {**settings_type.model_fields, **other.model_fields}
    for key in merged:
        if key not in known:
            raise UnknownName("plan setting", key, known)
    mine = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in merged.items()
        if key in settings_type.model_fields
    }
    try:
        return settings_type.model_validate(mine)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"plan setting {where!r}: {first['msg']}, not {str(first['input'])[:60]!r}"
        ) from None


def origins(
    settings: Sequence[Settings], layers: Mapping[str, Mapping[str, object]]
) -> list[ResolvedSetting]:
    """Every setting with its value and the name of the last layer that gave it; `default` where none did."""

    def origin(name: str) -> str:
        return next(
            (layer for layer in reversed(list(layers)) if layers[layer].get(name) is not None),
            "default",
        )

    return [
        ResolvedSetting(name=name, value=value, origin=origin(name))
        for each in settings
        for name, value in each.model_dump(mode="json").items()
    ]


def environment(variables: Mapping[str, str], *settings_types: type[Settings]) -> dict[str, object]:
    """Settings in variables such as HTBENCH_BATCH=8; several values are separated by commas.

    Raises:
        UnknownName: for a variable with the prefix that is no setting.
        UsageError: for text that is no value of its setting.
    """
    hints = {
        name: field.annotation
        for kind in settings_types
        for name, field in kind.model_fields.items()
    }
    found: dict[str, object] = {}
    for variable, text in variables.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in hints:
            raise UnknownName("setting", variable, [PREFIX + each.upper() for each in hints])
        try:
            found[name] = _parse(text, hints[name])
        except ValueError:
            raise UsageError(f"{variable}={text[:60]!r} is not {_describe(hints[name])}") from None
    return found


def _parse(text: str, hint: object) -> object:
    if typing.get_origin(hint) is tuple:
        return tuple(
            _parse(part.strip(), typing.get_args(hint)[0])
            for part in text.split(",")
            if part.strip()
        )
    kind = _inner_type(hint)
    if kind is bool and text.lower() not in _BOOLEANS:
        raise ValueError(text)
    return (
        _BOOLEANS[text.lower()]
        if kind is bool
        else int(text)
        if kind is int
        else float(text)
        if kind is float
        else text
    )


def _inner_type(hint: object) -> object:
    """`int` of `int | None` and of `Annotated[int, …]`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return _inner_type(
            next(part for part in typing.get_args(hint) if part is not types.NoneType)
        )
    return (
        _inner_type(typing.get_args(hint)[0])
        if typing.get_origin(hint) is typing.Annotated
        else hint
    )


def _describe(hint: object) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number"}
    inner = typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else hint
    text = next((name for kind, name in names.items() if _inner_type(inner) is kind), "text")
    return f"{text}, or several with commas between" if inner is not hint else text
