"""How long a report takes to render and to open, and how large it is, on a planted run with a picture for every cell.

python benchmarks/report.py                          167 concepts x 6 methods x 5 strengths, one prompt, pictures of 64 pixels
python benchmarks/report.py --prompts 16 --size 512  more and larger ones, which need a folder
python benchmarks/report.py --run runs/emoji-full    a run that is there

Opening needs playwright and a Chromium: CHROMIUM names its program, else the one on the path is taken.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from htbench import report
from htbench.core import content
from htbench.run import plan
from htbench.run.store import GeneratedImage, Store
from htbench.run.summary import METRICS
from htbench.steering.concept import Concept

METHODS = ("none", "prompt", "mean-shift", "linear-act", "lineas", "hypertransport")
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
KINDS = ("companion", "style", "background", "frame", "weather")
SHOWN = "[...document.querySelectorAll('.gallery .frame img')].slice(0, 12).every((image) => image.complete && image.naturalWidth > 0)"


def plant(folder: Path, *, concepts: int, prompts: int, size: int) -> None:
    """A finished run: pictures of shapes under noise, which pack as badly as what a model draws."""
    random = np.random.default_rng(0)
    chosen = [
        Concept(
            id=f"thing-{k}",
            kind=KINDS[k % len(KINDS)],
            text=f"with thing {k}",
            template=f"{{prompt}} with thing {k}",
        )
        for k in range(concepts)
    ]
    settings = plan.build({"methods": METHODS, "strengths": STRENGTHS, "prompts": prompts})
    cells = list(plan.cells(settings, chosen, [f"a scene, number {k}" for k in range(prompts)]))
    keys = [
        plan.image_key(
            cell,
            model=content.digest("planted"),
            method_digest=content.digest(cell.method),
            batch=16,
        )
        for cell in cells
    ]
    with Store.open(folder) as store:
        store.set_facts(
            plan=settings.model_dump(),
            model={"name": "planted"},
            scorer={"id": "planted@1"},
            concepts={
                concept.id: {"kind": concept.kind, "text": concept.text} for concept in chosen
            },
        )
        store.plan_cells(
            (cell.method, cell.concept.id, cell.prompt, cell.seed, cell.strength, key)
            for cell, key in zip(cells, keys, strict=True)
        )
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), 500):
            store.add_images(
                [
                    GeneratedImage(key=key, png=_png(random, size))
                    for key in wanted[start : start + 500]
                ],
                seconds=0.03,
                batch=16,
            )
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
    """The page; prints seconds, bytes and whether the same comes out again."""
    write = report.write_folder if as_folder else report.write
    pages = []
    for turn in ("first", "again"):
        began, processor = time.perf_counter(), time.process_time()
        page = write(folder)
        pages.append(page.read_bytes())
        print(
            f"rendered {turn}: {time.perf_counter() - began:.1f} s, {time.process_time() - processor:.1f} s of processor"
        )
    beside = (
        sum(path.stat().st_size for path in page.parent.rglob("*"))
        if page.name == "index.html"
        else 0
    )
    print(
        f"{page.name}: {len(pages[0]) / 1e6:.2f} MB, {beside / 1e6:.1f} MB with its folder; the same bytes: {pages[0] == pages[1]}"
    )
    return page


def open_(page: Path, *, times: int) -> None:
    """Print what Chromium needs from asking for the page to its load event, and to the first pictures of the gallery."""
    from playwright.sync_api import sync_playwright

    program = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(times):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            outside: list[str] = []
            tab.on(
                "request",
                lambda request, outside=outside: (
                    outside.append(request.url)
                    if not request.url.startswith(("file:", "data:"))
                    else None
                ),
            )
            session = tab.context.new_cdp_session(tab)
            session.send(
                "Performance.setTimeDomain", {"timeDomain": "threadTicks"}
            )  # on a shared machine trust the processor's clock
            session.send("Performance.enable")
            began = time.perf_counter()
            tab.goto(page.absolute().as_uri())
            loaded = time.perf_counter() - began
            tab.evaluate("document.getElementById('gallery').scrollIntoView()")
            tab.locator(".gallery .row").first.scroll_into_view_if_needed()
            while not tab.evaluate(
                SHOWN
            ):  # waiting inside the page would need what its policy forbids
                time.sleep(0.02)
            pictures = time.perf_counter() - began
            busy = {
                metric["name"]: metric["value"]
                for metric in session.send("Performance.getMetrics")["metrics"]
            }["TaskDuration"]
            print(
                f"opened: load event {loaded:.2f} s, first pictures {pictures:.2f} s, {busy:.2f} s of processor; requests elsewhere: {len(outside)}"
            )
            tab.close()
        browser.close()


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
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.run or Path(temporary) / "run"
        if chosen.run is None:
            plant(folder, concepts=chosen.concepts, prompts=chosen.prompts, size=chosen.size)
        with Store.read(folder) as store:
            print(
                f"{store.count():,} cells, {len(list((folder / 'images').iterdir())):,} pictures; load of this machine {os.getloadavg()[0]:.1f}"
            )
        open_(render(folder, as_folder=chosen.folder), times=chosen.times)


if __name__ == "__main__":
    main()
