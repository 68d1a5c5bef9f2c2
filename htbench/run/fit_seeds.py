"""The folders of further fit seeds: each repeats the run, in a run's folder of its own below it.

The first fit seed is the run itself. A further one has the same cells of the methods that are
trained or fitted, with images of the same prompts and seeds, so that their scores are paired.
"""

from collections.abc import Iterator
from pathlib import Path

from htbench.run.fact_table import Facts
from htbench.run.store import Store


def folder(run: Path, seed: int) -> Path:
    """The folder of the run that repeats `run` with the `seed` of training and fitting."""
    return run / "fit-seeds" / str(seed)


def further_runs(store: Store, facts: Facts) -> Iterator[Store]:
    """The stores of a run's further fit seeds, in order, each open until the next is asked for.

    One that was not begun, or whose cells are not yet planned like those of the run, is left out.
    """
    seeds = dict.fromkeys(seed for own in facts.fit_seeds.values() for seed in own[1:])
    for seed in seeds:
        place = folder(store.folder, seed)
        if (place / "run.sqlite").is_file() and (place / "run.sqlite").stat().st_size:
            with Store.read(place) as further:
                if Facts.read(further).repeats == facts.grid:
                    yield further
