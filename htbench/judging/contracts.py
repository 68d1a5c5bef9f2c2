"""The contract of every judge, as checks that `htbench check judge` and our own tests run.

A judge behind an API is asked nothing unless the user allows it. One on this machine is asked.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from htbench.core import content, promises, registry
from htbench.core.errors import HtbenchError, Missing
from htbench.core.promises import PromiseResult, check_all, check_one, require
from htbench.judging import budget
from htbench.judging.budget import Budget
from htbench.judging.card import VERDICTS, JudgeCard, load_judge_card
from htbench.judging.judge import (
    FINAL_OUTCOMES,
    OUTCOMES,
    Judge,
    JudgeAnswer,
    JudgeContext,
    Question,
    ShownPicture,
    Verdict,
)
from htbench.judging.pictures import encode, standardise

CONCEPT, PROMPT = "in red", "a square"
SIDE = 64
_STAND_IN = "emoji-clip-b"
"""The encoder of a judge that has that of a run, where there is none."""
_MOST_REQUESTS = 20
"""Requests that the three questions may take, those that find out what an endpoint accepts with
them."""
_GARBAGE = ("", "null", "[]", "<html>", '{"choices": []}', '{"choices": [{"message": null}]}', "{")


@dataclass(frozen=True, kw_only=True)
class JudgeCase:
    """A judge, against which promises are checked."""

    name: str
    """Name of a judge, or the path of its folder."""
    model: str | None = None
    """Model in place of that of the card."""
    prices: Path | None = None
    """A user's table of prices."""
    device: str = "cpu"
    may_ask: bool = False
    """True if questions may be sent to an endpoint."""

    @cached_property
    def card(self) -> JudgeCard:
        """The judge's card."""
        return load_judge_card(self.name).with_model(self.model)

    @cached_property
    def judge(self) -> Judge:
        """The judge, which has been asked nothing."""
        context = JudgeContext(
            device=self.device,
            concurrency=1,
            wait=5.0,
            offline=not self.may_ask,
            memory={},
            meter=Budget(requests=_MOST_REQUESTS).meter(),
        )
        factory = registry.load("judges", self.card.kind)
        try:
            judge: Judge = factory(self.card, context)
        except Missing:  # it judges with the encoder of a run, and there is none
            judge = factory(self.card.with_model(_STAND_IN), context)
        return judge

    @property
    def is_asked(self) -> bool:
        """True if questions are put to the judge: it is on this machine, or the user allows it."""
        try:
            return self.may_ask or not self.judge.endpoint
        except HtbenchError:
            return True

    @cached_property
    def answers(self) -> dict[str, JudgeAnswer]:
        """The answers to the questions, by key."""
        answers: dict[str, JudgeAnswer] = {}
        for answer in self.judge.answers(iter(self.questions.values())):
            require(
                answer.key in {question.key for question in self.questions.values()},
                f"an answer has the key {answer.key!r}, which no question has",
            )
            require(answer.key not in answers, "a question is answered twice")
            answers[answer.key] = answer
        return answers

    @cached_property
    def questions(self) -> dict[str, Question]:
        """One pair in both orders, and one picture twice."""
        criterion = next(
            (each for each in self.card.criteria if self.card.is_about_concept(each)),
            self.card.criteria[0],
        )
        red, blue = self._picture("red"), self._picture("blue")
        pairs = {"first": (red, blue), "second": (blue, red), "same": (red, red)}
        text = self.card.render_rubric(criterion, concept=CONCEPT, prompt=PROMPT)
        return {
            name: Question(
                key=content.digest([self.card.digest, criterion, name]),
                criterion=criterion,
                text=text,
                concept=CONCEPT,
                prompt=PROMPT,
                first=first,
                second=second,
            )
            for name, (first, second) in pairs.items()
        }

    def verdict(self, name: str) -> Verdict:
        """The verdict on a question that was asked."""
        answer = self.answers.get(self.questions[name].key)
        require(answer is not None, f"question {name!r} has no answer")
        if answer is None or answer.failure:
            reason = answer.message if answer else ""
            require(False, f"question {name!r} was not answered: {reason[:200]}")
        return self.judge.read(answer.body if answer else "")

    def _picture(self, colour: str) -> ShownPicture:
        from PIL import Image

        picture = standardise(Image.new("RGB", (SIDE, SIDE), colour), self.card.pictures)
        return encode(picture, self.card.pictures, name=f"{colour}.png")


def check(case: JudgeCase) -> Iterator[PromiseResult]:
    """Check every promise in turn, those of answers only if the judge may be asked.

    Stop if the first is broken, since the others depend on it.
    """
    is_readable = True
    for result in check_all(PROMISES[: -len(PROMISES_OF_ANSWERS)], case):
        is_readable = is_readable and not (result.problem and result.promise == _FIRST)
        yield result
    if is_readable and case.is_asked:
        yield from (check_one(promise, case) for promise in PROMISES_OF_ANSWERS)


def its_card_can_be_read(case: JudgeCase) -> None:
    require(bool(case.card.criteria), "its card names no criterion")


def its_words_for_readers_are_there(case: JudgeCase) -> None:
    for field in ("summary", "label", "version"):
        require(bool(getattr(case.card, field).strip()), f"{field!r} of its card is empty")


def its_rubrics_name_the_concept_and_the_prompt(case: JudgeCase) -> None:
    card = case.card
    for criterion in card.known_criteria:
        card.render_rubric(criterion, concept=CONCEPT, prompt=PROMPT)
    require(
        any(card.is_about_concept(each) for each in card.criteria),
        "no criterion has {{ concept }}, so that a wrong concept could not lose",
    )
    require(
        any(
            card.render_rubric(each, concept=CONCEPT, prompt=PROMPT)
            != card.render_rubric(each, concept=CONCEPT, prompt="another")
            for each in card.criteria
        ),
        "no criterion has {{ prompt }}, so that a picture of something else could not lose",
    )


def its_schema_asks_for_every_verdict(case: JudgeCase) -> None:
    schema = case.card.reply_schema
    if not schema:
        return
    properties, required = schema["properties"], schema.get("required", [])
    require("verdict" in required, "'verdict' is not required by the schema of replies")
    require(
        sorted(required) == sorted(properties) and schema.get("additionalProperties") is False,
        "endpoints refuse a strict schema unless all properties are required and no others allowed",
    )


def its_prices_are_known(case: JudgeCase) -> None:
    if case.prices is None:
        return
    table = budget.read_prices(case.prices)
    if model := case.card.model:
        table.price(model)


def it_has_the_parts_of_a_judge(case: JudgeCase) -> None:
    lacks = [
        part
        for part in ("answers", "read", "endpoint", "encoders", "parser")
        if not hasattr(case.judge, part)
    ]
    require(not lacks, f"it has no {' and no '.join(map(repr, lacks))}")


def what_is_no_answer_is_unusable(case: JudgeCase) -> None:
    for body in _GARBAGE:
        verdict = case.judge.read(body)
        require(
            verdict.outcome not in FINAL_OUTCOMES and verdict.outcome in OUTCOMES,
            f"the reply {body!r} is read as {verdict.outcome!r}",
        )


def every_verdict_can_be_read(case: JudgeCase) -> None:
    if not case.judge.endpoint:
        return
    for word in VERDICTS:
        values = dict.fromkeys(case.card.reply_schema.get("properties", {}), "because")
        message = {"role": "assistant", "content": json.dumps({**values, "verdict": word})}
        body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]})
        verdict = case.judge.read(body)
        wanted = None if word == "cannot_judge" else word
        require(
            verdict.outcome in FINAL_OUTCOMES and verdict.choice == wanted,
            f"the verdict {word!r} is read as {verdict.outcome}, {verdict.choice!r}",
        )


def it_answers_each_question_once(case: JudgeCase) -> None:
    for question in case.questions:
        outcome = case.verdict(question).outcome
        require(outcome in FINAL_OUTCOMES, f"question {question!r}: {outcome}")


def it_charges_no_less_than_nothing(case: JudgeCase) -> None:
    for answer in case.answers.values():
        usage = answer.usage
        require(
            min(usage.asked, usage.cached, usage.replied) >= 0 and usage.cached <= usage.asked,
            f"an answer is charged {usage}",
        )


def the_same_picture_wins_in_both_orders(case: JudgeCase) -> None:
    first, second = case.verdict("first"), case.verdict("second")
    turned = {"A": "B", "B": "A"}.get(first.choice or "", first.choice)
    require(
        second.choice == turned,
        f"of a red and a blue square it chooses {first.choice!r}, and {second.choice!r} with their "
        "places exchanged",
    )


def one_picture_twice_is_a_tie(case: JudgeCase) -> None:
    verdict = case.verdict("same")
    require(
        verdict.choice in ("tie", None),
        f"of one picture shown twice it chooses {verdict.choice!r}",
    )


PROMISES_OF_ANSWERS = (
    it_answers_each_question_once,
    it_charges_no_less_than_nothing,
    the_same_picture_wins_in_both_orders,
    one_picture_twice_is_a_tie,
)
PROMISES = (
    its_card_can_be_read,
    its_words_for_readers_are_there,
    its_rubrics_name_the_concept_and_the_prompt,
    its_schema_asks_for_every_verdict,
    its_prices_are_known,
    it_has_the_parts_of_a_judge,
    what_is_no_answer_is_unusable,
    every_verdict_can_be_read,
    *PROMISES_OF_ANSWERS,
)
_FIRST = promises.name(its_card_can_be_read)
