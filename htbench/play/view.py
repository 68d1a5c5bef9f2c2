"""A view: the pictures that a page asks for, as checked input."""

import math
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from htbench.core.errors import UsageError

MAX_PICTURES = 96
"""Most pictures of one view: methods times points."""
MAX_CONCEPTS, MAX_METHODS, MAX_POINTS = 4, 8, 48
MAX_STRENGTH = 5.0
MAX_LETTERS = 300
"""Most letters of a prompt or a concept."""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _check_strength(value: float) -> float:
    if not math.isfinite(value) or abs(value) > MAX_STRENGTH:
        raise ValueError(f"is not between -{MAX_STRENGTH:g} and {MAX_STRENGTH:g}")
    return value


Words = Annotated[str, Field(max_length=MAX_LETTERS), AfterValidator(_one_line)]
Strength = Annotated[float, AfterValidator(_check_strength)]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


AnyRequest = TypeVar("AnyRequest", bound=_Checked)


class ConceptSource(_Checked):
    """A concept as the page gives it: in words, or as a picture that was sent before."""

    words: Words = ""
    picture: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""
    """The id under which the server keeps the picture; empty: the concept is in words."""

    @property
    def is_empty(self) -> bool:
        """True if it says nothing."""
        return not (self.words or self.picture)


class View(_Checked):
    """Pictures of one prompt and seed: each method at each point."""

    prompt: Words
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    concepts: Annotated[tuple[ConceptSource, ...], Field(max_length=MAX_CONCEPTS)] = ()
    methods: Annotated[tuple[Words, ...], Field(min_length=1, max_length=MAX_METHODS)]
    points: Annotated[
        tuple[tuple[Strength, ...], ...], Field(min_length=1, max_length=MAX_POINTS)
    ] = ((),)
    """A strength per concept, for each picture."""
    scores: bool = False


class PicturesRequest(_Checked):
    """A view that a tab asks for; a later request of the same tab makes an earlier one stale."""

    tab: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    number: Annotated[int, Field(ge=0, lt=2**53)]
    view: View


class FitRequest(_Checked):
    """A fit of one method to one concept, begun or asked after."""

    method: Words
    concept: ConceptSource


class FileRequest(_Checked):
    """A view as a file."""

    view: View
    format: Annotated[str, Field(pattern=r"^(png|gif|html)$")]


class Side(_Checked):
    """A method at a strength."""

    method: Words
    strength: Strength


class PairRequest(_Checked):
    """Two pictures of one prompt, seed and concept, for a pair of a study."""

    prompt: Words
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    concept: ConceptSource
    sides: tuple[Side, Side]


def read(kind: type[AnyRequest], data: bytes) -> AnyRequest:
    """The request in a body of JSON.

    Raises:
        UsageError: with what is wrong, in one line.
    """
    try:
        request = kind.model_validate_json(data)
        view = getattr(request, "view", None)
        if isinstance(view, View):
            _check_view(view)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the request"
        raise UsageError(f"{where[:80]}: {first['msg']}") from None
    return request


def _check_view(view: View) -> None:
    if any(len(point) != len(view.concepts) for point in view.points):
        raise UsageError("points: each has a strength per concept")
    if len(view.methods) * len(view.points) > MAX_PICTURES:
        raise UsageError(f"points: more than {MAX_PICTURES} pictures")
