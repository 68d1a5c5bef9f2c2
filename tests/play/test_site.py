"""Requests of the page: what is answered, and what is refused in one line."""

import asyncio
import re
import time
from typing import Any

import pytest
from starlette.testclient import TestClient

from htbench.play.engine import Engine
from htbench.play.site import MAX_JSON_BYTES, MAX_RECEIVED, PlaySite
from htbench.play.view import View

TOKEN, TAB = "token", "0123456789abcdef"


def _view(**values: Any) -> dict[str, Any]:
    plain = {
        "prompt": "horse",
        "concepts": [{"words": "with lemon"}],
        "methods": ["prompt"],
        "points": [[1.0]],
    }
    return {**plain, **values}


def _ask(client: TestClient, *, number: int = 1, **values: Any) -> Any:
    return client.post(
        f"/{TOKEN}/pictures", json={"tab": TAB, "number": number, "view": _view(**values)}
    )


def _fit_until(client: TestClient, state: str, asked: dict[str, Any]) -> Any:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        reply = client.post(f"/{TOKEN}/fit", json=asked).json()
        if reply["state"] == state:
            return reply
        time.sleep(0.02)
    raise AssertionError(reply)


def test_a_view_is_answered_with_a_picture_per_method_and_point(client: TestClient) -> None:
    rows = _ask(client, points=[[0.5], [1.0]]).json()["rows"]
    assert [(row["method"], len(row["pictures"])) for row in rows] == [("none", 1), ("prompt", 2)]
    assert all(row["pictures"][0].startswith("data:image/png;base64,") for row in rows)


def test_the_page_names_no_other_address_and_allows_no_other_script(client: TestClient) -> None:
    page = client.get(f"/{TOKEN}/").text
    names = {"http://www.w3.org/2000/svg"}  # of a format, which nobody asks for
    assert set(re.findall(r"https?://[^\s\"'`)]+", page)) <= names
    assert "default-src 'none'" in page


def test_an_older_request_of_a_tab_is_stale(client: TestClient) -> None:
    assert _ask(client, number=5).status_code == 200
    assert _ask(client, number=4).status_code == 409


def test_a_request_that_was_overtaken_while_it_waited_makes_no_pictures(
    client: TestClient, site: PlaySite, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = engine.rows

    def overtaken(view: View, is_stale: Any = lambda: False) -> Any:
        site._newest[TAB] = 100
        return make(view, is_stale)

    monkeypatch.setattr(engine, "rows", overtaken)
    assert _ask(client).status_code == 409


def test_a_fit_is_begun_once_and_told_until_it_is_done(client: TestClient) -> None:
    asked = {"method": "mean-shift", "concept": {"words": "with lemon"}}
    reply = _fit_until(client, "done", asked)
    assert reply["seconds"] == reply["expected"] > 0
    assert _ask(client, methods=["mean-shift"]).json()["rows"][1]["pictures"]


def test_a_fit_that_is_done_is_not_made_again(
    client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"method": "mean-shift", "concept": {"words": "with lemon"}}
    _fit_until(client, "done", asked)
    monkeypatch.setattr(engine, "fit", lambda *_: pytest.fail("made again"))
    states = {client.post(f"/{TOKEN}/fit", json=asked).json()["state"] for _ in range(5)}
    assert states == {"done"}


def test_a_fit_that_fails_says_why(client: TestClient) -> None:
    asked = {"method": "prompt", "concept": {"words": ""}}
    assert "concept is empty" in _fit_until(client, "failed", asked)["problem"]


def test_a_picture_is_kept_as_a_concept(client: TestClient, red_png: bytes) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    kept = client.post(f"/{TOKEN}/reference", content=red_png, headers=headers).json()
    row = _ask(client, concepts=[kept]).json()["rows"][1]
    assert "cannot be given a concept in images" in row["note"]


@pytest.mark.parametrize(
    ("format", "start"),
    [("png", b"\x89PNG"), ("gif", b"GIF8"), ("html", b"<!DOCTYPE html>")],
)
def test_a_view_is_saved_as_a_file(client: TestClient, format: str, start: bytes) -> None:
    asked = {"view": _view(points=[[0.5], [1.0]]), "format": format}
    assert client.post(f"/{TOKEN}/file", json=asked).content.startswith(start)


def test_words_that_are_html_stay_words_in_a_saved_page(client: TestClient) -> None:
    words = "<img src=x onerror=alert(1)>"
    view = _view(prompt=words, concepts=[{"words": words}], points=[[0.5], [1.0]])
    page = client.post(f"/{TOKEN}/file", json={"view": view, "format": "html"}).text
    assert "onerror" in page
    assert "<img src=x" not in page


def test_pictures_that_come_at_once_are_few(client: TestClient, site: PlaySite) -> None:
    site._received = MAX_RECEIVED
    headers = {"Content-Type": "application/octet-stream"}
    reply = client.post(f"/{TOKEN}/reference", content=b"x", headers=headers)
    assert (reply.status_code, len(reply.text.splitlines())) == (503, 1)


def test_tabs_that_are_remembered_are_bounded(
    client: TestClient, site: PlaySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("htbench.play.site._MAX_TABS", 3)
    for number in range(6):
        client.post(
            f"/{TOKEN}/pictures", json={"tab": f"{number:016x}", "number": 1, "view": _view()}
        )
    assert len(site._newest) == 3


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"prompt": "x" * 10_000}, "view.prompt: String should have at most 300 characters"),
        ({"concepts": [{"words": "x" * 10_000}]}, "at most 300 characters"),
        ({"points": [[1e9]]}, "is not between -5 and 5"),
        ({"points": [["NaN"]]}, "is not between -5 and 5"),
        ({"points": [[1.0, 1.0]]}, "a strength per concept"),
        ({"points": [[1.0]] * 49}, "at most 48 items"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"methods": ["<script>alert(1)</script>"]}, "no method on this page"),
        ({"concepts": [{"picture": "0" * 32}]}, "the picture is not kept any more"),
        ({"concepts": [{"words": "x", "more": 1}]}, "Extra inputs are not permitted"),
    ],
)
def test_a_bad_view_is_refused_in_one_line(
    client: TestClient, values: dict[str, Any], line: str
) -> None:
    reply = _ask(client, **values)
    assert reply.status_code == 400
    assert line in reply.text
    assert len(reply.text.splitlines()) == 1
    assert reply.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_other_sites_and_their_forms_are_refused(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    reply = client.post(f"/{TOKEN}/pictures", content=b"{}", headers=headers)
    assert reply.status_code == status


def test_a_body_that_is_too_long_is_refused(client: TestClient) -> None:
    headers = {"Content-Type": "application/json"}
    body = b" " * (MAX_JSON_BYTES + 1)
    assert client.post(f"/{TOKEN}/pictures", content=body, headers=headers).status_code == 413
    sent = client.post(f"/{TOKEN}/pictures", content=iter([body]), headers=headers)
    assert sent.status_code == 413


def test_nothing_is_answered_without_the_token(client: TestClient) -> None:
    assert client.get("/").status_code == 404
    assert client.get("/other/").status_code == 404


ERRORS = (ZeroDivisionError, StopIteration, SystemExit, asyncio.CancelledError)


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_a_method_raises_is_one_line_for_the_page_and_one_for_the_terminal(
    error: type[BaseException],
    client: TestClient,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error("a secret")

    monkeypatch.setattr(engine, "rows", fail)
    reply = _ask(client)
    assert (reply.status_code, reply.text) == (500, "this failed; the terminal has more")
    (line,) = capsys.readouterr().err.splitlines()
    assert error.__name__ in line


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_a_fit_raises_ends_it(
    error: type[BaseException],
    client: TestClient,
    site: PlaySite,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error("an exit")

    monkeypatch.setattr(site.fits, "_fit", fail)
    asked = {"method": "mean-shift", "concept": {"words": "with lemon"}}
    assert _fit_until(client, "failed", asked)["problem"] == f"{error.__name__}: an exit"
