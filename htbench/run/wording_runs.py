"""The folders of further wordings: each repeats the run's steered cells, with every concept given
in that wording, in a run's folder of its own below it.

The run itself is in canonical words. Images of a wording have the same prompts and seeds, so that
their scores are paired with the canonical ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from htbench.run.fact_table import Facts
from htbench.run.plan import image_seed
from htbench.run.store import Store
from htbench.steering.wording import CANONICAL, WORDINGS, Wording

FOLDER = "wordings"
"""Name of the folder below that of the run."""


def folder(run: Path, wording: Wording) -> Path:
    """The folder of the run that repeats `run` in a wording."""
    return run / FOLDER / wording


def further_runs(store: Store, facts: Facts) -> Iterator[tuple[Wording, Store]]:
    """A run's further wordings with their stores, in order, each open until the next is asked for.

    One that was not begun, or whose cells are not yet planned like those of the run, is left out.
    """
    for wording in WORDINGS:
        place = folder(store.folder, wording)
        is_planned = wording in facts.plan.wording and wording in facts.wordings
        if not is_planned or not (place / "run.sqlite").is_file():
            continue
        if (place / "run.sqlite").stat().st_size:
            with type(store).read(place) as further:
                if Facts.read(further).repeats == facts.grid:
                    yield wording, further


def every_run(store: Store, facts: Facts) -> Iterator[tuple[Wording, Store]]:
    """The store of the run itself, in canonical words, then those of `further_runs`."""
    yield CANONICAL, store
    yield from further_runs(store, facts)


@dataclass(frozen=True)
class SaidWords:
    """The words that a concept was given in, by cell."""

    facts: Facts
    """The facts of the run in one wording."""

    def of(self, concept: str, prompt: str, seed: int) -> str:
        """The words at an image; empty for reference images, and where they are not known."""
        ways = self.facts.phrasings.get(concept)
        if ways is None:
            known = self.facts.concepts.get(concept)
            return known.text if known else ""
        number = self._numbers(prompt).get(seed)
        return ways[number % len(ways)] if ways and number is not None else ""

    def _numbers(self, prompt: str) -> dict[int, int]:
        if prompt not in self._by_prompt:
            seeds = self.facts.plan.stored.get("seeds", 1)
            numbers = range(seeds if isinstance(seeds, int) else 1)
            self._by_prompt[prompt] = {image_seed(prompt, number): number for number in numbers}
        return self._by_prompt[prompt]

    @cached_property
    def _by_prompt(self) -> dict[str, dict[int, int]]:
        return {}
