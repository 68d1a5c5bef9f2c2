"""Limits on what endpoints answer and on what is spent, whatever they say or claim."""

import gzip
import json
import resource
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import judged_run
from kit.judge_servers import completion
from kit.judge_wire import Request, Speech, response, saying, serving_wire, verdict

from htbench.core.errors import HtbenchError, Missing, Refused
from htbench.judging.connection import KEPT_BYTES, MAX_REPLY_BYTES, redirect
from htbench.judging.judges import reply
from htbench.judging.ledger import LEDGER_FILE, Ledger

CALLS = 8
"""Different calls of the tournament."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return judged_run.build(tmp_path / "run", methods=("none", "good"), concepts=CALLS // 2)


def play(
    run: Path,
    speech: Speech,
    *,
    model: str = "m",
    card: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[dict[str, int], int, str]:
    """Outcomes of a tournament, the number of questions that came in, and what stopped it."""
    with serving_wire(speech) as server, Ledger.open(run) as ledger:
        settings = {"timeout": 2.0, "retries": 1, **(card or {})}
        judge = judged_run.card(run.parent / "judge", server.url, **settings)
        judge = judge.model_copy(update={"model": model})
        stopped = ""
        try:
            entered = judged_run.tournament(run, ledger, judge, **options)
            entered.play()
        except HtbenchError as error:
            stopped = str(error)
            return {}, server.chats, stopped
        finally:
            chats = server.chats
        return ledger.outcomes(entered.id), chats, stopped


def stopped_by(run: Path, speech: Speech, **more: Any) -> str:
    return play(run, speech, **more)[2]


def endless(request: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    for _ in range(200):
        yield b"x" * (1 << 20)


def packed(data: bytes, encoding: str) -> Speech:
    return saying(data, headers={"Content-Encoding": encoding})


def bomb(encoding: str) -> bytes:
    pack = zlib.compressobj(wbits={"gzip": 31, "deflate": 15}[encoding])
    zeros = b"0" * (1 << 20)
    return b"".join(pack.compress(zeros) for _ in range(1000)) + pack.flush()


@pytest.mark.parametrize("kind", ["plain", "gzip", "deflate"])
def test_a_reply_without_end_is_cut_off_and_its_start_is_kept(kind: str, run: Path) -> None:
    speech = endless if kind == "plain" else packed(bomb(kind), kind)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes, chats, _ = play(run, speech, concurrency=4, requests=4)
    assert outcomes == {"unusable": chats}
    assert (run / LEDGER_FILE).stat().st_size < 4 * KEPT_BYTES + (1 << 20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024
    with Ledger.read(run) as ledger:
        rows = ledger.select("SELECT message, length(body), asked FROM calls")
    assert all(
        f"larger than {MAX_REPLY_BYTES:,} bytes" in message and 0 < size <= KEPT_BYTES and asked
        for message, size, asked in rows
    )


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (gzip.compress(json.dumps(completion("A")).encode()), "gzip"),
        (zlib.compress(json.dumps(completion("A")).encode()), "deflate"),
        (zlib.compress(json.dumps(completion("A")).encode(), wbits=-15), "deflate"),
        (json.dumps(completion("A")).encode(), "identity"),
    ],
)
def test_packed_replies_are_read(data: bytes, encoding: str, run: Path) -> None:
    assert play(run, packed(data, encoding))[0] == {"answered": CALLS}


def test_a_byte_a_second_does_not_pass_the_limit_of_time(run: Path) -> None:
    def slow(request: Request) -> Iterator[bytes]:
        for byte in response(completion("A")):
            yield bytes([byte])
            time.sleep(0.2)

    began = time.monotonic()
    stopped = stopped_by(run, slow, card={"timeout": 1.0})
    assert "does not answer: no whole reply in 1 s" in stopped
    assert time.monotonic() - began < 10
    with Ledger.read(run) as ledger:
        assert ledger.model_usage("m").requests == 1
        assert ledger.model_usage("m").usage.replied == 300


@pytest.mark.parametrize(
    "speech",
    [
        saying("<html>welcome</html>"),
        saying("[]"),
        saying("3"),
        saying({"data": 3}),
        saying({"data": []}),
        saying({"data": [{"id": 3}, {"id": ""}, None]}),
        saying("[" * 100_000),
        saying(b"\xff\xfe\x00"),
        saying({"error": "x"}, status=500),
        endless,
    ],
)
def test_a_list_of_models_that_is_none_is_one_line(speech: Speech, run: Path) -> None:
    stopped = stopped_by(run, speech, model="")
    assert "does not say which model it has" in stopped
    assert "\n" not in stopped


def test_a_bare_list_of_models_is_read(run: Path) -> None:
    def speech(request: Request) -> Iterator[bytes]:
        yield response(completion("A") if request.is_chat else '[{"id": "first"}]')

    assert play(run, speech, model="")[0] == {"answered": CALLS}


def test_a_silent_server_does_not_hold_a_judge_that_asks_for_its_model(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(request: Request) -> Iterator[bytes]:
        time.sleep(5)
        yield b""

    monkeypatch.setattr("htbench.judging.judges.chat._MODELS_TIMEOUT", 0.5)
    began = time.monotonic()
    assert "does not say which model" in stopped_by(run, silent, model="", card={"retries": 20})
    assert time.monotonic() - began < 4


def test_a_redirect_to_another_host_is_refused_and_nothing_is_sent_there(run: Path) -> None:
    with serving_wire(saying(completion("A"))) as other:
        location = {"Location": f"{other.url}/chat/completions"}
        stopped = stopped_by(run, saying("", status=307, headers=location))
    assert "sends on to" in stopped
    assert not other.requests


def test_a_redirect_on_the_same_host_is_followed_and_remembered(run: Path) -> None:
    def speech(request: Request) -> Iterator[bytes]:
        if request.path.startswith("/v1/"):
            yield response("", 308, {"Location": "/api/v2/chat/completions"})
        else:
            yield response(completion("A"))

    outcomes, chats, _ = play(run, speech)
    assert (outcomes, chats) == ({"answered": CALLS}, CALLS + 1)


@pytest.mark.parametrize(
    ("location", "moved"),
    [
        ("http://h/v2/x", "http://h/v2"),
        ("https://h/v2/x", "https://h/v2"),
        ("/x", "http://h"),
        ("http://h:80/x?y=1#z", "http://h:80"),
        ("http://h:81/x", None),
        ("https://h:81/x", None),
        ("http://other/x", None),
        ("//other/x", None),
        ("http://user@h/x", None),
        ("http://h/y", None),
        ("", None),
        ("http://[", None),
        ("javascript:x", None),
    ],
)
def test_a_new_address_is_of_the_same_host_and_path(location: str, moved: str | None) -> None:
    assert redirect("http://h/v1/", location, "/x") == moved


def test_encryption_is_not_given_up_for_a_redirect() -> None:
    assert redirect("https://h/v1", "http://h/v1/x", "/x") is None


USAGES = [
    None,
    {},
    3,
    [],
    "x",
    {"prompt_tokens": -1000, "completion_tokens": -20},
    {"prompt_tokens": 0, "completion_tokens": 0},
    {"prompt_tokens": 10**30, "completion_tokens": 10**30},
    {"prompt_tokens": "1000", "completion_tokens": "20"},
    {"prompt_tokens": True, "completion_tokens": True},
    {"prompt_tokens": 0.5, "completion_tokens": [3]},
    {"prompt_tokens": None, "completion_tokens": {}},
]


@pytest.mark.parametrize("usage", USAGES, ids=range(len(USAGES)))
def test_usage_that_is_none_is_charged_by_the_worst_case(usage: Any, run: Path) -> None:
    prices = run.parent / "prices.toml"
    prices.write_text("date = 2026-11-01\n[models.m]\ninput = 1.0\noutput = 1.0\n")
    speech = saying(verdict(usage=usage))
    _, chats, _ = play(run, speech, prices=prices, cost=0.005, concurrency=2)
    with Ledger.read(run) as ledger:
        spent = ledger.model_usage("m")
    a_call = (spent.usage.asked + spent.usage.replied) / chats
    assert (spent.requests, spent.usage.replied) == (chats, 300 * chats)
    assert 500 < a_call < 4000
    assert 5000 <= spent.usage.asked + spent.usage.replied < 5000 + a_call
    assert play(run, speech, prices=prices, cost=0.005)[1] == 0


def test_a_usage_of_infinite_tokens_keeps_the_reply_that_was_paid(run: Path) -> None:
    body = json.dumps(completion("A")).replace("1000", "1e999")
    outcomes, chats, _ = play(run, saying(body), requests=4, concurrency=1)
    with Ledger.read(run) as ledger:
        rows = ledger.select("SELECT body FROM calls")
    assert (outcomes, chats) == ({"answered": 4}, 4)
    assert all("1e999" in row for (row,) in rows)


@pytest.mark.parametrize(
    "text",
    [
        '{"verdict": "A", "reason": "\\ud800 \\u0000 \\udfff"}',
        '{"verdict": "A", "reason": "' + "\x00" * 3 + '"}',
        '{"verdict": "A", "more": ' + "9" * 5000 + "}",
        '{"verdict": "A", "more": ' + "[" * 100_000 + "}",
        "\udfff",
    ],
)
def test_a_reply_is_kept_whatever_is_in_it_and_no_other_is_paid(text: str, run: Path) -> None:
    _, chats, _ = play(run, saying(completion({"content": text})), requests=CALLS)
    with Ledger.read(run) as ledger:
        ((kept,),) = ledger.select("SELECT sum(requests) FROM calls WHERE body <> ''")
    assert (kept, chats) == (CALLS, CALLS)


@pytest.mark.parametrize("flood", ["<think>", "</think>", "<think></think>", "{", '{"a":', "*"])
def test_floods_are_read_in_linear_time(flood: str) -> None:
    body = json.dumps(completion({"content": flood * 400_000}))
    script = (
        "import sys; from htbench.judging.judges import reply; "
        "print(reply.read(sys.stdin.read()).outcome)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        input=body,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert ran.stdout.strip() == "unusable"


FAULTS: dict[str, Any] = {
    "busy": lambda: response("busy", 503),
    "limited": lambda: response("slow down", 429, {"Retry-After": "0"}),
    "unusable": lambda: response(completion({"content": "well"})),
    "cut": lambda: b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{",
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("limit", [1, 3])
def test_requests_are_counted_as_they_go_out_retries_included(
    fault: str, limit: int, run: Path
) -> None:
    speech = lambda request: iter([FAULTS[fault]()])  # noqa: E731
    _, chats, _ = play(run, speech, requests=limit, card={"retries": 5})
    with Ledger.read(run) as ledger:
        assert (chats, ledger.model_usage("m").requests) == (limit, limit)
    assert play(run, speech, requests=limit, card={"retries": 5})[1] == 0


def test_late_replies_are_charged_by_the_worst_case_and_not_asked_again_at_once(run: Path) -> None:
    prices = run.parent / "prices.toml"
    prices.write_text("date = 2026-11-01\n[models.m]\ninput = 1.0\noutput = 1.0\n")

    def late(request: Request) -> Iterator[bytes]:
        time.sleep(1.5)
        yield response(completion("A"))

    options: dict[str, Any] = {"prices": prices, "card": {"timeout": 0.3, "retries": 5}}
    assert play(run, late, cost=1.0, **options)[1] == 1
    with Ledger.read(run) as ledger:
        spent = ledger.model_usage("m").usage
    limit = 2.5 * (spent.asked + spent.replied) / 1e6
    assert [play(run, late, cost=limit, **options)[1] for _ in range(3)] == [1, 1, 0]


def test_a_picture_that_is_damaged_ends_it_after_the_calls_in_flight_are_answered(
    run: Path,
) -> None:
    def speech(request: Request) -> Iterator[bytes]:
        time.sleep(0.3)
        yield response(completion("A"))

    with serving_wire(speech) as server, Ledger.open(run) as ledger:
        judge = judged_run.card(run.parent / "judge", server.url)
        entered = judged_run.tournament(run, ledger, judge, concurrency=8)
        *_, last = ledger.pending(entered.id)
        (run / "images" / last.first).write_bytes(b"damaged")
        with pytest.raises(Refused, match="is damaged"):
            entered.play()
        assert ledger.outcomes(entered.id) == {"answered": server.chats}


def test_an_endpoint_that_asks_for_an_endless_wait_is_one_line(run: Path) -> None:
    for wait in ("1e999", "nan", "-5", "9" * 400, "Fri, 99 Foo 2026"):
        speech = saying("", status=429, headers={"Retry-After": wait})
        _, chats, _ = play(run, speech, requests=None, card={"retries": 0})
        assert chats == 1


def test_a_key_is_needed_unless_the_address_has_a_user(run: Path) -> None:
    judge = judged_run.card(run.parent / "judge", "http://127.0.0.1:9/v1", needs_key=True)
    with Ledger.open(run) as ledger:
        entered = judged_run.tournament(run, ledger, judge)
        with pytest.raises(Missing, match="needs a key"):
            entered.play()


def test_a_verdict_is_still_read_from_the_longest_reply_that_is_kept() -> None:
    filler = "x" * 200_000
    assert reply.read(json.dumps(completion({"content": f"{filler}\nVerdict: B"}))).choice == "B"
