"""Every control of every kind of page is used in a real browser: `pytest -m browser`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import chromium, claims_run, judged_run, report_run
from kit.judge_servers import Endpoint, fair, serving

from htbench import report
from htbench.report import merge, multi_run

pytestmark = pytest.mark.browser
CONTROLS = "button, select, input, textarea, summary, a[href^='#']"
LINKS = "[...document.links].map((link) => link.href)"
HIDDEN = "(each) => !each.isConnected || !each.checkVisibility() || each.disabled"


def plain(folder: Path) -> Path:
    return report.write(report_run.build(folder / "run", concepts=4))


def as_folder(folder: Path) -> Path:
    return report.write_folder(report_run.build(folder / "run", concepts=4))


def of_half_a_run(folder: Path) -> Path:
    report_run.build(folder / "run", concepts=4, made=20, problem="no <memory> left")
    return report.write(folder / "run")


def with_a_study(folder: Path) -> Path:
    run = claims_run.build(folder / "run", strengths=claims_run.FIVE)
    claims_run.add_study(run, (0.6, 0.5, 0.7))
    rate = {"value": 0.7, "low": 0.6, "high": 0.9}
    agreement = {key: {**rate, "high": 0.8} for key in ("accuracy", "kappa", "ac1")}
    people = [
        {"name": name, "source": "person", "compared": k, **agreement}
        for k, name in enumerate(("another person", "some judge"))
    ]
    path = next((run / "studies").glob("*.json"))
    text = path.read_text().replace('"agreement": []', f'"agreement": {people}'.replace("'", '"'))
    path.write_text(text)
    return report.write(run)


def with_judges(folder: Path) -> Path:
    judged_run.build(folder / "run", concepts=6)
    with serving(Endpoint(mind=fair)) as endpoint:
        judged_run.judged(folder / "run", judged_run.card(folder / "judge", endpoint.url))
    return report.write(folder / "run")


def of_two_models(folder: Path) -> Path:
    first = report_run.build(folder / "first", concepts=4)
    second = judged_run.build(folder / "second", concepts=4)
    with merge.model_reports([first, second or folder / "second"]) as reports:
        return multi_run.write(reports, folder / "both")


KINDS = (plain, as_folder, of_half_a_run, with_a_study, with_judges, of_two_models)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {build.__name__: build(tmp_path_factory.mktemp(build.__name__)) for build in KINDS}


@pytest.fixture(scope="module")
def browser(pages: dict[str, Path]) -> Iterator[Any]:
    """A Chromium, begun after the judges have asked, since both take asyncio's one loop."""
    with chromium.opened() as opened:
        yield opened


@pytest.mark.parametrize("kind", [build.__name__ for build in KINDS])
def test_no_control_of_the_page_ends_in_an_error(
    browser: Any, pages: dict[str, Path], kind: str
) -> None:
    problems: list[str] = []
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.on("console", lambda text: problems.append(text.text) if text.type == "error" else None)
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("requestfailed", lambda request: note_failure(request, problems))
    first = pages[kind].as_uri()
    waiting, seen = [first], {first}
    while waiting:
        tab.goto(waiting.pop())
        tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        links = {link.partition("#")[0] for link in tab.evaluate(LINKS)}
        more = {link for link in links if link.startswith("file:")} - seen
        waiting, seen = [*waiting, *more], seen | more
        for control in tab.query_selector_all(CONTROLS):
            if not control.evaluate(HIDDEN):
                use(tab, control)
                assert problems == [], control.evaluate("(element) => element.outerHTML")[:200]
    assert problems == []
    tab.close()


def note_failure(request: Any, problems: list[str]) -> None:
    """Note a failed request, unless the page itself gave it up for another picture."""
    if request.failure != "net::ERR_ABORTED":
        problems.append(f"{request.failure}: {request.url[:200]}")


def use(tab: Any, control: Any) -> None:
    """Use a control as its kind wants it, twice where it is pressed."""
    kind = control.evaluate("(element) => element.type || element.tagName.toLowerCase()")
    if kind.startswith("select"):
        for k in range(control.evaluate("(element) => element.options.length")):
            control.select_option(index=k)
    elif kind == "range":
        for key in ("Home", "ArrowRight", "End", "ArrowLeft"):
            control.press(key)
    elif kind in ("search", "text", "number", "textarea"):
        for text in ("lemon", "(", ""):
            control.fill(text)
    else:
        for _ in range(2):
            control.evaluate("(element) => element.click()")
            tab.evaluate("() => new Promise(requestAnimationFrame)")
