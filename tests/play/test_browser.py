"""The page of play and the demo in a real browser: `pytest -m browser`.

They need Chromium and the packages playwright and axe-playwright-python.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import chromium

from htbench.play import demo, server
from htbench.play.demo import Grid
from htbench.play.engine import Engine
from htbench.play.site import address as address_of
from htbench.play.view import ConceptSource, View
from htbench.study.answer import Key
from htbench.study.ask import export
from htbench.study.ask.options import StudyOptions

pytestmark = pytest.mark.browser
START = "#prompt=horse&seed=3&concept=with+lemon&strength=1&method=mean-shift&method=prompt"
SHOWN = "[...document.querySelectorAll('.play-frame .after')].map((image) => image.src)"
IS_DONE = "[...document.querySelectorAll('.play-frame')].every((each) => !each.matches('.behind'))"
IS_LISTED = "document.querySelector('[data-pairs-list] li, .play:not(:has([data-pairs]))')"
SET = """([selector, value]) => {
    const field = document.querySelector(selector);
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.opened() as opened:
        yield opened


@pytest.fixture
def live(engine: Engine) -> Iterator[str]:
    """The address of the page of a running server."""
    engine.fit("mean-shift", ConceptSource(words="with lemon"))
    with server.listen(0) as listening:
        site, running, address = server.prepare(engine, listening)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        yield address + START
        running.should_exit = True
        thread.join()
        site.stop()


@pytest.fixture
def exported(engine: Engine, tmp_path: Path) -> str:
    grid = Grid(concepts=["with lemon"], prompts=["horse"], methods=["prompt", "mean-shift"])
    return demo.write(engine, tmp_path / "demo", grid=grid).as_uri()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab; a message of its console, or a request to another address, fails the test."""
    opened, problems = browser.new_page(viewport={"width": 1280, "height": 900}), []
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:"))
            else problems.append(request.url)
        ),
    )
    yield opened
    opened.close()
    assert problems == []


def _wait(tab: Any) -> None:
    """Wait for the pictures of what is asked; the page's policy forbids to wait inside it."""
    for _ in range(500):
        if tab.evaluate(IS_DONE):
            return
        tab.wait_for_timeout(10)
    pytest.fail("the pictures never came")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", ["live", "exported"])
def test_a_checker_of_accessibility_finds_nothing_serious(
    browser: Any, request: pytest.FixtureRequest, page: str, scheme: str, width: int
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    size = {"width": width, "height": 900}
    tab = browser.new_page(viewport=size, color_scheme=scheme, bypass_csp=True)
    tab.goto(request.getfixturevalue(page))
    _wait(tab)
    tab.check("[value=wipe]")
    for button in tab.get_by_role("button", name="Take for a pair").all()[:2]:
        button.press("Enter")
    tab.wait_for_function(IS_LISTED)
    found = Axe().run(tab).response["violations"]
    is_wider = tab.evaluate("document.documentElement.scrollWidth > innerWidth")
    tab.close()
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    assert not is_wider


def _take(tab: Any, *methods: str) -> None:
    """Take the pictures of these methods for a pair, by the keyboard."""
    for method in methods:
        tab.get_by_role("button", name=f"Take for a pair: {method}").press("Enter")


def test_pairs_are_picked_undone_and_saved_and_become_a_study(
    live: str, tab: Any, tmp_path: Path
) -> None:
    tab.goto(live)
    _wait(tab)
    section = tab.get_by_role("region", name="Pairs for a study")
    rows, said = section.get_by_role("listitem"), section.get_by_role("status")
    _take(tab, "mean-shift", "prompt")
    tab.get_by_text("Pair 1 is on the list").wait_for()
    tab.evaluate(SET, ["#strength-0", "0.5"])
    _wait(tab)
    _take(tab, "mean-shift")
    assert said.inner_text() == "Taken: mean-shift at 0.5. Take the other picture of the pair."
    assert tab.locator("[aria-pressed=true]").count() == 1
    _take(tab, "unsteered")
    tab.get_by_text("Pair 2 is on the list").wait_for()
    section.get_by_role("button", name="Remove pair 1").press("Enter")
    (text,) = section.locator("li span").all_inner_texts()
    assert text == "horse, with lemon, seed 3: mean-shift at 0.5, unsteered"
    assert tab.evaluate("document.activeElement.textContent") == "Pairs for a study"
    section.get_by_role("button", name="Empty the list").press("Enter")
    assert rows.count() == 0
    section.get_by_role("button", name="Undo last step").press("Enter")
    section.get_by_role("button", name="Undo last step").press("Enter")
    assert rows.count() == 2
    with tab.expect_download() as download:
        section.get_by_role("button", name="Save the pairs").press("Enter")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert said.inner_text().endswith(f"htbench study export {file.name}")
    export.write(file, tmp_path / "study", StudyOptions(raters=2, votes=2, sentinels=0))
    items = Key.read(tmp_path / "study" / "key.csv").values()
    assert {frozenset((item.left, item.right)) for item in items if item.kind == "vote"} == {
        frozenset(("mean-shift@1", "prompt@1")),
        frozenset(("mean-shift@0.5", "none@0")),
    }


def test_a_pair_has_one_prompt_and_is_listed_once(live: str, tab: Any) -> None:
    tab.goto(live)
    _wait(tab)
    said = tab.get_by_role("region", name="Pairs for a study").get_by_role("status")
    _take(tab, "prompt", "mean-shift")
    tab.get_by_text("Pair 1 is on the list").wait_for()
    _take(tab, "mean-shift", "prompt")
    assert said.inner_text() == "This pair is on the list."
    _take(tab, "prompt")
    tab.evaluate(SET, ["#seed", "4"])
    _wait(tab)
    _take(tab, "mean-shift")
    assert "The one before was of another prompt, seed or concept." in said.inner_text()


def test_each_position_of_the_slider_has_its_own_picture(live: str, tab: Any) -> None:
    tab.goto(live)
    shown = []
    for k in range(20):
        tab.evaluate(SET, ["#strength-0", str(-1 + 0.15 * k)])
        _wait(tab)
        shown.append(tab.evaluate(SHOWN)[1])
    assert len(set(shown)) == 20


def test_the_last_of_many_changes_is_what_is_shown(live: str, tab: Any, engine: Engine) -> None:
    tab.goto(live)
    for k in range(20):
        tab.evaluate(SET, ["#strength-0", str(-1 + 0.1 * k)])
    for end in range(1, 11):
        tab.evaluate(SET, ["#words-0", "with lemon"[:end]])
    _wait(tab)
    view = View(
        prompt="horse",
        seed=3,
        concepts=(ConceptSource(words="with lemon"),),
        methods=("mean-shift", "prompt"),
        points=((0.9,),),
    )
    assert tab.evaluate(SHOWN)[1:] == [address_of(row.images[0]) for row in engine.rows(view)[1:]]


def test_the_slider_of_a_demo_moves_without_a_network(browser: Any, exported: str) -> None:
    context = browser.new_context(offline=True)
    tab, problems = context.new_page(), []
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto(exported)
    tab.check("input[value=mean-shift]")
    shown = set()
    for strength in demo.STRENGTHS:
        tab.evaluate(SET, ["#strength-0", str(strength)])
        _wait(tab)
        shown.add(tab.evaluate(SHOWN)[-1])
    context.close()
    assert (len(shown), problems) == (len(demo.STRENGTHS), [])
