"""Baselines: method cards, in `baselines/` and elsewhere, and the methods that they configure."""

import dataclasses
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PrivateAttr,
    PydanticUndefinedAnnotation,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)

from htbench.core import content, reading, registry
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.core.types import Digest

Modality = Literal["text", "image"]
_TOO_LARGE = 10**18


def _check_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Refuse values that JSON does not have, such as dates, and numbers of more than 18 digits."""
    for name, value in settings.items():
        for part in _parts(value):
            if not isinstance(part, str | int | float | None):
                raise ValueError(f"{name} is a {type(part).__name__}: {str(part)[:60]!r}")
            if not isinstance(part, str | None) and not abs(part) < _TOO_LARGE:
                raise ValueError(f"{name} is not a number of at most 18 digits")
    return settings


def _parts(value: object) -> Iterator[object]:
    """The values in lists and tables within each other."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
    else:
        yield value


class PublishedFigure(BaseModel):
    """A figure from a paper, with the conditions under which it was measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    what: str
    value: str
    conditions: str


class Card(BaseModel):
    """A baseline, as a TOML file: a method class with its settings and the paper it comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    method: str
    """Entry point in the group `htbench.methods`, or `module:Class` of a module beside the card
    or an importable one."""
    summary: str
    kind: Literal["", "none", "prompt", "per-concept", "amortised"] = ""
    """Category of the method: `per-concept` ones are fitted on images of one concept, `amortised`
    ones predict from a training on many; empty: not stated."""
    cost: Literal["", "nothing", "prediction", "one run", "optimisation"] = ""
    """Cost of a new concept: a forward pass of a small network (`prediction`), images through the
    model (`one run`), or many of these with gradients (`optimisation`); empty: not stated."""
    encoders: tuple[str, ...] = ()
    """Names of the encoders that concepts are embedded with; `conditioner` is the model's own."""
    reads: tuple[Modality, ...] = ("text",)
    """Modalities that a concept may be given in."""
    settings: Annotated[dict[str, Any], AfterValidator(_check_settings)] = {}
    paper: str = ""
    bibtex: str = ""
    published: tuple[PublishedFigure, ...] = ()
    artifacts: dict[str, Path] = {}
    """Files of trained steerings by model name, relative to the card's folder; absolute once the
    card is read, so that they are found from any folder and by any process."""
    _folder: Path = PrivateAttr(Path())
    _base_digest: Digest = PrivateAttr(Digest(""))
    """Digest of the card that this one is made of; empty for a card of its own."""

    @property
    def code_file(self) -> Path | None:
        """The module beside the card that defines its method; None if there is none."""
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
                *([self._base_digest] if self._base_digest else []),
            ]
        )

    def artifact(self, model: str) -> Path | None:
        """The file of the steering that was trained for `model`; None if the card names none.

        Raises:
            Missing: if the card names a file that is not there.
        """
        path = self.artifacts.get(model)
        if path is None:
            return None
        if not os.path.lexists(path):
            raise Missing(
                f"card {self.name!r} names {str(path)[:300]!r}, which is not there",
                remedy="Restore it, or take its line out of the card to learn it anew.",
            )
        return reading.find_file(path, noun=f"trained file of card {self.name!r}")

    def with_settings(self, settings: Mapping[str, object]) -> "Card":
        """This card with some settings replaced, and without trained steerings."""
        try:
            values = _check_settings({**self.settings, **settings})
        except ValueError as error:
            raise UsageError(f"settings of {self.name!r}: {error}") from None
        return self.model_copy(update={"settings": values, "artifacts": {}})


def cards() -> dict[str, Card]:
    """All shipped and installed baselines by name."""
    return {name: read_card(path) for name, path in sorted(_card_files().items())}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Way:
    """Another way to use a method."""

    aim: str
    method: str = ""
    """The method that has the other as its base; empty: the other itself, with `settings`."""
    summary: str
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)


_REMOVE, _ADD, _REPLACE = "at negative strength", "for pairs of concepts", "to replace a concept"
_GATED = "behind a gate"
_WAYS: Mapping[str, _Way] = {
    "inverse": _Way(
        aim=_REMOVE,
        method="inverse",
        summary="the inverse of its map, or the prompt without the concept's words",
    ),
    "reversed": _Way(
        aim=_REMOVE,
        method="reversed",
        summary="its map fitted from images with the concept to images without it",
    ),
    "negated": _Way(
        aim=_REMOVE,
        method="negated",
        summary="a negation in the prompt in place of the concept's words",
    ),
    "sum": _Way(
        aim=_ADD,
        method="combination",
        summary="the sum of its changes for each of the two",
        settings={"combine": "sum"},
    ),
    "sequence": _Way(
        aim=_ADD,
        method="combination",
        summary="its map for the second concept after that for the first",
        settings={"combine": "sequence"},
    ),
    "backwards": _Way(
        aim=_ADD,
        method="combination",
        summary="its map for the first concept after that for the second",
        settings={"combine": "backwards"},
    ),
    "swap": _Way(
        aim=_REPLACE,
        method="htbench.methods.replacement:Swap",
        summary="its map for the new concept after the inverse of that for the old one, or the "
        "prompt with the new words in place of the old ones",
    ),
    "direct": _Way(
        aim=_REPLACE,
        method="htbench.methods.replacement:Direct",
        summary="its map fitted from images with the old concept to images with the new one",
    ),
    "instead": _Way(
        aim=_REPLACE,
        method="htbench.methods.replacement:Instead",
        summary="the prompt that asks for the new concept instead of the old one",
    ),
    "gated": _Way(
        aim=_GATED,
        summary="discriminants at early sites decide which images are steered",
        settings={"gate": "image"},
    ),
    "gated-tokens": _Way(
        aim=_GATED,
        summary="a classifier at each site scales the strength at each position",
        settings={"gate": "tokens"},
    ),
}
"""Ways to use a method other than its own, by what follows its name after `@`."""
_WITHOUT = {
    "none": tuple(_WAYS),
    "prompt": ("reversed", "sum", "sequence", "backwards", "direct", "gated", "gated-tokens"),
    "per-concept": ("negated", "instead"),
    "amortised": ("reversed", "negated", "direct", "instead", "gated", "gated-tokens"),
}
"""The ways that methods of a kind do not have: what is predicted is not fitted the other way and
has no gate, and prompts that are rewritten in turn are those that ask for both concepts."""


def load_card(name: str) -> Card:
    """The card of the baseline `name`, or the card at that path if it ends in `.toml`.

    `NAME@inverse`, `NAME@reversed` and `NAME@negated` are other ways to steer away with the method
    `NAME`, `NAME@sum`, `NAME@sequence` and `NAME@backwards` other ways to add two concepts, and
    `NAME@swap`, `NAME@direct` and `NAME@instead` ways to replace one: cards that are made of its
    own. `NAME@gated` and `NAME@gated-tokens` have a gate in front; ways may follow each other.

    Raises:
        UnknownName: if no shipped or installed baseline has that name, with the nearest names.
        Missing: if there is no such file.
        UsageError: if the card is not valid.
    """
    base, at, way = name.rpartition("@")
    if at and not name.endswith(".toml"):
        return _derive(load_card(base), base, way)
    if name.endswith(".toml"):
        if not os.path.lexists(name[:4096]):
            raise Missing(
                f"no card file {name[:300]!r}",
                remedy="Give the path of a TOML file, or a name from: htbench list methods",
            )
        return read_card(Path(name))
    known = _card_files()
    if name not in known:
        raise UnknownName("method", name, known, remedy="See: htbench list methods")
    return read_card(known[name])


def _derive(card: Card, base: str, way: str) -> Card:
    """The card of a method that steers in another way than `card`, named `base` in a plan."""
    absent = _WITHOUT.get(card.kind, ())
    if way not in _WAYS or way in absent:
        ways = [f"{base}@{each}" for each in _WAYS if each not in absent]
        raise UnknownName("method", f"{base}@{way}", ways or cards(), remedy="See docs/tasks.md.")
    own = _WAYS[way]
    texts = {"name": f"{card.name}@{way}", "summary": f"{card.name} {own.aim}: {own.summary}."}
    if not own.method:
        return card.with_settings(own.settings).model_copy(update={**texts, "published": ()})
    settings = {"base": base, **own.settings}
    made = card.model_copy(
        update={**texts, "method": own.method, "settings": settings, "published": ()}
    )
    made._base_digest = card.digest
    return made


def read_card(path: Path) -> Card:
    """The card in the file `path`."""
    try:
        card = content.read_card(path, Card)
    except (content.InvalidCard, OSError) as error:
        raise UsageError(f"card {str(path)!r} is not valid: {error}") from None
    folder = path.absolute().parent
    card = card.model_copy(
        update={"artifacts": {model: folder / file for model, file in card.artifacts.items()}}
    )
    card._folder = folder
    return card


def load_method(card: Card | str) -> Any:
    """The `Method` of a card, or of the baseline of that name, with the card's settings.

    Raises:
        UnknownName: if there is no such baseline, or for a setting that the method does not have.
        Missing: if the method's module cannot be imported.
        UsageError: for a value of the wrong type, or a class that is not a method.
    """
    card = load_card(card) if isinstance(card, str) else card
    kind = _method_class(card)
    settings = [field.name for field in dataclasses.fields(kind)]
    for setting in card.settings:
        if setting not in settings:
            raise UnknownName(f"setting of {card.method}", setting, settings)
    try:
        return TypeAdapter(kind).validate_python(card.settings)
    except ValidationError as error:
        first = error.errors()[0]
        setting, value = ".".join(map(str, first["loc"])), str(first["input"])[:60]
        raise UsageError(
            f"setting {setting!r} of {card.name}: {first['msg']}, not {value!r}"
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
        module_name, _, name = card.method.rpartition(":")
        code = card.code_file
        try:
            module = import_file(code) if code else importlib.import_module(module_name)
        except (ImportError, SyntaxError) as error:
            remedy = f"Install the package that has it, or put {module_name}.py beside the card."
            raise registry.cannot_import(
                f"{card.method!r} of card {card.name!r}", error, remedy=remedy
            ) from None
        if not hasattr(module, name):
            members = vars(module)
            classes = [key for key, value in members.items() if dataclasses.is_dataclass(value)]
            raise UnknownName(f"class of {module_name}", name, classes or members)
        kind = getattr(module, name)
    if names := _former_name(kind):
        old, new = names
        raise UsageError(
            f"{card.method!r} of card {card.name!r} is written for htbench 0.1.0: "
            f"rename its {old!r} to {new!r}",
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
    """A function of a method written for version 0.1.0, and its present name; for one release."""
    if "fit" in getattr(kind, "__abstractmethods__", ()) and hasattr(kind, "learn"):
        return "learn", "fit"
    return ("fit", "train") if hasattr(kind, "fit") and not hasattr(kind, "train") else None


def import_file(file: Path) -> ModuleType:
    """The module in `file`; it may import its neighbours, which installed modules precede."""
    name = file.stem
    if imported := sys.modules.get(name):
        if Path(getattr(imported, "__file__", None) or "").resolve() != file.resolve():
            raise ImportError(f"there is another module named {name!r}; rename {file.name}")
        return imported
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
    """Card files by name: shipped ones, and those of packages in the group `htbench.baselines`."""
    files: dict[str, Path] = {}
    folders = [
        content.folder("baselines"),
        *(_package_folder(entry) for _, entry in sorted(registry.plugins("baselines").items())),
    ]
    for path in (path for folder in folders for path in sorted(folder.glob("*.toml"))):
        if path.stem in files:
            raise UsageError(
                f"two cards are named {path.stem!r}: {files[path.stem]} and {path}",
                remedy="Rename one, or uninstall its package.",
            )
        files[path.stem] = path
    return files


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
