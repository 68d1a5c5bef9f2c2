"""Gauges: scores that are read off pictures rather than made of an encoder's embeddings, by a command or by code, and their cards."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from htbench.core import content, registry
from htbench.core.errors import Missing, UnknownName, UsageError

Against = Literal["target", "concept", "prompt", "unsteered"]
"""What a picture is held against: the prompt with the concept, the concept's words, the plain prompt, or the unsteered picture of the same seed."""
Better = Literal["higher", "lower"]


@dataclass(frozen=True, kw_only=True)
class ScorerInput:
    """One picture to be scored, and all that it may be held against."""

    image: Path
    unsteered: Path
    target: str
    concept: str
    prompt: str


@dataclass(frozen=True, kw_only=True)
class ScorerVersion:
    """What a gauge says it is: scores of another version or of other weights are other scores."""

    name: str
    version: str
    weights: str


class Scorer(Protocol):
    """A score; a plug-in is a factory `(device: str, *, weights: str = "hub") -> Gauge` that also has `card`."""

    card: "ScorerCard"
    declared: ScorerVersion

    def measure(self, looks: Sequence[ScorerInput]) -> list[float | str]:
        """A finite number a look, or why there is none."""

    def close(self) -> None:
        """Let go of processes and memory; the next `measure` takes them again."""


class ScorerCard(BaseModel):
    """A gauge as a TOML file: which command or code, which direction is better, what a picture is held against."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,59}$")]
    summary: str
    better: Better
    against: Against
    command: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """The external scorer protocol: docs/scorers.md. Run in the card's folder."""
    gauge: str = ""
    """Instead of a command: the name of an installed gauge, read from the folder `weights`."""
    weights: str = ""
    """Of a command: what it must declare; of a gauge: the folder. Empty: whatever is declared, or downloaded."""
    version: str = ""
    """What a command must declare; empty: whatever it declares."""
    start: Annotated[float, Field(gt=0)] = 600.0
    """Seconds that a command may take until it answers for the first time."""
    patience: Annotated[float, Field(gt=0)] = 60.0
    """Seconds that it may take for each further answer."""
    batch: Annotated[int, Field(ge=1, le=1024)] = 16
    """Questions that it is given at once."""
    licence: str = ""
    paper: str = ""
    _folder: Path = PrivateAttr(Path())

    @property
    def folder(self) -> Path:
        """Where the card is."""
        return self._folder


def scorer_id(scorer: Scorer) -> str:
    """Name and revision, under which scores are kept."""
    told = scorer.declared
    return f"{scorer.card.name}@{content.digest([told.name, told.version, told.weights, scorer.card.against])}"


def is_scorer_plugin(name: str) -> bool:
    """Whether a scorer's name is that of a gauge, or a path of a card, rather than that of an encoder."""
    return name.endswith(".toml") or name in registry.plugins("scorers")


def check(name: str) -> None:
    """Raise unless there is a scorer `name`: an encoder, a gauge, or a readable card."""
    if name.endswith(".toml"):
        read(Path(name))
    elif name not in registry.plugins("encoders") and not is_scorer_plugin(name):
        raise UnknownName(
            "scorer",
            name,
            [*registry.plugins("encoders"), *registry.plugins("scorers")],
            remedy="See: htbench list encoders",
        )


def load(name: str, device: str) -> Scorer:
    """The gauge `name`, or of the card at that path, ready to measure.

    Raises:
        Missing: if its command cannot be started, or its weights or package are not there.
        Refused: if a command declares to be another one.
    """
    if not name.endswith(".toml"):
        found: Scorer = registry.load("scorers", name)(device)
        return found
    card = read(Path(name))
    if card.command:
        by_command: Scorer = registry.load("scorers", "command")(card)
        return by_command
    folder = str(card.folder / card.weights) if card.weights else "hub"
    by_code: Scorer = registry.load("scorers", card.gauge)(device, weights=folder, card=card)
    return by_code


def read(path: Path) -> ScorerCard:
    """The card in the file `path`.

    Raises:
        Missing: if there is none.
        UsageError: if it is not valid.
    """
    try:
        card = ScorerCard.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise Missing(
            f"no scorer's card {str(path)[:300]!r}",
            remedy="Give the path of a TOML file: docs/scorers.md",
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"scorer's card {str(path)!r}: {where}: {first['msg']}, not {str(first['input'])[:60]!r}",
            remedy="See docs/scorers.md.",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(
            f"scorer's card {str(path)!r} cannot be read: {' '.join(str(error).split())[:200]}",
            remedy="See docs/scorers.md.",
        ) from None
    if bool(card.command) == bool(card.gauge):
        raise UsageError(
            f"scorer's card {str(path)!r} needs either a command or a gauge",
            remedy="See docs/scorers.md.",
        )
    if card.gauge and (card.gauge == "command" or card.gauge not in registry.plugins("scorers")):
        raise UnknownName("gauge", card.gauge, registry.plugins("scorers").keys() - {"command"})
    card._folder = path.resolve().parent
    return card
