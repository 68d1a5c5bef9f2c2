"""What a plan will take, before anything is loaded: from the times and sizes that earlier runs of the model left."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from htbench.errors import HtbenchError
from htbench.leaderboard import Summary
from htbench.plan import Plan, labels, size
from htbench.store import Store


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Estimates; None where no earlier run tells."""

    cells: int
    images: int
    """To make; cells at strength 0 share theirs."""
    seconds: float | None
    bytes: int | None
    basis: str | None
    """Name of the run that the estimates are from."""


@dataclass(frozen=True, kw_only=True)
class _Earlier:
    """What an earlier run tells."""

    name: str
    plan: object
    model: object
    pending: int
    image: float | None
    """Seconds an image."""
    methods: dict[str, float]
    """Seconds a concept."""
    bytes: float
    """An image."""


def forecast(plan: Plan, *, concepts: int, folder: Path, out: Path) -> Forecast:
    """The forecast for `plan` on so many concepts, to be run in `folder`."""
    steered = (len(plan.methods) - 1) * concepts * sum(strength != 0 for strength in plan.strengths)
    images, learnt = plan.prompts * plan.seeds * (1 + steered), set[str]()
    if (begun := _look(folder)) and begun.plan == plan.model_dump(mode="json"):
        images, learnt = begun.pending, set(begun.methods)
    for path in sorted(out.glob("*/run.sqlite"), key=lambda path: -path.stat().st_mtime):
        if (known := _look(path.parent)) and known.image is not None and known.model == plan.model:
            learning = sum(known.methods.get(method, 0.0) * concepts for method in labels(plan) if method not in learnt)
            return Forecast(
                cells=size(plan, concepts), images=images, seconds=known.image * images + learning, bytes=int(known.bytes * images), basis=known.name
            )
    return Forecast(cells=size(plan, concepts), images=images, seconds=None, bytes=None, basis=None)


def _look(folder: Path) -> _Earlier | None:
    """None for what is no run, or none that can be read: a forecast does without."""
    try:
        with Store.read(folder) as store:
            summary = Summary(store)
            seconds, model = store.image_seconds(), summary.facts.get("model")
            sizes = [file.stat().st_size for file in islice((folder / "images").glob("*.png"), 200)]
            return _Earlier(
                name=folder.name,
                plan=summary.facts.get("plan"),
                model=model.get("name") if isinstance(model, dict) else None,
                pending=len(store.pending()),
                image=float(np.median(seconds)) if seconds else None,
                methods={cost.method: cost.concept.median for cost in summary.costs if cost.concept},
                bytes=float(np.mean(sizes)) if sizes else 0.0,
            )
    except HtbenchError:
        return None
