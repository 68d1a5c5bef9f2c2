"""Batches: split by bytes, collected once, taken over if the command that sent them was killed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import judged_run
from kit.judge_servers import Endpoint, serving
from kit.judge_wire import Request, response, saying, serving_wire

from htbench.core.errors import Missing, UsageError
from htbench.core.secrets import split_address
from htbench.judging import card
from htbench.judging.connection import Connection
from htbench.judging.judges.batch import Batches, BatchRequest
from htbench.judging.leaderboard import read_result
from htbench.judging.ledger import Ledger


def batches(endpoint: Endpoint) -> Batches:
    return Batches(connection=Connection(address=split_address(endpoint.url, noun="address")))


def requests(number: int) -> list[BatchRequest]:
    body = {"messages": [{"content": []}], "text": "x" * 100}
    return [BatchRequest(key=f"key-{k}", body=body) for k in range(number)]


def test_what_is_sent_in_batches_is_answered_once_and_not_asked_meanwhile(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", methods=("none", "good"), concepts=4)
    with serving(Endpoint()) as endpoint, Ledger.open(run) as ledger:
        entered = judged_run.tournament(
            run, ledger, judged_run.card(tmp_path / "judge", endpoint.url)
        )
        (shard,) = entered.send_batches()
        assert (
            len(shard.keys) == 7
        )  # the first was asked by itself, to learn what the endpoint can do
        entered.play()
        assert endpoint.calls == 8
        assert entered.collect_batches() == {shard.id: "completed"}
        assert read_result(ledger, entered.id, rounds=10).outcomes == {"answered": 8}
        assert entered.collect_batches() == {}
        assert ledger.model_usage("scripted").batch_usage.asked == 7000
        assert max(endpoint.replies.values()) == 1


def test_a_batch_is_as_large_as_the_endpoint_takes() -> None:
    line = (
        len(
            json.dumps(
                {
                    "custom_id": "key-0",
                    "method": "POST",
                    "url": "/v1/chat/completions",
                    "body": requests(1)[0].body,
                }
            )
        )
        + 1
    )
    with serving(Endpoint(mind=lambda ask: "tie")) as endpoint:
        endpoint.batch = lambda asked: {"id": asked["input_file_id"], "object": "batch"}  # type: ignore[method-assign]
        shards = list(batches(endpoint).submit(requests(10), max_bytes=4 * line))
        assert [len(shard.keys) for shard in shards] == [4, 4, 2]
        assert all(len(file) <= 4 * line for file in endpoint.files.values())


def test_a_batch_whose_sender_was_killed_is_adopted() -> None:
    with serving(Endpoint(mind=lambda ask: "tie")) as endpoint:
        (lost,) = batches(endpoint).submit(requests(1))
        (found,) = batches(endpoint).submit(requests(1))
        assert found.id == lost.id
        assert len(endpoint.batches) == 1
        (fresh,) = batches(endpoint).submit(requests(1), known=[lost.id])
        assert fresh.id != lost.id


def test_an_expired_batch_gives_back_what_it_did_not_answer(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", methods=("none", "good"), concepts=4)
    with serving(Endpoint()) as endpoint, Ledger.open(run) as ledger:
        entered = judged_run.tournament(
            run, ledger, judged_run.card(tmp_path / "judge", endpoint.url)
        )
        (shard,) = entered.send_batches()
        name = endpoint.batches[shard.id]["output_file_id"]
        endpoint.batches[shard.id]["status"] = "expired"
        endpoint.files[name] = "\n".join(endpoint.files[name].splitlines()[:3])
        entered.collect_batches()
        assert ledger.count_calls(entered.id) == (8, 4)


def test_an_endpoint_without_batches_is_one_clear_line() -> None:
    with pytest.raises(Missing, match="does not take batches"):
        list(batches(Endpoint(url="http://127.0.0.1:9/v1")).submit(requests(1)))


def test_a_judge_that_takes_no_batches_says_so(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", concepts=2)
    with Ledger.open(run) as ledger, pytest.raises(UsageError, match="takes no batches"):
        judged_run.tournament(
            run, ledger, card.load_judge_card("clip").with_model("emoji-clip-b")
        ).send_batches()


ODD_LINES = [
    "no JSON",
    "[]",
    "3",
    "null",
    "{}",
    '{"custom_id": 3}',
    '{"custom_id": "stranger", "response": {"status_code": 200, "body": {}}}',
    '{"custom_id": "", "response": null}',
    '{"custom_id": "x", "response": {"status_code": "many"}}',
    '{"custom_id": "x", "response": 3}',
    "{" * 100_000,
    '{"custom_id": "x", "n": ' + "9" * 5000 + "}",
]


def test_lines_of_a_batch_that_are_none_are_named_once_and_the_rest_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = judged_run.build(tmp_path / "run", methods=("none", "good"), concepts=4)
    with serving(Endpoint()) as endpoint, Ledger.open(run) as ledger:
        entered = judged_run.tournament(
            run, ledger, judged_run.card(tmp_path / "judge", endpoint.url)
        )
        (shard,) = entered.send_batches()
        name = endpoint.batches[shard.id]["output_file_id"]
        lines = endpoint.files[name].splitlines()
        endpoint.files[name] = "\n".join([*ODD_LINES, *lines[:4], lines[0], lines[4][:50]])
        entered.collect_batches()
        shown = capsys.readouterr().err
        assert "line 1 of file" in shown
        assert "more lines are left out" in shown
        assert "2 lines answer none of its open calls" in shown
        assert ledger.count_calls(entered.id) == (8, 3)
        assert entered.collect_batches() == {}
        assert capsys.readouterr().err == ""
        assert ledger.model_usage("scripted").requests == 1 + 4


@pytest.mark.parametrize(
    "text", ["<html>", "[]", "3", "{}", '{"id": 3}', '{"id": ""}', "[" * 99999]
)
def test_a_record_of_a_batch_that_is_none_is_one_line(text: str) -> None:
    with serving_wire(saying(text)) as server:
        sender = batches(Endpoint(url=server.url))
        with pytest.raises(Missing, match="does not take batches, or not now"):
            list(sender.submit(requests(1)))
        with pytest.raises(Missing, match="does not take batches, or not now"):
            sender.collect("batch-1")


def test_a_list_of_batches_without_end_is_left_after_some_pages() -> None:
    def speech(request: Request) -> Iterator[bytes]:
        if request.method == "GET":
            yield response({"data": [{"id": "b"}], "has_more": True})
        else:
            yield response({"id": "new"})

    with serving_wire(speech) as server:
        (sent,) = batches(Endpoint(url=server.url)).submit(requests(1))
        assert sent.id == "new"
        assert len(server.requests) < 30


def test_calls_in_open_batches_count_as_much_as_they_can_cost(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", methods=("none", "good"), concepts=4)
    with serving(Endpoint()) as endpoint, Ledger.open(run) as ledger:
        judge = judged_run.card(tmp_path / "judge", endpoint.url)
        entered = judged_run.tournament(run, ledger, judge, requests=4)
        (shard,) = entered.send_batches()
        assert len(shard.keys) == 3
        spent = ledger.model_usage("scripted")
        assert (spent.requests, spent.open_usage.replied) == (4, 3 * 300)
        assert entered.send_batches() == []
        entered.collect_batches()
        spent = ledger.model_usage("scripted")
        assert (spent.requests, spent.open_usage.replied, spent.usage.replied) == (4, 0, 80)
