"""The server of a study: only the right pages, and every answer on the disk once."""

import errno
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kit import served_study
from kit.served_study import VISIT, answers, ask, post

from htbench.core.errors import Missing, Refused, UsageError
from htbench.study.ask import page
from htbench.study.ask.options import StudyOptions
from htbench.study.collect import intake, privacy, profile, withdrawal
from htbench.study.collect.sessions import SessionFiles
from htbench.study.serve.address import Address
from htbench.study.serve.places import RESERVED_SECONDS, Places
from htbench.study.serve.rate_limit import RateLimit
from htbench.study.serve.server import StudyServer, make_server
from htbench.study.serve.site import MAX_BODY_BYTES

JSON = {"Content_Type": "application/json"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_study.build(tmp_path_factory.mktemp("served"))


@pytest.fixture
def server(study: Path) -> Iterator[StudyServer]:
    """A server of the study with no session yet."""
    for path in (study / "collected").glob("*.json"):
        path.unlink()
    with served_study.serving(study) as server:
        yield server


def link(server: StudyServer, sheet: int = 1) -> str:
    return server.site.links.participants[sheet]


def kept(study: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (study / "collected").glob("*.json")}


def stored(study: Path, sheet: int = 1) -> list[tuple[int, str]]:
    session = SessionFiles(study).read(sheet)
    return [(each.position, each.choice) for each in session.answers] if session else []


def test_a_participant_s_page_has_one_sheet_and_its_pictures(
    server: StudyServer, study: Path
) -> None:
    reply = ask(server.server_port, f"/{link(server, 2)}")
    sheet = page.read(study).sheets[1]
    (data,) = page._DATA.findall(reply.body.decode())
    assert json.loads(data)["sheets"] == [list(sheet)]
    assert "connect-src 'self'" in reply.headers["Content-Security-Policy"]
    for name in {trial[side] for trial in sheet for side in ("left", "right")}:
        picture = ask(server.server_port, f"/{link(server, 2)}pictures/{name}")
        assert picture.body == (study / "page" / "pictures" / name).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "key.csv",
        "../../key.csv",
        "pictures/../../key.csv",
        "pictures/%2e%2e/index.html",
        "pictures/0123456789abcdef.png",
        "pictures/",
        "collected/sheet-001.json",
        "answers",
    ],
)
def test_a_valid_link_leads_to_nothing_else_on_the_disk(server: StudyServer, path: str) -> None:
    reply = ask(server.server_port, f"/{link(server)}{path}")
    assert reply.status == 404
    assert reply.body.count(b"\n") == 1


@pytest.mark.parametrize("path", ["p/{}/", "p/{}/answers", "r/{}/", "p/{}"])
def test_a_wrong_token_is_403_in_one_line(server: StudyServer, path: str) -> None:
    reply = ask(server.server_port, f"/{path.format('0' * 32)}")
    assert reply.status == 403
    assert reply.body.count(b"\n") == 1


def test_a_link_without_its_last_slash_is_led_to_the_page(server: StudyServer) -> None:
    reply = ask(server.server_port, f"/{link(server).rstrip('/')}?rater=me")
    assert (reply.status, reply.headers["Location"]) == (308, f"{link(server)[2:]}?rater=me")


def test_a_wrong_token_writes_nothing(server: StudyServer, study: Path) -> None:
    reply = post(server.server_port, f"p/{'0' * 32}/", answers(study, 1))
    assert (reply.status, kept(study)) == (403, {})


def test_a_participant_s_token_opens_no_overview(server: StudyServer) -> None:
    token = link(server).split("/")[1]
    assert ask(server.server_port, f"/r/{token}/").status == 403


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1:1", "127.0.0.1.example.org", ""])
def test_a_page_of_another_name_gets_no_answer(server: StudyServer, study: Path, host: str) -> None:
    assert ask(server.server_port, f"/{link(server)}", Host=host).status == 403
    body = json.dumps({"visit": VISIT}).encode()
    reply = ask(
        server.server_port, f"/{link(server)}answers", method="POST", body=body, Host=host, **JSON
    )
    assert (reply.status, kept(study)) == (403, {})


def test_the_address_of_a_proxy_is_answered_to() -> None:
    names = Address(host="0.0.0.0", public_url="https://study.example.org/a").names(8643)
    assert {"study.example.org", "study.example.org:443", "127.0.0.1:8643"} <= names
    assert not any(name.startswith("0.0.0.0") for name in names)


@pytest.mark.parametrize(
    ("host", "url"), [("0.0.0.0", ""), ("::", ""), ("127.0.0.1", "study.example.org")]
)
def test_links_that_nobody_could_open_are_refused(study: Path, host: str, url: str) -> None:
    with pytest.raises(UsageError, match=r"--url|--host"):
        make_server(
            study, secret=study.with_name("secret"), address=Address(host=host, public_url=url)
        )


def test_answers_are_on_the_disk_when_the_reply_comes(server: StudyServer, study: Path) -> None:
    reply = post(server.server_port, link(server), answers(study, 1, [1, 2]))
    assert stored(study) == [(1, "right"), (2, "left")]
    assert reply.json["saved"] == {"1": 0, "2": 0}


def test_a_repeated_post_changes_no_byte(server: StudyServer, study: Path) -> None:
    rater = post(server.server_port, link(server), answers(study, 1, [1])).json["rater"]
    before = kept(study)
    again = post(server.server_port, link(server), answers(study, 1, [1]), rater=rater)
    assert (again.status, kept(study)) == (200, before)


def test_a_changed_answer_replaces_the_former_and_an_old_one_does_not(
    server: StudyServer, study: Path
) -> None:
    (first,) = answers(study, 1, [1])
    for change in ({"choice": "tie", "revision": 2}, {"choice": "left", "revision": 1}, {}):
        post(server.server_port, link(server), [{**first, **change}])
    assert stored(study) == [(1, "tie")]


def test_300_posts_at_once_lose_nothing_and_store_nothing_twice(
    server: StudyServer, study: Path
) -> None:
    """Each answer of four participants comes several times, all from connections of their own."""
    own = {sheet: answers(study, sheet) for sheet in (1, 2, 3, 4)}
    jobs = [(sheet, one) for sheet, given in own.items() for one in given]
    jobs = (jobs * (300 // len(jobs) + 1))[:300]
    server.site._limit = RateLimit(per_second=1, burst=300)
    with ThreadPoolExecutor(300) as pool:
        replies = list(
            pool.map(lambda job: post(server.server_port, link(server, job[0]), [job[1]]), jobs)
        )
    assert {reply.status for reply in replies} == {200}
    for sheet, given in own.items():
        assert stored(study, sheet) == [(each["position"], each["choice"]) for each in given]


def test_an_oversized_post_is_413_and_writes_nothing(server: StudyServer, study: Path) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)
    reply = ask(server.server_port, f"/{link(server)}answers", method="POST", body=body, **JSON)
    assert (reply.status, kept(study)) == (413, {})


def test_a_post_that_announces_a_terabyte_is_not_waited_for(
    server: StudyServer, study: Path
) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port)) as raw:
        head = f"POST /{link(server)}answers HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
        raw.sendall(f"{head}Content-Length: 1000000000000\r\n\r\n".encode())
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(100).startswith(b"HTTP/1.1 413")
    assert kept(study) == {}


def malformed(study: Path) -> dict[str, bytes]:
    """Bodies that are no answers to sheet 1."""
    (one,) = answers(study, 1, [1])
    changes: dict[str, dict[str, Any]] = {
        "position 0": {"position": 0},
        "position past the end": {"position": 10_000},
        "position true": {"position": True},
        "item of another trial": {"item": answers(study, 1, [2])[0]["item"]},
        "no such choice": {"choice": "both"},
        "negative time": {"rt_ms": -1},
        "endless time": {"rt_ms": 1e300},
        "no time": {"time": "yesterday"},
        "markup for a time": {"time": "<script>"},
        "unknown field": {"more": 1},
    }
    bodies = {
        name: json.dumps({"visit": VISIT, "answers": [{**one, **change}]}).encode()
        for name, change in changes.items()
    }
    texts = {
        "nothing": b"",
        "no JSON": b"{",
        "no UTF-8": b'{"visit": "\xff"}',
        "a list": b"[]",
        "deep": b"[" * 30_000,
        "NaN": b'{"visit": NaN}',
        "no visit": b"{}",
        "long visit": json.dumps({"visit": VISIT * 9}).encode(),
        "many answers": json.dumps({"visit": VISIT, "answers": [one] * 201}).encode(),
        "long id": json.dumps({"visit": VISIT, "rater": "x" * 101}).encode(),
        "id of a rehearsal": json.dumps({"visit": VISIT, "rater": "rehearsal-1"}).encode(),
        "id that the prompt holds": json.dumps({"visit": VISIT, "rater": "a cat"}).encode(),
        "control characters": json.dumps({"visit": VISIT, "rater": "a\nb"}).encode(),
    }
    return bodies | texts


def test_malformed_posts_are_400_and_write_nothing(server: StudyServer, study: Path) -> None:
    for name, body in malformed(study).items():
        reply = ask(server.server_port, f"/{link(server)}answers", method="POST", body=body, **JSON)
        assert (name, reply.status, reply.body.count(b"\n")) == (name, 400, 1)
    assert kept(study) == {}


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (415, {"Content_Type": "text/plain"}),
        (411, {**JSON, "Transfer_Encoding": "chunked"}),
        (400, {**JSON, "Content_Length": "-1"}),
        (400, {**JSON, "Content_Length": "+2"}),
    ],
)
def test_a_post_in_another_form_has_its_status(
    server: StudyServer, study: Path, status: int, headers: dict[str, str]
) -> None:
    reply = ask(
        server.server_port, f"/{link(server)}answers", method="POST", body=b"0\r\n\r\n", **headers
    )
    assert (reply.status, kept(study)) == (status, {})


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_405(server: StudyServer, method: str) -> None:
    assert ask(server.server_port, f"/{link(server)}", method=method).status == 405


def test_what_is_no_request_is_400_in_one_line(server: StudyServer) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port)) as raw:
        raw.sendall(b"\x00\xff no request at all\r\n\r\n")
        reply = b"".join(iter(lambda: raw.recv(4096), b""))
    assert reply.startswith(b"HTTP/1.1 400")
    assert b"<html" not in reply.lower()


def test_ties_are_refused_where_the_study_has_none(tmp_path: Path) -> None:
    options = StudyOptions(pairs=4, raters=1, votes=1, checks=0, repeats=0, size=16, ties=False)
    study = served_study.build(tmp_path, options)
    with served_study.serving(study) as server:
        (one,) = answers(study, 1, [1])
        reply = post(server.server_port, link(server), [{**one, "choice": "tie"}])
    assert (reply.status, stored(study)) == (400, [])


def test_too_many_posts_of_one_link_are_429_and_others_go_on(
    server: StudyServer, study: Path
) -> None:
    clock = [0.0]
    server.site._limit = RateLimit(per_second=1, burst=2, clock=lambda: clock[0])
    own = [[one] for one in answers(study, 1, [1, 2, 3])]
    replies = [post(server.server_port, link(server), given) for given in own]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[2].headers["Retry-After"] == "1"
    assert len(stored(study)) == 2
    assert post(server.server_port, link(server, 2)).status == 200
    clock[0] = 1.0
    assert post(server.server_port, link(server), own[2]).status == 200
    assert len(stored(study)) == 3


def test_a_full_disk_is_507_and_keeps_what_was_there(
    server: StudyServer,
    study: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    post(server.server_port, link(server), answers(study, 1, [1]))
    before = kept(study)

    def refuse(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("os.fsync", refuse)
        reply = post(server.server_port, link(server), answers(study, 1, [2]))
    assert (reply.status, kept(study)) == (507, before)
    assert "could not be written" in capsys.readouterr().err
    assert post(server.server_port, link(server), answers(study, 1, [2])).status == 200


def test_another_person_cannot_continue_a_link(server: StudyServer, study: Path) -> None:
    post(server.server_port, link(server), answers(study, 1, [1]), rater="person-one")
    before = kept(study)
    reply = post(server.server_port, link(server), answers(study, 1, [2]), rater="person-two")
    assert (reply.status, kept(study)) == (409, before)


def led(server: StudyServer, rater: str) -> tuple[int, str]:
    """Status and place to which the common link leads a person."""
    reply = ask(server.server_port, f"/{server.site.links.common}?PROLIFIC_PID={rater}&STUDY_ID=1")
    return reply.status, reply.headers.get("Location", "")


def test_the_common_link_leads_each_id_to_a_sheet_of_its_own(server: StudyServer) -> None:
    people = ["5f0c1", "5f0c2", "5f0c3", "5f0c4"]
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(lambda rater: led(server, rater), people * 2))
    assert [status for status, _ in places] == [303] * 8
    assert places[:4] == places[4:]
    assert {_number(server, place) for _, place in places} == {1, 2, 3, 4}
    assert [place.partition("?")[2] for _, place in places[:4]] == [
        f"rater={each}" for each in people
    ]
    assert led(server, "5f0c5")[0] == 409


def _number(server: StudyServer, place: str) -> int:
    """The sheet that a place is the page of."""
    return server.site.links.by_path[place.removeprefix("../../").partition("?")[0]].sheet


def test_the_common_link_leads_a_person_back_after_a_restart(study: Path) -> None:
    for path in (study / "collected").glob("*.json"):
        path.unlink()
    with served_study.serving(study) as server:
        led(server, "person-one")
        _, before = led(server, "person-two")
        own = before.removeprefix("../../").partition("?")[0]
        assert post(server.server_port, own, rater="person-two").status == 200
    with served_study.serving(study) as server:
        assert led(server, "person-two") == (303, before)


@pytest.mark.parametrize(
    "query", ["", "?rater=", "?rater=+", f"?rater={'x' * 101}", "?rater=a+cat"]
)
def test_the_common_link_without_a_usable_id_is_400(server: StudyServer, query: str) -> None:
    assert ask(server.server_port, f"/{server.site.links.common}{query}").status == 400


def test_a_place_that_nobody_takes_is_free_again_after_half_an_hour() -> None:
    clock = [0.0]
    places = Places(1, clock=lambda: clock[0])
    begun: dict[int, str] = {}
    assert [places.take(name, lambda: begun) for name in ("one", "two")] == [1, None]
    clock[0] = RESERVED_SECONDS + 1
    assert places.take("two", lambda: begun) == 1
    begun[1] = "two"
    clock[0] *= 3
    assert [places.take(name, lambda: begun) for name in ("one", "two")] == [None, 1]


def test_a_person_without_an_id_gets_a_code_that_stays(server: StudyServer) -> None:
    first = post(server.server_port, link(server)).json["rater"]
    assert post(server.server_port, link(server)).json["rater"] == first
    assert post(server.server_port, link(server, 2)).json["rater"] != first


def test_a_withdrawn_person_is_410_and_the_link_is_free_again(tmp_path: Path) -> None:
    study = served_study.build(tmp_path)
    with served_study.serving(study) as server:
        port, own = server.server_port, link(server)
        post(port, own, answers(study, 1), rater="person-one")
        summary = withdrawal.forget(study, "person-one", secret=study.with_name("secret"))
        assert (summary.sessions, kept(study)) == (1, {})
        late = post(port, own, answers(study, 1, [3]), rater="person-one")
        assert (late.status, kept(study)) == (410, {})
        assert post(port, own, answers(study, 1, [1]), rater="person-two").status == 200
    everything = b"".join(path.read_bytes() for path in study.rglob("*") if path.is_file())
    assert b"person-one" not in everything


@pytest.mark.parametrize("name", ["sheet-001.json", "collected/sheet-001.json", "pseudonym"])
def test_a_person_is_forgotten_by_file_or_pseudonym_before_any_import(
    tmp_path: Path, name: str
) -> None:
    study = served_study.build(tmp_path)
    with served_study.serving(study) as server:
        code = post(server.server_port, link(server), answers(study, 1)).json["rater"]
        post(server.server_port, link(server, 2), answers(study, 2))
    if name == "pseudonym":
        secret = privacy.load_or_create_secret(study.with_name("secret"), shared_folder=study)
        name = privacy.Pseudonyms(secret=secret).pseudonym(code)
    withdrawal.forget(study, name, secret=study.with_name("secret"))
    assert list(kept(study)) == ["sheet-002.json"]


def test_rules_may_still_change_after_a_withdrawal_before_the_first_import(tmp_path: Path) -> None:
    study = served_study.build(tmp_path)
    with served_study.serving(study) as server:
        for sheet in (1, 2):
            post(server.server_port, link(server, sheet), answers(study, sheet))
    withdrawal.forget(study, "sheet-001", secret=study.with_name("secret"))
    (study / "rules.toml").write_text("fastest_ms = 0\n")
    imported(study, study)
    log, rules = intake.ImportLog.read(study), intake.Rules.read(study / "rules.toml")
    assert log
    assert log.rules == rules.digest


def imported(study: Path, folder: Path) -> intake.ImportSummary:
    return intake.import_answers(
        sorted((study / "collected").glob("*.json")),
        folder,
        profile=profile.find("htbench"),
        key=study / "key.csv",
        secret=study.with_name("secret"),
        rules=None,
    )


def test_kept_answers_are_imported_like_the_file_that_the_page_saves(
    server: StudyServer, study: Path, tmp_path: Path
) -> None:
    rater = post(server.server_port, link(server, 3), answers(study, 3)).json["rater"]
    post(server.server_port, link(server, 1))  # began, and answered nothing
    lines = ["study,sheet,rater,position,item,choice,rt_ms,time"]
    for one in answers(study, 3):
        cells = one["position"], one["item"], one["choice"], one["rt_ms"], one["time"]
        lines.append(f"x,3,{rater},{','.join(map(str, cells))}")
    (tmp_path / "saved.csv").write_text("\r\n".join(lines) + "\r\n")
    imported(study, tmp_path / "one" / "study")
    intake.import_answers(
        [tmp_path / "saved.csv"],
        tmp_path / "two" / "study",
        profile=profile.find("htbench"),
        key=study / "key.csv",
        secret=study.with_name("secret"),
        rules=None,
    )
    tables = [(tmp_path / name / "study" / "answers.csv").read_text() for name in ("one", "two")]
    rows = [[line.rpartition(",")[0] for line in table.splitlines()] for table in tables]
    assert rows[0] == rows[1]  # but for the numbers of source rows
    assert len(rows[0]) == 1 + len(answers(study, 3))
    assert rater not in tables[0]


def test_the_overview_tells_who_began_came_back_and_finished(
    server: StudyServer, study: Path
) -> None:
    port = server.server_port
    post(port, link(server, 1), answers(study, 1))
    post(port, link(server, 2), answers(study, 2, [1]))
    post(port, link(server, 2), visit="f" * 16)
    post(port, link(server, 2), visit="f" * 16)
    first, second, third, _ = server.site.overview(server.base_url).participants
    assert (first.state, first.visits, first.returned) == ("finished", 1, "")
    assert (second.state, second.answers, second.visits) == ("begun", 1, 2)
    assert second.returned >= second.began > ""
    assert third.state == "not begun"
    text = ask(port, f"/{server.site.links.researcher}").body.decode()
    assert "2 of 4 began, 1 finished" in text
    assert f"http://127.0.0.1:{port}/{link(server, 4)}" in text


def test_the_overview_runs_no_script(server: StudyServer) -> None:
    reply = ask(server.server_port, f"/{server.site.links.researcher}")
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha")
    assert b"<script" not in reply.body


def test_links_stay_the_same_and_differ_between_studies(study: Path, tmp_path: Path) -> None:
    other = served_study.build(tmp_path)
    found = []
    for each in (study, study, other):
        with served_study.serving(each) as server:
            found.append({*server.site.links.participants.values(), server.site.links.researcher})
    assert found[0] == found[1]
    assert not found[0] & found[2]
    assert len(found[0]) == 5


def test_a_second_server_of_one_study_is_refused(server: StudyServer, study: Path) -> None:
    with (
        pytest.raises(UsageError, match="is being served by another process"),
        served_study.serving(study),
    ):
        pass


def test_a_taken_port_is_refused_since_links_name_it(study: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {number} of 127.0.0.1 is taken"):
            make_server(study, secret=study.with_name("secret"), address=Address(port=number))
    with served_study.serving(study):  # the study is not locked by the failure
        pass


def test_a_study_that_was_not_exported_is_missing(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    with pytest.raises(Missing, match="no page in study"):
        make_server(tmp_path / "study", secret=tmp_path / "secret", address=Address(port=0))
    assert list((tmp_path / "study").iterdir()) == []


def test_a_damaged_session_is_named_before_anything_is_served(tmp_path: Path) -> None:
    study = served_study.build(tmp_path)
    (study / "collected").mkdir()
    (study / "collected" / "sheet-002.json").write_text("{}")
    with (
        pytest.raises(Refused, match=r"session '.*sheet-002\.json' is damaged: study"),
        served_study.serving(study),
    ):
        pass
