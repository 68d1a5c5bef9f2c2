"""The page with the verdicts of judges and people beside their pictures."""

import html
import json
import re
import sqlite3
from pathlib import Path

import pytest
from kit import chromium, judged_run, known_answers
from kit.html_page import Page
from kit.judge_servers import Ask, Endpoint, Mind, fair, first_picker, serving
from kit.posted_study import study

from htbench import report
from htbench.core.secrets import Secret
from htbench.report import judgements
from htbench.report.sections import judges

PAGE = "judgements.html"
HOSTILE = '</pre><script>alert(1)</script><img src=x onerror="alert(2)">'


def unfair(ask: Ask) -> str:
    return {"A": "B", "B": "A"}.get(fair(ask), "tie")


def unfair_on_red(ask: Ask) -> str:
    return unfair(ask) if '"in red"' in ask.text else fair(ask)


def saying(**message: str) -> Mind:
    return lambda ask: {"content": json.dumps({"verdict": "A", "reason": "seen"}), **message}


def judge(folder: Path, *minds: Mind, concepts: int = 2) -> Path:
    """A run with a judge of each mind, named `model-0` and so on."""
    folder.mkdir(exist_ok=True)
    run = judged_run.build(folder / "run", methods=("none", "good", "poor"), concepts=concepts)
    with serving(Endpoint()) as endpoint:
        card = judged_run.card(folder / "judge", endpoint.url)
        for k, mind in enumerate(minds):
            endpoint.mind = mind
            judged_run.judged(run, card.with_model(f"model-{k}"))
    return run


def add_people(run: Path, **votes: int) -> None:
    """A study in which people voted on one pair of pictures, the same for all tests."""
    with sqlite3.connect(run / "judge.sqlite") as database:
        (concept, prompt, seed) = database.execute(
            "SELECT concept, prompt, seed FROM matches WHERE 'none' IN (one, two)"
            " AND 'good' IN (one, two) ORDER BY concept"
        ).fetchone()
    pair = {"one": "good", "two": "none", "concept": concept, "prompt": prompt, "seed": seed}
    result = study("good", "none", (0.6, 0.5, 0.7))
    (criterion,) = result["criteria"]  # type: ignore[misc]
    counts = {"for_one": 0, "ties": 0, "for_two": 0, **votes}
    criterion |= {"name": "presence", "pair_votes": [{**pair, **counts}]}
    (run / "studies").mkdir()
    (run / "studies" / "a.json").write_text(json.dumps(result))


def page(run: Path) -> Page:
    report.write(run)
    return Page((run / "judgements.html").read_text(encoding="utf-8"))


def states(seen: Page) -> list[str]:
    return [each["data-states"] for _, each in seen.tags if "data-states" in each]


@pytest.fixture(scope="module")
def fairly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judge(tmp_path_factory.mktemp("fair"), fair)


def test_every_pair_has_its_verdict_and_links_to_both_pictures_at_native_size(
    fairly: Path,
) -> None:
    seen = page(fairly)
    links = [each["href"] for tag, each in seen.tags if tag == "a" and "images/" in each["href"]]
    assert len(links) == 2 * len(states(seen)) == 12
    assert all((fairly / each).is_file() for each in links)
    sizes = {(each["width"], each["height"]) for tag, each in seen.tags if tag == "img"}
    assert sizes == {("32", "32")}
    assert seen.text.count("good shown first: good") == 4
    assert "All 6 judged pairs" in seen.text


def test_the_report_links_to_the_page_in_either_form(fairly: Path) -> None:
    for write, address in ((report.write_folder, "../judgements.html"), (report.write, PAGE)):
        path = write(fairly)
        assert f'href="{address}"' in path.read_text(encoding="utf-8")
        assert (path.parent / address).resolve().is_file()


def test_the_served_report_has_the_page(fairly: Path) -> None:
    assert b"good shown first" in report.render_live(fairly)[PAGE]


def test_a_report_elsewhere_has_no_link_to_pictures_that_are_not_there(
    fairly: Path, tmp_path: Path
) -> None:
    with report.open_run(fairly) as summary:
        text = report.write_summary(summary, tmp_path).read_text(encoding="utf-8")
    assert PAGE not in text
    assert not (tmp_path / PAGE).exists()


def test_without_a_judge_there_is_no_page_and_an_earlier_one_is_removed(fairly: Path) -> None:
    page(fairly)
    ledger = (fairly / "judge.sqlite").read_bytes()
    (fairly / "judge.sqlite").unlink()
    assert PAGE not in report.write(fairly).read_text(encoding="utf-8")
    assert not (fairly / PAGE).exists()
    (fairly / "judge.sqlite").write_bytes(ledger)


def test_equal_ledgers_give_equal_pages(fairly: Path) -> None:
    report.write(fairly)
    first = (fairly / PAGE).read_bytes()
    judges._read.cache_clear()
    report.write(fairly)
    assert (fairly / PAGE).read_bytes() == first


def test_html_in_replies_thoughts_and_reasons_is_text(tmp_path: Path) -> None:
    said = json.dumps({"verdict": "A", "reason": HOSTILE})
    run = judge(tmp_path, saying(content=said, reasoning_content=HOSTILE))
    seen = page(run)
    assert [tag for tag, _ in seen.tags if tag == "script"] == ["script"]  # the page's own
    assert not [each for _, each in seen.tags if any(name.startswith("on") for name in each)]
    assert HOSTILE in seen.text
    raw = (run / PAGE).read_text(encoding="utf-8")
    assert raw.count(html.escape(HOSTILE, quote=False).replace('"', "&#34;")) >= 3


def test_thoughts_are_apart_from_the_reply(tmp_path: Path) -> None:
    seen = page(judge(tmp_path, saying(reasoning_content="the second looks redder")))
    assert "Thought the second looks redder Reply" in seen.text


def test_a_key_in_a_reply_is_hidden(tmp_path: Path) -> None:
    secret = Secret("sk-most-secret-7f3a")
    seen = page(judge(tmp_path, saying(reasoning_content=f"my key is {secret.reveal()}")))
    assert "my key is ***" in seen.text
    assert secret.reveal() not in (tmp_path / "run" / PAGE).read_text(encoding="utf-8")


def test_a_long_reply_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    seen = page(judge(tmp_path, saying(reasoning_content=f"begin {'x' * 9000} end")))
    assert re.search(r"begin x+ \[… 6,010 characters left out …\] x+ end", seen.text)


def test_pairs_on_which_judges_disagree_are_marked(tmp_path: Path) -> None:
    seen = page(judge(tmp_path, fair, unfair))
    assert all("judges" in each.split() for each in states(seen))
    (agreeing,) = {*states(page(judge(tmp_path / "two", fair, fair)))}
    assert agreeing == ""


def test_a_judge_that_contradicts_itself_is_marked(tmp_path: Path) -> None:
    assert {*states(page(judge(tmp_path, first_picker)))} == {"orders"}


@pytest.mark.parametrize(
    ("votes", "state"),
    [
        ({"for_two": 3, "for_one": 1}, "people asked"),
        ({"for_one": 3}, "asked"),
        ({"for_one": 2, "for_two": 2}, "asked"),
    ],
)
def test_people_against_a_judge_are_marked(
    tmp_path: Path, votes: dict[str, int], state: str
) -> None:
    run = judge(tmp_path, fair)
    add_people(run, **votes)
    seen = page(run)
    assert [each for each in states(seen) if each] == [state]
    assert f"{votes.get('for_one', 0)} for good, {votes.get('for_two', 0)} for none" in seen.text


def test_more_pairs_than_fit_are_half_those_that_differ_and_half_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = judge(tmp_path, fair, unfair_on_red, concepts=4)
    monkeypatch.setattr(judgements, "MAX_PAIRS", 4)
    seen = page(run)
    assert sorted(states(seen)) == ["", "", "judges", "judges"]
    assert "4 of 12 judged pairs of pictures: 2 of the 3 on which" in seen.text


def test_the_page_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = judge(tmp_path, saying(reasoning_content="<" * 3000))
    monkeypatch.setattr(judgements, "MAX_BYTES", 60_000)
    assert len(states(page(run))) == 2
    assert (run / PAGE).stat().st_size < 60_000 + 45_000  # and the style and scripts


@pytest.mark.parametrize(
    "name", ["../../key.csv", "javascript:alert(1)", "broken name.png", "x" * 5000]
)
def test_a_damaged_name_of_a_picture_is_no_link(tmp_path: Path, name: str) -> None:
    run = judge(tmp_path, fair)
    with sqlite3.connect(run / "judge.sqlite") as database:
        database.execute("UPDATE matches SET first = ?", (name,))
    seen = page(run)
    assert name not in (run / PAGE).read_text(encoding="utf-8")
    assert "no picture" in seen.text


def test_verdicts_that_are_missing_have_their_reason(tmp_path: Path) -> None:
    def shy(ask: Ask) -> str | dict[str, str]:
        return {"content": "I would rather not say."} if '"in green"' in ask.text else fair(ask)

    seen = page(judge(tmp_path, shy, concepts=4))
    assert "presence: unusable" in seen.text
    assert "I would rather not say." in seen.text


def test_a_panel_weighs_its_members_by_people_s_votes(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", methods=("none", "good", "poor"), concepts=3)
    with serving(Endpoint()) as endpoint:
        card = judged_run.card(tmp_path / "judge", endpoint.url)
        endpoint.mind = known_answers.knowing(card)
        for name in ("first", "second"):
            judged_run.calibrate(run, card.with_model(name))
            judged_run.judged(run, card.with_model(name))
    assert "pooled with equal weights" in Page(report.write(run).read_text()).text
    add_people(run, for_one=4)
    said = Page(report.write(run).read_text()).text.partition("Panel: presence")[2]
    assert "pooled by how often they decide a pair as people do" in said
    assert len(re.findall(r"openai (?:first|second) 50 % 1.00 1 of 1 pairs", said)) == 2


@pytest.mark.browser
def test_filters_choose_pairs_and_are_in_the_address_of_the_page(tmp_path: Path) -> None:
    run, problems = judge(tmp_path, fair, unfair_on_red, concepts=4), []
    report.write(run)
    with chromium.opened() as browser:
        tab = browser.new_page()
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.goto((run / PAGE).as_uri())
        assert tab.inner_text("output") == "12 of 12 pairs"
        tab.select_option("[name=only]", "judges")
        assert tab.inner_text("output") == "3 of 12 pairs"
        address = tab.url
        tab.select_option("[name=method]", "poor")
        assert tab.inner_text("output") == "2 of 12 pairs"
        tab.goto("about:blank")
        tab.goto(address)
        assert tab.inner_text("output") == "3 of 12 pairs"
        assert tab.evaluate("[...document.images].some((each) => each.naturalWidth === 32)")
    assert problems == []
