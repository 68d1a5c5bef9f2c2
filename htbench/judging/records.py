"""The kinds of record in a ledger, which a hand may have edited or a disk damaged."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from htbench.core import reading
from htbench.core.display import printable
from htbench.judging.judge import Choice, Outcome
from htbench.judging.schedule import Control

Name = Annotated[str, Field(max_length=2000)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow")


class DesignRecord(_Record):
    """The design of a tournament."""

    methods: Annotated[list[Name], Field(min_length=2)]
    criteria: Annotated[list[Name], Field(min_length=1)]
    strength: Annotated[float, Field(allow_inf_nan=False)] | None
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    shows: Name
    swiss: Annotated[int, Field(ge=0)] = 0
    both_orders: bool = True


class CalibrationRecord(_Record):
    """The settings that a calibration has beside those of any design."""

    version: Name
    difficulties: list[Name]


class TournamentRecord(_Record):
    """The judge and the design of a tournament, as `Tournament.metadata` gives them."""

    judge: Name
    kind: Name
    version: Name
    digest: Name
    label: Name
    model: Name
    endpoint: Name
    encoders: list[Name]
    circular: list[Name]
    design: DesignRecord


class MatchRecord(NamedTuple):
    """A match with its verdicts, as `Ledger.results` selects them."""

    control: Control
    seed: int
    criterion: Name
    concept: Name
    prompt: Annotated[str, Field(max_length=100_000)]
    one: Name
    two: Name
    other: Name
    has_pictures: bool
    both_orders: bool
    outcome_ab: Outcome | None
    choice_ab: Choice | None
    preference_ab: Share | None
    coverage_ab: Share | None
    outcome_ba: Outcome | None
    choice_ba: Choice | None
    preference_ba: Share | None
    coverage_ba: Share | None


_tournament = TypeAdapter(TournamentRecord)
_match = TypeAdapter(MatchRecord)


def read_tournament(about: str) -> dict[str, Any]:
    """The metadata of a tournament from their JSON text.

    Raises:
        ValueError: if they are damaged; the text is one line.
    """
    try:
        return _tournament.validate_python(reading.parse_json(about)).model_dump()
    except ValidationError as error:
        raise ValueError(reading.first_problem(error)) from None


def read_calibration_record(design: dict[str, Any]) -> CalibrationRecord:
    """The settings that a calibration has beside those of any design.

    Raises:
        ValueError: if it is damaged; the text is one line.
    """
    try:
        return CalibrationRecord.model_validate(design)
    except ValidationError as error:
        raise ValueError(reading.first_problem(error)) from None


def read_match(row: tuple[Any, ...]) -> MatchRecord:
    """A match from a row of the ledger.

    Raises:
        ValueError: if it is damaged; the text is one line.
    """
    try:
        return _match.validate_python(row)
    except ValidationError as error:
        first = error.errors()[0]
        name = MatchRecord._fields[int(first["loc"][0])] if first["loc"] else ""
        raise ValueError(f"{name}: {first['msg']}, not {str(first['input'])[:60]!r}") from None


@dataclass
class Damage:
    """The damaged records of a ledger, which are left out and named on stderr, each kind once."""

    ledger: str
    _is_mute: bool = False
    _told: set[str] = field(default_factory=set)
    _first: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def read(self, kind: str, name: object, reader: Callable[[Any], Any], value: Any) -> Any:
        """The result of `reader` for `value`; None, and a note, if that is damaged."""
        try:
            return reader(value)
        except ValueError as error:
            self.add(kind, f"{name}: {error}")
            return None

    def add(self, kind: str, text: str) -> None:
        """Note a damaged record of a kind."""
        self._first.setdefault(kind, text)
        self._counts[kind] = self._counts.get(kind, 0) + 1

    def mute(self) -> None:
        """Name nothing from now on."""
        self._is_mute = True

    def tell(self) -> None:
        """Name what was noted since the last time, unless its kind was named before."""
        for kind, first in self._first.items():
            if kind not in self._told and not self._is_mute:
                self._told.add(kind)
                count = self._counts[kind]
                more = f" and {count - 1:,} more" if count > 1 else ""
                line = f"{self.ledger}: damaged and left out: {kind} {first}{more}"
                sys.stderr.write(f"htbench: {printable(line, max_length=400)}\n")
        self._first.clear()
        self._counts.clear()
