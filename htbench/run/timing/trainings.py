"""Trainings that were measured in part, kept in a run's folder with the seconds of their pieces.

Another session on the same machine, with the same model, methods and settings, need not measure
them again: at paper scale they take longer than all rounds.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from htbench.core import content, reading
from htbench.core.types import Digest
from htbench.stats import durations
from htbench.steering.method import Method, Steering
from htbench.steering.model import Model
from htbench.steering.training import Training


@dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """The training cost of a method, from a training on fewer concepts or in fewer steps."""

    concepts: int = 0
    of_concepts: int = 0
    steps: int = 0
    of_steps: int = 0
    parts: tuple[durations.ScaledPart, ...] = ()
    """The pieces that C is extrapolated from: trainings without their steps, and single steps."""
    recorded: Training = field(default_factory=Training)
    """The record of the shipped training."""
    measured: str = ""
    """Date and time of an earlier session that measured the pieces; empty: this one did."""

    @property
    def seconds(self) -> float:
        """C: the seconds of the full training."""
        return durations.ScaledCost(parts=self.parts).value


@dataclass(frozen=True, kw_only=True)
class MeasuredTraining:
    """The result of a training in part, and its cost."""

    steering: Steering
    cost: TrainingCost


@dataclass(frozen=True, kw_only=True)
class KeptTrainings:
    """The measured trainings in a folder."""

    folder: Path
    conditions: Mapping[str, object] = field(default_factory=dict)
    """The conditions of the times; those of other conditions are not read."""

    def key(self, settings: object) -> Digest:
        """Digest of a training: of its JSON-like `settings` and of the conditions."""
        return content.digest([settings, dict(self.conditions)])

    def read(
        self, key: Digest, method: Method, model: Model, *, seed: int
    ) -> MeasuredTraining | None:
        """The training `key`; None if there is none, or it is damaged."""
        record = self.folder / f"{key}.json"
        if not record.exists():
            return None
        try:
            cost = TypeAdapter(TrainingCost).validate_json(reading.read_text(record))
            steering = method.load(model, self.steering_path(key), seed=seed)
        except Exception:  # a method of one's own may raise anything for a damaged file
            return None
        return MeasuredTraining(steering=steering, cost=cost)

    def write(self, key: Digest, training: MeasuredTraining) -> None:
        """Keep a training."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with content.replacing(self.steering_path(key)) as fresh:
            training.steering.save(fresh)
        measured = datetime.now(UTC).isoformat(timespec="seconds")
        record = {**asdict(training.cost), "measured": measured}
        content.write_whole(self.folder / f"{key}.json", json.dumps(record))

    def steering_path(self, key: Digest) -> Path:
        """The file of a trained steering."""
        return self.folder / f"{key}.steering"
