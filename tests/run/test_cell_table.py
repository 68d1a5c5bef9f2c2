"""Cells and scores as arrays, against sums by SQL."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from htbench.core.types import Digest
from htbench.run import cell_table, score_totals
from htbench.run.store import Failure, GeneratedImage, Store

SCORER = "clip@1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """48 cells, of which some have no image, some failed and some lack a score."""
    cells = [
        (
            method,
            concept,
            prompt,
            seed,
            strength,
            Digest(f"{method}{concept}{prompt}{seed}{strength}"),
        )
        for method, strength in (("none", 0.0), ("act", 1.0), ("act", 0.5))
        for concept in ("lime", "lemon")
        for prompt in ("a cat", "a dog")
        for seed in (5, 2**62, 7, 1)
    ]
    random = np.random.default_rng(0)
    with Store.open(tmp_path / "run") as store:
        store.plan_cells(cells)
        rows = store.rows()
        store.add_images(
            [
                GeneratedImage(key=row.image, png=f"png {k}".encode())
                for k, row in enumerate(rows[5:])
            ],
            seconds=0.5,
            batch=4,
        )
        store.add_failure(
            [row.image for row in rows[:3]], Failure(kind="nan", message="no numbers")
        )
        for row in rows[5:-4]:
            store.add_scores([(row.id, "presence", SCORER, float(random.random()))])
        yield store


def test_means_over_cells_are_those_of_sql(store: Store) -> None:
    query = """SELECT method, strength, concept, avg(value) FROM (
                 SELECT method, strength, concept,
                        CASE WHEN kind IS NOT NULL THEN 0.0 ELSE value END AS value
                 FROM cells LEFT JOIN failures ON key = image
                 LEFT JOIN scores ON cell = id AND metric = 'presence'
               ) WHERE value IS NOT NULL GROUP BY 1, 2, 3"""
    expected = {
        (method, strength, concept): pytest.approx(mean, abs=1e-12)
        for method, strength, concept, mean in store.select(query)
    }
    means = score_totals.read(store, SCORER).means
    assert expected == {
        (method, strength, concept): value
        for (method, strength, metric), by_concept in means.items()
        if metric == "presence"
        for concept, (value,) in by_concept.items()
    }


def test_every_cell_has_its_own_values(store: Store) -> None:
    table = cell_table.read(store)
    assert [
        (row.id, row.method, row.concept, row.prompt, row.seed, row.strength, row.file)
        for row in store.rows()
    ] == [
        (
            table.ids[k],
            table.method.names[table.method.numbers[k]],
            table.concept.names[table.concept.numbers[k]],
            *table.image.names[table.image.numbers[k]],
            table.strength[k],
            table.file.names[table.file.numbers[k]],
        )
        for k in range(len(table.ids))
    ]


def test_failed_cells_are_counted_apart_from_those_not_made_yet(store: Store) -> None:
    table = cell_table.read(store)
    assert (table.failed.sum(), table.made.sum()) == (3, 43)


def test_an_empty_store_has_no_cells(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run") as store:
        assert len(cell_table.read(store).ids) == 0
        assert score_totals.read(store, SCORER).means == {}
