"""A board in a real browser: `pytest -m browser`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import bundle_folder, chromium, crawler

from htbench.board import site

pytestmark = pytest.mark.browser
LEADERBOARD = "boards/emoji/emoji/1.html"
SHOWN = "[...document.querySelectorAll('tbody tr')].filter((row) => row.checkVisibility()).length"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "bundles"
    for name, made in (("first", "2026-02-01"), ("second", "2026-04-01")):
        bundle_folder.add(folder, name, made=made, concepts=2, size=64)
    return site.build(folder, folder.parent / "site").page.parent


@pytest.fixture(scope="module")
def browser(board: Path) -> Iterator[Any]:
    with chromium.opened() as opened:
        yield opened


@pytest.fixture
def tab(browser: Any, board: Path) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.goto((board / LEADERBOARD).as_uri())
    yield opened
    opened.close()


def test_no_control_of_any_page_ends_in_an_error(browser: Any, board: Path) -> None:
    pages = list(board.rglob("*.html"))
    assert crawler.use_every_control(browser, board / "index.html") == len(pages)


def test_filters_hide_rows_and_are_kept_in_the_address(tab: Any) -> None:
    assert tab.evaluate(SHOWN) == 4
    tab.get_by_label("Search").fill("lineas")
    assert tab.evaluate(SHOWN) == 2
    tab.get_by_label("Bundles").select_option("latest")
    assert tab.evaluate(SHOWN) == 1
    assert "search=lineas" in tab.url
    assert "bundles=latest" in tab.url
    assert tab.locator(".found").inner_text() == "1 of 4 rows"


def test_an_address_with_filters_shows_the_same_rows(browser: Any, board: Path) -> None:
    tab = browser.new_page()
    tab.goto((board / LEADERBOARD).as_uri() + "#?search=prompt&kind=prompt")
    assert tab.evaluate(SHOWN) == 2
    assert tab.get_by_label("Search").input_value() == "prompt"
    tab.close()


def test_a_choice_that_there_is_not_is_none(browser: Any, board: Path) -> None:
    tab = browser.new_page()
    tab.goto((board / LEADERBOARD).as_uri() + "#?kind=nothing&verification=x")
    assert tab.evaluate(SHOWN) == 4
    tab.close()


def test_without_scripts_all_tables_and_pictures_are_there(browser: Any, board: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((board / LEADERBOARD).as_uri())
    assert tab.locator("tbody tr:visible").count() == 4
    assert tab.locator("form:visible").count() == 0
    tab.goto((board / "methods/lineas.html").as_uri())
    assert tab.locator("tbody tr:visible").count() == 2
    assert tab.locator("svg.chart:visible").count() == 1
    assert tab.locator("img:visible").count() >= 3
    context.close()


@pytest.mark.parametrize("page", ["index.html", "bundles.html", LEADERBOARD, "methods/lineas.html"])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_its_window(browser: Any, board: Path, page: str, width: int) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 800})
    tab.goto((board / page).as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()


def test_dark_and_light_differ(browser: Any, board: Path) -> None:
    colours = set()
    for scheme in ("dark", "light"):
        context = browser.new_context(color_scheme=scheme)
        tab = context.new_page()
        tab.goto((board / "index.html").as_uri())
        colours.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        context.close()
    assert len(colours) == 2
