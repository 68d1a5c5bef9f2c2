"""Pictures of a hosted model: each asked for once, within a budget, and imported."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import image_servers
from kit.commands import htbench
from kit.image_servers import Body, ImageEndpoint, Reply, refused, serving

from htbench.core.errors import HtbenchError, Incomplete, Missing, UsageError
from htbench.importing import hosted_card
from htbench.importing.hosted import HostedModel
from htbench.judging.ledger import Ledger
from htbench.judging.meter import Meter, Price
from htbench.run.fact_table import Facts
from htbench.run.store import Store

PICTURES = 6
"""Two concepts and an unsteered picture, each of one prompt with two seeds."""


@pytest.fixture
def endpoint() -> Iterator[ImageEndpoint]:
    with serving(ImageEndpoint()) as up:
        yield up


def make(
    folder: Path, endpoint: ImageEndpoint, meter: Meter | None = None, **changes: object
) -> int:
    """Ask for the pictures of a card; gives the number of those that are there then."""
    card = hosted_card.read(image_servers.write_card(folder, endpoint, **changes))
    pictures = list(hosted_card.pictures(card))
    cache = folder / "cache"
    cache.mkdir(exist_ok=True)
    with Ledger.open(cache) as ledger:
        model = HostedModel(card=card, ledger=ledger, meter=meter or Meter(), concurrency=2)
        try:
            model.make(iter(pictures))
        finally:
            made = len(list(model.rows(iter(pictures))))
    return made


def test_a_card_becomes_a_scored_run(endpoint: ImageEndpoint, tmp_path: Path) -> None:
    card = image_servers.write_card(tmp_path, endpoint)
    answer = htbench("import", str(card), "--scorer", "emoji-clip-b", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    with Store.read(tmp_path / "runs" / "hosted") as store:
        rows, facts = store.rows(), Facts.read(store)
    assert [(row.method, row.strength) for row in rows] == [("none", 0.0)] * 4 + [
        ("prompt", 1.0)
    ] * 4
    assert facts.model.name == "painter"
    assert list(facts.concepts) == ["companion/fireworks", "companion/blueberries"]


def test_a_request_has_the_prompt_the_seed_and_the_parameters(
    endpoint: ImageEndpoint, tmp_path: Path
) -> None:
    assert make(tmp_path, endpoint) == PICTURES
    body = endpoint.bodies[-1]
    assert {"model": "painter", "n": 1, "size": "32x32"}.items() <= body.items()
    assert {body["prompt"].partition(" ")[2] for body in endpoint.bodies} == {
        "",
        "with fireworks",
        "with blueberries",
    }
    assert len({body["seed"] for body in endpoint.bodies}) == 2
    assert len(set(endpoint.keys)) == PICTURES


def test_no_picture_is_asked_for_twice(endpoint: ImageEndpoint, tmp_path: Path) -> None:
    make(tmp_path, endpoint)
    assert make(tmp_path, endpoint) == len(endpoint.bodies) == PICTURES


def test_the_limit_of_requests_holds_over_commands(endpoint: ImageEndpoint, tmp_path: Path) -> None:
    assert make(tmp_path, endpoint, Meter(requests=4)) == 4
    assert make(tmp_path, endpoint, Meter(requests=5)) == 5
    assert len(endpoint.bodies) == 5


def test_a_picture_costs_the_price_of_one(endpoint: ImageEndpoint, tmp_path: Path) -> None:
    meter = Meter(cost=0.1, price=Price(input=9.0, output=0.04))
    assert make(tmp_path, endpoint, meter) == 3


def test_tokens_are_charged_as_the_endpoint_counts_them(
    endpoint: ImageEndpoint, tmp_path: Path
) -> None:
    make(tmp_path, endpoint, tokens=1000)
    with Ledger.read(tmp_path / "cache") as ledger:
        usage = ledger.model_usage("painter").usage
    assert (usage.asked, usage.replied) == (12 * PICTURES, 34 * PICTURES)


def test_a_busy_endpoint_is_asked_again(endpoint: ImageEndpoint, tmp_path: Path) -> None:
    def busy(number: int, body: Body) -> Reply | None:
        status = {2: 503, 4: 429}.get(number)
        return refused(status, "busy", Retry_After_Ms="1") if status else None

    endpoint.fault = busy
    assert make(tmp_path, endpoint) == PICTURES
    assert len(endpoint.bodies) == PICTURES + 2


def test_a_filtered_picture_is_left_out_and_the_others_come(
    endpoint: ImageEndpoint, tmp_path: Path
) -> None:
    endpoint.fault = lambda number, body: (
        refused(400, "rejected by the safety system") if "fireworks" in body["prompt"] else None
    )
    assert make(tmp_path, endpoint) == 4


@pytest.mark.parametrize(
    ("reply", "kind", "problem"),
    [
        (refused(401, "wrong key"), Missing, "refuses the key"),
        (refused(404, "unknown"), UsageError, "has no model 'painter'"),
        (refused(400, "unknown parameter seed"), UsageError, "refuses the request"),
        (refused(429, "quota", Retry_After="600"), Incomplete, "asks to wait for 600 s"),
        (refused(302, "", Location="http://elsewhere/v1"), Missing, "sends on"),
        ((200, {}, "<html>"), Missing, "has no picture"),
        ((200, {}, {"data": [{"url": "http://x/a.png"}]}), Missing, "gives an address"),
        ((200, {}, {"data": [{"b64_json": "é"}]}), Missing, "has no picture"),
    ],
)
def test_what_cannot_go_on_ends_in_one_line_after_one_request(
    endpoint: ImageEndpoint,
    tmp_path: Path,
    reply: Reply,
    kind: type[HtbenchError],
    problem: str,
) -> None:
    endpoint.fault = lambda number, body: reply
    with pytest.raises(kind, match=problem):
        make(tmp_path, endpoint)
    assert len(endpoint.bodies) == 1


def test_a_reply_that_is_no_picture_is_named(endpoint: ImageEndpoint, tmp_path: Path) -> None:
    text = {"data": [{"b64_json": "aGVsbG8="}]}
    endpoint.fault = lambda number, body: (200, {}, text) if number == 3 else None
    card = image_servers.write_card(tmp_path, endpoint)
    answer = htbench("import", str(card), cwd=tmp_path)
    assert "Pictures left out: 1" in answer.stdout
    assert "cannot be read as a picture" in " ".join(answer.stdout.split())


def test_without_a_seed_the_report_says_so(endpoint: ImageEndpoint, tmp_path: Path) -> None:
    card = image_servers.write_card(tmp_path, endpoint, seed_parameter="")
    answer = htbench("import", str(card), cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "takes no seed" in " ".join(answer.stdout.split())


def test_a_key_that_is_needed_is_asked_for_before_anything_is_written(
    endpoint: ImageEndpoint, tmp_path: Path
) -> None:
    card = image_servers.write_card(tmp_path, endpoint)
    card.write_text(card.read_text().replace("needs_key = false", "needs_key = true"))
    answer = htbench("import", str(card), cwd=tmp_path)
    assert (answer.returncode, "TEST_IMAGES_KEY" in answer.stderr) == (4, True)
    assert not (tmp_path / "runs").exists()


def test_no_key_is_written(
    endpoint: ImageEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "sk-PlantedKeyOfTheImages"
    monkeypatch.setenv("TEST_IMAGES_KEY", secret)
    endpoint.fault = lambda number, body: refused(400, f"policy: {secret}") if number == 2 else None
    make(tmp_path, endpoint)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [data for data in written if secret.encode() in data]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('kind = "openai"', "kind"),
        ("colour = 1", "colour"),
        ('[parameters]\nprompt = "x"', "'prompt' is set by htbench itself"),
    ],
)
def test_a_wrong_card_is_one_line(tmp_path: Path, line: str, problem: str) -> None:
    card = tmp_path / "a.toml"
    kind = "" if line.startswith("kind") else 'kind = "images-api"\n'
    card.write_text(f'name = "a"\nmodel = "m"\n{kind}{line}\n')
    with pytest.raises(UsageError, match=problem):
        hosted_card.read(card)
