"""The part of a run that is one tracker run: a method with its scores at every strength."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from htbench.core import content, pictures
from htbench.core.types import UNSTEERED, Digest
from htbench.report import leaderboard_files
from htbench.report.leaderboard_files import FileRow
from htbench.run.store import Store
from htbench.run.summary import Summary

if TYPE_CHECKING:
    from PIL.Image import Image

_PICTURES = 4
"""Most pictures of a method."""
DIGEST = "htbench_digest"
"""Name of the setting or tag by which an export of equal results is recognised."""
Outcome = Literal["new", "replaced", "unchanged"]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of a method at its strength on the leaderboard."""

    concept: str
    prompt: str
    file: str
    """Name of the image in the run, which its bytes decide."""
    png: bytes

    @property
    def caption(self) -> str:
        """The prompt and the concept."""
        return f"{self.prompt}, {self.concept}"

    @property
    def image(self) -> "Image":
        """The picture, read."""
        return pictures.open_picture(self.png, name=self.file)


@dataclass(frozen=True, kw_only=True)
class MethodRecord:
    """A method of a run, as trackers keep it."""

    run: str
    """Name of the run of htbench."""
    method: str
    settings: Mapping[str, str | float | int | bool]
    """Settings of the method and of the run, flat."""
    strengths: Sequence[Mapping[str, float]]
    """Columns of `leaderboard.csv` that are numbers, per strength, ascending: the scores with the
    ends of their intervals (`_low`, `_high`), ranks, costs and numbers of cells."""
    leaderboard: Mapping[str, float]
    """The same columns at the method's strength on the leaderboard."""
    pictures: Sequence[Picture]

    @property
    def name(self) -> str:
        """Name of the tracker run."""
        return f"{self.run}/{self.method}"

    @property
    def steps(self) -> list[dict[str, float]]:
        """Metrics per step, which is a strength; `leaderboard/…` are those of the leaderboard."""
        steps = [dict(each) for each in self.strengths]
        steps[self.leaderboard_step] |= {
            f"leaderboard/{name}": value for name, value in self.leaderboard.items()
        }
        return steps

    @property
    def leaderboard_step(self) -> int:
        """Place of the leaderboard's strength among the strengths."""
        return list(self.strengths).index(self.leaderboard)

    def describe(self, outcome: Outcome, project: str) -> str:
        """A line on what became of the tracker run."""
        return f"{self.name}: {outcome} in project {project}"

    @cached_property
    def digest(self) -> Digest:
        """Digest of all values and pictures."""
        values = {key: value for key, value in asdict(self).items() if key != "pictures"}
        shown = [(each.concept, each.prompt, each.file) for each in self.pictures]
        return content.digest({**values, "pictures": shown})


def collect(summary: Summary) -> list[MethodRecord]:
    """The methods of a run, in the order of its leaderboard."""
    rows: dict[str, list[FileRow]] = {}
    for row in leaderboard_files.rows(summary):
        rows.setdefault(str(row["method"]), []).append(row)
    return [_record(summary, method, own) for method, own in rows.items()]


def _record(summary: Summary, method: str, rows: Sequence[FileRow]) -> MethodRecord:
    strength = float(rows[0]["strength"] or 0)
    return MethodRecord(
        run=summary.store.folder.resolve().name,
        method=method,
        settings=_settings(summary, method, rows[0]),
        strengths=sorted((_numbers(row) for row in rows), key=lambda row: row["strength"]),
        leaderboard=_numbers(rows[0]),
        pictures=_pictures(summary.store, method, strength),
    )


def _numbers(row: FileRow) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _settings(summary: Summary, method: str, row: FileRow) -> dict[str, str | float | int | bool]:
    """The origin of the scores: words and switches of the leaderboard's row, facts of the run."""
    facts = summary.facts
    own = facts.methods.get(method)
    told: dict[str, object] = {
        **{name: value for name, value in row.items() if isinstance(value, str | bool)},
        "run": summary.store.folder.resolve().name,
        "command": facts.command,
        "model": facts.model.name,
        "model_revision": facts.model.revision,
        "scorer": summary.scorer,
        "concept_set": facts.concept_set.name,
        "concept_set_version": facts.concept_set.version,
        "grid": facts.grid,
        **{f"environment.{name}": each for name, each in facts.environment.stored.items()},
    }
    if own:
        told |= {
            "summary": own.summary,
            "kind": own.kind,
            "paper": own.paper,
            "method_digest": own.digest,
            **{f"settings.{name}": each for name, each in own.settings.items()},
        }
    return {name: _flat(value) for name, value in told.items() if value not in ("", None)}


def _flat(value: object) -> str | float | int | bool:
    is_flat = isinstance(value, str | bool | int) or (
        isinstance(value, float) and math.isfinite(value)
    )
    return value if is_flat else str(value)  # type: ignore[return-value]


def _pictures(store: Store, method: str, strength: float) -> list[Picture]:
    """Pictures of concepts evenly spread over the run, each of its first prompt and seed.

    The unsteered picture is the same for every concept, so that there is one.
    """
    first: dict[str, tuple[str, str]] = {}
    query = """SELECT concept, prompt, file FROM cells JOIN images ON key = image
               WHERE method = ? AND strength = ? AND file IS NOT NULL ORDER BY place"""
    for concept, prompt, file in store.select(query, method, strength):
        first.setdefault(concept, (prompt, file))
    names = list(first)[:1] if method == UNSTEERED else list(first)
    count = min(_PICTURES, len(names))
    chosen = [names[k * len(names) // count] for k in range(count)]
    return [
        Picture(
            concept=name,
            prompt=first[name][0],
            file=first[name][1],
            png=store.image_bytes(first[name][1]),
        )
        for name in chosen
    ]
