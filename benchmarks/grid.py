"""How near a grid comes to plain generation, and how long a million cells take to open, check and resume.

python benchmarks/grid.py rate        12 concepts x 4 methods x 5 strengths on the embedded model against a bare loop over the same prompts and seeds
python benchmarks/grid.py million     a store of a million cells with all their scores
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from htbench.core import content, device, registry
from htbench.core.display import Display, ProgressBar
from htbench.run import check, runner
from htbench.run import plan as plans
from htbench.run.plan import Plan, build
from htbench.run.store import GeneratedImage, Store
from htbench.run.summary import METRICS, Summary
from htbench.steering.intervention import Intervention
from htbench.steering.model import CachesPrompts, Model, Request

GRID = {
    "methods": ["prompt", "mean-shift", "linear-act", "hypertransport"],
    "limit": 12,
    "prompts": 8,
}
STRENGTHS = [0.0, 0.25, 0.5, 0.75, 1.0]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A time on the wall and on the processor, in seconds."""

    wall: float = field(default_factory=time.perf_counter)
    processor: float = field(default_factory=time.process_time)

    def rates(self, end: "Moment", images: int) -> tuple[float, float]:
        """Images a second until `end`, by either clock."""
        return images / (end.wall - self.wall), images / (end.processor - self.processor)


@dataclass(frozen=True, kw_only=True)
class Watch(Display):
    """Notes when each stage of a run begins."""

    began: dict[str, Moment] = field(default_factory=dict)

    def stage(self, what: str, total: int) -> ProgressBar:
        self.began[what.split(maxsplit=1)[0]] = Moment()
        return super().bars(what, total)


def rate(folder: Path) -> None:
    """Print images a second of the grid, of a bare loop before and after it, and their ratio; on a shared machine trust the processor's clock."""
    runner.run(
        build(GRID, {"strengths": [0.0]}), folder
    )  # learns every intervention, which is not what is compared
    plan = build(GRID, {"strengths": STRENGTHS})
    model = registry.load_model(plan.model, device.choose(None), {})
    wanted = _unsteered(plan)
    before = _bare(wanted, model, plan.batch)
    watch = Watch()
    runner.run(plan, folder, display=watch)
    end = Moment()
    after = _bare(wanted, model, plan.batch)
    with Store.read(folder) as store:
        images = len({row.image for row in store.rows() if row.strength != 0})
        assert images == len(wanted)
        print(
            f"cells {store.count()}, images {images}, batch {plan.batch}, files and database included"
        )
    grid = watch.began["generate"].rates(watch.began["score"], images)
    scored = watch.began["generate"].rates(end, images)
    for k, clock in enumerate(("wall", "processor")):
        bare = (before[k] + after[k]) / 2
        print(
            f"{clock:<10} bare loop {before[k]:.2f} images/s before, {after[k]:.2f} after; grid {grid[k]:.2f}: {grid[k] / bare:.2f} of it; ",
            end="",
        )
        print(f"{scored[k]:.2f} with scoring")


def _unsteered(plan: Plan) -> list[Request]:
    """A request for every image of the plan, without its intervention; prompting is nothing else than another prompt."""
    concept_set, concepts = plans.check(plan)
    return [
        Request(
            prompt=concept.target(prompt) if method == "prompt" else prompt,
            seed=seed,
            intervention=Intervention(),
            strength=0.0,
        )
        for concept in concepts
        for method in GRID["methods"]
        for prompt in concept_set.prompts[: plan.prompts]
        for seed in range(plan.seeds)
        for _ in [strength for strength in plan.strengths if strength]
    ]


def _bare(requests: Sequence[Request], model: Model, batch: int) -> tuple[float, float]:
    """Images a second of the model alone in full batches, its prompts encoded once, by either clock."""
    model.generate(requests[:batch])
    if isinstance(model, CachesPrompts):
        model.forget_prompts()
    model.synchronise()
    began = Moment()
    for k in range(0, len(requests), batch):
        model.generate(requests[k : k + batch])
    model.synchronise()
    return began.rates(Moment(), len(requests))


def million(folder: Path, cells: int, files: int) -> None:
    """Print how long a store takes to fill, open, check, resume and report; `files` image files stand for those of all cells."""
    with _timed("plan and fill"):
        _fill(folder, cells, files)
    print(
        f"database {(folder / 'run.sqlite').stat().st_size / 1e6:.0f} MB, {cells:,} cells, {cells * len(METRICS):,} scores, {files:,} files of 8 kB"
    )
    total, processor = time.perf_counter(), time.process_time()
    with _timed("open"):
        store = Store.open(folder)
    with store:
        with _timed("resume: look for lost files"):
            store.drop_missing_images()
        with _timed("resume: what is pending, and the first batch"):
            store.cells(store.pending()[:256])
        with _timed("resume: what is not scored"):
            store.unscored("clip@1", len(METRICS))
    with _timed("check, reading every image file"):
        found = check.check(folder)
    print(
        f"{time.perf_counter() - total:8.2f} s, {time.process_time() - processor:6.2f} s of processor: open, resume and check together"
    )
    print(f"{found.done:,}/{found.planned:,} done, damaged: {found.is_damaged}")
    with Store.read(folder) as store, _timed("leaderboard"):
        print(f"    {len(Summary(store).leaderboard)} lines")
    with Store.open(folder) as store:
        wanted = [
            (row.method, row.concept, row.prompt, row.seed, row.strength, row.image)
            for row in store.rows()
            if row.strength <= 1
        ]
        with _timed("plan a grid without the largest strengths"):
            store.plan_cells(wanted, grid="smaller")


def _fill(folder: Path, cells: int, files: int) -> None:
    concepts, prompts, strengths, methods = (
        200,
        20,
        (0.0, 0.5, 1.0, 1.5, 2.0),
        tuple(f"method-{k}" for k in range(10)),
    )
    seeds = max(1, cells // (concepts * prompts * len(strengths) * len(methods)))

    def grid() -> Iterator[tuple[str, str, str, int, float, str]]:
        for method in methods:
            for concept in range(concepts):
                for prompt in range(prompts):
                    for seed in range(seeds):
                        for strength in strengths:
                            key = content.digest(
                                [method, concept, prompt, seed, strength]
                                if strength
                                else [prompt, seed]
                            )
                            yield (
                                method,
                                f"concept-{concept}",
                                f"a prompt of some length, number {prompt}",
                                seed,
                                strength,
                                key,
                            )

    with Store.open(folder) as store:
        store.plan_cells(grid(), grid="million")
        store.set_facts(scorer={"id": "clip@1"})
        pictures = [
            GeneratedImage(key=f"file-{k}", png=str(k).encode() * (8000 // len(str(k))))
            for k in range(files)
        ]
        store.add_images(pictures, seconds=0.1, batch=16)
        store.select("CREATE TEMP TABLE names (k INTEGER PRIMARY KEY, file TEXT)")
        for k, picture in enumerate(pictures):
            store.select("INSERT INTO names VALUES (?, ?)", k, picture.file)
        store.select(
            f"UPDATE images SET file = (SELECT file FROM names WHERE k = abs(random()) % {files}), seconds = 0.1, batch = 16"
        )
        store.select(
            "UPDATE images SET file = NULL WHERE key IN (SELECT key FROM images LIMIT 1000)"
        )
        for metric in METRICS:
            store.select(
                "INSERT INTO scores SELECT cells.id, ?, 'clip@1', strength / 10 FROM cells ORDER BY id",
                metric,
            )


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began, processor = time.perf_counter(), time.process_time()
    yield
    print(
        f"{time.perf_counter() - began:8.2f} s, {time.process_time() - processor:6.2f} s of processor: {what}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["rate", "million"])
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=10_000)
    chosen = parser.parse_args(sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        if chosen.what == "rate":
            rate(Path(folder) / "run")
        else:
            million(Path(folder) / "run", chosen.cells, chosen.files)


if __name__ == "__main__":
    main()
