"""Baselines: the cards in `baselines/`, and the methods that they set up."""

import dataclasses
import importlib
import importlib.util
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    PrivateAttr,
    PydanticUndefinedAnnotation,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)

from htbench.core import content, registry
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.core.types import Digest

Modality = Literal["text", "image"]


class PublishedFigure(BaseModel):
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
    """Entry point in the group `htbench.methods`, or `module:Class`: a module beside the card, or one that can be imported."""
    summary: str
    kind: Literal["", "none", "prompt", "per-concept", "amortised"] = ""
    """Where its interventions come from: one concept's images, or a prediction learnt from many concepts; empty: not said."""
    cost: Literal["", "nothing", "prediction", "one run", "optimisation"] = ""
    """What a new concept costs: at most a forward pass of a small network, or of the model, or many with gradients."""
    encoders: tuple[str, ...] = ()
    """What concepts are read with: names of encoders, or `conditioner` for the model's own."""
    reads: tuple[Modality, ...] = ("text",)
    """What a concept may be given as."""
    settings: dict[str, Any] = {}
    paper: str = ""
    bibtex: str = ""
    published: tuple[PublishedFigure, ...] = ()
    artifacts: dict[str, Path] = {}
    """Files with what was learnt beforehand, by model; relative to the card."""
    _folder: Path = PrivateAttr(Path())

    @property
    def code_file(self) -> Path | None:
        """The module beside the card that has its method, if it is there."""
        module, colon, _ = self.method.rpartition(":")
        file = self._folder / f"{module.removesuffix('.py')}.py"
        return file if colon and file.is_file() else None

    @property
    def digest(self) -> Digest:
        """Changes with the method or any of its settings, and with the code beside the card."""
        return content.digest(
            [
                self.method,
                self.settings,
                *([content.file_digest(self.code_file)] if self.code_file else []),
            ]
        )

    def with_settings(self, settings: Mapping[str, object]) -> "Card":
        """This card with some settings replaced, and nothing learnt beforehand."""
        return self.model_copy(update={"settings": {**self.settings, **settings}, "artifacts": {}})


def cards() -> dict[str, Card]:
    """All baselines by name, shipped and installed."""
    return {name: read_card(path) for name, path in sorted(_card_files().items())}


def load_card(name: str) -> Card:
    """The baseline `name`: a shipped or installed one, or the path of a card file."""
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise Missing(
                f"no card file {name!r}",
                remedy="Give the path of a TOML file, or a name from: htbench list methods",
            )
        return read_card(Path(name))
    known = _card_files()
    if name not in known:
        raise UnknownName("method", name, known, remedy="See: htbench list methods")
    return read_card(known[name])


def read_card(path: Path) -> Card:
    """The card in the file `path`."""
    try:
        card = Card.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(
            f"card {str(path)!r} is not valid: {' '.join(str(error).split())[:300]}"
        ) from None
    card = card.model_copy(
        update={"artifacts": {model: path.parent / file for model, file in card.artifacts.items()}}
    )
    card._folder = path.parent
    return card


def load_method(card: Card | str) -> Any:
    """The method of a card, or of the baseline of that name, set up.

    Raises:
        UnknownName: for a setting that the method does not have.
        UsageError: for a value of the wrong type.
    """
    card = load_card(card) if isinstance(card, str) else card
    kind = _method_class(card)
    known = [field.name for field in dataclasses.fields(kind)]
    for setting in card.settings:
        if setting not in known:
            raise UnknownName(f"setting of {card.method}", setting, known)
    try:
        return TypeAdapter(kind).validate_python(card.settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"setting {'.'.join(map(str, first['loc']))!r} of {card.name}: {first['msg']}, not {str(first['input'])[:60]!r}"
        ) from None
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise UsageError(
            f"settings of {card.method} must have plain types: {str(error).splitlines()[0]}",
            remedy="See docs/add-a-method.md.",
        ) from None


def _method_class(card: Card) -> type[Any]:
    """The class that a card names.

    Raises:
        Missing: if its module cannot be imported.
        UsageError: if there is no such class, or it is not a method.
    """
    if ":" not in card.method:
        kind = registry.load("methods", card.method)
    else:
        where, _, name = card.method.rpartition(":")
        try:
            module = (
                _import_file(card.code_file) if card.code_file else importlib.import_module(where)
            )
        except (ImportError, SyntaxError) as error:
            remedy = f"Install the package that has it, or put {where}.py beside the card."
            raise registry.cannot_import(
                f"{card.method!r} of card {card.name!r}", error, remedy=remedy
            ) from None
        if not hasattr(module, name):
            classes = [
                each for each, value in vars(module).items() if dataclasses.is_dataclass(value)
            ]
            raise UnknownName(f"class of {where}", name, classes or vars(module))
        kind = getattr(module, name)
    if old := _former_name(kind):
        raise UsageError(
            f"{card.method!r} of card {card.name!r} is written for htbench 0.1.0: rename its {old[0]!r} to {old[1]!r}",
            remedy="See docs/add-a-method.md.",
        )
    lacks = [part for part in ("train", "load") if not callable(getattr(kind, part, None))]
    if lacks or not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        why = f"it has no {' and no '.join(map(repr, lacks))}" if lacks else "it is not a dataclass"
        raise UsageError(
            f"{card.method!r} of card {card.name!r} is not a method: {why}",
            remedy="See docs/add-a-method.md.",
        )
    return kind


def _former_name(kind: type[Any]) -> tuple[str, str] | None:
    """A function that a method of version 0.1.0 has, and its present name; told for one release."""
    if "fit" in getattr(kind, "__abstractmethods__", ()) and hasattr(kind, "learn"):
        return "learn", "fit"
    return ("fit", "train") if hasattr(kind, "fit") and not hasattr(kind, "train") else None


def _import_file(file: Path) -> ModuleType:
    """The module in `file`; it may import its neighbours, after all that is installed."""
    name = file.stem
    if known := sys.modules.get(name):
        if Path(getattr(known, "__file__", None) or "").resolve() != file.resolve():
            raise ImportError(f"there is another module named {name!r}; rename {file.name}")
        return known
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    if spec is None or spec.loader is None:
        raise ImportError(f"{file.name} is not Python")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    sys.path.append(str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _card_files() -> dict[str, Path]:
    """Card files by name: the shipped ones, and those in the folders that installed packages name in the group `htbench.baselines`."""
    found: dict[str, Path] = {}
    folders = [
        content.folder("baselines"),
        *(_package_folder(entry) for _, entry in sorted(registry.plugins("baselines").items())),
    ]
    for path in (path for folder in folders for path in sorted(folder.glob("*.toml"))):
        if path.stem in found:
            raise UsageError(
                f"two cards are named {path.stem!r}: {found[path.stem]} and {path}",
                remedy="Rename one, or uninstall its package.",
            )
        found[path.stem] = path
    return found


def _package_folder(entry: EntryPoint) -> Path:
    """The folder of the package that an entry point names, without importing it."""
    package, *inner = entry.value.split(".")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise Missing(
            f"entry point {entry.name!r} names package {entry.value!r}, which is not there",
            remedy="Install the package again, or uninstall it.",
        )
    return Path(spec.submodule_search_locations[0], *inner)
