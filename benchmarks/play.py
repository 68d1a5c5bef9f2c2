"""Time from an input to the changed picture on the page of `htbench play`.

python benchmarks/play.py            words are typed, a picture is dropped, a slider is dragged
python benchmarks/play.py --screens FOLDER
                                     and pictures of the page, wide and narrow, are kept

A change counts once every shown method has its picture. Needs playwright and a Chromium: CHROMIUM
names its program, else the one on the path is used.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

POSITIONS = 20
WORDS = (
    "sepia style", "golden style", "comic style", "gameboy style", "black background",
    "with lemon", "rainy weather", "foggy weather", "neon style", "charcoal style",
)  # fmt: skip
PICTURES = sorted((Path(__file__).parents[1] / "docs" / "examples").rglob("*.png"))
START = "#prompt=panda&seed=3&concept=woodcut+style&strength=1&method=hypertransport&method=prompt"
TIME = """([selector, value]) => new Promise((resolve) => {
    const field = document.querySelector(selector);
    const began = performance.now();
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    const look = () => {
        const frames = [...document.querySelectorAll(".play-frame")];
        const images = frames.map((frame) => frame.querySelector(".after"));
        const done = frames.every((frame) => !frame.classList.contains("behind"));
        if (done && images.every((image) => image.complete)) resolve(performance.now() - began);
        else setTimeout(look, 2);
    };
    look();
})"""
IDLE = """() => [...document.querySelectorAll(".play-frame")]
    .every((frame) => !frame.classList.contains("behind"))"""

CONCEPT = "document.querySelector('.play-concept img')?.src"
DROPPED = f"(before) => {CONCEPT} && {CONCEPT} !== before && ({IDLE})()"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--screens", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "htbench", "play", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found, "the server did not start"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
                args=["--no-sandbox"],
            )
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.goto(found[0] + START)
            page.wait_for_function(IDLE, timeout=60_000)
            report("words typed", [type_words(page, words) for words in WORDS])
            page.wait_for_timeout(4000)  # the other strengths of the last words
            report("slider", drag(page))
            report("slider, at once after new words", drag_at_once(page))
            report("pictures dropped", [drop_picture(page, path) for path in PICTURES])
            if options.screens:
                keep_screens(page, options.screens)
            browser.close()
    finally:
        server.terminate()
        server.wait()


def type_words(page: Any, words: str) -> float:
    """Milliseconds to the pictures of these words at strength 1."""
    return float(page.evaluate(TIME, ["#words-0", words]))


def drag(page: Any) -> list[float]:
    """Milliseconds for each of the slider's positions, one after the other."""
    places = [round(-1 + 3 * k / (POSITIONS - 1), 2) for k in range(POSITIONS)]
    return [float(page.evaluate(TIME, ["#strength-0", str(place)])) for place in places]


def drag_at_once(page: Any) -> list[float]:
    """The same without waiting for the pictures of the other positions."""
    page.evaluate(TIME, ["#words-0", "comic style"])
    return drag(page)


def drop_picture(page: Any, picture: Path) -> float:
    """Milliseconds to the pictures of a concept that is given as a picture."""
    before = page.evaluate(CONCEPT)
    began = time.perf_counter()
    page.set_input_files("[data-picture]", picture)
    page.wait_for_function(DROPPED, arg=before, polling=5)
    return 1000 * (time.perf_counter() - began)


def report(what: str, times: Sequence[float]) -> None:
    """Print the median and the 95th percentile."""
    high = sorted(times)[min(len(times) - 1, round(0.95 * (len(times) - 1)))]
    print(f"{what}: {len(times)} changes, median {statistics.median(times):.0f} ms, "
          f"95th percentile {high:.0f} ms, longest {max(times):.0f} ms")  # fmt: skip


def keep_screens(page: Any, folder: Path) -> None:
    """Pictures of the page on a desktop and on a phone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, width, height in (("desktop", 1280, 1000), ("phone", 390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=folder / f"{name}.png", full_page=True)


if __name__ == "__main__":
    main()
