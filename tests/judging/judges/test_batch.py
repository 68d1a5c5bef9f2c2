"""Batches: split by bytes, collected once, taken over if the command that sent them was killed."""

import json
from pathlib import Path

import pytest
from kit import judged_run
from kit.judge_servers import Endpoint, serving

from htbench.core.errors import Missing, UsageError
from htbench.core.secrets import split_address
from htbench.judging import card
from htbench.judging.judges.batch import Batches, BatchRequest
from htbench.judging.judges.connection import Connection
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
