"""Reading of verdicts from raw replies."""

import json
import math
from typing import Any

import pytest
from kit.judge_servers import completion

from htbench.judging.judges import reply

TIE = {"A": 1.0, "B": 0.0, "tie": 0.5}


def read(text: str, **more: Any) -> Any:
    return reply.read(json.dumps(completion({"content": text}, **more)))


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ('{"verdict": "A", "reason": "x"}', "A"),
        ('```json\n{"verdict": "B"}\n```', "B"),
        ('Well. {"verdict": "tie", "reason": "{"}', "tie"),
        ('<think>B at first: {"verdict": "B"}</think>{"verdict": "A"}', "A"),
        ("They differ.\nVerdict: B", "B"),
        ("**A**", "A"),
        ("My final answer is: picture b.", "B"),
        ("both alike\n\nTIE", "tie"),
    ],
)
def test_a_verdict_is_found(text: str, choice: str) -> None:
    found = read(text)
    assert (found.outcome, found.choice, found.preference) == ("answered", choice, TIE[choice])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A is nice, B is nicer",
        '{"verdict": "C"}',
        '{"winner": "A"}',
        '{"verdict": ["A"]}',
        "Verdict: A or B",
        "{" * 2000,
    ],
)
def test_what_is_no_verdict_is_unusable(text: str) -> None:
    assert read(text).outcome == "unusable"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        '{"choices": []}',
        '{"choices": [{}]}',
        '{"choices": [{"message": null}]}',
        "<html>",
        "[" * 100_000,
    ],
)
def test_what_is_no_completion_is_unusable(body: str) -> None:
    assert reply.read(body).outcome == "unusable"


@pytest.mark.parametrize(
    "text", ['{"verdict": "cannot_judge", "reason": "dark"}', "I see nothing.\ncannot judge"]
)
def test_to_abstain_is_a_verdict_and_no_tie(text: str) -> None:
    found = read(text)
    assert (found.outcome, found.choice, found.preference) == ("cannot judge", None, None)


def test_content_in_parts_is_put_together() -> None:
    body = completion(
        {"content": [{"type": "text", "text": '{"verdict": '}, {"type": "text", "text": '"B"}'}]}
    )
    assert reply.read(json.dumps(body)).choice == "B"


def test_a_refusal_keeps_its_words() -> None:
    found = reply.read(json.dumps(completion({"content": None, "refusal": "no people"})))
    assert (found.outcome, found.reason) == ("refused", "no people")


def logprobs(tokens: list[str], at: int, chances: dict[str, float]) -> dict[str, Any]:
    tops = [{"token": token, "logprob": math.log(chance)} for token, chance in chances.items()]
    return {
        "content": [
            {"token": token, "logprob": -0.1, "top_logprobs": tops if k == at else []}
            for k, token in enumerate(tokens)
        ]
    }


def test_probabilities_of_the_verdicts_token_are_weighed() -> None:
    chances = {"A": 0.6, "B": 0.2, "t": 0.1, '"A': 0.05, " cannot": 0.05}
    found = read(
        '{"verdict": "A"}', logprobs=logprobs(['{"', "verdict", '": "', "A", '"}'], 3, chances)
    )
    assert found.choice == "A"
    assert found.preference == pytest.approx((0.65 + 0.05) / 0.95)
    assert found.coverage == pytest.approx(1.0)


def test_a_verdict_whose_token_begins_with_a_quote_is_weighed() -> None:
    found = read(
        '{"verdict": "B"}',
        logprobs=logprobs(['{"verdict":', ' "B', '"}'], 1, {' "B': 0.7, ' "A': 0.3}),
    )
    assert found.preference == pytest.approx(0.3)


def test_probabilities_in_prose_are_those_of_the_last_word() -> None:
    found = read(
        "A cat.\nVerdict: B",
        logprobs=logprobs(["A", " cat", ".\n", "Verdict", ":", " B"], 5, {" B": 0.75, " A": 0.25}),
    )
    assert found.preference == pytest.approx(0.25)


@pytest.mark.parametrize(
    "odd", [None, {}, {"content": None}, {"content": [{"token": "x"}]}, {"content": [{}]}]
)
def test_without_probabilities_the_written_verdict_counts(odd: Any) -> None:
    found = read('{"verdict": "B"}', logprobs=odd)
    assert (found.preference, found.coverage) == (0.0, None)


def test_probabilities_that_cover_little_do_not_count() -> None:
    found = read(
        '{"verdict": "A"}',
        logprobs=logprobs(['{"verdict": "', "A", '"}'], 1, {"A": 0.5, "x": 0.4, "B": 0.1}),
    )
    assert (found.preference, found.coverage) == (1.0, None)


def test_tokens_are_counted() -> None:
    body = completion("A")
    body["usage"]["prompt_tokens_details"] = {"cached_tokens": 600}
    found = reply.usage(json.dumps(body))
    assert (found.asked, found.cached, found.replied) == (1000, 600, 20)
    assert reply.usage('{"usage": null}').asked == 0
