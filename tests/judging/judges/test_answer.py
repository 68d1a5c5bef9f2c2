"""The verdict that counts is the one after all thoughts, drafts and forms, or none."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.judge_servers import completion

from htbench.judging.judges import reply
from htbench.judging.judges.answer import NoVerdict, find_answer, split_thoughts

OTHER = {"A": "B", "B": "A", "tie": "A"}


def says(verdict: str) -> str:
    return json.dumps({"verdict": verdict, "reason": "r"})


def read(text: str, **more: Any) -> Any:
    return reply.read(json.dumps(completion({"content": text}, **more)))


@pytest.mark.parametrize(
    "form",
    [
        "At first sight {draft}, but no.\n</think>\n\n{final}",
        "<THINK>{draft}</Think>{final}",
        "<think type='long'>{draft}</ think >{final}",
        "<think>one</think>{draft}<think>two</think>{final}",
        "<reasoning>\n{draft}\n</reasoning>\n<answer>{final}</answer>",
        "[THINK]{draft}[/THINK]{final}",
        "◁think▷{draft}◁/think▷{final}",
        "&lt;think&gt;{draft}&lt;/think&gt;{final}",
        "<|channel|>analysis<|message|>{draft}<|end|>"
        "<|start|>assistant<|channel|>final<|message|>{final}<|return|>",
        "<|channel|>final <|constrain|>json<|message|>{final}",
        "analysisPerhaps {draft}.assistantfinal{final}",
        "<|channel>thought\n{draft}<channel|>{final}",
    ],
)
@pytest.mark.parametrize("verdict", OTHER)
def test_what_stands_before_the_end_of_a_thought_is_no_answer(form: str, verdict: str) -> None:
    text = form.replace("{draft}", says(OTHER[verdict])).replace("{final}", says(verdict))
    assert read(text).choice == verdict
    assert not find_answer(text).reason.startswith(OTHER[verdict])


@pytest.mark.parametrize(
    "text",
    [
        says("A") + " but no: " + says("B"),
        f"<think>{says('A')}",
        f"{says('A')}<think>or B?",
        f"<|channel|>analysis<|message|>{says('A')}",
        f"{says('A')}\nWait, B is better.",
        f"{says('A')}\nVerdict: B",
        f'{says("A")}\n{{"verdict": "B", "rea',
        '{"verdict": "A", "verdict": "B"}',
        "Verdict: A\nNo.\nVerdict: B",
        "Verdict: B\n\nStill, A has more of it.",
        '{"verdict": "either", "draft": {"verdict": "A"}}',
        says("A") + "{" * 300,
    ],
)
def test_a_reply_that_contradicts_itself_or_does_not_end_is_unusable(text: str) -> None:
    assert read(text).outcome == "unusable"


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ('{"verdict": "Picture A", "reason": "r"}', "A"),
        ('{"verdict": "Tie", "reason": "r"}', "tie"),
        ('{"verdict": "b", "reason": null}', "B"),
        ('{"Verdict": "**B**"}', "B"),
        ('{"verdict": "image a.", "reason": ["r"]}', "A"),
        ("{'verdict': 'A', 'reason': 'it's the dog's',}", "A"),
        ("{“verdict”: “B”, “reason”: “r”}", "B"),
        ("{«verdict»: «tie»}", "tie"),
        ('{"verdict"：「B」，"reason"：「r」}', "B"),
        ("{verdict: A, confidence: 0.9, }", "A"),
        ('{"draft": {"verdict": "B"}, "verdict": "A"}', "A"),
        ('{"result": {"verdict": "A"}}', "A"),
        (json.dumps(says("A")), "A"),
        ('{"verdict": "A, B, tie or cannot_judge"} is the form: {"verdict": "B"}', "B"),
        ('The form {"verdict": "A", "reason": "..."} gives ' + says("B"), "B"),
        ('{"verdict": "A", "reason": "not {\\"verdict\\": \\"B\\"}"}', "A"),
        ("**Picture A**\nnice\n**Picture B**\nbad\n\nA", "A"),
        (r"So it is \boxed{B}" + "\n" + r"\boxed{B}", "B"),
        ("<|begin_of_box|>B<|end_of_box|>", "B"),
        ("Verdict: A\n```", "A"),
    ],
)
def test_a_verdict_is_understood_in_other_spellings(text: str, choice: str) -> None:
    assert read(text).choice == choice


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_thought_in_a_field_of_its_own_is_no_answer(name: str) -> None:
    message = {"content": says("A"), name: says("B")}
    body = json.dumps(completion(message))
    assert (reply.read(body).choice, reply.thought(body)) == ("A", says("B"))
    only = reply.read(json.dumps(completion({**message, "content": None})))
    assert (only.outcome, only.reason) == ("unusable", "the reply is only a thought")


def test_a_thought_in_a_part_of_its_own_is_no_answer() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": says("B")}]}
    body = json.dumps(completion({"content": [thinking, {"type": "text", "text": says("A")}]}))
    assert (reply.read(body).choice, reply.thought(body)) == ("A", says("B"))


def test_a_thought_is_kept_apart_from_the_answer() -> None:
    split = split_thoughts(f"Let me see.\n</think>\n{says('A')}")
    assert (split.thought, split.answer.strip()) == ("Let me see.", says("A"))


def tokens_of(text: str, verdict_at: list[int]) -> list[dict[str, Any]]:
    """A token per character; those at the given places say what they say with 0.9."""
    tokens = []
    for place, letter in enumerate(text):
        chances = {letter: 0.9} if place in verdict_at else {}
        if letter in "AB":
            chances["B" if letter == "A" else "A"] = 0.1
        tops = [{"token": word, "logprob": math.log(chance)} for word, chance in chances.items()]
        tokens.append({"token": letter, "logprob": -0.1, "top_logprobs": tops})
    return tokens


@pytest.mark.parametrize("is_shown", [True, False])
@pytest.mark.parametrize("end", ["", "<|im_end|>"])
def test_probabilities_are_those_of_the_answers_verdict(is_shown: bool, end: str) -> None:
    thought = f"<think>perhaps {says('B')}</think>"
    whole = thought + says("A") + end
    tokens = tokens_of(whole, [whole.index('"B"') + 1, whole.rindex('"A"') + 1])
    found = read((thought if is_shown else "") + says("A"), logprobs={"content": tokens})
    assert (found.choice, found.preference) == ("A", pytest.approx(0.9))


def test_where_probabilities_disagree_the_written_verdict_counts() -> None:
    text = says("A")
    tokens = tokens_of(text, [])
    tops = [{"token": "B", "logprob": math.log(0.8)}, {"token": "A", "logprob": math.log(0.2)}]
    tokens[text.index('"A"') + 1]["top_logprobs"] = tops
    found = read(text, logprobs={"content": tokens})
    assert (found.choice, found.preference, found.coverage) == ("A", 1.0, None)


def test_probabilities_of_other_words_than_the_answers_are_not_weighed() -> None:
    other = "perhaps " + says("B")
    tokens = tokens_of(other, [other.index('"B"') + 1])
    found = read(says("A"), logprobs={"content": tokens})
    assert (found.preference, found.coverage) == (1.0, None)


def final_word(text: str) -> str | None:
    try:
        return find_answer(text).word
    except NoVerdict:
        return None


VERDICTS = st.sampled_from(["A", "B", "tie"])
QUOTES = st.sampled_from(
    ['""', "''", "“”", "«»", "»«", "„“", "„”", "‹›", "‘’", "‚‘", "「」", "『』", "＂＂", "``"]
)
SPELLINGS = st.sampled_from(["{}", "Picture {}", "image {}", "**{}**", "{}.", "option {}"])
REASONS = st.sampled_from([None, "", "r", "A has it and B does not", "{", "the dog is nice"])


@st.composite
def statements(draw: st.DrawFn, verdict: str) -> str:
    """A verdict as a model may write it."""
    word = draw(st.sampled_from([verdict, verdict.lower(), verdict.upper()]))
    word = draw(SPELLINGS).format(word)
    if draw(st.booleans()):
        return draw(st.sampled_from(["{}", "Verdict: {}", "> {}", "My answer is {}"])).format(word)
    quotes = draw(QUOTES)
    left, right = quotes[0], quotes[1]
    key = left + draw(st.sampled_from(["verdict", "Verdict", "VERDICT"])) + right
    parts = [f"{key}: {left}{word}{right}"]
    reason = draw(REASONS)
    if reason is not None:
        part = f"{left}reason{right}: {left}{reason}{right}"
        parts = draw(st.permutations([*parts, part]))
    comma = draw(st.sampled_from(["", ",", ", "]))
    space = draw(st.sampled_from(["", " ", "\n  "]))
    return "{" + space + (", " + space).join(parts) + comma + space + "}"


@st.composite
def drafts(draw: st.DrawFn) -> str:
    """Words before an answer, with verdicts in them."""
    parts = draw(
        st.lists(
            st.one_of(
                VERDICTS.flatmap(statements),
                st.sampled_from(
                    [
                        "Let me see.",
                        "A or B?",
                        '{"verdict": "A" | "B"}',
                        "| picture | score |\n|---|---|\n| A | 3 |\n| B | 5 |\n",
                        "- **Picture A**: a cat\n- **Picture B**: none\n",
                        '[{"verdict": "A"}, {"verdict": "B"}]',
                        '{"A": {"verdict": "B"}}',
                        "Ich bevorzuge „B“, nicht «A».",
                        "{",
                        "\n",
                        "```",
                        '"',
                        "'",
                    ]
                ),
            ),
            max_size=5,
        )
    )
    return draw(st.sampled_from([" ", "\n"])).join(parts)


THOUGHTS = st.sampled_from(
    [
        "{}\n</think>\n",
        "<think>{}</think>\n",
        "<Thinking>\n{}\n</THINKING>\n",
        "[THINK]{}[/THINK]\n",
        "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
        "{}\n\n",
    ]
)
WRAPS = st.sampled_from(
    ["{}", "```json\n{}\n```", "<answer>{}</answer>", "{}\n", "\n\n{}<|im_end|>"]
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.data())
def test_the_verdict_of_a_well_meant_reply_is_the_final_one_or_none(data: st.DataObject) -> None:
    verdict = data.draw(VERDICTS)
    final = data.draw(WRAPS).replace("{}", data.draw(statements(verdict)))
    begin = data.draw(THOUGHTS).replace("{}", data.draw(drafts()))
    assert final_word(begin + final) in (verdict, None)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_after_a_thought_that_ends_a_verdict_is_found_and_so_are_its_probabilities(
    data: st.DataObject,
) -> None:
    verdict = data.draw(st.sampled_from(["A", "B"]))
    final = says(verdict)
    text = (
        data.draw(THOUGHTS.filter(lambda form: form != "{}\n\n")).replace("{}", data.draw(drafts()))
        + final
    )
    tokens = tokens_of(text, list(range(len(text))))
    found = read(text, logprobs={"content": tokens})
    assert (found.choice, found.coverage) == (verdict, pytest.approx(1.0))
    assert found.preference == pytest.approx(0.9 if verdict == "A" else 0.1)


AFTERTHOUGHTS = st.sampled_from(
    ["\n<think>{}</think>", "\n<think>{}", "\n[THINK]{}[/THINK]\n", "\nThought: {}", "\n\n{}"]
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_a_thought_after_the_verdict_makes_no_other_verdict(data: st.DataObject) -> None:
    verdict = data.draw(VERDICTS)
    final = data.draw(WRAPS).replace("{}", data.draw(statements(verdict)))
    thought = data.draw(st.sampled_from(["Was that right?", "{}"])).replace(
        "{}", data.draw(statements(verdict))
    )
    after = data.draw(AFTERTHOUGHTS).replace("{}", thought)
    assert final_word(final + after) in (verdict, None)


@pytest.mark.parametrize(
    "text",
    [
        "| verdict | reason |\n|---|---|\n| {} | it shows more |",
        "| verdict | {} |\n| reason | nice |",
        "- verdict: {}\n- reason: nice",
        "**Verdict:** {}\n**Reason:** more of it",
        '{"verdict": "Bild {}"}',
        "判定：{}",
        "Le verdict : {}",
        r"\boxed{\text{{}}}",
        "I choose {}.",
        '{"verdict": "{}" // clearly\n}',
    ],
)
@pytest.mark.parametrize("verdict", OTHER)
def test_a_form_that_is_not_known_is_unusable_and_no_other_verdict(text: str, verdict: str) -> None:
    assert final_word(text.replace("{}", verdict)) in (verdict, None)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(VERDICTS.flatmap(statements), st.sampled_from(["Wait, {} is better.", "\n{}", "No: {}"]))
def test_an_answer_that_is_taken_back_does_not_count(answer: str, doubt: str) -> None:
    word = find_answer(answer).word
    assert final_word(f"{answer}\n{doubt.format('Verdict: ' + OTHER[word])}") != word
