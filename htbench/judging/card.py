"""Judges' cards: which kind, which model, how pictures are shown, and a rubric a criterion."""

import json
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from htbench.core import content, registry
from htbench.core.errors import Missing, UnknownName, UsageError
from htbench.core.types import Digest

VERDICTS = ["A", "B", "tie", "cannot_judge"]


class _CardModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PictureSettings(_CardModel):
    """How pictures are shown."""

    size: int = Field(default=512, ge=0, le=4096)
    """Side of the square that each is fitted into, in pixels; 0: as they are."""
    format: Literal["jpeg", "png"] = "jpeg"
    quality: int = Field(default=92, ge=1, le=100)
    background: str = "white"
    """What is transparent, and the rim of what is not square."""
    layout: Literal["separate", "composite"] = "separate"
    """`composite`: side by side in one picture, for endpoints that take only one."""


class Endpoint(_CardModel):
    """Where the judge is; changes no verdict."""

    key_variable: str = "OPENAI_API_KEY"
    url_variable: str = "OPENAI_BASE_URL"
    url: str = "https://api.openai.com/v1"
    """Where `url_variable` is not set."""
    needs_key: bool = True
    timeout: float = Field(default=90.0, gt=0)
    """Seconds a call."""
    retries: int = Field(default=5, ge=0, le=20)


class JudgeCard(_CardModel):
    """A judge."""

    name: str
    version: str
    kind: str
    """Entry point in the group `htbench.judges`."""
    summary: str
    label: str
    """What readers of its verdicts are told that it is."""
    model: str = ""
    """Empty: the endpoint's first, or, of kind `clip`, the encoder that scores the run."""
    criteria: tuple[str, ...] = Field(min_length=1)
    """Rubrics that are asked for if a user names none; each is a file CRITERION.jinja."""
    rubrics: str = ""
    """Another judge's folder that has the rubrics and the reply's schema; empty: its own."""
    pictures: PictureSettings = PictureSettings()
    decoding: dict[str, Any] = {}
    """Parameters of the call, sent as they are; those that an endpoint refuses are left out from then on."""
    settings: dict[str, Any] = {}
    """Of its kind."""
    endpoint: Endpoint = Endpoint()
    paper: str = ""
    _folder: Path = PrivateAttr(Path())

    @property
    def digest(self) -> Digest:
        """Changes with anything that could change a verdict."""
        texts = {
            name: self.rubric(name)
            for name in sorted(path.stem for path in self._rubric_folder.glob("*.jinja"))
        }
        return content.digest(
            [
                self.model_dump(
                    mode="json", exclude={"summary", "label", "endpoint", "criteria", "paper"}
                ),
                texts,
                self.reply_schema,
            ]
        )

    @cached_property
    def reply_schema(self) -> dict[str, Any]:
        """JSON schema of a reply; the order of its properties is the order in which a model writes them. Empty without a file `reply.json`."""
        path = self._rubric_folder / "reply.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    @property
    def known_criteria(self) -> list[str]:
        """Criteria that there is a rubric for."""
        return sorted(path.stem for path in self._rubric_folder.glob("*.jinja"))

    def rubric(self, criterion: str) -> str:
        """The template of a criterion.

        Raises:
            UnknownName: if there is none, with the nearest.
        """
        path = self._rubric_folder / f"{criterion}.jinja"
        if criterion not in self.known_criteria:
            raise UnknownName(
                "criterion",
                criterion,
                self.known_criteria,
                remedy=f"See the rubrics in {str(self._rubric_folder)!r}.",
            )
        return path.read_text(encoding="utf-8")

    def render_rubric(self, criterion: str, *, concept: str, prompt: str) -> str:
        """The rubric of a criterion, filled in."""
        from jinja2 import Environment, StrictUndefined

        template = Environment(
            undefined=StrictUndefined, autoescape=False, trim_blocks=True
        ).from_string(self.rubric(criterion))
        return template.render(concept=concept, prompt=prompt).strip()

    def is_about_concept(self, criterion: str) -> bool:
        """Whether the rubric asks for the concept, so that a wrong one should lose."""
        return self.render_rubric(criterion, concept="one thing", prompt="p") != self.render_rubric(
            criterion, concept="another", prompt="p"
        )

    @property
    def _rubric_folder(self) -> Path:
        return self._folder.parent / self.rubrics if self.rubrics else self._folder

    def with_model(self, model: str | None) -> "JudgeCard":
        """This card with another model."""
        return self.model_copy(update={"model": model}) if model else self


def judge_names() -> list[str]:
    """Names of the shipped judges."""
    return sorted(path.parent.name for path in content.folder("judges").glob("*/card.toml"))


def load_judge_card(name: str) -> JudgeCard:
    """The judge `name`: a shipped one, or the path of its folder.

    Raises:
        UnknownName: if there is none, with the nearest.
        UsageError: if its card, rubrics or schema make no sense.
    """
    own = "/" in name or name.startswith(".")
    folder = Path(name) if own else content.folder("judges") / name
    if not own and name not in judge_names():
        raise UnknownName(
            "judge",
            name,
            judge_names(),
            remedy="See: htbench list judges. One of your own is given by the path of its folder: ./my-judge",
        )
    if not (folder / "card.toml").is_file():
        raise Missing(
            f"no judge in {name[:200]!r}",
            remedy="Its folder must have a card.toml and a rubric a criterion; see docs/judging.md.",
        )
    return _read_card(folder)


def _read_card(folder: Path) -> JudgeCard:
    try:
        card = JudgeCard.model_validate(
            tomllib.loads((folder / "card.toml").read_text(encoding="utf-8"))
        )
    except (ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(
            f"judge {str(folder)!r} has a card that is not valid: {' '.join(str(error).split())[:300]}"
        ) from None
    card._folder = folder
    registry.check("judges", card.kind)
    for criterion in card.criteria:
        _check_rubric(card, criterion)
    _check_schema(card.reply_schema, folder)
    return card


def _check_rubric(card: JudgeCard, criterion: str) -> None:
    from jinja2 import TemplateError

    try:
        card.render_rubric(criterion, concept="with lemon", prompt="a cat")
    except TemplateError as error:
        raise UsageError(
            f"rubric {criterion!r} of judge {card.name!r} is not valid: {error}",
            remedy="It may use {{ concept }} and {{ prompt }}.",
        ) from None


def _check_schema(schema: Mapping[str, Any], folder: Path) -> None:
    if schema and (schema.get("properties") or {}).get("verdict", {}).get("enum") != VERDICTS:
        raise UsageError(
            f"{str(folder / 'reply.json')!r} must have a property 'verdict' with the enum {VERDICTS}"
        )
