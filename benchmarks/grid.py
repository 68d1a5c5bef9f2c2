"""Speed of a grid beside plain generation, and time to open, check and resume a million cells.

python benchmarks/grid.py rate        12 concepts x 4 methods x 5 strengths on the embedded model
                                      against a bare loop over the same prompts and seeds
python benchmarks/grid.py million     a store of a million cells with all their scores
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from htbench.core import content, device, registry
from htbench.core.display import Display, ProgressBar
from htbench.core.types import Digest
from htbench.run import check, runner
from htbench.run.plan import ResolvedPlan, build, resolve
from htbench.run.store import GeneratedImage, Store
from htbench.run.summary import METRICS, Summary
from htbench.steering.intervention import Intervention
from htbench.steering.model import CachesPrompts, Model, Request

METHODS = ["prompt", "mean-shift", "linear-act", "hypertransport"]
GRID = {"methods": METHODS, "limit": 12, "prompts": 8}
STRENGTHS = [0.0, 0.25, 0.5, 0.75, 1.0]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A time on the wall and on the processor, in seconds."""

    wall: float = field(default_factory=time.perf_counter)
    processor: float = field(default_factory=time.process_time)

    def rates(self, end: "Moment", images: int) -> tuple[float, float]:
        """Images per second until `end`, by either clock."""
        return images / (end.wall - self.wall), images / (end.processor - self.processor)


@dataclass(frozen=True, kw_only=True)
class StageClock(Display):
    """A display that notes when each stage of a run begins, by the first word of its title."""

    began: dict[str, Moment] = field(default_factory=dict)

    def progress(
        self,
        title: str,
        total: int,
        *,
        parts: Mapping[str, int] | None = None,
        starts_now: bool = True,
    ) -> ProgressBar:
        self.began[title.split(maxsplit=1)[0]] = Moment()
        return super().progress(title, total, parts=parts, starts_now=starts_now)


def rate(folder: Path) -> None:
    """Print images per second of the grid, of a bare loop before and after it, and their ratio.

    Also the share of the stage's time in which the model was not generating.

    On a shared machine trust the processor's clock.
    """
    # fits every intervention, so that the grid below only generates
    runner.run(build(GRID, {"strengths": [0.0]}), folder)
    plan = resolve(build(GRID, {"strengths": STRENGTHS}))
    batch = plan.settings.batch
    model = registry.load_model(plan.settings.model, device.choose(None), {})
    requests = _unsteered_requests(plan)
    before = _bare_rates(requests, model, batch)
    clock = StageClock()
    runner.run_resolved(plan, folder, display=clock)
    end = Moment()
    after = _bare_rates(requests, model, batch)
    with Store.read(folder) as store:
        images = len({row.image for row in store.rows() if row.strength != 0})
        assert images == len(requests)
        counts = f"cells {store.count()}, images {images}, batch {batch}"
        inside = sum(store.image_seconds(without=[store.sessions()[0].id]))
    print(f"{counts}, files and database included")
    whole = clock.began["score"].wall - clock.began["generate"].wall
    print(f"outside of the model's generate: {1 - inside / whole:.3f} of the time of the stage")
    grid = clock.began["generate"].rates(clock.began["score"], images)
    scored = clock.began["generate"].rates(end, images)
    for k, name in enumerate(("wall", "processor")):
        share = grid[k] / ((before[k] + after[k]) / 2)
        bare = f"{name:<10} bare loop {before[k]:.2f} images/s before, {after[k]:.2f} after"
        print(f"{bare}; grid {grid[k]:.2f}: {share:.2f} of it; {scored[k]:.2f} with scoring")


def _unsteered_requests(plan: ResolvedPlan) -> list[Request]:
    """A request for every image of the plan, without its intervention.

    Those of the method `prompt` keep its prompt, which is all that it changes.
    """
    steered = [strength for strength in plan.settings.strengths if strength]
    return [
        Request(
            prompt=concept.target(prompt) if method == "prompt" else prompt,
            seed=seed,
            intervention=Intervention(),
            strength=0.0,
        )
        for concept in plan.concepts
        for method in METHODS
        for prompt in plan.prompts
        for seed in range(plan.settings.seeds)
        for _ in steered
    ]


def _bare_rates(requests: Sequence[Request], model: Model, batch: int) -> tuple[float, float]:
    """Images per second of the model alone in full batches, its prompts encoded once.

    By the wall's clock and by the processor's.
    """
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
    """Print how long a store takes to fill, open, check, resume and report.

    `files` image files stand for those of all cells.
    """
    with _timed("plan and fill"):
        _fill(folder, cells, files)
    size, scores = (folder / "run.sqlite").stat().st_size / 1e6, cells * len(METRICS)
    print(f"database {size:.0f} MB, {cells:,} cells, {scores:,} scores, {files:,} files of 8 kB")
    with _timed("open, resume and check together"):
        _open_and_check(folder)
    with Store.read(folder) as store, _timed("leaderboard"):
        print(f"    {len(Summary(store).leaderboard)} lines")
    with Store.open(folder) as store:
        smaller = [
            (row.method, row.concept, row.prompt, row.seed, row.strength, row.image)
            for row in store.rows()
            if row.strength <= 1
        ]
        with _timed("plan a grid without the largest strengths"):
            store.plan_cells(smaller, grid="smaller")


def _open_and_check(folder: Path) -> None:
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
        report = check.check(folder)
    print(f"{report.done:,}/{report.planned:,} done, damaged: {report.is_damaged}")


def _fill(folder: Path, cells: int, files: int) -> None:
    with Store.open(folder) as store:
        store.plan_cells(_grid(cells), grid="million")
        store.set_facts(scorer={"id": "clip@1"})
        pictures = [
            GeneratedImage(key=content.digest(k), png=str(k).encode() * (8000 // len(str(k))))
            for k in range(files)
        ]
        store.add_images(pictures, seconds=0.1, batch=16)
        store.select("CREATE TEMP TABLE names (k INTEGER PRIMARY KEY, file TEXT)")
        for k, picture in enumerate(pictures):
            store.select("INSERT INTO names VALUES (?, ?)", k, picture.file)
        store.select(
            "UPDATE images SET seconds = 0.1, batch = 16,"
            f" file = (SELECT file FROM names WHERE k = abs(random()) % {files})"
        )
        store.select(
            "UPDATE images SET file = NULL WHERE key IN (SELECT key FROM images LIMIT 1000)"
        )
        for metric in METRICS:
            store.select(
                "INSERT INTO scores"
                " SELECT cells.id, ?, 'clip@1', strength / 10 FROM cells ORDER BY id",
                metric,
            )


def _grid(cells: int) -> Iterator[tuple[str, str, str, int, float, Digest]]:
    """Rows of a grid of about `cells` cells, at least 200,000."""
    strengths, methods = (0.0, 0.5, 1.0, 1.5, 2.0), [f"method-{k}" for k in range(10)]
    concepts = [f"concept-{k}" for k in range(200)]
    prompts = [f"a prompt of some length, number {k}" for k in range(20)]
    per_seed = len(concepts) * len(prompts) * len(strengths) * len(methods)
    seeds = range(max(1, cells // per_seed))
    for cell in product(methods, concepts, prompts, seeds, strengths):
        _, _, prompt, seed, strength = cell
        yield *cell, content.digest(cell if strength else [prompt, seed])


@contextmanager
def _timed(title: str) -> Iterator[None]:
    began, processor = time.perf_counter(), time.process_time()
    yield
    wall, busy = time.perf_counter() - began, time.process_time() - processor
    print(f"{wall:8.2f} s, {busy:6.2f} s of processor: {title}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["rate", "million"])
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.what == "rate":
            rate(Path(folder) / "run")
        else:
            million(Path(folder) / "run", args.cells, args.files)


if __name__ == "__main__":
    main()
