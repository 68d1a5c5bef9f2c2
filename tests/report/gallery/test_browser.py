"""The report's gallery in a real browser: `pytest -m browser`.

It needs Chromium and the packages playwright and axe-playwright-python.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from kit import chromium, report_run

from htbench import report
from htbench.report import format, serve
from htbench.run.store import Store

pytestmark = pytest.mark.browser
NAMES = "[...document.querySelectorAll('.gallery .row h4 .clamp')].map((name) => name.textContent)"
LOADED = (
    "[...document.querySelectorAll('.gallery .frame img')]"
    ".filter((image) => image.complete && image.naturalWidth > 0).length"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_run.build(
        tmp_path_factory.mktemp("runs") / "run", concepts=12, prompts=report_run.PROMPTS[:2]
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.opened() as opened:
        yield opened


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab; an error in it, or a request to another machine, fails the test."""
    opened, problems = browser.new_page(viewport={"width": 1280, "height": 900}), []
    opened.on(
        "console",
        lambda message: (
            problems.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("file:", "data:", "http://127.0.0.1:"))
            else problems.append(request.url)
        ),
    )
    yield opened
    opened.close()
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_checker_of_accessibility_finds_nothing_serious(
    browser: Any, run: Path, scheme: str, width: int
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    tab = browser.new_page(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    tab.goto(report.write(run).as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    found = Axe().run(tab).response["violations"]
    tab.close()
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []


def test_methods_chosen_in_a_legend_are_shown_alone_in_every_chart_and_still_after_a_reload(
    tab: Any, run: Path
) -> None:
    seen = (
        "[...new Set([...document.querySelectorAll('.chart .line:not(.dim)')]"
        ".map((line) => line.dataset.series))].sort()"
    )
    tab.goto(report.write(run).as_uri())
    every = tab.evaluate(seen)
    chosen = tab.locator("#strengths .legend button").nth(1)
    name = chosen.inner_text()
    chosen.press("Enter")
    tab.reload()
    assert tab.evaluate(seen) == [name]
    assert (
        tab.locator(".legend [aria-pressed=true]").all_inner_texts()
        == [name] * tab.locator(f".legend [data-series={name}]").count()
    )
    chosen.press("Enter")
    assert tab.evaluate(seen) == every


def until(tab: Any, expression: str) -> None:
    """Wait for a truth of the page; its policy forbids to wait inside it."""
    from playwright.sync_api import Error

    for _ in range(300):
        with suppress(Error):  # while the page is read anew
            if tab.evaluate(expression):
                return
        tab.wait_for_timeout(100)
    pytest.fail(f"never came true: {expression}")


@pytest.mark.parametrize("write", [report.write, report.write_folder])
def test_pictures_show_from_a_file(tab: Any, run: Path, write: Any) -> None:
    tab.goto(write(run).as_uri())
    tab.evaluate("document.querySelector('.gallery').scrollIntoView()")
    until(tab, f"{LOADED} >= 7")


def test_concepts_are_ordered_by_the_effect_of_a_method(tab: Any, run: Path) -> None:
    tab.goto(report.write(run).as_uri())
    tab.select_option("select[name=order]", "high")
    until(tab, "!document.querySelector('[name=by]').parentElement.hidden")
    tab.select_option("select[name=by]", label="lineas")
    tab.wait_for_timeout(300)
    with report.open_run(run) as summary:
        values = summary.values("lineas", 1.0, "concept_gain")
        words = {concept: fact.text for concept, fact in summary.facts.concepts.items()}
    assert tab.evaluate(NAMES) == [
        words[concept] for concept in sorted(values, key=lambda concept: -values[concept][0])
    ]


def test_the_heat_map_shows_the_means_of_the_store(tab: Any, run: Path) -> None:
    tab.goto(report.write(run).as_uri())
    shown = tab.locator(".heat tbody tr").first.inner_text().split("\t")
    with report.open_run(run) as summary:
        first = next(iter(summary.values("lineas", 1.0, "concept_gain")))
        wanted = [
            format.score(summary.values(method, 1.0, "concept_gain")[first][0], signed=True)
            for method in summary.methods
            if method != "none"
        ]
    assert [value.strip() for value in shown[1:]] == wanted


@pytest.mark.parametrize("write", [report.write, report.write_folder])
def test_pictures_show_beside_the_headline_and_in_the_rows_of_the_leaderboard(
    tab: Any, run: Path, write: Any
) -> None:
    tab.goto(write(run).as_uri())
    until(
        tab,
        "[...document.querySelectorAll('.sample [data-picture] img')]"
        ".filter((image) => image.complete && image.naturalWidth > 0).length === 6",
    )
    assert tab.locator("#leaderboard [data-picture] img").count() == 20


def test_the_leaderboard_is_ranked_by_what_is_chosen(tab: Any, run: Path) -> None:
    tab.goto(report.write(run).as_uri())
    shown = "[...document.querySelectorAll('.ranking')].filter((each) => each.checkVisibility())"
    assert tab.evaluate(f"{shown}.map((each) => each.dataset.ranking)") == ["default"]
    tab.get_by_role("radio", name="Presence").check()
    assert tab.evaluate(f"{shown}.map((each) => each.dataset.ranking)") == ["presence"]


def test_the_keyboard_goes_through_methods_strengths_and_concepts(tab: Any, run: Path) -> None:
    tab.goto(report.write(run).as_uri())
    tab.evaluate("document.querySelectorAll('.tile')[1].focus()")
    tab.keyboard.press("Enter")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowDown")
    assert tab.inner_text(".told").startswith("mean-shift, strength 0.5,")
    tab.keyboard.press("PageDown")
    assert tab.inner_text("#picture-title") == tab.evaluate(NAMES)[1]
    tab.keyboard.press("Escape")
    tab.wait_for_timeout(200)
    assert tab.evaluate("document.activeElement.className") == "tile"


def test_a_link_shows_what_was_chosen_before_it_was_copied(tab: Any, run: Path) -> None:
    page = report.write(run).as_uri()
    tab.goto(page)
    tab.select_option("[name=metric]", "1")
    tab.fill("[name=text]", "in")
    tab.locator("[name=step]").press("Home")
    tab.locator(".tile").nth(2).click()
    link, title = tab.evaluate("location.href"), tab.inner_text("dialog .told")
    assert link == f"{page}#gallery?score=presence&search=in&s=0&pic=tones,mean-shift"
    tab.goto("about:blank")
    tab.goto(link)
    assert tab.input_value("[name=text]") == "in"
    assert tab.inner_text("dialog .told") == title
    assert abs(tab.evaluate("document.getElementById('gallery').getBoundingClientRect().top")) < 80


def test_back_closes_a_picture_and_forward_opens_it_again(tab: Any, run: Path) -> None:
    opened = "document.querySelector('dialog').open"
    tab.goto(report.write(run).as_uri())
    tab.locator(".tile").nth(1).click()
    tab.go_back()
    until(tab, f"!{opened}")
    tab.go_forward()
    until(tab, opened)
    assert tab.inner_text("dialog .told").startswith("prompt, strength 1,")


def test_a_link_within_the_page_keeps_what_was_chosen(tab: Any, run: Path) -> None:
    tab.goto(report.write(run).as_uri())
    tab.fill("[name=text]", "in")
    tab.click("nav a[href='#claims']")
    until(tab, "location.hash === '#claims?search=in'")
    tab.reload()
    assert tab.input_value("[name=text]") == "in"


def test_an_address_with_unknown_choices_shows_the_defaults(tab: Any, run: Path) -> None:
    tab.goto(report.write(run).as_uri() + "#gallery?s=9&score=x&by=x&prompt=99&pic=no,x&rows=-3")
    assert tab.inner_text(".controls output") == "1"
    assert tab.input_value("[name=by]") == "-1"
    assert tab.locator(".gallery .row").count() == 12


def test_a_search_without_result_says_so(tab: Any, run: Path) -> None:
    tab.goto(report.write(run).as_uri())
    tab.fill("[name=text]", "zzz")
    until(tab, "document.querySelector('.heat').hidden")
    assert tab.locator("text=No concept matches “zzz”.").is_visible()


def test_a_page_that_is_served_is_read_anew_at_the_same_place(tab: Any, tmp_path: Path) -> None:
    folder = report_run.build(
        tmp_path / "run", concepts=12, prompts=report_run.PROMPTS[:2], scored=False
    )
    show = serve.LiveReport(folder=folder)
    show.refresh()
    with serve.make_server(show, 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        tab.goto(f"http://127.0.0.1:{server.server_port}/")
        tab.fill("input[type=search]", "in")
        tab.evaluate(
            "document.querySelector('.gallery').scrollIntoView({ behavior: 'instant' }), "
            "window.old = true"
        )
        tab.wait_for_timeout(500)
        place = tab.evaluate("document.querySelector('.gallery').getBoundingClientRect().top")
        with Store.open(folder) as store:
            store.add_scores(
                (row.id, "concept_gain", "emoji-clip-b@1", 0.5) for row in store.rows()
            )
        show.refresh()
        until(tab, "!window.old && document.querySelectorAll('.gallery .row').length > 0")
        tab.wait_for_timeout(500)
        assert tab.input_value("input[type=search]") == "in"
        assert tab.evaluate(
            "document.querySelector('.gallery').getBoundingClientRect().top"
        ) == pytest.approx(place, abs=40)
        server.shutdown()
