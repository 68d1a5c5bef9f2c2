"""Keys and passwords of endpoints: sent, and neither shown nor stored, wherever they come back."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import judged_run
from kit.judge_servers import completion
from kit.judge_wire import Request, WireServer, response, serving_wire

KEY = "sk-made-up/0001+x"
LOGIN = "team-login-0002"
PASSWORD = "pass:word@0003"
QUERY = "query-secret-0004"
IN_CARD = "card-secret-0005"
PLANTED = {
    "key": KEY,
    "password": PASSWORD,
    "password in an address": "pass%3Aword%400003",
    "query": QUERY,
    "value in a card": IN_CARD,
    "basic authorisation": base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode(),
    "key as base64": base64.b64encode(KEY.encode()).decode(),
    "key in JSON with slashes": KEY.replace("/", "\\/"),
    "key in JSON as escapes": "".join(f"\\u{ord(letter):04x}" for letter in KEY),
    "key in an address": "sk-made-up%2F0001%2Bx",
}


def _everything() -> str:
    """All that was planted, and where a password stands in addresses and headers."""
    return f"{' ; '.join(PLANTED.values())} http://{LOGIN}:{PASSWORD}@host/?key={QUERY}"


def echoing(request: Request) -> Iterator[bytes]:
    """Say all that was planted: in models' names, errors of each kind, and replies."""
    text = _everything()
    if not request.is_chat:
        if "/models" in request.path:
            model = {"id": f"m {text}"}
            yield response({"object": "list", "data": [model]})
        else:
            yield response({"error": {"message": text}}, 400)
        return
    turn = sum(map(ord, request.headers.get("Idempotency-Key", ""))) % 5
    escaped = json.dumps({**completion("A"), "note": "@"}).replace("@", PLANTED_IN_JSON)
    replies = [
        response(escaped),
        response({"error": {"message": text}}, 400),
        response(text, 500),
        response(completion({"content": f'{{"verdict": "B", "reason": "{KEY} {PASSWORD}"}}'})),
        response(completion({"content": f"{text}\nVerdict: A"})),
    ]
    yield replies[turn]


PLANTED_IN_JSON = f"{PLANTED['key in JSON with slashes']} {PLANTED['key in JSON as escapes']}"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return judged_run.build(tmp_path / "run", methods=("none", "good"), concepts=6)


def judge(folder: Path, server: WireServer, *words: str, **variables: str) -> str:
    """All that `htbench judge` shows, with a judge at `server` and secrets in all places."""
    folder.mkdir(exist_ok=True)
    address = server.url.replace("://", f"://{LOGIN}:{PLANTED['password in an address']}@")
    card = judged_run.card(folder / "judge", f"{address}?api-version=1&key={QUERY}", retries=1)
    path = folder / "judge" / "card.toml"
    extra = f'[decoding]\napi_key = "{IN_CARD}"\n'
    path.write_text(path.read_text().replace("[decoding]\n", extra))
    assert card.name == "openai"
    command = [sys.executable, "-m", "htbench", "judge", "run", "--runs-dir", str(folder)]
    command.append("--no-calibrate")
    options = ["--judge", str(folder / "judge"), "--criterion", "presence", "--controls", "2", "-v"]
    ran = subprocess.run(
        [*command, *options, *words],
        env={**os.environ, "TEST_JUDGE_KEY": f" {KEY}\r\n", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in ran.stderr
    return ran.stdout + ran.stderr


def found(folder: Path, shown: str) -> dict[str, str]:
    """Places where something planted is written or shown."""
    texts = {
        str(path.relative_to(folder)): path.read_bytes().decode("utf-8", "replace")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {
        name: place
        for place, text in {**texts, "the terminal": shown}.items()
        for name, secret in PLANTED.items()
        if secret in text
    }


@pytest.mark.parametrize("words", [("--model", "m"), (), ("--model", "m", "--batch", "submit")])
def test_ten_secrets_in_ten_places_are_in_no_byte_that_is_written_or_shown(
    words: tuple[str, ...], run: Path, tmp_path: Path
) -> None:
    with serving_wire(echoing) as server:
        shown = judge(tmp_path, server, *words)
        shown += judge(tmp_path, server, *words, "--offline", "--json")
    assert len(server.requests) > 1
    assert found(run, shown) == {}


def test_user_password_and_query_of_an_address_are_sent(run: Path, tmp_path: Path) -> None:
    with serving_wire(lambda request: iter([response(completion("A"))])) as server:
        judge(tmp_path, server, "--model", "m")
    request = server.requests[0]
    assert request.path == f"/v1/chat/completions?api-version=1&key={QUERY}"
    assert request.headers["Authorization"] == f"Basic {PLANTED['basic authorisation']}"
    assert json.loads(request.body)["api_key"] == IN_CARD


def test_a_key_is_sent_without_the_line_end_around_it(run: Path, tmp_path: Path) -> None:
    with serving_wire(lambda request: iter([response(completion("A"))])) as server:
        judge(tmp_path, server, "--model", "m", TEST_JUDGE_URL=server.url)
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("key", ["“sk-made-up-0001”", "sk made up 0001", "sk-made\nup-0001"])
def test_a_key_that_no_header_can_have_is_one_line_before_any_request(
    key: str, run: Path, tmp_path: Path
) -> None:
    with serving_wire(echoing) as server:
        shown = judge(tmp_path, server, "--model", "m", TEST_JUDGE_KEY=key)
    assert "the key in TEST_JUDGE_KEY has white space in it" in shown
    assert key not in shown
    assert not server.requests


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8899/v1", "ftp://x/v1", "http://", f"http://u:{PASSWORD}@h:99999999/v1"]
)
def test_an_address_that_is_none_is_one_line(address: str, run: Path, tmp_path: Path) -> None:
    with serving_wire(echoing) as server:
        shown = judge(tmp_path, server, "--model", "m", TEST_JUDGE_URL=address)
    assert "TEST_JUDGE_URL is no address" in shown
    assert PASSWORD not in shown


def test_passwords_in_ledgers_of_version_1_are_taken_out_when_they_are_next_written(
    run: Path, tmp_path: Path
) -> None:
    import sqlite3

    from htbench.judging.ledger import LEDGER_FILE, Ledger

    Ledger.open(run).close()
    database = sqlite3.connect(run / LEDGER_FILE)
    for table, column in (
        ("calls", "requests"),
        ("batches", "asked"),
        ("batches", "replied"),
    ):
        database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    database.execute("INSERT INTO notes VALUES ('model http://u:planted-9@h/v1', 'm')")
    database.execute("PRAGMA user_version = 1")
    database.commit()
    database.close()
    with Ledger.open(run) as ledger:
        assert list(ledger.notes) == ["model http://h/v1"]
