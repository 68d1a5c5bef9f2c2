"""Settings in layers: a file, the environment, options; later layers win."""

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from htbench.core.errors import UnknownName, UsageError

PREFIX = "HTBENCH_"
_FORMER_NAMES = {"out": "runs"}
"""Settings of version 0.1.0 with their names of today."""
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
    """Base of frozen, typed settings; no value is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


AnySettings = TypeVar("AnySettings", bound=Settings)


@dataclass(frozen=True, kw_only=True)
class ResolvedSetting:
    """A setting's value and the layer that it came from."""

    name: str
    value: object
    origin: str


def fill(
    settings_type: type[AnySettings],
    layers: Sequence[Mapping[str, object]],
    *,
    other: type[Settings],
) -> AnySettings:
    """The settings of `settings_type` in `layers`, later ones over earlier ones.

    None leaves a setting alone, and settings of `other` are left out.

    Raises:
        UnknownName: for a setting of neither `settings_type` nor `other`, with the nearest name.
        UsageError: for a value that makes no sense.
    """
    merged: dict[str, object] = {}
    for layer in layers:
        merged.update({key: value for key, value in layer.items() if value is not None})
    known = {**settings_type.model_fields, **other.model_fields}
    for key in merged:
        if key not in known:
            if key in _FORMER_NAMES:
                raise UsageError(f"plan setting {key!r} is now {_FORMER_NAMES[key]!r}")
            raise UnknownName("plan setting", key, known)
    values = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in merged.items()
        if key in settings_type.model_fields
    }
    try:
        return settings_type.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"plan setting {field!r}: {first['msg']}, not {str(first['input'])[:60]!r}"
        ) from None


def origins(
    settings: Sequence[Settings], layers: Mapping[str, Mapping[str, object]]
) -> list[ResolvedSetting]:
    """Every setting with its value and the last layer that gave it, or else `default`."""

    def origin(name: str) -> str:
        return next(
            (layer for layer in reversed(list(layers)) if layers[layer].get(name) is not None),
            "default",
        )

    return [
        ResolvedSetting(name=name, value=value, origin=origin(name))
        for part in settings
        for name, value in _written(part).items()
    ]


def _written(settings: Settings) -> dict[str, object]:
    """All settings as JSON-like values, also those that are not written where they have their
    default.
    """
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    plain = {name: list(each) if isinstance(each, tuple) else each for name, each in values.items()}
    return {**plain, **settings.model_dump(mode="json")}


def environment(variables: Mapping[str, str], *settings_types: type[Settings]) -> dict[str, object]:
    """The settings in variables such as HTBENCH_BATCH=8; lists are separated by commas.

    Raises:
        UnknownName: for a variable with the prefix that is no setting.
        UsageError: for text that is not a value of its setting.
    """
    hints = {
        name: field.annotation
        for kind in settings_types
        for name, field in kind.model_fields.items()
    }
    values: dict[str, object] = {}
    for variable, text in variables.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in hints:
            if name in _FORMER_NAMES:
                raise UsageError(f"{variable} is now {PREFIX}{_FORMER_NAMES[name].upper()}")
            raise UnknownName("setting", variable, [PREFIX + hint.upper() for hint in hints])
        try:
            values[name] = _parse(text, hints[name])
        except ValueError:
            raise UsageError(f"{variable}={text[:60]!r} is not {_describe(hints[name])}") from None
    return values


def _parse(text: str, hint: object) -> object:
    if typing.get_origin(hint) is tuple:
        return tuple(
            _parse(part.strip(), typing.get_args(hint)[0])
            for part in text.split(",")
            if part.strip()
        )
    kind = _inner_type(hint)
    if kind is bool:
        if text.lower() not in _BOOLEANS:
            raise ValueError(text)
        return _BOOLEANS[text.lower()]
    if kind is int:
        return int(text)
    return float(text) if kind is float else text


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
