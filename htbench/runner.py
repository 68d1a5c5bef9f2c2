"""Runs a plan: learn, generate, score; what the store already has is not done again."""

import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import distributions
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TimeRemainingColumn
from rich.text import Text

from htbench import content, intervention, metric, registry
from htbench import device as devices
from htbench import plan as plans
from htbench.concept import Concept, ConceptSet
from htbench.encoder import Encoder
from htbench.errors import HtbenchError, Refused
from htbench.intervention import Intervention
from htbench.leaderboard import METRICS
from htbench.method import Learnt, learn_shared
from htbench.model import Model, Request
from htbench.plan import Cell, Plan, cells, image_key
from htbench.store import Row, Store
from htbench.types import Digest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run under way."""

    plan: Plan
    store: Store
    model: Model
    scorer: Encoder
    concepts: tuple[Concept, ...]
    concept_set: ConceptSet
    methods: dict[str, Learnt]
    progress: Progress

    def map_path(self, method: str, concept: Concept) -> Path:
        """Where a concept's intervention is kept."""
        key = content.digest([self.methods[method].digest, self.model.revision, concept.digest])
        return self.store.folder / "maps" / f"{key}.safetensors"


def run(plan: Plan, folder: Path, *, device: str | None = None, allow_leak: bool = False) -> None:
    """Do what is left of `plan` in `folder`.

    Raises:
        HtbenchError: for whatever a user can mend; what was done until then is kept.
    """
    concept_set, concepts = plans.check(plan)
    place = devices.choose(device)
    cards = {name: registry.card(name) for name in plan.methods}
    with Store.open(folder) as store, _progress() as progress:
        model, scorer = _load(plan, place, progress)
        methods = {name: learn_shared(card, model, concept_set.splits["train"], folder=folder / "maps", seed=plan.seed) for name, card in cards.items()}
        job = Run(
            plan=plan, store=store, model=model, scorer=scorer, concepts=concepts, concept_set=concept_set, methods=methods, progress=progress
        )  # fmt: skip
        leaks = {name: sorted({c.id for c in concepts} & set(learnt.steering.training.concepts)) for name, learnt in methods.items()}
        for name, leaked in leaks.items():
            if leaked and not allow_leak:
                raise Refused(
                    f"{name} was trained on {len(leaked)} of the chosen concepts, such as {leaked[0]!r}",
                    remedy="Choose held-out concepts, or give --allow-leak.",
                )
        store.set_facts(**_facts(job, leaks))
        grid = list(cells(plan, concepts, concept_set.prompts))
        keys = [image_key(cell, model=model.revision, learnt=methods[cell.method].digest, batch=plan.batch) for cell in grid]
        store.plan_cells((cell.method, cell.concept.id, cell.prompt, cell.seed, cell.strength, key) for cell, key in zip(grid, keys, strict=True))
        problems = _learn_each(job)
        _generate(job, dict(zip(keys, grid, strict=True)), problems)
        _score(job)


def _load(plan: Plan, place: str, progress: Progress) -> tuple[Model, Encoder]:
    task = progress.add_task(f"load {plan.model}", total=None)
    model: Model = registry.load("models", plan.model)(place)
    scorer: Encoder = registry.load("encoders", plan.scorer or model.scorer)(place)
    progress.update(task, total=1, completed=1)
    return model, scorer


def _learn_each(job: Run) -> dict[tuple[str, str], str]:
    """Learn and time each concept's intervention, methods in turn; gives why it failed where it did, by method and concept."""
    known = {(method, concept_id) for phase, method, concept_id, _, _ in job.store.timings() if phase == "towards"}
    todo = [(name, c) for c in job.concepts for name in job.methods if (name, c.id) not in known or not job.map_path(name, c).exists()]
    task = job.progress.add_task("learn interventions", total=len(todo))
    problems: dict[tuple[str, str], str] = {}
    warm: set[str] = set()
    spare = next((c for split in ("dev", "train") for c in job.concept_set.splits[split] if c not in job.concepts), None)
    for name, wanted in todo:
        steering = job.methods[name].steering
        try:
            if spare and name not in warm:
                steering.towards(spare)
            warm.add(name)
            job.model.synchronise()
            began = time.perf_counter()
            change = steering.towards(wanted)
            job.model.synchronise()
            seconds = time.perf_counter() - began
        except HtbenchError as error:
            problems[name, wanted.id] = str(error)
        else:
            path = job.map_path(name, wanted)
            fresh = path.with_name(f".{path.name}")
            intervention.save(change, fresh)
            fresh.replace(path)
            job.store.add_timing("towards", name, wanted.id, seconds, job.model.device)
        job.progress.advance(task)
    return problems


def _generate(job: Run, by_key: dict[Digest, Cell], problems: dict[tuple[str, str], str]) -> None:
    pending = list(dict.fromkeys(row.image for row in job.store.rows() if row.file is None))
    task = job.progress.add_task("generate images", total=len(pending))
    impossible = [
        (key, None, reason) for key in pending if by_key[key].strength != 0 and (reason := problems.get((by_key[key].method, by_key[key].concept.id)))
    ]
    job.store.add_images(impossible, seconds=0.0)
    failed = {key for key, _, _ in impossible}
    possible = [key for key in pending if key not in failed]

    @lru_cache(maxsize=256)
    def learnt(method: str, concept_id: str) -> Intervention:
        return intervention.load(job.map_path(method, next(c for c in job.concepts if c.id == concept_id)))

    for start in range(0, len(possible), job.plan.batch):
        keys = possible[start : start + job.plan.batch]
        requests = [_request(by_key[key], learnt) for key in keys]
        filler = [requests[-1]] * (job.plan.batch - len(requests))  # an image may depend on the size of its batch, to the last bit
        job.model.synchronise()
        began = time.perf_counter()
        images = job.model.generate([*requests, *filler])[: len(keys)]
        seconds = (time.perf_counter() - began) / job.plan.batch
        made = []
        for key, image in zip(keys, images, strict=True):
            png = BytesIO()
            image.save(png, "PNG")
            made.append((key, png.getvalue(), None))
        job.store.add_images(made, seconds=seconds)
        job.progress.advance(task, len(keys))
    job.progress.advance(task, len(failed))


def _request(cell: Cell, learnt: Callable[[str, str], Intervention]) -> Request:
    change = Intervention() if cell.strength == 0 else learnt(cell.method, cell.concept.id)
    return Request(prompt=cell.prompt, seed=cell.seed, intervention=change, strength=cell.strength)


def _score(job: Run) -> None:
    """Score every image that has no scores yet, against the unsteered image of the same prompt and seed."""
    from PIL import Image

    rows = job.store.rows()
    scored: dict[int, int] = {}
    for cell, _, encoder, _ in job.store.scores():
        scored[cell] = scored.get(cell, 0) + (encoder == job.scorer.name)
    unsteered = {(row.prompt, row.seed): row.image for row in rows if row.strength == 0}
    files = {row.image: row.file for row in rows if row.file}
    todo = [row for row in rows if row.file and scored.get(row.id, 0) < len(METRICS) and unsteered[row.prompt, row.seed] in files]
    concepts = {c.id: c for c in job.concepts}
    task = job.progress.add_task("score images", total=len(todo))

    @lru_cache(maxsize=4096)
    def text(words: str) -> "Tensor":
        return job.scorer.texts([words])[0]

    seen: dict[Digest, Tensor] = {}
    for start in range(0, len(todo), 128):
        part = todo[start : start + 128]
        fresh = list(dict.fromkeys(key for row in part for key in (row.image, unsteered[row.prompt, row.seed]) if key not in seen))
        vectors = job.scorer.images([Image.open(job.store.folder / "images" / str(files[key])) for key in fresh])
        seen.update(zip(fresh, vectors, strict=True))
        job.store.add_scores(_scores_of(part, concepts, seen, unsteered, text, job.scorer))
        job.progress.advance(task, len(part))


def _scores_of(
    rows: Sequence[Row], concepts: dict[str, Concept], seen: dict[Digest, "Tensor"], unsteered: dict[tuple[str, int], Digest],
    text: "Callable[[str], Tensor]", scorer: Encoder,
) -> list[tuple[int, str, str, float | None]]:  # fmt: skip
    import torch

    image = torch.stack([seen[row.image] for row in rows])
    before = torch.stack([seen[unsteered[row.prompt, row.seed]] for row in rows])
    prompt = torch.stack([text(row.prompt) for row in rows])
    wanted = torch.stack([text(concepts[row.concept].text) for row in rows])
    target = torch.stack([text(concepts[row.concept].target(row.prompt)) for row in rows])
    values = {
        "concept_gain": metric.concept_gain(image, before, wanted),
        "presence": metric.presence(image, target, prompt, scale=scorer.scale),
        "prompt_preservation": metric.prompt_preservation(image, prompt),
        "image_preservation": metric.image_preservation(image, before),
    }
    return [(row.id, name, scorer.name, float(column[k])) for name, column in values.items() for k, row in enumerate(rows)]


def _facts(job: Run, leaks: dict[str, list[str]]) -> dict[str, object]:
    """All that a reader of the report needs to know about how its numbers were made."""
    model, scorer, chosen = job.model, job.scorer, {c.id for c in job.concepts}
    return {
        "plan": job.plan.model_dump(mode="json"),
        "command": shlex.join(["htbench", *sys.argv[1:]]),
        "environment": _environment(model.device),
        "model": {"name": model.name, "revision": model.revision, "sites": len(model.sites), "channels": sum(site.channels for site in model.sites.values())},
        "scorer": {"name": scorer.name, "revision": scorer.revision, "scale": scorer.scale},
        "concept_set": {
            **{name: getattr(job.concept_set, name) for name in ("name", "version", "licence", "about")},
            "test": len(job.concept_set.splits["test"]),
        },
        "concepts": {
            c.id: {"kind": c.kind, "text": c.text, "split": split} for split, concepts in job.concept_set.splits.items() for c in concepts if c.id in chosen
        },
        "methods": {
            name: {
                **learnt.card.model_dump(mode="json", exclude={"name", "method", "artifacts"}),
                "digest": learnt.digest,
                "training": asdict(learnt.steering.training),
                "conditioned_on_scorer": scorer.name in learnt.steering.training.encoders,
                "leaked": leaks[name],
            }
            for name, learnt in job.methods.items()
        },
    }


def _environment(device: str) -> dict[str, object]:
    import torch

    installed = {package.metadata["Name"]: package.version for package in distributions()}
    return {
        **{name: installed.get(name, "not installed") for name in ("htbench", "torch", "diffusers", "transformers", "open_clip_torch")},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": f"{os.cpu_count()} x {platform.processor() or platform.machine()}",
        "threads": torch.get_num_threads(),
        "device": "cpu" if device == "cpu" else torch.cuda.get_device_name(device),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def _progress() -> Iterator[Progress]:
    with Progress(
        SpinnerColumn(), "{task.description:<20}", BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn(), console=Console(stderr=True)
    ) as progress:
        yield progress
