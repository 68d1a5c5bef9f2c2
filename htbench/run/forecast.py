"""Forecasts of the work, time and disk that a plan needs, before anything is loaded.

They are made from the times and sizes in earlier runs of the model.
"""

import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from htbench.core import content, registry
from htbench.core.errors import HtbenchError
from htbench.run import fit_seeds, tune, wording_runs
from htbench.run.fact_table import Facts
from htbench.run.frozen import Frozen
from htbench.run.plan import ResolvedPlan, comparable
from htbench.run.store import Store
from htbench.run.summary import METRICS, Summary
from htbench.steering import baseline
from htbench.steering.baseline import Card


@dataclass(frozen=True, kw_only=True)
class RunForecast:
    """The remaining work of a run, the choice of strengths included, and its seconds on one worker.

    Seconds and bytes are None where no earlier run has measured them.
    """

    cells: int
    images: int
    """Images to generate; cells at strength 0 share theirs."""
    learning: float
    """Seconds of training and of fits, of all methods but those that are `unknown`."""
    unknown: tuple[str, ...]
    """Methods that have something to fit and that no earlier run has timed."""
    generating: float | None
    scoring: float | None
    bytes: int | None
    basis: tuple[str, ...]
    """Names of the runs that the estimates are from."""
    tuning_concepts: int = 0
    """Number of dev concepts on which strengths are chosen."""
    tuning_cells: int = 0
    tuning_images: int = 0
    """Numbers of the cells and images, of all of these, that are for choosing strengths."""

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of each stage of which they are known."""
        stages = {"learning": self.learning, "images": self.generating, "scores": self.scoring}
        return {name: seconds for name, seconds in stages.items() if seconds is not None}

    @property
    def lacking(self) -> list[str]:
        """Parts of the work of which no seconds are known."""
        parts = [name for name in ("images", "scores") if name not in self.stages]
        return [*parts, f"learning of {', '.join(self.unknown)}"] if self.unknown else parts

    @property
    def seconds(self) -> float | None:
        """Seconds of all stages that are known; None where nothing was ever measured."""
        return sum(self.stages.values()) if self.basis else None


_MOST_RUNS = 8
"""Number of earlier runs of a model that are read, the newest."""


@dataclass(frozen=True, kw_only=True)
class _RemainingWork:
    """The remaining work of one plan."""

    cells: int
    images: int
    scores: int
    fits: Mapping[str, int]
    """Fits by method."""


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """Times and sizes of an earlier run."""

    name: str
    image_seconds: float | None
    score_seconds: float | None
    """Seconds of scoring per cell."""
    fit_seconds: Mapping[str, float]
    """Median seconds per fit, by method."""
    training_seconds: Mapping[str, float]
    """Seconds of training, by method."""
    image_bytes: float
    """Mean bytes per image."""


def forecast(plan: ResolvedPlan, *, folder: Path, runs: Path, against: str = "") -> RunForecast:
    """The forecast for `plan`, to be run in `folder`, from the runs in `runs`.

    `against` is the digest of a bundle that the unsteered images are taken from; empty: none.

    Of several runs that measured the same thing, the newest counts; where none has, the times that
    htbench ships for the model do.
    """
    settings = plan.settings
    remaining_work = partial(_remaining_work, against=bool(against))
    first = [remaining_work(plan, folder)]
    dev = plan.with_settings(tune.dev_plan(settings)) if settings.needs_dev_run else None
    if dev:
        first.append(remaining_work(dev, folder / "tuning"))
    work = [(plan, first)]
    for number in range(1, settings.fit_seeds) if plan.refitted else ():
        again = plan.at_fit_seed(number)
        place = fit_seeds.folder(folder, again.settings.seed)
        work.append((again, [remaining_work(again, place)]))
    for part in plan.wordings:
        place = wording_runs.folder(folder, part.wording)
        work.append((part, [remaining_work(part, place)]))
    parts = [part for _, parts in work for part in parts]
    model = registry.own_name("models", settings.model)
    own = list(islice(_past_runs(runs, model), _MOST_RUNS))
    needed = {name for each, _ in work for name in each.cards}
    past_runs = [*own, *_shipped_times(model, needed, own)]
    images, scores = sum(part.images for part in parts), sum(part.scores for part in parts)
    per_image = _first(run.image_seconds for run in past_runs)
    per_cell = _first(run.score_seconds for run in past_runs)
    per_file = _first(run.image_bytes or None for run in past_runs)
    learning, unknown = 0.0, dict[str, None]()
    for each, left in work:
        fits = sum((Counter(part.fits) for part in left), Counter())
        seconds, untimed = _fit_seconds(each, fits, past_runs)
        learning += seconds
        unknown |= dict.fromkeys(untimed)
    return RunForecast(
        cells=sum(part.cells for part in parts),
        images=images,
        learning=learning,
        unknown=tuple(unknown),
        generating=None if per_image is None else per_image * images,
        scoring=None if per_cell is None else per_cell * scores,
        bytes=None if per_file is None else int(per_file * images),
        basis=tuple(run.name for run in past_runs),
        tuning_concepts=len(dev.concepts) if dev else 0,
        tuning_cells=sum(part.cells for part in first[1:]),
        tuning_images=sum(part.images for part in first[1:]),
    )


def _first(values: Iterable[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _remaining_work(resolved: ResolvedPlan, folder: Path, *, against: bool) -> _RemainingWork:
    """The work of a plan."""
    plan, methods = resolved.settings, tuple(resolved.cards)
    n_concepts, n_fits = len(resolved.concepts), len(resolved.said)
    scaled = len(plan.steering_strengths) if plan.is_perceptual else 0
    n_strengths = sum(strength != 0 for strength in plan.strengths) + scaled
    prompts = [each.text for own in resolved.task_prompts.values() for each in own]
    steered = len(prompts) * (len(plan.methods) - 1) * n_strengths
    unsteered = 0 if against else len(set(prompts))
    cells = resolved.cell_count - (len(prompts) * plan.seeds if against else 0)
    whole = _RemainingWork(
        cells=cells,
        images=plan.seeds * (unsteered + steered),
        scores=cells,
        fits=dict.fromkeys(methods, n_fits),
    )
    try:
        with Store.read(folder) as store:
            facts = Facts.read(store)
            taken = Frozen(facts=facts)
            if comparable(facts.plan.stored) != comparable(
                taken.plan(plan.model_dump(mode="json"))
            ):
                return whole
            scorer, without = facts.scorer.id, taken.methods
            unscored = len(store.unscored(scorer, len(METRICS), without=without)) if scorer else 0
            pending = len(store.pending(without=without))
            fitted = Counter(fit.method for fit in store.fit_timings())
            return _RemainingWork(
                cells=cells,
                images=pending,
                scores=unscored + pending,
                fits={
                    # the several phrasings of a concept have one time
                    name: -(-n_fits * (n_concepts - fitted[name]) // n_concepts)
                    for name in methods
                },
            )
    except HtbenchError:
        return whole


def _fit_seconds(
    plan: ResolvedPlan, fits: Mapping[str, int], past_runs: Sequence[PastRun]
) -> tuple[float, list[str]]:
    """Seconds of training and fits, and the methods that no earlier run has timed."""
    model, given_names = plan.settings.model, plan.given_names
    total, training_seconds, unknown = 0.0, dict[object, float](), []
    for name, card in plan.cards.items():
        if not fits[name]:
            continue
        timed = next((run for run in past_runs if name in run.fit_seconds), None)
        if timed:
            total += timed.fit_seconds[name] * fits[name]
            seconds = timed.training_seconds.get(name, 0.0)
            if seconds and model not in card.artifacts:
                # cards with one base train it once
                base = getattr(baseline.load_method(card), "base", given_names[name])
                if not _is_trained(base, card, given_names[name], model):
                    training_seconds[base] = max(training_seconds.get(base, 0.0), seconds)
        elif card.kind not in ("none", "prompt"):
            unknown.append(name)
    return total + sum(training_seconds.values()), unknown


def _is_trained(base: object, card: Card, given_name: str, model: str) -> bool:
    """True if the card `base` of a method ships its training for `model`."""
    if not isinstance(base, str):
        return False
    base_card = card if base == given_name else baseline.load_card(base)
    return model in base_card.artifacts


def _shipped_times(
    model: str, methods: Collection[str], own: Sequence[PastRun]
) -> Iterator[PastRun]:
    """The times that htbench ships for a model, where runs of its own lack some."""
    path = content.folder("reports") / "timings" / f"{model}.toml"
    timed = {name for run in own for name in run.fit_seconds}
    whole = [run.image_seconds and run.score_seconds and run.image_bytes for run in own]
    if not path.is_file() or (timed.issuperset(methods) and any(whole)):
        return
    times = tomllib.loads(path.read_text(encoding="utf-8"))
    yield PastRun(
        name=times["about"],
        image_seconds=times["image"],
        score_seconds=times["score"],
        fit_seconds=times["fit"],
        training_seconds=times["training"],
        image_bytes=times["image_bytes"],
    )


def _past_runs(runs: Path, model: str) -> Iterator[PastRun]:
    """Runs of the model in `runs`, the newest first; unreadable folders are left out."""
    for path in sorted(runs.glob("*/run.sqlite"), key=lambda path: -path.stat().st_mtime):
        try:
            with Store.read(path.parent) as store:
                summary = Summary(store)
                if summary.facts.model.name == model:
                    yield past_run(summary)
        except HtbenchError:
            continue


def past_run(summary: Summary) -> PastRun:
    """The times and sizes of a run."""
    store = summary.store
    seconds = store.image_seconds()
    files = islice((store.folder / "images").glob("*.png"), 200)
    sizes = [file.stat().st_size for file in files]
    scoring = [seconds for phase, _, _, seconds, _ in store.timings() if phase == "score"]
    return PastRun(
        name=store.folder.name,
        image_seconds=float(np.median(seconds)) if seconds else None,
        score_seconds=sum(scoring) if scoring else None,
        fit_seconds={cost.method: cost.concept.median for cost in summary.costs if cost.concept},
        training_seconds={method: summary.training_seconds(method) for method in summary.methods},
        image_bytes=float(np.mean(sizes)) if sizes else 0.0,
    )
