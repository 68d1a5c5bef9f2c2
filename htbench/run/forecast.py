"""What a plan will take, before anything is loaded: from the times and sizes that earlier runs of the model left."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from htbench.core.errors import HtbenchError
from htbench.run import tune
from htbench.run.plan import Plan, cell_count, labels
from htbench.run.store import Store
from htbench.run.summary import METRICS, Summary
from htbench.steering import baseline


@dataclass(frozen=True, kw_only=True)
class RunForecast:
    """What is still to be done, choosing strengths included, and seconds of one worker for it; None where no earlier run tells."""

    cells: int
    images: int
    """To make; cells at strength 0 share theirs."""
    learning: float
    """Interventions, and what methods learn beforehand, of all methods but those that are `unknown`."""
    unknown: tuple[str, ...]
    """Methods that have something to learn and that no earlier run has timed."""
    generating: float | None
    scoring: float | None
    bytes: int | None
    basis: tuple[str, ...]
    """Names of the runs that the estimates are from."""


@dataclass(frozen=True, kw_only=True)
class _RemainingWork:
    """What one plan has still to do."""

    cells: int
    images: int
    scores: int
    fits: Mapping[str, int]
    """To learn, by method."""


@dataclass(frozen=True, kw_only=True)
class _PastRun:
    """Seconds that an earlier run took."""

    name: str
    image_seconds: float | None
    score_seconds: float | None
    """Of scoring."""
    fit_seconds: Mapping[str, float]
    """By method, in the middle."""
    training_seconds: Mapping[str, float]
    image_bytes: float
    """An image."""


def forecast(plan: Plan, *, concepts: int, folder: Path, out: Path) -> RunForecast:
    """The forecast for `plan` on so many concepts, to be run in `folder`, from the runs in `out`; the newest that tells counts."""
    works = [_remaining_work(plan, concepts, folder)]
    if plan.tune_strength:
        works.append(_remaining_work(tune.dev_plan(plan), plan.tune_concepts, folder / "tuning"))
    earlier = list(_past_runs(out, plan.model))
    images, scores = sum(work.images for work in works), sum(work.scores for work in works)
    per_image = next((run.image_seconds for run in earlier if run.image_seconds is not None), None)
    per_cell = next((run.score_seconds for run in earlier if run.score_seconds is not None), None)
    learning, unknown = _fit_seconds(
        plan, sum((Counter(work.fits) for work in works), Counter()), earlier
    )
    per_file = next((run.image_bytes for run in earlier if run.image_bytes), None)
    return RunForecast(
        cells=sum(work.cells for work in works),
        images=images,
        learning=learning,
        unknown=tuple(unknown),
        generating=None if per_image is None else per_image * images,
        scoring=None if per_cell is None else per_cell * scores,
        bytes=None if per_file is None else int(per_file * images),
        basis=tuple(run.name for run in earlier),
    )


def _remaining_work(plan: Plan, concepts: int, folder: Path) -> _RemainingWork:
    steered = (len(plan.methods) - 1) * concepts * sum(strength != 0 for strength in plan.strengths)
    cells, names = cell_count(plan, concepts), labels(plan)
    whole = _RemainingWork(
        cells=cells,
        images=plan.prompts * plan.seeds * (1 + steered),
        scores=cells,
        fits=dict.fromkeys(names, concepts),
    )
    try:
        with Store.read(folder) as store:
            facts = store.facts()
            if facts.get("plan") != plan.model_dump(mode="json"):
                return whole
            scorer = facts.get("scorer")
            unscored = (
                len(store.unscored(str(scorer["id"]), len(METRICS)))
                if isinstance(scorer, dict)
                else 0
            )
            pending = len(store.pending())
            learnt = Counter(method for phase, method, *_ in store.timings() if phase == "towards")
            return _RemainingWork(
                cells=cells,
                images=pending,
                scores=unscored + pending,
                fits={name: concepts - learnt[name] for name in names},
            )
    except HtbenchError:
        return whole


def _fit_seconds(
    plan: Plan, concepts: Mapping[str, int], past_runs: list[_PastRun]
) -> tuple[float, list[str]]:
    """Seconds of learning, and the methods of which nothing is known."""
    total, shared, unknown = 0.0, dict[object, float](), []
    for name, given in labels(plan).items():
        if not concepts[name]:
            continue
        card = baseline.load_card(given)
        known = next((run for run in past_runs if name in run.fit_seconds), None)
        if known:
            total += known.fit_seconds[name] * concepts[name]
            if (
                training := known.training_seconds.get(name, 0.0)
            ) and plan.model not in card.artifacts:
                base = getattr(
                    baseline.load_method(card), "base", given
                )  # cards that build on the same one learn it once
                if (
                    not isinstance(base, str)
                    or plan.model not in baseline.load_card(base).artifacts
                ):
                    shared[base] = max(shared.get(base, 0.0), training)
        elif card.kind not in ("none", "prompt"):
            unknown.append(name)
    return total + sum(shared.values()), unknown


def _past_runs(out: Path, model: str) -> Iterator[_PastRun]:
    """Runs of the model, the newest first; what is no run, or none that can be read, is left out."""
    for path in sorted(out.glob("*/run.sqlite"), key=lambda path: -path.stat().st_mtime):
        try:
            with Store.read(path.parent) as store:
                summary = Summary(store)
                used = summary.facts.get("model")
                if isinstance(used, dict) and used.get("name") == model:
                    seconds, sizes = (
                        store.image_seconds(),
                        [
                            file.stat().st_size
                            for file in islice((path.parent / "images").glob("*.png"), 200)
                        ],
                    )
                    scoring = [
                        seconds for phase, _, _, seconds, _ in store.timings() if phase == "score"
                    ]
                    yield _PastRun(
                        name=path.parent.name,
                        image_seconds=float(np.median(seconds)) if seconds else None,
                        score_seconds=sum(scoring) if scoring else None,
                        fit_seconds={
                            cost.method: cost.concept.median
                            for cost in summary.costs
                            if cost.concept
                        },
                        training_seconds={
                            method: summary.training_seconds(method) for method in summary.methods
                        },
                        image_bytes=float(np.mean(sizes)) if sizes else 0.0,
                    )
        except HtbenchError:
            continue
