"""Judges' cards: kind, model, preparation of pictures, and a rubric per criterion."""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PrivateAttr, field_validator

from htbench.core import content, reading, registry, secrets
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.core.types import Digest
from htbench.judging import parameters, rubric

VERDICTS = ["A", "B", "tie", "cannot_judge"]
_OWN_PARAMETERS = ("model", "messages", "stream", "n", "response_format")
"""Parameters of a call that no card can set."""


class _CardModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PictureSettings(_CardModel):
    """Preparation of pictures for a judge."""

    size: int = Field(default=512, ge=0, le=4096)
    """Side in pixels of the square that each picture is fitted into; 0: its own size."""
    format: Literal["jpeg", "png"] = "jpeg"
    quality: int = Field(default=92, ge=1, le=100)
    background: str = "white"
    """Colour under transparent pixels, and beside pictures that are not square."""
    layout: Literal["separate", "composite"] = "separate"
    """`composite`: side by side in one picture, for endpoints that take a single one."""

    @field_validator("background")
    @classmethod
    def _check_colour(cls, colour: str) -> str:
        from PIL import ImageColor

        ImageColor.getrgb(colour)
        return colour


class Endpoint(_CardModel):
    """The judge's endpoint, which changes no verdict."""

    key_variable: str = "OPENAI_API_KEY"
    url_variable: str = "OPENAI_BASE_URL"
    url: str = "https://api.openai.com/v1"
    """The address if `url_variable` is not set."""
    needs_key: bool = True
    timeout: float = Field(default=90.0, gt=0, le=3600)
    """Seconds for a request and its whole reply."""
    retries: int = Field(default=5, ge=0, le=20)
    """Number of further requests after those that failed before there was a reply."""


class JudgeCard(_CardModel):
    """The settings of a judge."""

    name: str
    version: str
    kind: str
    """Entry point in the group `htbench.judges`."""
    summary: str
    label: str
    """A description for readers of its verdicts."""
    model: str = ""
    """Empty: the endpoint's first model or, for the kind `clip`, the run's scoring encoder."""
    criteria: tuple[str, ...] = Field(min_length=1)
    """Criteria that are judged by default; the rubric of each is a file CRITERION.jinja."""
    rubrics: str = Field(default="", pattern=r"^[A-Za-z0-9_-]*$")
    """The judge whose folder has the rubrics and the reply's schema; empty: this one."""
    pictures: PictureSettings = PictureSettings()
    decoding: dict[str, JsonValue] = {}
    """Parameters of the call; those that the endpoint refuses are left out."""
    thinking: dict[str, JsonValue] = {}
    """Parameters in place of those, for models that think before they answer."""
    settings: dict[str, JsonValue] = {}
    """Settings of the judge's kind."""
    endpoint: Endpoint = Endpoint()
    paper: str = ""
    _folder: Path = PrivateAttr(Path())

    @field_validator("decoding", "thinking")
    @classmethod
    def _check_parameters(cls, decoding: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in _OWN_PARAMETERS:
            if name in decoding:
                raise ValueError(f"{name!r} is set by htbench itself")
        return decoding

    @property
    def digest(self) -> Digest:
        """Digest of everything that could change a verdict."""
        rubrics = {name: self.rubric(name) for name in self.known_criteria}
        unrelated = {"summary", "label", "endpoint", "criteria", "paper", "thinking"}
        settings = self.model_dump(mode="json", exclude=unrelated)
        return content.digest([settings, rubrics, self.reply_schema])

    @cached_property
    def reply_schema(self) -> dict[str, Any]:
        """JSON schema of a reply, in the file `reply.json`; empty without one.

        A model writes the properties in the order of the schema.
        """
        path = self._rubric_folder / "reply.json"
        if not os.path.lexists(path):
            return {}
        schema = reading.read_json(path, noun="schema of replies", within=self._rubric_folder)
        return _checked_schema(schema, path)

    @property
    def known_criteria(self) -> list[str]:
        """Criteria that have a rubric."""
        return _rubric_names(self._rubric_folder)

    def rubric(self, criterion: str) -> str:
        """The text of the rubric, with its placeholders.

        Raises:
            UnknownName: if there is none, with the nearest criterion.
        """
        return _read_rubric(self._rubric_folder, criterion)

    def pointwise_rubric(self, criterion: str) -> str:
        """The text of the yes-or-no question on one picture, with its placeholders.

        Raises:
            UnknownName: if there is none, with the nearest criterion.
        """
        return _read_rubric(self._rubric_folder / "pointwise", criterion)

    def render_rubric(self, criterion: str, *, concept: str, prompt: str) -> str:
        """The rubric with its placeholders filled in.

        Raises:
            UsageError: if it has anything else than placeholders, or is too long.
        """
        return self._render(self.rubric(criterion), criterion, concept=concept, prompt=prompt)

    def render_pointwise(self, criterion: str, *, concept: str, prompt: str) -> str:
        """The yes-or-no question on one picture, likewise."""
        text = self.pointwise_rubric(criterion)
        return self._render(text, f"pointwise/{criterion}", concept=concept, prompt=prompt)

    def _render(self, text: str, name: str, *, concept: str, prompt: str) -> str:
        try:
            return rubric.render(text, concept=concept, prompt=prompt)
        except rubric.InvalidRubric as error:
            raise UsageError(
                f"rubric {name!r} of judge {self.name!r} is not valid: {error}",
                remedy="It may use {{ concept }} and {{ prompt }}, and nothing else.",
            ) from None

    def is_about_concept(self, criterion: str) -> bool:
        """True if the rubric names the concept, so that a wrong concept should lose."""
        one, other = (
            self.render_rubric(criterion, concept=concept, prompt="p")
            for concept in ("one thing", "another")
        )
        return one != other

    @property
    def _rubric_folder(self) -> Path:
        if not self.rubrics:
            return self._folder
        beside = self._folder.parent / self.rubrics
        return beside if beside.is_dir() else content.folder("judges") / self.rubrics

    def with_model(self, model: str | None) -> "JudgeCard":
        """This card with another model."""
        return self.model_copy(update={"model": model}) if model else self

    def with_parameters(self, changes: Mapping[str, JsonValue]) -> "JudgeCard":
        """This card with other parameters of its calls, whatever the model; None takes one away.

        Raises:
            UsageError: for a parameter that no card can set, and if its judge makes no calls.
        """
        if not changes:
            return self
        if not self.decoding:
            raise UsageError(
                f"judge {self.name!r} makes no calls with parameters",
                remedy="Leave --max-tokens and --set out, or give another --judge.",
            )
        for name in _OWN_PARAMETERS:
            if name in changes:
                remedy = "Give --model." if name == "model" else ""
                raise UsageError(f"{name!r} is set by htbench itself", remedy=remedy)
        _hide_secrets(changes)
        thinking = {name: value for name, value in self.thinking.items() if name not in changes}
        return self.model_copy(
            update={"decoding": _merged(self.decoding, changes), "thinking": thinking}
        )

    def with_max_tokens(self, limit: int) -> "JudgeCard":
        """This card with another limit to its replies, in tokens."""
        name = "max_completion_tokens" if "max_completion_tokens" in self.decoding else "max_tokens"
        return self.with_parameters({name: limit})

    def for_model(self, model: str) -> "JudgeCard":
        """This card with the parameters for `model`: those of `thinking` if it thinks."""
        if not self.thinking or not parameters.thinks(model):
            return self
        return self.with_parameters(self.thinking)


def judge_names() -> list[str]:
    """Names of the shipped judges."""
    return sorted(path.parent.name for path in content.folder("judges").glob("*/card.toml"))


def load_judge_card(name: str) -> JudgeCard:
    """The card of a judge, by the name of a shipped one or the path of its folder.

    Raises:
        UnknownName: if there is none, with the nearest name.
        UsageError: if its card, a rubric or the schema is not valid.
    """
    own = "/" in name or name.startswith(".")
    folder = Path(name) if own else content.folder("judges") / name
    if not own and name not in judge_names():
        raise UnknownName(
            "judge",
            name,
            judge_names(),
            remedy="See: htbench list judges. One of your own is given by the path of its folder: "
            "./my-judge",
        )
    if not (folder / "card.toml").is_file():
        remedy = "Its folder must have a card.toml and a rubric a criterion; see docs/judging.md."
        raise Missing(f"no judge in {name[:200]!r}", remedy=remedy)
    return _read_card(folder)


def _read_card(folder: Path) -> JudgeCard:
    try:
        card = content.read_card(folder / "card.toml", JudgeCard)
    except content.InvalidCard as error:
        raise UsageError(f"judge {str(folder)!r} has a card that is not valid: {error}") from None
    card._folder = folder
    registry.check("judges", card.kind)
    for criterion in card.criteria:
        card.render_rubric(criterion, concept="with lemon", prompt="a cat")
    card.reply_schema  # noqa: B018 - raises where it is not valid
    for values in (card.decoding, card.thinking, card.settings):
        _hide_secrets(values)
    return card


def _rubric_names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.jinja"))


def _read_rubric(folder: Path, criterion: str) -> str:
    names = _rubric_names(folder)
    if criterion not in names:
        raise UnknownName(
            "criterion", criterion, names, remedy=f"See the rubrics in {str(folder)!r}."
        )
    path = folder / f"{criterion}.jinja"
    text = reading.read_text(path, noun="rubric", within=folder, most=rubric.MAX_BYTES)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _merged(
    decoding: Mapping[str, JsonValue], changes: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """Parameters with changes, also within objects; what is None is taken away."""
    merged = dict(decoding)
    for name, value in changes.items():
        before = merged.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[name] = {**before, **value}
        else:
            merged[name] = value
    return {name: value for name, value in merged.items() if value is not None}


def _hide_secrets(values: Mapping[str, JsonValue]) -> None:
    """Have the values of parameters that are named like a key shown nowhere."""
    for name, value in values.items():
        if isinstance(value, str) and secrets.is_secret_name(name):
            secrets.Secret(value)
        elif isinstance(value, dict):
            _hide_secrets(value)


def _checked_schema(schema: object, path: Path) -> dict[str, Any]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    verdict = properties.get("verdict") if isinstance(properties, dict) else None
    if not isinstance(schema, dict) or (
        schema and not (isinstance(verdict, dict) and verdict.get("enum") == VERDICTS)
    ):
        raise UsageError(f"{str(path)!r} must have a property 'verdict' with the enum {VERDICTS}")
    return schema
