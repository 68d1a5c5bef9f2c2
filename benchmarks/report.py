"""Time to render and to open a report, and its size, on a planted run with an image per cell.

python benchmarks/report.py                          167 concepts x 6 methods x 5 strengths, one
                                                     prompt, images of 64 pixels
python benchmarks/report.py --prompts 16 --size 512  more and larger ones, which need a folder
python benchmarks/report.py --run runs/emoji-full    an existing run

Opening needs playwright and a Chromium: CHROMIUM names its program, else the one on the path is
used.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from kit.planned_cells import plan_cells

from htbench import report
from htbench.run import plan
from htbench.run.store import GeneratedImage, Store
from htbench.run.summary import METRICS
from htbench.steering.concept import Concept

METHODS = ("none", "prompt", "mean-shift", "linear-act", "lineas", "hypertransport")
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
KINDS = ("companion", "style", "background", "frame", "weather")
SHOWN = """[...document.querySelectorAll('.gallery .frame img')].slice(0, 12)
    .every((image) => image.complete && image.naturalWidth > 0)"""


def plant(folder: Path, *, concepts: int, prompts: int, size: int) -> None:
    """Write a finished run, whose images of shapes under noise compress as badly as a model's."""
    random = np.random.default_rng(0)
    things = [
        Concept(
            id=f"thing-{k}",
            kind=KINDS[k % len(KINDS)],
            text=f"with thing {k}",
            template=f"{{prompt}} with thing {k}",
        )
        for k in range(concepts)
    ]
    settings = plan.build({"methods": METHODS, "strengths": STRENGTHS, "prompts": prompts})
    with Store.open(folder) as store:
        store.set_facts(
            plan=settings.model_dump(),
            model={"name": "planted"},
            scorer={"id": "planted@1"},
            concepts={
                concept.id: {"kind": concept.kind, "text": concept.text} for concept in things
            },
        )
        scenes = [f"a scene, number {k}" for k in range(prompts)]
        plan_cells(store, settings, things, scenes, model="planted")
        distinct = list(dict.fromkeys(row.image for row in store.rows()))
        for start in range(0, len(distinct), 500):
            part = distinct[start : start + 500]
            images = [GeneratedImage(key=key, png=_png(random, size)) for key in part]
            store.add_images(images, seconds=0.03, batch=16)
        store.add_scores(_scores(store, random))


def _png(random: np.random.Generator, size: int) -> bytes:
    picture = Image.new("RGB", (size, size), tuple(random.integers(0, 256, 3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        left, top, wide, high = random.integers(0, size // 2, 4)
        draw.ellipse(
            (left, top, left + wide + 4, top + high + 4), fill=tuple(random.integers(0, 256, 3))
        )
    noise = random.normal(0, 4, (size, size, 3))
    buffer = BytesIO()
    Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)).save(
        buffer, "PNG", compress_level=1
    )
    return buffer.getvalue()


def _scores(store: Store, random: np.random.Generator) -> Iterator[tuple[int, str, str, float]]:
    for row in store.rows():
        for metric, value in zip(METRICS, random.random(len(METRICS)), strict=True):
            yield row.id, metric, "planted@1", value * row.strength


def render(folder: Path, *, as_folder: bool) -> Path:
    """Write the page twice; print seconds, bytes, and whether both times gave the same bytes."""
    write = report.write_folder if as_folder else report.write
    pages = []
    for turn in ("first", "again"):
        began, processor = time.perf_counter(), time.process_time()
        page = write(folder)
        pages.append(page.read_bytes())
        wall, busy = time.perf_counter() - began, time.process_time() - processor
        print(f"rendered {turn}: {wall:.1f} s, {busy:.1f} s of processor")
    files = page.parent.rglob("*") if page.name == "index.html" else ()
    size, whole = len(pages[0]) / 1e6, sum(path.stat().st_size for path in files) / 1e6
    same = pages[0] == pages[1]
    print(f"{page.name}: {size:.2f} MB, {whole:.1f} MB with its folder; the same bytes: {same}")
    return page


def open_(page: Path, *, times: int) -> None:
    """Print the time that Chromium needs to open the page.

    Up to its load event, and up to the first images of the gallery.
    """
    from playwright.sync_api import sync_playwright

    program = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(times):
            _open_once(browser, page)
        browser.close()


def _open_once(browser: Any, page: Path) -> None:
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    urls: list[str] = []
    tab.on("request", lambda request: urls.append(request.url))
    session = tab.context.new_cdp_session(tab)
    # on a shared machine trust the processor's clock
    session.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
    session.send("Performance.enable")
    began = time.perf_counter()
    tab.goto(page.absolute().as_uri())
    loaded = time.perf_counter() - began
    tab.evaluate("document.getElementById('gallery').scrollIntoView()")
    tab.locator(".gallery .row").first.scroll_into_view_if_needed()
    while not tab.evaluate(SHOWN):  # to wait inside the page would need what its policy forbids
        time.sleep(0.02)
    images = time.perf_counter() - began
    metrics = session.send("Performance.getMetrics")["metrics"]
    busy = next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")
    elsewhere = sum(not url.startswith(("file:", "data:")) for url in urls)
    seconds = f"load event {loaded:.2f} s, first pictures {images:.2f} s, {busy:.2f} s of processor"
    print(f"opened: {seconds}; requests elsewhere: {elsewhere}")
    tab.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concepts", type=int, default=167)
    parser.add_argument("--prompts", type=int, default=1)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--folder", action="store_true", help="even if one file could hold it")
    parser.add_argument(
        "--run",
        type=Path,
        help="a run's folder instead of a planted one; its report is written anew",
    )
    parser.add_argument("--times", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.run or Path(temporary) / "run"
        if args.run is None:
            plant(folder, concepts=args.concepts, prompts=args.prompts, size=args.size)
        images, load = len(list((folder / "images").iterdir())), os.getloadavg()[0]
        with Store.read(folder) as store:
            cells = store.count()
        print(f"{cells:,} cells, {images:,} pictures; load of this machine {load:.1f}")
        open_(render(folder, as_folder=args.folder), times=args.times)


if __name__ == "__main__":
    main()
