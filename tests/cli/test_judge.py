"""`htbench judge` and `htbench power` as a user meets them."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import judged_run
from kit.judge_servers import Endpoint, serving
from typer.testing import CliRunner, Result

from htbench.cli import app
from htbench.core.errors import HtbenchError, Incomplete, UnknownName, UsageError


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """An endpoint, with a run `run` and a judge at it in the folder of the test."""
    judged_run.build(tmp_path / "run", methods=("none", "poor", "good"), concepts=4)
    with serving(Endpoint()) as up:
        judged_run.card(tmp_path / "judge", up.url)
        yield up


def judge(folder: Path, *words: str) -> Result:
    runner = CliRunner()
    where = ["--judge", str(folder / "judge"), "--runs-dir", str(folder), "--criterion", "presence"]
    return runner.invoke(
        app,
        ["judge", "run", *where, "--controls", "3", "--no-calibrate", *words],
        catch_exceptions=False,
    )


def test_a_tournament_ends_in_a_table_and_files(endpoint: Endpoint, tmp_path: Path) -> None:
    answer = judge(tmp_path)
    assert answer.exit_code == 0
    for words in (
        "A vision-language model.",
        "presence: good ranks first, but not significantly ahead of poor.",
        "12 pairs",
        "The audit of the judge raises no flags.",
        "have a verdict",
    ):
        assert words in answer.stdout
    (table,) = (tmp_path / "run" / "judged").glob("*.csv")
    rows = list(csv.DictReader(table.open()))
    assert [row["method"] for row in rows] == ["good", "poor", "none"]
    (facts,) = (tmp_path / "run" / "judged").glob("*.json")
    found = json.loads(facts.read_text())
    assert found["design"]["seed"] == 0
    assert found["criteria"][0]["audit"]["flags"] == {}


def test_the_report_of_the_run_shows_the_judge_at_once(endpoint: Endpoint, tmp_path: Path) -> None:
    assert "run/report.html" in judge(tmp_path).stdout
    assert "openai scripted" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_lines_of_json_if_asked(endpoint: Endpoint, tmp_path: Path) -> None:
    events = [json.loads(line) for line in judge(tmp_path, "--json").stdout.splitlines()]
    assert [event["event"] for event in events] == ["judged", "end"]
    assert events[0]["ranking"]["standings"][0]["name"] == "good"
    assert events[1]["pending"] == 0


def test_a_dry_run_asks_one_question_and_tells_tokens_and_cost(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    (tmp_path / "prices.toml").write_text(
        "date = 2026-11-01\n[models.scripted]\ninput = 2.0\noutput = 8.0\n"
    )
    answer = judge(
        tmp_path,
        "--dry-run",
        "--prices",
        str(tmp_path / "prices.toml"),
        "--controls",
        "0",
        "--json",
    )
    found = json.loads(answer.stdout)
    assert (endpoint.calls, found["calls"], found["pending"]) == (1, 24, 23)
    assert found["usage"] == {"asked": 23_000, "cached": 0, "replied": 460}
    assert found["cost"] == pytest.approx(23 * (1000 * 2.0 + 20 * 8.0) / 1e6)
    assert found["bytes"] > 23 * 500
    judge(tmp_path, "--controls", "0")
    assert endpoint.calls == 24


def test_missing_verdicts_end_it_with_3_and_their_reasons(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.finish = lambda number: "length" if number <= 2 else "stop"
    with pytest.raises(Incomplete, match="2 of 24 calls have no verdict: 2 truncated"):
        judge(tmp_path, "--controls", "0")


def test_replies_that_are_cut_off_name_the_option_that_helps(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.finish = lambda number: "length" if number <= 2 else "stop"
    with pytest.raises(Incomplete) as stopped:
        judge(tmp_path, "--controls", "0")
    assert "--max-tokens 1200" in stopped.value.remedy


def test_parameters_of_the_calls_are_given_on_the_command_line(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    words = ["--max-tokens", "5000", "--set", "reasoning.effort=low", "--set", "seed=null"]
    judge(tmp_path, "--controls", "0", *words)
    body = endpoint.bodies[-1]
    assert (body["max_tokens"], body["reasoning"]) == (5000, {"effort": "low"})
    assert "seed" not in body
    assert body["temperature"] == 0


def test_thoughts_are_shown_if_asked_and_are_no_part_of_an_answer(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.mind = lambda ask: {
        "content": '<think>A has it</think>{"verdict": "B", "reason": "fine"}'
    }
    assert "A has it" not in judge(tmp_path, "--controls", "0").stdout
    shown = judge(tmp_path, "--controls", "0", "--offline", "--thoughts").stdout
    assert shown.count("A has it") == 24
    assert "Thought before B" in shown


def test_a_budget_that_is_spent_says_what_was_not_asked(endpoint: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(Incomplete, match="14 of 24 calls have no verdict: 14 not asked"):
        judge(tmp_path, "--controls", "0", "--max-requests", "10")


def test_offline_shows_what_there_is(endpoint: Endpoint, tmp_path: Path) -> None:
    online, before = judge(tmp_path), endpoint.calls
    offline = judge(tmp_path, "--offline")
    assert offline.stdout.strip() == online.stdout.partition("File:")[0].strip()
    assert judge(tmp_path, "--reparse").exit_code == 0
    assert endpoint.calls == before


def test_batches_are_sent_and_collected(endpoint: Endpoint, tmp_path: Path) -> None:
    assert (
        "batch batch-0: 23 calls" in judge(tmp_path, "--controls", "0", "--batch", "submit").stderr
    )
    answer = judge(tmp_path, "--controls", "0", "--batch", "collect")
    assert (answer.exit_code, "batch batch-0: completed" in answer.stderr) == (0, True)


def test_people_are_compared_with_and_correct_win_rates(endpoint: Endpoint, tmp_path: Path) -> None:
    rows = [
        f"presence,colour/{name},a cat,{seed},good,none,left,ann"
        for name in ("red", "green", "blue")
        for seed in [_seed()]
    ]
    (tmp_path / "votes.csv").write_text(
        "criterion,concept,prompt,seed,left,right,choice,rater\n" + "\n".join(rows)
    )
    answer = judge(tmp_path, "--humans", str(tmp_path / "votes.csv"))
    assert "People, presence: alike on 1.000" in answer.stdout
    assert "good preferred to none: judge alone 1.00" in answer.stdout


def _seed() -> int:
    from htbench.run.plan import image_seed

    return image_seed("a cat", 0)


def test_a_mixed_tournament_is_played_round_by_round(endpoint: Endpoint, tmp_path: Path) -> None:
    answer = judge(tmp_path, "--swiss", "3", "--pairs", "9", "--controls", "0")
    assert answer.exit_code == 0
    assert "9 pairs" in answer.stdout
    assert endpoint.calls == 18


@pytest.mark.parametrize(
    ("words", "kind", "hint"),
    [
        (["--criterion", "presense"], UnknownName, "presence"),
        (["--method", "goood"], UnknownName, "good"),
        (["--against", "prompt"], UnknownName, "no method of the tournament 'prompt'"),
        (["--strength", "0.7"], UsageError, "no strength 0.7"),
        (["--strength", "full"], UsageError, "neither a number"),
        (["--strength", "tuned"], UsageError, "no strength was chosen"),
        (["--method", "good"], UsageError, "needs two methods"),
        (["--batch", "send"], UnknownName, "submit"),
        (["--humans", "nowhere.csv"], HtbenchError, "no file of votes"),
        (["--against", "good", "--swiss", "3"], UsageError, "leave nothing to choose"),
    ],
)
def test_bad_input_is_one_clear_line_and_asks_nothing(
    words: list[str], kind: type[Exception], hint: str, endpoint: Endpoint, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=hint):
        judge(tmp_path, *words)
    assert endpoint.calls == 0


def test_judges_are_listed() -> None:
    lines = CliRunner().invoke(app, ["list", "judges", "--json"]).stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["clip", "local", "openai"]


def test_power_tells_what_an_effect_needs() -> None:
    answer = CliRunner().invoke(
        app, ["power", "--preference", "0.6666667", "--per-concept", "10", "--icc", "0.2", "--json"]
    )
    found = json.loads(answer.stdout)
    assert (found["independent"], found["votes"], found["calls"]) == (77, 216, 432)


def test_power_tells_what_a_run_can_show(endpoint: Endpoint, tmp_path: Path) -> None:
    judge(tmp_path)
    lines = (
        CliRunner().invoke(app, ["power", "run", "--runs-dir", str(tmp_path)]).stdout.splitlines()
    )
    assert lines[2].startswith("good over none")


def test_no_effect_needs_no_power() -> None:
    with pytest.raises(UsageError, match="is no effect"):
        CliRunner().invoke(app, ["power", "--preference", "0.5"], catch_exceptions=False)
