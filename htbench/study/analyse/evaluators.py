"""Verdicts of a run's judges and metrics on the pairs of pictures that people compared."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from htbench.core.errors import UsageError
from htbench.core.types import encoder_name, strength_of
from htbench.judging.leaderboard import read_result
from htbench.judging.ledger import LEDGER_FILE, Ledger
from htbench.run.store import Store
from htbench.run.summary import METRICS, Summary
from htbench.study.answer import Pair

PictureKey = tuple[str, str, str, int]
"""Method, concept, prompt and seed."""


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """A judge or a metric of a run, with its verdicts."""

    source: Literal["judge", "metric"]
    name: str
    preferences: dict[Pair, float]
    """Preferences for the first method of each pair; a metric's are 1, 0 or, if equal, 0.5."""


def read_evaluators(
    folder: Path, pairs: Collection[Pair], *, strength: float | None = None
) -> list[Evaluator]:
    """The judges and metrics of a run that have a verdict on one of the pairs.

    The pictures are those at `strength`; None: the full strength of the run.

    Raises:
        UsageError: if the run has the pictures of none of the pairs.
    """
    with Store.read(folder) as store:
        at = Summary(store).full_strength if strength is None else strength
        methods = {method for pair in pairs for method in (pair.one, pair.two)}
        cells = _picture_cells(store, methods, at)
        if not any(set(_picture_keys(pair)) <= cells.keys() for pair in pairs):
            raise UsageError(
                f"run {folder.name!r} has none of the study's pairs of pictures",
                remedy="Give the run that the study was exported from.",
            )
        metrics = list(_metrics(store, pairs, cells))
    judges = list(_judges(folder, pairs, at)) if (folder / LEDGER_FILE).is_file() else []
    return [evaluator for evaluator in (*judges, *metrics) if evaluator.preferences]


def _judges(folder: Path, pairs: Collection[Pair], strength: float) -> Iterator[Evaluator]:
    """The latest tournament of each judge and model at a strength, by criterion."""
    with Ledger.read(folder) as ledger:
        latest = {
            (metadata["judge"], metadata["model"]): id_
            for id_, metadata in ledger.tournaments().items()
            if metadata["design"]["strength"] == strength
        }
        for (judge, model), id_ in latest.items():
            for criterion in read_result(ledger, id_, rounds=2).criteria:
                preferences = {
                    Pair(criterion.name, concept, prompt, seed, one, two): value
                    for (one, two, concept, prompt, seed), value in criterion.preferences.items()
                }
                yield Evaluator(
                    source="judge",
                    name=f"{judge} {model}",
                    preferences={pair: preferences[pair] for pair in pairs if pair in preferences},
                )


def _metrics(
    store: Store, pairs: Collection[Pair], picture_cells: dict[PictureKey, int]
) -> Iterator[Evaluator]:
    lower = {scorer.id for scorer in Summary(store).facts.gauges if scorer.better == "lower"}
    pictures = {cell: picture for picture, cell in picture_cells.items()}
    for metric, scorer in store.select(
        "SELECT DISTINCT metric, encoder FROM scores ORDER BY encoder, metric"
    ):
        rows = store.select(
            "SELECT cell, value FROM scores WHERE metric = ? AND encoder = ? AND value IS NOT NULL",
            metric,
            scorer,
        )
        yield Evaluator(
            source="metric",
            name=", ".join(
                [*([METRICS[metric]] if metric in METRICS else []), encoder_name(scorer)]
            ),
            preferences=_preferences(
                {pictures[cell]: value for cell, value in rows if cell in pictures},
                pairs,
                sign=-1 if scorer in lower else 1,
            ),
        )


def _picture_cells(
    store: Store, methods: Collection[str], strength: float
) -> dict[PictureKey, int]:
    """The cells of all pictures that exist."""
    query = """SELECT method, concept, prompt, seed, id FROM cells JOIN images ON key = image
               WHERE file IS NOT NULL AND method = ? AND strength = ?"""
    rows = [
        row
        for method in sorted(methods)
        for row in store.select(query, method, strength_of(method, strength))
    ]
    return {(method, concept, prompt, seed): cell for method, concept, prompt, seed, cell in rows}


def _preferences(
    values: dict[PictureKey, float], pairs: Collection[Pair], *, sign: int
) -> dict[Pair, float]:
    preferences = {}
    for pair in pairs:
        one, two = map(values.get, _picture_keys(pair))
        if one is not None and two is not None:
            preferences[pair] = 0.5 if one == two else float((one - two) * sign > 0)
    return preferences


def _picture_keys(pair: Pair) -> tuple[PictureKey, PictureKey]:
    one, two = ((name, pair.concept, pair.prompt, pair.seed) for name in (pair.one, pair.two))
    return one, two
