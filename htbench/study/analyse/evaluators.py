"""What the judges and metrics of a run say of the pairs of pictures that people compared."""

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
    """One judge's by one criterion, or one metric's."""

    source: Literal["judge", "metric"]
    name: str
    preferences: dict[Pair, float]
    """For the first method of a pair; of a metric 1, 0 or 0.5: which picture scores better."""


def read_evaluators(
    folder: Path, pairs: Collection[Pair], *, strength: float | None = None
) -> list[Evaluator]:
    """Of each judge and metric that says something of some of the pairs; pictures are those at `strength`, the run's full one if None.

    Raises:
        UsageError: if the run has pictures of none of the pairs.
    """
    with Store.read(folder) as store:
        at = Summary(store).full_strength if strength is None else strength
        places = _picture_cells(
            store, {name for pair in pairs for name in (pair.one, pair.two)}, at
        )
        if not any(
            _picture_key(pair, pair.one) in places and _picture_key(pair, pair.two) in places
            for pair in pairs
        ):
            raise UsageError(
                f"run {folder.name!r} has none of the study's pairs of pictures",
                remedy="Give the run that the study was exported from.",
            )
        metrics = list(_metrics(store, pairs, places))
    judges = list(_judges(folder, pairs, at)) if (folder / LEDGER_FILE).is_file() else []
    return [each for each in (*judges, *metrics) if each.preferences]


def _judges(folder: Path, pairs: Collection[Pair], strength: float) -> Iterator[Evaluator]:
    """Of each judge and model the latest tournament at this strength."""
    with Ledger.read(folder) as ledger:
        told = {
            id_: about
            for id_, about in ledger.tournaments().items()
            if about["design"]["strength"] == strength
        }
        for id_ in {(about["judge"], about["model"]): id_ for id_, about in told.items()}.values():
            found = read_result(ledger, id_, rounds=2)
            for criterion in found.criteria:
                said = {
                    Pair(criterion.name, concept, prompt, seed, one, two): value
                    for (one, two, concept, prompt, seed), value in criterion.preferences.items()
                }
                yield Evaluator(
                    source="judge",
                    name=f"{found.metadata['judge']} {found.metadata['model']}",
                    preferences={pair: said[pair] for pair in pairs if pair in said},
                )


def _metrics(
    store: Store, pairs: Collection[Pair], picture_cells: dict[PictureKey, int]
) -> Iterator[Evaluator]:
    lower = {
        str(fact.get("id"))
        for fact in store.facts().get("gauges", [])
        if isinstance(fact, dict) and fact.get("better") == "lower"
    }
    cells = {cell: place for place, cell in picture_cells.items()}
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
                {cells[cell]: value for cell, value in rows if cell in cells},
                pairs,
                sign=-1 if scorer in lower else 1,
            ),
        )


def _picture_cells(
    store: Store, methods: Collection[str], strength: float
) -> dict[PictureKey, int]:
    """Cells that have their picture, by what it is of."""
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
    found = {}
    for pair in pairs:
        one, two = (
            values.get(_picture_key(pair, pair.one)),
            values.get(_picture_key(pair, pair.two)),
        )
        if one is not None and two is not None:
            found[pair] = 0.5 if one == two else float((one - two) * sign > 0)
    return found


def _picture_key(pair: Pair, method: str) -> PictureKey:
    return method, pair.concept, pair.prompt, pair.seed
