"""Parameters of a judge's calls, given on the command line, and models that think."""

from typing import Any

import pytest

from htbench.core.errors import UsageError
from htbench.judging import card as judge_cards
from htbench.judging.parameters import read_parameters, thinks


@pytest.mark.parametrize(
    "model",
    [
        *("o3", "o4-mini", "openai/o1", "gpt-5-mini", "openai/gpt-oss-120b", "deepseek-r1"),
        *("QwQ-32B", "Qwen/Qwen3-VL-8B-Thinking", "qwen3:8b", "google/gemini-2.5-pro"),
        "zai-org/GLM-4.5V",
    ],
)
def test_models_that_think_are_known_by_their_names(model: str) -> None:
    assert thinks(model)


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-4o-2024-11-20", "gpt-5-chat-latest", "Qwen/Qwen2.5-VL-7B-Instruct", "llava-1.6"),
        *("Qwen/Qwen3-VL-8B-Instruct", "model-non-thinking", "google/gemma-3-27b-it", "m"),
    ],
)
def test_other_models_do_not(model: str) -> None:
    assert not thinks(model)


@pytest.mark.parametrize(
    ("texts", "parameters"),
    [
        (["temperature=0.5"], {"temperature": 0.5}),
        (["reasoning_effort=low"], {"reasoning_effort": "low"}),
        (["reasoning.effort=low", "reasoning.max=5"], {"reasoning": {"effort": "low", "max": 5}}),
        (["extra_body.think=false"], {"think": False}),
        (['stop=["a=b"]'], {"stop": ["a=b"]}),
        (["seed=null"], {"seed": None}),
        (["stop="], {"stop": ""}),
    ],
)
def test_values_are_json_or_words(texts: list[str], parameters: dict[str, Any]) -> None:
    assert read_parameters(texts) == parameters


@pytest.mark.parametrize("texts", [["temperature"], ["=1"], ["a..b=1"], ["a=1", "a=2"]])
@pytest.mark.parametrize("more", [[], ["a.b=1"]])
def test_what_is_no_parameter_is_one_line(texts: list[str], more: list[str]) -> None:
    with pytest.raises(UsageError, match="--set"):
        read_parameters([*texts, *more])


def test_a_card_gives_models_that_think_more_room_and_the_user_has_the_last_word() -> None:
    card = judge_cards.load_judge_card("local")
    assert card.for_model("m") is card
    assert card.for_model("o3").decoding["max_tokens"] == 8192
    assert card.with_max_tokens(50).for_model("o3").decoding["max_tokens"] == 50
    assert "seed" not in card.with_parameters({"seed": None}).decoding


def test_other_parameters_make_another_judge_and_the_room_for_thoughts_alone_does_not() -> None:
    card = judge_cards.load_judge_card("local")
    assert card.model_copy(update={"thinking": {}}).digest == card.digest
    assert card.with_parameters({"temperature": 1}).digest != card.digest
    assert card.for_model("o3").digest != card.digest


@pytest.mark.parametrize("name", ["model", "messages", "stream"])
def test_what_htbench_sets_itself_cannot_be_set(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        judge_cards.load_judge_card("local").with_parameters({name: "x"})


def test_a_judge_without_calls_has_no_parameters() -> None:
    with pytest.raises(UsageError, match="'clip' makes no calls"):
        judge_cards.load_judge_card("clip").with_max_tokens(50)
