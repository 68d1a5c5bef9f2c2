"""The pages of strengths, single pictures and sets in a real browser: `pytest -m browser`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from kit import chromium, judged_run, served_study, strengths_run

from htbench.study import answer
from htbench.study.ask import export, page
from htbench.study.ask.options import StudyOptions
from htbench.study.collect import intake, profile
from htbench.study.collect.sessions import SessionFiles

pytestmark = pytest.mark.browser
TASKS = ("strength", "rating", "yes-no", "best")
KEYS = {
    "strength": {"left": "1", "right": "ArrowRight", "skip": "4"},
    "rating": {"1": "1", "3": "3", "5": "5", "skip": "0"},
    "yes-no": {"yes": "y", "no": "2", "skip": "0"},
    "best": {"1": "1", "4": "4", "2": "2", "skip": "0"},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The installed Chromium; without one these tests fail rather than skip."""
    with chromium.opened() as opened:
        yield opened


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A window in which nothing goes wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    opened, problems = context.new_page(), []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    context.close()
    assert not problems


@pytest.fixture(scope="module", params=TASKS)
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    build = strengths_run.build if request.param == "strength" else judged_run.build
    options = StudyOptions(
        task=request.param, pairs=12, raters=3, votes=2, checks=1, sentinels=1, repeats=2, size=64
    )
    export.write(build(folder / "run"), folder / "study", options)
    return folder / "study"


def practise(tab: Any, task: str) -> None:
    """Through the example: a wrong answer, the right one, and on."""
    tab.wait_for_selector("#practice:not([hidden])")
    wrong, right = {"rating": ("2", "5"), "yes-no": ("n", "y")}.get(task, ("1", "2"))
    tab.keyboard.press(wrong)
    assert not tab.is_visible("#go")
    tab.keyboard.press(right)
    tab.click("#go")


def answer_all(tab: Any, study: Path) -> list[str]:
    """Answer the whole first sheet by keys and mouse in turn; checks as they ask for."""
    shown = page.read(study)
    task, sheet = shown.task, shown.sheets[0]
    given = []
    for number, trial in enumerate(sheet, start=1):
        choices = [*KEYS[task]]
        choice = trial["check"] or choices[number % len(choices)]
        wait_for(tab, number, sheet)
        pictures = tab.locator("#trial img:visible")
        assert pictures.count() == len(page.picture_files(trial))
        if number % 2 and choice in KEYS[task]:
            tab.keyboard.press(KEYS[task][choice])
        else:
            tab.click(f"[id='{choice}']")
        given.append(choice)
    tab.click("#finish")
    return given


def wait_for(tab: Any, number: int, sheet: Sequence[page.Trial]) -> None:
    """Wait until the trial of a number, from 1, can be answered."""
    tab.wait_for_selector(f"#count:text-is('{number} of {len(sheet)}')")
    tab.wait_for_selector("#skip:not([disabled])")


def test_a_session_from_disk_comes_back_as_it_was_given(
    tab: Any, study: Path, tmp_path: Path
) -> None:
    tab.goto(f"{(study / page.FILE).as_uri()}?sheet=1")
    tab.fill("#person", "browser-person-1")
    tab.click("#agree")
    tab.keyboard.press("Enter")
    practise(tab, page.read(study).task)
    given = answer_all(tab, study)
    with tab.expect_download() as download:
        tab.click("#save")
    download.value.save_as(tmp_path / "saved.csv")
    intake.import_answers(
        [tmp_path / "saved.csv"], study, profile=profile.find("htbench"), key=None,
        secret=tmp_path / "secret", rules=None,
    )  # fmt: skip
    assert [row.choice for row in answer.read(study / "answers.csv")] == given


def test_a_served_session_keeps_each_answer_and_a_changed_one(tab: Any, study: Path) -> None:
    task, sheet = page.read(study).task, page.read(study).sheets[0]
    with served_study.serving(study) as server:
        tab.goto(f"{server.base_url}{server.site.links.participants[1]}")
        tab.click("#agree")
        tab.keyboard.press("Enter")
        practise(tab, task)
        tab.wait_for_selector("#skip:not([disabled])")
        first, second = [*KEYS[task]][:2]
        tab.click(f"[id='{first}']")
        wait_for(tab, 2, sheet)
        tab.keyboard.press("b")
        wait_for(tab, 1, sheet)
        assert tab.get_attribute(f"[id='{first}']", "aria-pressed") == "true"
        tab.click(f"[id='{second}']")
        wait_for(tab, 2, sheet)
        tab.reload()
        given = answer_all_after_first(tab, study)
        tab.wait_for_selector("#state:has-text('are saved')")
    session = SessionFiles(study).read(1)
    assert session
    assert [each.choice for each in session.answers] == [second, *given]


def answer_all_after_first(tab: Any, study: Path) -> list[str]:
    """The second answer of the task to all further trials, by mouse."""
    shown = page.read(study)
    choice = [*KEYS[shown.task]][1]
    for number in range(2, len(shown.sheets[0]) + 1):
        wait_for(tab, number, shown.sheets[0])
        tab.click(f"[id='{choice}']")
    tab.click("#finish")
    return [choice] * (len(shown.sheets[0]) - 1)
