"""Endpoints with limits and failures: no call is lost, and none is paid for twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import judged_run
from kit.judge_servers import (
    Endpoint,
    Ill,
    flapping,
    limited,
    no_schema,
    nonsense,
    one_picture,
    refuses,
    serving,
    slow,
)

from htbench.core.errors import HtbenchError, Incomplete, Missing, Refused, UsageError
from htbench.judging.card import JudgeCard
from htbench.judging.judges import refusals
from htbench.judging.judges.capability import Capability
from htbench.judging.leaderboard import TournamentResult, read_result
from htbench.judging.ledger import Ledger


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Four pairs of pictures, eight calls."""
    return judged_run.build(tmp_path / "run", methods=("none", "good"), concepts=4)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(Endpoint()) as up:
        yield up


@pytest.fixture
def judge(tmp_path: Path, endpoint: Endpoint) -> JudgeCard:
    return judged_run.card(tmp_path / "judge", endpoint.url, timeout=0.5)


def play(run: Path, judge: JudgeCard) -> tuple[TournamentResult, HtbenchError | None]:
    """The result of a tournament, and the error that stopped it."""
    stopped = None
    with Ledger.open(run) as ledger:
        entered = judged_run.tournament(run, ledger, judge)
        try:
            entered.play()
        except HtbenchError as error:
            stopped = error
        return read_result(ledger, entered.id, rounds=10), stopped


def last(endpoint: Endpoint) -> dict[str, Any]:
    return dict(endpoint.bodies[-1])


def test_an_endpoint_that_can_do_everything_is_asked_for_everything(
    run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    found, _ = play(run, judge)
    assert (found.outcomes, found.pending, endpoint.calls) == ({"answered": 8}, 0, 8)
    assert last(endpoint)["response_format"]["json_schema"]["strict"] is True
    assert list(last(endpoint)["response_format"]["json_schema"]["schema"]["properties"]) == [
        "verdict",
        "reason",
    ]
    assert last(endpoint)["top_logprobs"] == 20


def test_nothing_that_is_sent_names_a_method(
    run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    play(run, judge)
    texts = [
        part["text"]
        for body in endpoint.bodies
        for part in body["messages"][0]["content"]
        if part["type"] == "text"
    ]
    assert texts
    assert not [text for text in texts if "none" in text or "good" in text]


@pytest.mark.parametrize(
    ("ill", "calls", "holds"),
    [
        (no_schema, 10, lambda body: body["response_format"] == {"type": "json_object"}),
        (
            refuses("logprobs"),
            9,
            lambda body: (
                "logprobs" not in body and "top_logprobs" not in body and "temperature" in body
            ),
        ),
        (refuses("temperature"), 9, lambda body: "temperature" not in body and body["logprobs"]),
        (
            refuses("max_tokens"),
            9,
            lambda body: "max_tokens" not in body and body["max_completion_tokens"] == 300,
        ),
        (
            one_picture,
            9,
            lambda body: (
                sum(part["type"] == "image_url" for part in body["messages"][0]["content"]) == 1
            ),
        ),
        (flapping(), 24, lambda body: True),
        (slow(0.05), 8, lambda body: True),
    ],
)
def test_what_an_endpoint_cannot_do_is_found_out_once_and_no_call_is_lost(
    ill: Ill, calls: int, holds: Any, run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    endpoint.ill = ill
    found, stopped = play(run, judge)
    assert (stopped, found.outcomes, endpoint.calls) == (None, {"answered": 8}, calls)
    assert holds(last(endpoint))
    assert all(ending == "won" for ending in _winners(found))


def _winners(found: TournamentResult) -> list[str]:
    return [
        "won" if value > 0.5 else "lost"
        for (one, *_), value in found.criteria[0].preferences.items()
        if one == "good"
    ]


def test_a_judge_that_writes_prose_is_understood(
    run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    endpoint.prose = True
    assert play(run, judge)[0].outcomes == {"answered": 8}


def test_replies_without_a_verdict_are_missing_data_with_their_reason(
    run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    endpoint.finish = lambda number: "content_filter"
    found, stopped = play(run, judge)
    assert (found.outcomes, found.pending, stopped) == ({"filtered": 8}, 8, None)
    assert found.criteria[0].audit.missing == {"good": {"filtered": 4}, "none": {"filtered": 4}}


def test_a_judge_that_is_always_cut_off_is_stopped_with_the_option_that_helps(
    run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    endpoint.finish = lambda number: "length"
    found, stopped = play(run, judge)
    assert (found.outcomes, endpoint.calls) == ({"truncated": 5}, 5)
    assert isinstance(stopped, Incomplete)
    assert str(stopped) == "the first 5 replies were cut off at 300 tokens"
    assert "--max-tokens 4096" in stopped.remedy


def test_what_is_no_completion_is_unusable_and_ends_the_command_after_a_few(
    run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    endpoint.ill = nonsense
    found, stopped = play(run, judge)
    assert found.outcomes == {"unusable": 5}
    assert isinstance(stopped, Missing)
    assert "welcome" in str(stopped)


@pytest.mark.parametrize(
    ("status", "body", "words", "calls"),
    [
        (402, {"error": {"message": "needs more credits"}}, "paid first: needs more credits", 1),
        (429, {"error": {"message": "exceeded your current quota"}}, "current quota", 1),
        (200, {"error": {"message": "no credits left", "code": 402}}, "no credits left", 1),
        (403, [{"error": {"message": "who are you?"}}], "the key: who are you?", 1),
        (404, {"detail": "Not Found"}, "answers no questions, with 404: Not Found", 1),
        (404, {"error": {"message": "model 'x' not found"}}, "has no model 'scripted'", 1),
        (413, "<html><title>Too large</title><p>Ask for less", "Too large Ask for less", 5),
        (418, {"message": "I am a teapot"}, "I am a teapot", 5),
        (200, {"object": "error", "message": "no such thing", "code": 418}, "no such thing", 5),
    ],
)
def test_a_refusal_that_holds_for_every_call_ends_the_command_with_its_words(
    status: int,
    body: Any,
    words: str,
    calls: int,
    run: Path,
    judge: JudgeCard,
    endpoint: Endpoint,
) -> None:
    endpoint.ill = lambda number, ask: (status, {}, body)
    _, stopped = play(run, judge)
    assert stopped
    assert words in str(stopped)
    assert endpoint.calls == calls


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "image input is not supported - hint: you may need to provide the mmproj"),
        (400, "tiny is not a multimodal model"),
        (400, "Invalid content type. image_url is only supported by certain models."),
        (404, "No endpoints found that support image input"),
        (422, "messages[0]: unknown variant `image_url`, expected `text`"),
        (400, "Model does not support images. Please use a model that does."),
        (501, "Vision is not supported by this deployment"),
    ],
)
def test_a_model_that_takes_no_pictures_ends_the_command_at_its_first_call(
    status: int, message: str, run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    endpoint.ill = lambda number, ask: (status, {}, {"error": {"message": message}})
    _, stopped = play(run, judge)
    assert isinstance(stopped, Refused)
    assert str(stopped) == f"'scripted' takes no pictures: {status}: {message}"
    assert endpoint.calls == 1


@pytest.mark.parametrize(
    "message",
    [
        "At most 1 image(s) may be provided in one prompt.",
        "This model does not support multiple images",
        "The image is larger than 20 MB",
        "image format not supported",
    ],
)
def test_words_about_some_pictures_are_no_refusal_of_all(message: str) -> None:
    assert not refusals.is_about_pictures(message)


def test_a_refusal_of_a_context_that_is_too_long_says_so_once(
    run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    message = "The model's context is 2048 tokens; this request has 2604."
    endpoint.ill = lambda number, ask: (400, {}, {"error": {"message": message}})
    found, stopped = play(run, judge)
    assert found.outcomes == {"rejected": 5}
    assert message in str(stopped)


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_parameter_that_is_refused_by_name_is_left_out_whatever_the_status(
    status: int, run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    message = "You may not use 'logprobs' with this model."
    endpoint.ill = lambda number, ask: (
        (status, {}, {"error": {"message": message}}) if "logprobs" in ask.body else None
    )
    assert play(run, judge)[0].outcomes == {"answered": 8}
    assert endpoint.calls == 9


@pytest.mark.parametrize(
    ("message", "most", "calls"),
    [
        ("Invalid 'top_logprobs': must be at most 5", 5, 9),
        ("top_logprobs: Input should be less than or equal to 3", 3, 9),
        ("Expected top_logprobs to be <= 5, but got 20", 5, 9),
        ("Expected a value between 0 and 8 for top_logprobs", 8, 9),
        ("top_logprobs is too large", 1, 10),
    ],
)
def test_as_many_alternatives_are_requested_as_the_endpoint_gives(
    message: str, most: int, calls: int, run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    endpoint.ill = lambda number, ask: (
        (400, {}, {"error": {"message": message}})
        if ask.body.get("top_logprobs", 0) > most
        else None
    )
    assert play(run, judge)[0].outcomes == {"answered": 8}
    assert (last(endpoint)["top_logprobs"], last(endpoint)["logprobs"]) == (most, True)
    assert endpoint.calls == calls


def test_probabilities_that_are_refused_altogether_are_not_requested(
    run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    endpoint.ill = refuses("top_logprobs")
    assert play(run, judge)[0].outcomes == {"answered": 8}
    assert not {"logprobs", "top_logprobs"} & set(last(endpoint))


def test_missing_data_is_asked_again_next_time_and_the_rest_is_not(
    run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    endpoint.finish = lambda number: "length" if number <= 3 else "stop"
    assert play(run, judge)[0].outcomes == {"answered": 5, "truncated": 3}
    endpoint.finish, endpoint.paid = lambda number: "stop", {}
    assert play(run, judge)[0].outcomes == {"answered": 8}
    assert endpoint.calls == 8 + 3


def test_a_long_wait_stops_the_tournament_and_the_next_command_goes_on(
    run: Path, judge: JudgeCard, endpoint: Endpoint
) -> None:
    endpoint.ill = limited
    found, stopped = play(run, judge)
    assert isinstance(stopped, Incomplete)
    assert "asks to wait for 600 s" in str(stopped)
    assert found.outcomes["answered"] == 5
    endpoint.ill = lambda number, ask: None
    assert play(run, judge)[0].outcomes == {"answered": 8}
    assert max(endpoint.replies.values()) == 1


def test_an_endpoint_that_hangs_is_given_up(run: Path, tmp_path: Path, endpoint: Endpoint) -> None:
    endpoint.ill = slow(2.0)
    found, stopped = play(
        run, judged_run.card(tmp_path / "judge", endpoint.url, timeout=0.2, retries=0)
    )
    assert isinstance(stopped, Missing)
    assert found.outcomes == {"timeout": 1}


def test_an_endpoint_that_is_down_is_one_clear_line(run: Path, tmp_path: Path) -> None:
    found, stopped = play(
        run, judged_run.card(tmp_path / "judge", "http://127.0.0.1:9/v1", retries=0)
    )
    assert isinstance(stopped, Missing)
    assert "http://127.0.0.1:9/v1 does not answer" in str(stopped)
    assert (found.outcomes, found.pending) == ({"down": 1}, 8)


@pytest.mark.parametrize(
    ("status", "kind", "remedy"),
    [(401, Missing, "Set TEST_JUDGE_KEY"), (404, UsageError, "--model")],
)
def test_a_wrong_key_or_model_is_one_clear_line(
    status: int,
    kind: type[HtbenchError],
    remedy: str,
    run: Path,
    judge: JudgeCard,
    endpoint: Endpoint,
) -> None:
    endpoint.ill = lambda number, ask: (status, {}, {"error": {"message": "no"}})
    _, stopped = play(run, judge)
    assert isinstance(stopped, kind)
    assert remedy in stopped.remedy
    assert endpoint.calls == 1


def test_a_key_that_is_needed_is_asked_for(run: Path, tmp_path: Path) -> None:
    _, stopped = play(
        run, judged_run.card(tmp_path / "judge", "http://127.0.0.1:9/v1", needs_key=True)
    )
    assert isinstance(stopped, Missing)
    assert "TEST_JUDGE_KEY" in stopped.remedy


def test_without_a_model_the_endpoints_first_is_asked(run: Path, judge: JudgeCard) -> None:
    found, _ = play(run, judge.model_copy(update={"model": ""}))
    assert found.metadata["model"] == "scripted"


def test_abilities_are_told_by_what_a_refusal_names() -> None:
    able = Capability()
    lesser = able.after_refusal("Unknown parameter: 'seed'", {"seed": 0, "temperature": 0})
    assert lesser
    assert (lesser.without, lesser.form) == (("seed",), "strict")
    assert Capability.from_json(lesser.to_json()) == lesser


def test_a_refusal_that_names_nothing_does_not_degrade_an_endpoint_that_was_found_able() -> None:
    able, message = Capability(sure=True), "the request could not be processed"
    assert able.after_refusal(message, {"seed": 0}) is None
