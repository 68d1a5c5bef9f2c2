"""Scorers: scores read off pictures by a command or by code, rather than from embeddings; cards."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from htbench.core import content, registry
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.core.types import Digest
from htbench.scorers.metric_table import METRIC_TABLE

Against = Literal["target", "concept", "prompt", "unsteered", "nothing"]
"""What a picture is compared with: the prompt with the concept, the concept's words, the plain
prompt, the unsteered picture of the same seed, or nothing, where it is measured by itself."""
Better = Literal["higher", "lower"]


NO_PICTURE = Path()
"""In place of an unsteered picture that there is none of."""


@dataclass(frozen=True, kw_only=True)
class ScorerInput:
    """A picture to be scored, and everything that it can be compared with."""

    image: Path
    unsteered: Path
    """`NO_PICTURE` for an imported picture without one, which only commands are asked about."""
    target: str
    concept: str
    prompt: str


@dataclass(frozen=True, kw_only=True)
class ScorerVersion:
    """A scorer's identity, which it declares; with other weights or versions, scores differ."""

    name: str
    version: str
    weights: str


class Scorer(Protocol):
    """A score; a plug-in is a factory that makes one, and also has `card`.

    The factory is called as `(device: str, *, weights: str = "hub", card: ScorerCard = …)`.
    """

    card: "ScorerCard"
    declared: ScorerVersion

    def measure(self, inputs: Sequence[ScorerInput]) -> Sequence[float | str | None]:
        """For each input a finite number, or the reason why there is none.

        None: the score is not defined for it, and is not asked for again.
        """

    def close(self) -> None:
        """Free processes and memory; the next `measure` takes them again."""


@runtime_checkable
class KnowsConcepts(Protocol):
    """A scorer of some prompts and concepts alone; one that scores any leaves this out."""

    def knows(self, prompt: str, concept: str) -> bool:
        """True if it has a score for pictures of this prompt and a concept of these words."""


class ScorerCard(BaseModel):
    """A scorer as a TOML file: its command or code, the better direction, and the comparison."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,59}$")]
    summary: str
    better: Better
    against: Against
    counterparts: tuple[str, ...] = ()
    """The leaderboard's scores that this one measures in another way, such as `presence`: the
    report shows how far they agree."""
    range: tuple[float, float] = (-math.inf, math.inf)
    """The least and the largest score that there can be: intervals end there."""
    command: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """The external scorer protocol: docs/scorers.md. Run in the card's folder."""
    gauge: str = ""
    """Instead of a command: the name of an installed scorer, with the weights in `weights`."""
    weights: str = ""
    """The weights that a command must declare, or the folder of an installed scorer's weights;
    empty: any weights, or downloaded ones."""
    version: str = ""
    """The version that a command must declare; empty: any."""
    start: Annotated[float, Field(gt=0)] = 600.0
    """Seconds that a command may take until its first answer."""
    patience: Annotated[float, Field(gt=0)] = 60.0
    """Seconds that it may take for each further answer."""
    batch: Annotated[int, Field(ge=1, le=1024)] = 16
    """Number of questions that it is sent at once."""
    licence: str = ""
    paper: str = ""
    _folder: Path = PrivateAttr(Path())

    @field_validator("counterparts")
    @classmethod
    def _check_counterparts(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = [metric.name for metric in METRIC_TABLE]
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"no score {unknown[0]!r}, only {', '.join(known)}")
        return names

    @field_validator("range")
    @classmethod
    def _check_range(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if not ends[0] < ends[1]:
            raise ValueError(
                f"a range is from a lower to a higher score, not {ends[0]:g} to {ends[1]:g}"
            )
        return ends

    @property
    def folder(self) -> Path:
        """The folder of the card's file."""
        return self._folder

    @property
    def digest(self) -> Digest:
        """Changes with the card, and with the files in its folder that it names; not with the
        range, which changes no score."""
        named = [self._folder / word for word in (*self.command, self.weights) if word]
        files = [
            file
            for path in named
            for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
            if file.is_file()
        ]
        return content.digest(
            [self.model_dump(mode="json", exclude={"range"}), content.file_digest(*files)]
        )


def scorer_id(scorer: Scorer) -> str:
    """Name and revision under which scores are stored."""
    card, version = scorer.card, scorer.declared
    parts = [version.name, version.version, version.weights, card.against]
    return f"{card.name}@{content.digest(parts)}"


def knows(scorer: Scorer, prompt: str, concept: str) -> bool:
    """True if `scorer` has a score for pictures of this prompt and a concept of these words."""
    return not isinstance(scorer, KnowsConcepts) or scorer.knows(prompt, concept)


def is_scorer_plugin(name: str) -> bool:
    """True if `name` is an installed scorer or the path of a card, rather than an encoder."""
    return name.endswith(".toml") or name in registry.plugins("scorers")


def is_set_scorer(name: str) -> bool:
    """True if `name` is an installed scorer of sets of pictures."""
    return name in registry.plugins("set_scorers")


def is_activation_scorer(name: str) -> bool:
    """True if `name` is an installed scorer of activations."""
    return name in registry.plugins("activation_scorers")


def is_encoder(name: str) -> bool:
    """True if `name` is no scorer of pictures, of sets of pictures or of activations."""
    return plugin_group(name) == "encoders"


def plugin_group(name: str) -> registry.Group:
    """The group of plug-ins that `name` belongs to; encoders if there is none of that name."""
    if is_scorer_plugin(name):
        return "scorers"
    if is_activation_scorer(name):
        return "activation_scorers"
    return "set_scorers" if is_set_scorer(name) else "encoders"


def other_group(name: str) -> registry.Group:
    """The group of a scorer that is no encoder: of pictures if there is none of that name."""
    group = plugin_group(name)
    return "scorers" if group == "encoders" else group


def check(name: str) -> None:
    """Raise unless `name` is an encoder, an installed scorer, or the path of a valid card."""
    if name.endswith(".toml"):
        read(Path(name))
    elif is_encoder(name) and name not in registry.plugins("encoders"):
        groups: tuple[registry.Group, ...] = (
            *("encoders", "scorers", "set_scorers", "activation_scorers"),
        )
        names = [each for group in groups for each in registry.plugins(group)]
        raise UnknownName("scorer", name, names, remedy="See: htbench list encoders")


def check_installed(name: str) -> None:
    """Raise `Missing` if the code of an encoder or a scorer needs a package that is not there."""
    group, plugin = plugin_group(name), name
    if name.endswith(".toml"):
        card = read(Path(name))
        plugin = "command" if card.command else card.gauge
    registry.load(group, plugin)


def load(name: str, device: str) -> Scorer:
    """The installed scorer `name`, or the scorer of the card at that path, ready to measure.

    Raises:
        Missing: if its command cannot be started, or its weights or package are not there.
        Refused: if a command declares another name, version or weights than its card.
    """
    if not name.endswith(".toml"):
        installed: Scorer = registry.load("scorers", name)(device)
        return installed
    card = read(Path(name))
    if card.command:
        command: Scorer = registry.load("scorers", "command")(card)
        return command
    folder = str(card.folder / card.weights) if card.weights else "hub"
    with_weights: Scorer = registry.load("scorers", card.gauge)(device, weights=folder, card=card)
    return with_weights


def read(path: Path) -> ScorerCard:
    """The card in the file `path`.

    Raises:
        Missing: if there is no such file.
        UsageError: if it is not valid.
    """
    try:
        card = content.read_card(path, ScorerCard)
    except FileNotFoundError:
        raise Missing(
            f"no scorer's card {str(path)[:300]!r}",
            remedy="Give the path of a TOML file: docs/scorers.md",
        ) from None
    except content.InvalidCard as error:
        raise UsageError(
            f"scorer's card {str(path)!r}: {error}", remedy="See docs/scorers.md."
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
