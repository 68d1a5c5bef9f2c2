"""The contents of a run, to compare it with another."""

from collections.abc import Sized
from pathlib import Path

from htbench.run.store import Store
from htbench.steering import intervention


def contents(folder: Path) -> tuple[Sized, ...]:
    """Cells, scores, interventions and names of pictures, which are digests of their bytes."""
    with Store.read(folder) as store:
        rows = [
            (
                row.method,
                row.concept,
                row.prompt,
                row.seed,
                row.strength,
                row.image,
                row.file,
                row.failure_message,
            )
            for row in store.rows()
        ]
        scores = sorted(store.scores())
    maps = {
        path.stem: [
            (name, part.tolist()) for name, part in intervention.load(path).state()[0].items()
        ]
        for path in (folder / "maps").glob("*.safetensors")
    }
    return rows, scores, maps, {path.name for path in (folder / "images").iterdir()}
