"""The page of a study in a real browser: `pytest -m browser`, with Chromium and playwright."""

import csv
import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from kit import judged_run, served_study
from kit import study_exports as exports

from htbench.study import answer, manifest
from htbench.study.analyse import writeup
from htbench.study.ask import export, page, platforms, rehearsal
from htbench.study.ask.options import StudyOptions
from htbench.study.collect import intake, profile
from htbench.study.collect.sessions import Session, SessionFiles

pytestmark = pytest.mark.browser
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
PERSON = "browser-person-1"
ORDER = ("right", "left", "tie", "left", "skip", "right")
READY = "#left:not([disabled])"
KEYS = {"left": "ArrowLeft", "right": "2", "tie": "3", "skip": "4"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The installed Chromium; without one these tests fail rather than skip."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("these tests need playwright: pip install playwright", pytrace=False)
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        pytest.fail(
            f"these tests need Chromium, there is none of {', '.join(CHROMIUM)}", pytrace=False
        )
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path)
        yield opened
        opened.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A window on a desk; whatever goes wrong in it fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    opened, problems = context.new_page(), []
    opened.on(
        "console",
        lambda message: (
            problems.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    context.close()
    assert not problems


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged_run.build(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def study(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "study"
    export.write(
        run,
        folder,
        StudyOptions(pairs=12, raters=3, votes=2, checks=1, sentinels=1, repeats=2, size=64),
    )
    return folder


def begin(tab: Any, address: str) -> None:
    tab.goto(address)
    tab.keyboard.press("Tab")
    tab.keyboard.type(PERSON)
    tab.click("#agree")
    tab.keyboard.press("Enter")
    practise(tab)


def practise(tab: Any) -> None:
    """Through the example: a wrong answer, the right one, and on."""
    tab.wait_for_selector("#practice:not([hidden])")
    tab.keyboard.press("1")
    assert not tab.is_visible("#go")
    tab.keyboard.press("2")
    tab.keyboard.press("Enter")


def give(tab: Any, number: int, of: int, trial: page.Trial) -> str:
    """Answer the trial that is shown, by keyboard and mouse in turn; checks as they ask for."""
    tab.wait_for_selector(READY)
    assert tab.text_content("#count") == f"{number} of {of}"
    assert tab.text_content("#prompt") == trial["prompt"]
    assert (f"the {trial['check']} picture" in tab.text_content("#question")) == bool(
        trial["check"]
    )
    choice = trial["check"] or ORDER[number % len(ORDER)]
    if number % 2:
        tab.keyboard.press(KEYS[choice])
    else:
        tab.click(f"#{choice}")
    return choice


def session(tab: Any, study: Path, address: str, *, middle: int) -> list[str]:
    """Through a whole sheet, with a reload and a phone's width in the middle of it."""
    sheet = page.read(study).sheets[0]
    begin(tab, address)
    given = []
    for number, trial in enumerate(sheet, start=1):
        if number == middle:
            tab.wait_for_selector(READY)
            tab.reload()
            tab.set_viewport_size({"width": 360, "height": 740})
        given.append(give(tab, number, len(sheet), trial))
    tab.click("#finish")
    return given


def saved(tab: Any, folder: Path) -> Path:
    with tab.expect_download() as download:
        tab.click("#save")
    download.value.save_as(folder / download.value.suggested_filename)
    return folder / download.value.suggested_filename


def imported(path: Path, study: Path, folder: Path, *, how: str = "htbench") -> list[answer.Answer]:
    intake.import_answers(
        [path],
        folder / "in",
        profile=profile.find(how),
        key=study / "key.csv",
        secret=folder / "secret",
        rules=None,
    )
    return list(answer.read(folder / "in" / "answers.csv"))


def test_a_session_from_disk_comes_back_as_it_was_given(
    tab: Any, study: Path, tmp_path: Path
) -> None:
    given = session(tab, study, f"{(study / page.FILE).as_uri()}?sheet=1", middle=5)
    path = saved(tab, tmp_path)
    found = imported(path, study, tmp_path)
    items = answer.Key.read(study / "key.csv")
    shown = [items[trial["item"]] for trial in page.read(study).sheets[0]]
    assert [row.choice for row in found] == given
    assert [(row.concept, row.left, row.right, row.kind, row.expected) for row in found] == [
        (item.concept, item.left, item.right, item.kind, item.expected) for item in shown
    ]
    assert [row.position for row in found] == list(range(1, len(given) + 1))
    assert all(row.rt_ms is not None and 0 <= row.rt_ms < 60_000 for row in found)
    assert PERSON in path.read_text()
    assert PERSON not in (tmp_path / "in" / "answers.csv").read_text()


def test_a_study_of_twenty_people_with_bots_goes_from_export_to_report_through_the_page(
    browser: Any, tmp_path: Path
) -> None:
    """Simulated people answer on the page; its saved files are read as the simulated answers."""
    run = judged_run.build(tmp_path / "run", prompts=("a cat", "a house", "a tree"))
    export.write(run, tmp_path / "study", StudyOptions(pairs=200, raters=20, votes=5, size=16))
    made = rehearsal.write(tmp_path / "study", tmp_path / "made-up" / "study", bots=3)
    own = manifest.read(tmp_path / "study").model_copy(update={"rehearsal": True})
    manifest.write(tmp_path / "study", own)
    (tmp_path / "saved").mkdir()
    for number, path in enumerate(made.files, start=1):
        context = browser.new_context()
        _press_all(context.new_page(), tmp_path, path, number)
        context.close()
    files, how = sorted((tmp_path / "saved").iterdir()), profile.find("htbench")
    for folder, own in ((tmp_path / "study", files), (tmp_path / "made-up" / "study", made.files)):
        intake.import_answers(
            own, folder, profile=how, key=None, secret=tmp_path / "secret", rules=None
        )
    through_page, made_up = (
        answer.content_digest(list(answer.read(folder / "study" / "answers.csv")))
        for folder in (tmp_path, tmp_path / "made-up")
    )
    assert through_page == made_up
    (tmp_path / "study" / "rules.toml").write_text(
        "fastest_ms = 0\nmedian_share = 0\n"
    )  # these people are as fast as a machine
    found = writeup.write(tmp_path / "study", run, rounds=100)
    assert found.flow.steps[0].answers == made.answers == 20 * 58
    assert found.flow.steps[-1].people < 20
    assert found.criteria[0].ranking


def _press_all(tab: Any, folder: Path, path: Path, sheet: int) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tab.goto(f"{(folder / 'study' / page.FILE).as_uri()}?sheet={sheet}&rater={rows[0]['rater']}")
    tab.click("#agree")
    tab.keyboard.press("Enter")
    practise(tab)
    for number, row in enumerate(rows, start=1):
        tab.wait_for_selector(f"#count:text-is('{number} of {len(rows)}')")
        tab.wait_for_selector(READY)
        tab.keyboard.press(KEYS[row["choice"]])
    tab.click("#finish")
    saved(tab, folder / "saved")


def test_a_session_that_is_over_stays_over(tab: Any, study: Path, tmp_path: Path) -> None:
    session(tab, study, f"{(study / page.FILE).as_uri()}?sheet=1", middle=2)
    before = saved(tab, tmp_path).read_bytes()
    tab.reload()
    tab.wait_for_selector("#end:not([hidden])")
    assert saved(tab, tmp_path).read_bytes() == before


@pytest.mark.parametrize(
    ("width", "height"), [(320, 568), (360, 740), (768, 1024), (1280, 720), (740, 360)]
)
def test_nothing_is_cut_off_on_any_screen(tab: Any, study: Path, width: int, height: int) -> None:
    tab.set_viewport_size({"width": width, "height": height})
    begin(tab, f"{(study / page.FILE).as_uri()}?sheet=2")
    tab.wait_for_selector(READY)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    left, right = (tab.locator(f"#{side}-picture").bounding_box() for side in ("left", "right"))
    assert left["width"] == pytest.approx(right["width"], abs=0.1)
    assert left["width"] >= 0.35 * min(width, height)
    assert left["x"] + left["width"] <= right["x"]
    assert (
        min(
            tab.locator(f"#{name}").bounding_box()["height"]
            for name in ("left", "right", "tie", "skip")
        )
        >= 44
    )


def test_consent_comes_first(tab: Any, study: Path) -> None:
    tab.goto((study / page.FILE).as_uri())
    tab.fill("#person", PERSON)
    tab.keyboard.press("Enter")
    tab.keyboard.press("ArrowLeft")
    assert not tab.is_visible("#trial")


def test_a_link_fills_the_participant_s_id_in(tab: Any, study: Path) -> None:
    tab.goto(f"{(study / page.FILE).as_uri()}?sheet=3&PROLIFIC_PID=abc123")
    assert tab.input_value("#person") == "abc123"


@pytest.fixture
def posted(run: Path, tmp_path: Path) -> Iterator[tuple[Path, str, list[bytes]]]:
    """A study on a web server, the address of its page, and what its page sent."""
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = tmp_path / "study" / "page" / self.path.partition("?")[0].lstrip("/")
            self.send_response(200 if file.is_file() else 404)
            self.send_header("Content-Type", "text/html" if file.suffix == ".html" else "image/png")
            self.end_headers()
            self.wfile.write(file.read_bytes() if file.is_file() else b"")

        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is written to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"
    export.write(
        run,
        tmp_path / "study",
        StudyOptions(
            pairs=3, raters=2, votes=1, checks=0, repeats=0, size=32, post=f"{host}/votes"
        ),
    )
    (tmp_path / "study" / "page" / "favicon.ico").touch()
    yield tmp_path / "study", f"{host}/index.html?sheet=1", got
    server.shutdown()
    server.server_close()


def test_answers_are_sent_once_where_the_study_says(
    tab: Any, posted: tuple[Path, str, list[bytes]], tmp_path: Path
) -> None:
    study, address, got = posted
    session(tab, study, address, middle=2)
    tab.wait_for_selector("#state:has-text('were sent')")
    tab.reload()
    tab.wait_for_selector("#end:not([hidden])")
    assert got == [saved(tab, tmp_path).read_bytes()]


def wait_for_answers(tab: Any, study: Path, number: int) -> Session:
    """The session of the first sheet, once so many answers are on the disk."""
    for _ in range(600):
        session = SessionFiles(study).read(1)
        if session and len(session.answers) >= number:
            return session
        tab.wait_for_timeout(50)
    raise AssertionError(f"{number} answers were never saved")


def test_a_served_session_goes_on_after_its_server_was_gone(browser: Any, tmp_path: Path) -> None:
    """By keys and mouse, with an answer while the server is away, a reload, and a second device."""
    study = served_study.build(tmp_path)
    trials = page.read(study).sheets[0]
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    tab, given = context.new_page(), []
    with served_study.serving(study) as server:
        port = server.server_port
        address = f"{server.base_url}{server.site.links.participants[1]}"
        tab.goto(address)
        assert not tab.is_visible("#person")
        tab.click("#agree")
        tab.keyboard.press("Enter")
        practise(tab)
        given += [give(tab, k, len(trials), trials[k - 1]) for k in (1, 2, 3)]
        tab.wait_for_selector(READY)
        wait_for_answers(tab, study, 3)
    given.append(give(tab, 4, len(trials), trials[3]))
    tab.wait_for_timeout(200)
    assert len(wait_for_answers(tab, study, 3).answers) == 3
    with served_study.serving(study, port=port):
        wait_for_answers(tab, study, 4)
        tab.reload()
        given += [
            give(tab, k, len(trials), trial) for k, trial in enumerate(trials, start=1) if k > 4
        ]
        tab.click("#finish")
        tab.wait_for_selector("#state:has-text('are saved')")
        session = wait_for_answers(tab, study, len(trials))
        second = browser.new_context().new_page()
        second.goto(address)
        second.click("#finish")
        second.wait_for_selector("#state:has-text('are saved')")
        second.context.close()
    context.close()
    assert [each.choice for each in session.answers] == given
    assert [each.item for each in session.answers] == [trial["item"] for trial in trials]
    assert (len(session.visits), bool(session.finished)) == (2, True)
    answers = imported(tmp_path / "study" / "collected" / "sheet-001.json", study, tmp_path)
    assert [each.choice for each in answers] == given


def test_an_answer_can_be_changed_by_going_back(tab: Any, tmp_path: Path) -> None:
    """Twice back by key, another choice, and one that is kept."""
    study = served_study.build(tmp_path)
    trials = page.read(study).sheets[0]
    with served_study.serving(study) as server:
        tab.goto(f"{server.base_url}{server.site.links.participants[1]}")
        tab.click("#agree")
        tab.keyboard.press("Enter")
        practise(tab)
        given = [give(tab, k, len(trials), trials[k - 1]) for k in (1, 2, 3)]
        tab.wait_for_selector(READY)
        tab.keyboard.press("b")
        tab.wait_for_selector(f"#count:text-is('3 of {len(trials)}')")
        tab.click("#back")
        tab.wait_for_selector(f"#count:text-is('2 of {len(trials)}')")
        tab.wait_for_selector(READY)
        assert tab.get_attribute(f"#{given[1]}", "aria-pressed") == "true"
        changed = "skip" if given[1] != "skip" else "tie"
        tab.click(f"#{changed}")
        tab.wait_for_selector(f"#count:text-is('4 of {len(trials)}')")
        tab.click("#back")
        tab.wait_for_selector(f"#count:text-is('3 of {len(trials)}')")
        tab.click("#forward")
        give(tab, 4, len(trials), trials[3])
        session = wait_for_answers(tab, study, 4)
    assert [each.choice for each in session.answers[:3]] == [given[0], changed, given[2]]
    assert [each.revision for each in session.answers] == [0, 1, 0, 0]


def test_an_answer_can_be_changed_at_the_end_until_the_person_has_finished(
    tab: Any, study: Path, tmp_path: Path
) -> None:
    """Back from the last page by mouse and by key, after a reload too, and no more afterwards."""
    trials = page.read(study).sheets[0]
    begin(tab, f"{(study / page.FILE).as_uri()}?sheet=1")
    for number, trial in enumerate(trials, start=1):
        give(tab, number, len(trials), trial)
    tab.click("#return")
    tab.wait_for_selector(f"#count:text-is('{len(trials)} of {len(trials)}')")
    tab.click("#forward")
    assert not tab.is_visible("#save")
    tab.reload()
    tab.wait_for_selector("#finish")
    tab.keyboard.press("b")
    tab.wait_for_selector(READY)
    tab.click("#skip")
    tab.click("#finish")
    tab.keyboard.press("b")
    assert not tab.is_visible("#trial")
    last = imported(saved(tab, tmp_path), study, tmp_path)[-1]
    assert (last.position, last.choice) == (len(trials), "skip")


def test_a_picture_is_enlarged_with_crisp_pixels_and_keys_do_not_answer_meanwhile(
    tab: Any, study: Path
) -> None:
    begin(tab, f"{(study / page.FILE).as_uri()}?sheet=1")
    tab.wait_for_selector(READY)
    tab.click("#enlarge-right")
    tab.wait_for_selector("#zoom[open]")
    zoomed = tab.locator("#zoomed")
    assert zoomed.get_attribute("src").endswith(tab.get_attribute("#right-picture", "src"))
    assert zoomed.evaluate("picture => getComputedStyle(picture).imageRendering") == "pixelated"
    assert zoomed.bounding_box()["width"] > tab.locator("#right-picture").bounding_box()["width"]
    tab.keyboard.press("2")
    tab.keyboard.press("Escape")
    tab.wait_for_selector("#zoom:not([open])", state="hidden")
    assert tab.text_content("#count").startswith("1 of")


def test_the_question_has_the_words_of_its_pair(tab: Any, study: Path) -> None:
    begin(tab, f"{(study / page.FILE).as_uri()}?sheet=1")
    tab.wait_for_selector(READY)
    trials = page.read(study).sheets[0]
    number = next(k for k, trial in enumerate(trials, start=1) if not trial["check"])
    for k in range(1, number):
        give(tab, k, len(trials), trials[k - 1])
    tab.wait_for_selector(READY)
    words = f"{trials[number - 1]['prompt']}, {trials[number - 1]['concept']}"
    assert tab.text_content("#question") == f"Which picture looks more like {words}?"
    assert tab.text_content("#question em") == words


def test_time_consent_debrief_and_withdrawal_are_told(tab: Any, study: Path) -> None:
    number = max(map(len, page.read(study).sheets))
    tab.goto((study / page.FILE).as_uri())
    assert tab.text_content("#length").startswith(f"{number} pairs of pictures, about ")
    assert "voluntary" in tab.text_content("#start")
    session(tab, study, f"{(study / page.FILE).as_uri()}?sheet=1", middle=3)
    assert "two different ways" in tab.text_content("#end")
    assert PERSON in tab.text_content("#withdrawal")


def test_a_link_that_another_person_began_says_so(tab: Any, tmp_path: Path) -> None:
    study = served_study.build(tmp_path)
    with served_study.serving(study) as server:
        link = server.site.links.participants[1]
        served_study.post(server.server_port, link, rater="person-one")
        tab.goto(f"{server.base_url}{link}?PROLIFIC_PID=person-two")
        tab.wait_for_selector("#problem:has-text('Somebody else')")
        assert not tab.is_visible("#trial")


def test_a_hit_of_mturk_comes_back_as_it_was_given(tab: Any, study: Path, tmp_path: Path) -> None:
    """The layout filled in as MTurk does; MTurk's own elements are not tested."""
    platforms.write(study, "mturk", pictures_url="https://pictures.example")
    with (study / "templates" / "mturk.csv").open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    layout = (
        (study / "templates" / "mturk.html")
        .read_text()
        .replace("https://pictures.example", (study / "page" / "pictures").as_uri())
    )
    for name, text in row.items():
        layout = layout.replace(f"${{{name}}}", text)
    hit = tmp_path / "hit.html"
    hit.write_text(
        layout.replace(
            '<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>',
            '<meta charset="utf-8">',
        )
    )
    tab.goto(hit.as_uri())
    sheet = page.read(study).sheets[0]
    for number, trial in enumerate(sheet):
        tab.wait_for_selector("#ask button:not([disabled])")
        tab.click(f'[data-choice="{trial["check"] or ORDER[number % 6]}"]')
    tab.wait_for_selector("#end:not([hidden])")
    packed = tab.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#answers input')]"
        ".map((field) => [field.name, field.value]))"
    )
    head = [
        "HITId",
        "AssignmentId",
        "WorkerId",
        "AssignmentStatus",
        *(f"Input.{name}" for name in row),
        "Answer.taskAnswers",
    ]
    (tmp_path / "batch.csv").write_bytes(
        exports.table(
            head, [["H", "A", "AWORKER7", "Submitted", *row.values(), json.dumps([packed])]]
        )
    )
    found = imported(tmp_path / "batch.csv", study, tmp_path, how="mturk")
    assert [each.choice for each in found] == [
        trial["check"] or ORDER[number % 6] for number, trial in enumerate(sheet)
    ]
    assert all(each.rt_ms is not None for each in found)
