"""Simulated people who answer an exported study, to try out its import, rules and report."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from htbench.core import content, reading
from htbench.core.errors import Refused, UsageError
from htbench.study import manifest, records, task
from htbench.study.answer import NOISE, Choice, Item, Key
from htbench.study.ask import page
from htbench.study.ask.page import Trial
from htbench.study.ask.simulated import Answerer, TaskPopulation
from htbench.study.collect import intake
from htbench.study.task import Task, TaskName

Bot = Literal["hasty", "one-sided", "careless"]
"""`hasty` answers at once, `one-sided` always left, `careless` at random at a normal pace."""
BOTS: tuple[Bot, ...] = get_args(Bot)
_COLUMNS = ("study", "sheet", "rater", "position", "item", "choice", "rt_ms", "time")
_START = datetime(2026, 1, 1, 9, tzinfo=UTC)
_SKILL_RANGE = (1.0, -1.0)
"""Utilities of the best and the worst method, in logits; the others are spread evenly between."""
_CONCEPT_SD, _RATER_SD = 1.0, 0.7
"""Standard deviations of the effects of concepts and of people, in logits."""
_TIE_RATE, _RECALL_RATE = 0.1, 0.8
"""The share of ties, and of repeats that are answered from memory."""


@dataclass(frozen=True, kw_only=True)
class RehearsalSummary:
    """The numbers of simulated people and answers."""

    people: int
    bots: int
    answers: int
    task: TaskName
    order: tuple[str, ...]
    """Methods in the order of their simulated utilities, or of how well strengths are noticed; the
    best first."""
    files: tuple[Path, ...]


def write(study: Path, folder: Path, *, bots: int | None = None, seed: int = 0) -> RehearsalSummary:
    """Write a rehearsal: a new study with the answers of simulated people, one file per sheet.

    Args:
        bots: number of people who are bots; None: three, or a quarter of a small study's people.

    Raises:
        UsageError: if the folder is not empty, or there are more bots than sheets.
        Missing: if no study was exported.
    """
    sheets, key = page.read(study).sheets, Key.read(study / intake.KEY_FILE)
    if unknown := [
        trial["item"] for sheet in sheets for trial in sheet if trial["item"] not in key
    ]:
        raise Refused(
            f"the study's key has no item {unknown[0][:40]!r}, which its page shows",
            remedy="Restore the key.",
        )
    if bots is None:
        bots = min(len(BOTS), len(sheets) // 4)
    if bots > len(sheets):
        raise UsageError(f"{bots} bots are more than the study's {len(sheets)} sheets")
    with records.locked(folder):
        return _write(study, folder, sheets, key, bots=bots, seed=seed)


def _write(
    study: Path,
    folder: Path,
    sheets: Sequence[Sequence[Trial]],
    key: Key,
    *,
    bots: int,
    seed: int,
) -> RehearsalSummary:
    if any(path.name != ".lock" for path in folder.iterdir()):
        raise UsageError(
            f"{str(folder)!r} is not empty", remedy="Give --to another folder, or delete it."
        )
    # the manifest comes first, so that no answer is taken for a person's
    manifest.write(folder, manifest.read(study).model_copy(update={"rehearsal": True}))
    for name in (intake.KEY_FILE, intake.RULES_FILE, intake.ABOUT_FILE):
        if (study / name).exists():
            content.write_whole(folder / name, reading.read_bytes(study / name))
    random = np.random.default_rng(seed)
    asked = task.find(manifest.read(study).task)
    population = (
        _Population(key, random) if asked.name == "pairs" else TaskPopulation(asked, key, random)
    )
    files = []
    for number, sheet in enumerate(sheets, start=1):
        is_bot = number > len(sheets) - bots
        bot = BOTS[(len(sheets) - number) % len(BOTS)] if is_bot else None
        rater = _SimulatedRater(population.person(), asked, random, bot=bot)
        id_ = f"{manifest.REHEARSAL_PREFIX}{number:03}"
        rows = [
            [id_, position, trial["item"], *rater.answer(key[trial["item"]])]
            for position, trial in enumerate(sheet, start=1)
        ]
        files.append(folder / f"answers-{number:03}.csv")
        _save(files[-1], number, rows)
    return RehearsalSummary(
        people=len(sheets),
        bots=bots,
        answers=sum(map(len, sheets)),
        task=asked.name,
        order=population.order,
        files=tuple(files),
    )


class _Population:
    """The utilities of methods that all careful people share."""

    def __init__(self, key: Mapping[str, Item], rng: np.random.Generator) -> None:
        self.methods = sorted(
            {name for item in key.values() for name in (item.left, item.right)} - {NOISE}
        )
        steps = np.linspace(*_SKILL_RANGE, len(self.methods))
        self.order = tuple(map(str, rng.permutation(self.methods)))
        skill = dict(zip(self.order, steps, strict=True))
        concepts = sorted({item.concept for item in key.values()})
        self.utilities = {
            (name, concept): skill[name] + rng.normal(0, _CONCEPT_SD / np.sqrt(2))
            for name in self.methods
            for concept in concepts
        }
        self._rng = rng

    def person(self) -> Answerer:
        """A careful person with a taste of their own, who says `""` for a tie."""
        effects = {name: self._rng.normal(0, _RATER_SD / np.sqrt(2)) for name in self.methods}

        def better(item: Item) -> str:
            if self._rng.random() < _TIE_RATE:
                return ""
            left, right = (
                self.utilities[name, item.concept] + effects[name]
                for name in (item.left, item.right)
            )
            return item.left if self._rng.random() < 1 / (1 + np.exp(right - left)) else item.right

        return better


class _SimulatedRater:
    def __init__(
        self, answerer: Answerer, task: Task, rng: np.random.Generator, *, bot: Bot | None
    ) -> None:
        self._answerer, self._task, self._rng, self._bot = answerer, task, rng, bot
        self._given: dict[tuple[str, str, int, frozenset[str]], str] = {}
        self._median_ms, self._clock = rng.lognormal(7.8, 0.3), _START

    def answer(self, item: Item) -> tuple[Choice, int, str]:
        """The choice, the response time in milliseconds and the time of the answer."""
        if self._bot == "hasty":
            milliseconds = int(self._rng.integers(80, 300))
        else:
            milliseconds = int(self._median_ms * self._rng.lognormal(0, 0.4))
        self._clock += timedelta(milliseconds=milliseconds)
        time = self._clock.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return self._choice(item), milliseconds, time

    def _choice(self, item: Item) -> Choice:
        answers = self._task.answers(len(item.shown))
        choices = (*answers, *self._task.undecided)
        if self._bot == "one-sided":
            return answers[0]
        if self._bot:
            return choices[self._rng.integers(len(choices))]
        if item.expected:
            return next(each for each in answers if each == item.expected)
        shown = (item.concept, item.prompt, item.seed, frozenset(item.shown))
        if item.kind != "repeat" or shown not in self._given or self._rng.random() > _RECALL_RATE:
            self._given[shown] = self._answerer(item)
        given = self._given[shown]
        if len(item.shown) > 1 and given:
            return answers[item.shown.index(given)]
        return next((each for each in answers if each == given), "tie")


def _save(path: Path, sheet: int, rows: list[list[object]]) -> None:
    """Write a sheet's answers as the page saves them."""
    with (
        content.replacing(path) as fresh,
        fresh.open("w", newline="", encoding="utf-8") as file,
    ):
        lines = csv.writer(file, lineterminator="\r\n")
        lines.writerow(_COLUMNS)
        lines.writerows(["rehearsal", sheet, *row] for row in rows)
