"""The set of known pairs that judges are calibrated on, and the calibration as a tournament.

Its pictures are rendered scenes of the embedded world, shipped in `judges/calibration`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict

from htbench.core import content, reading
from htbench.core.types import Digest
from htbench.judging.calibration import RIGHT, WRONG, CalibrationDesign
from htbench.judging.pairs import ComparablePictures
from htbench.judging.pictures import KNOWN_PREFIX
from htbench.judging.schedule import Match
from htbench.judging.tournament import Tournament


class KnownPair(BaseModel):
    """Two pictures, of which one is the right answer by a criterion."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    criterion: str
    difficulty: str
    concept: str
    prompt: str
    right: str
    """The name of its file, the digest of its bytes; likewise `wrong`."""
    wrong: str


class _SetCard(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    version: str
    licence: str
    about: str


@dataclass(frozen=True, kw_only=True)
class KnownPairs:
    """A set of known pairs, from easy to hard by criterion."""

    version: str
    pairs: tuple[KnownPair, ...]

    @property
    def digest(self) -> Digest:
        """Digest of the pairs and the bytes of their pictures, whose names are digests."""
        return content.digest([pair.model_dump() for pair in self.pairs])

    @property
    def criteria(self) -> set[str]:
        """Criteria that the set has pairs for."""
        return {pair.criterion for pair in self.pairs}


def load_known_pairs() -> KnownPairs:
    """The shipped set."""
    folder = content.folder("judges") / "calibration"
    card = content.read_card(folder / "set.toml", _SetCard)
    rows = reading.json_lines(folder / "pairs.jsonl")
    pairs = tuple(KnownPair.model_validate(row) for _, row in rows)
    return KnownPairs(version=card.version, pairs=pairs)


def plan_calibration(tournament: Tournament) -> Tournament | None:
    """The calibration of a tournament's judge by its criteria, planned in its ledger.

    It asks in both orders, by the tournament's card and meter. None if the set has no pairs for any
    of the criteria.
    """
    known = load_known_pairs()
    if calibration := _calibration(tournament, known):
        criteria = calibration.design.criteria
        pairs = [pair for pair in known.pairs if pair.criterion in criteria]
        calibration.plan_matches(_matches(pairs))
    return calibration


def find_calibration(tournament: Tournament) -> Tournament | None:
    """The same as an earlier command planned it; None if none did."""
    calibration = _calibration(tournament, load_known_pairs())
    is_there = calibration is not None and calibration.id in tournament.ledger.calibrations()
    return calibration if is_there else None


def _calibration(tournament: Tournament, known: KnownPairs) -> Tournament | None:
    criteria = tuple(name for name in tournament.design.criteria if name in known.criteria)
    if not criteria:
        return None
    pairs = [pair for pair in known.pairs if pair.criterion in criteria]
    design = CalibrationDesign(
        methods=(RIGHT, WRONG),
        criteria=criteria,
        strength=None,
        shows=RIGHT,
        controls=0,
        calibration=known.digest,
        version=known.version,
        difficulties=tuple(pair.difficulty for pair in pairs),
    )
    pictures = ComparablePictures(
        methods=(RIGHT, WRONG),
        concepts={pair.concept: pair.concept for pair in pairs},
        prompt_seeds=(),
        files={
            (side, pair.concept, pair.prompt, number): KNOWN_PREFIX + name
            for number, pair in enumerate(pairs)
            for side, name in ((RIGHT, pair.right), (WRONG, pair.wrong))
        },
        circular={},
        scorer=tournament.pictures.scorer,
    )
    return replace(tournament, design=design, pictures=pictures, activity="calibrate")


def _matches(pairs: Sequence[KnownPair]) -> list[Match]:
    """A match per pair; the right picture is shown first in the first call of every other one."""
    return [
        Match(
            control="",
            criterion=pair.criterion,
            concept=pair.concept,
            prompt=pair.prompt,
            seed=number,
            one=RIGHT if number % 2 else WRONG,
            two=WRONG if number % 2 else RIGHT,
        )
        for number, pair in enumerate(pairs)
    ]
