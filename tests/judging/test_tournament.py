"""Tournaments that are killed, stopped by a budget, or issued again."""

import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from kit import judged_run
from kit.judge_servers import Ask, Endpoint, serving

from htbench.core.errors import Missing, Refused, UnknownName, UsageError
from htbench.judging import budget
from htbench.judging.leaderboard import read_result
from htbench.judging.ledger import LEDGER_FILE, Ledger


def killing(endpoint: Endpoint, at: list[int], process: list[Any]) -> None:
    """Kill the process when so many calls have come in."""

    def ill(number: int, ask: Ask) -> None:
        if at and number >= at[0]:
            at.pop(0)
            os.kill(process[0].pid, signal.SIGKILL)

    endpoint.ill = ill


def test_killed_at_random_calls_it_ends_in_the_same_tables_and_every_key_is_paid_once(
    tmp_path: Path,
) -> None:
    war, peace = (judged_run.build(tmp_path / name) for name in ("war", "peace"))
    dice = random.Random(0)
    at = sorted(dice.sample(range(2, 130), 4))
    kills = len(at)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kit.judged_run"])
    with serving(Endpoint()) as endpoint:
        judge = judged_run.card(tmp_path / "judge", endpoint.url)
        process: list[Any] = [None]
        killing(endpoint, at, process)
        for _ in range(kills + 1):
            process[0] = context.Process(
                target=judged_run.write_tables,
                args=(war, tmp_path / "judge", tmp_path / "tables.json"),
            )
            process[0].start()
            process[0].join()
        sent, paid = dict(endpoint.replies), len(endpoint.paid)
        endpoint.paid, endpoint.replies = {}, type(endpoint.replies)()
        assert (tmp_path / "tables.json").read_text() == judged_run.tables(peace, judge)
    assert (at, paid) == ([], 144)
    assert sum(sent.values()) - paid <= kills * judged_run.CONCURRENCY
    with Ledger.read(war) as ledger:
        assert ledger.model_usage("scripted").calls == 144


def test_a_rerun_asks_nothing_and_finds_the_same(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", concepts=4)
    with serving(Endpoint()) as endpoint:
        judge = judged_run.card(tmp_path / "judge", endpoint.url)
        first = judged_run.tables(run, judge)
        before = endpoint.calls
        assert judged_run.tables(run, judge) == first
        assert endpoint.calls == before


def test_what_was_asked_in_another_tournament_is_not_asked_again(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", concepts=4)
    with serving(Endpoint()) as endpoint:
        judge = judged_run.card(tmp_path / "judge", endpoint.url)
        judged_run.judged(run, judge)
        before = endpoint.calls
        judged_run.judged(run, judge, methods=("poor", "good"))
        assert endpoint.calls == before


def test_replay_needs_no_network(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", concepts=4)
    with serving(Endpoint()) as endpoint:
        judge = judged_run.card(tmp_path / "judge", endpoint.url)
        online = judged_run.judged(run, judge)
    with Ledger.read(run) as ledger:
        entered = judged_run.tournament(run, ledger, judge, offline=True)
        assert read_result(ledger, entered.id, rounds=200).facts() == online.facts()


def test_what_was_never_asked_cannot_be_replayed(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", concepts=4)
    Ledger.open(run).close()
    with Ledger.read(run) as ledger, pytest.raises(Missing, match="was not asked this"):
        judged_run.tournament(
            run, ledger, judged_run.card(tmp_path / "judge", "http://127.0.0.1:9/v1"), offline=True
        )


def test_replies_that_are_read_again_give_the_same_verdicts_and_cost_nothing(
    tmp_path: Path,
) -> None:
    run = judged_run.build(tmp_path / "run", concepts=4)
    with serving(Endpoint()) as endpoint:
        judge = judged_run.card(tmp_path / "judge", endpoint.url)
        online = judged_run.judged(run, judge)
        before = endpoint.calls
        with Ledger.open(run) as ledger:
            ledger._database.execute(
                """UPDATE verdicts SET outcome = 'unusable', choice = NULL, first = NULL,
                   parser = 'chat-0'"""
            )
            entered = judged_run.tournament(run, ledger, judge)
            assert ledger.count_calls(entered.id) == (48, 48)
            assert entered.reparse() == 48
            assert read_result(ledger, entered.id, rounds=200).facts() == online.facts()
        assert endpoint.calls == before


def test_requests_stop_at_their_limit_and_the_next_command_goes_on(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", concepts=4)
    with serving(Endpoint()) as endpoint:
        judge = judged_run.card(tmp_path / "judge", endpoint.url)
        assert judged_run.judged(run, judge, requests=20).pending == 28
        assert endpoint.calls == 20
        assert judged_run.judged(run, judge, requests=20).pending == 28
        assert endpoint.calls == 20
        assert judged_run.judged(run, judge).pending == 0
        assert endpoint.calls == 48


def test_cost_stops_at_its_limit_with_at_most_the_calls_under_way_over(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", concepts=4)
    prices = tmp_path / "prices.toml"
    prices.write_text("date = 2026-11-01\n[models.scripted]\ninput = 2.0\noutput = 8.0\n")
    a_call = (1000 * 2.0 + 20 * 8.0) / 1e6
    with serving(Endpoint()) as endpoint:
        judge = judged_run.card(tmp_path / "judge", endpoint.url)
        judged_run.judged(run, judge, cost=10 * a_call, prices=prices, concurrency=4)
        assert 10 <= endpoint.calls <= 14


def test_a_budget_of_money_needs_prices(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", concepts=4)
    judge = judged_run.card(tmp_path / "judge", "http://127.0.0.1:9/v1")
    with Ledger.open(run) as ledger, pytest.raises(UsageError, match="--max-cost needs the price"):
        judged_run.tournament(run, ledger, judge, cost=1.0)


def test_a_price_that_is_not_in_the_table_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(
        'date = 2026-11-01\n[models."gpt-4o"]\ninput = 2.5\noutput = 10\n'
    )
    with pytest.raises(UnknownName, match="did you mean 'gpt-4o'"):
        budget.read_prices(tmp_path / "prices.toml").price("gpt-4")


@pytest.mark.parametrize("text", ["date = 1", '[models.x]\ninput = "much"', "= 3"])
def test_a_table_of_prices_that_makes_no_sense_is_one_clear_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(UsageError, match="is not valid"):
        budget.read_prices(tmp_path / "prices.toml")


def test_two_processes_do_not_judge_one_run(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", concepts=4)
    with Ledger.open(run), pytest.raises(UsageError, match="being judged by another process"):
        Ledger.open(run)


def test_a_damaged_ledger_is_refused(tmp_path: Path) -> None:
    run = judged_run.build(tmp_path / "run", concepts=4)
    (run / LEDGER_FILE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(Refused, match="is damaged"):
        Ledger.open(run)
