"""Promises of judges: sound ones keep them all, a planted fault breaks the one that names it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kit import judged_run
from kit.judge_servers import Endpoint, Mind, fair, first_picker, nonsense, serving
from typer.testing import CliRunner

from htbench.cli import app
from htbench.core import registry
from htbench.core.promises import name
from htbench.judging import contracts
from htbench.judging.contracts import PROMISES, PROMISES_OF_ANSWERS, JudgeCase
from htbench.judging.judge import JudgeAnswer, Question, Verdict
from htbench.judging.judges.clip import Clip
from htbench.judging.meter import Usage

DEAD = "http://127.0.0.1:9/v1"
"""An address where nothing answers."""
PRICES = 'date = 2026-01-01\n[models."other"]\ninput = 1\noutput = 2\n'


def broken(case: JudgeCase) -> dict[str, str]:
    """The promises that a judge breaks, with the problems."""
    return {each.promise: each.problem for each in contracts.check(case) if each.problem}


def folder(path: Path, url: str = DEAD) -> Path:
    judged_run.card(path / "judge", url)
    return path / "judge"


def test_the_judge_on_this_machine_is_asked_and_keeps_every_promise() -> None:
    case = JudgeCase(name="clip")
    assert broken(case) == {}
    assert case.is_asked
    assert len(case.answers) == 3


@pytest.mark.parametrize("judge", ["openai", "local"])
def test_shipped_judges_keep_every_promise_and_nothing_is_sent(judge: str) -> None:
    case = JudgeCase(name=judge)
    results = list(contracts.check(case))
    assert [each.promise for each in results if each.problem] == []
    assert not case.is_asked
    assert len(results) == len(PROMISES) - len(PROMISES_OF_ANSWERS)


def test_a_judge_behind_an_api_is_sent_nothing_unless_it_is_allowed(tmp_path: Path) -> None:
    with serving(Endpoint()) as endpoint:
        path = str(folder(tmp_path, endpoint.url))
        assert broken(JudgeCase(name=path)) == {}
        assert endpoint.calls == 0
        assert broken(JudgeCase(name=path, may_ask=True)) == {}
        assert len(endpoint.replies) == 3


@pytest.mark.parametrize(
    ("mind", "promise"),
    [
        (first_picker, "the same picture wins in both orders"),
        (first_picker, "one picture twice is a tie"),
    ],
)
def test_a_fault_of_a_model_breaks_the_promise_that_names_it(
    mind: Mind, promise: str, tmp_path: Path
) -> None:
    with serving(Endpoint(mind=mind)) as endpoint:
        case = JudgeCase(name=str(folder(tmp_path, endpoint.url)), may_ask=True)
        assert promise in broken(case)


def test_a_server_that_answers_nonsense_breaks_a_promise(tmp_path: Path) -> None:
    with serving(Endpoint(mind=fair, ill=nonsense)) as endpoint:
        case = JudgeCase(name=str(folder(tmp_path, endpoint.url)), may_ask=True)
        assert "it answers each question once" in broken(case)


def _edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def _no_toml(judge: Path) -> None:
    (judge / "card.toml").write_text("name = ")


def _no_label(judge: Path) -> None:
    card = judge / "card.toml"
    label = next(line for line in card.read_text().splitlines() if line.startswith("label"))
    _edit(card, label, 'label = " "')


def _no_concept(judge: Path) -> None:
    for criterion in ("presence", "overall"):
        (judge / f"{criterion}.jinja").write_text("Which is nearer to {{ prompt }}?")


def _no_prompt(judge: Path) -> None:
    for criterion in ("presence", "preservation", "overall"):
        (judge / f"{criterion}.jinja").write_text("Which shows {{ concept }}?")


def _odd_placeholder(judge: Path) -> None:
    (judge / "further.jinja").write_text("Which shows {{ method }}?")


def _long_rubric(judge: Path) -> None:
    rubric = judge / "overall.jinja"
    rubric.write_text(rubric.read_text() + "x" * 70_000)


def _loose_schema(judge: Path) -> None:
    _edit(judge / "reply.json", '"required": ["verdict", "reason"]', '"required": ["verdict"]')


FAULTS_OF_FILES = {
    _no_toml: "its card can be read",
    _no_label: "its words for readers are there",
    _no_concept: "its rubrics name the concept and the prompt",
    _no_prompt: "its rubrics name the concept and the prompt",
    _odd_placeholder: "its rubrics name the concept and the prompt",
    _long_rubric: "its card can be read",
    _loose_schema: "its schema asks for every verdict",
}


@pytest.mark.parametrize("plant", FAULTS_OF_FILES, ids=lambda plant: plant.__name__)
def test_a_fault_of_a_file_breaks_the_promise_that_names_it(
    plant: Callable[[Path], None], tmp_path: Path
) -> None:
    judge = folder(tmp_path)
    plant(judge)
    assert FAULTS_OF_FILES[plant] in broken(JudgeCase(name=str(judge)))


@pytest.mark.parametrize("text", [PRICES, "date = 1"])
def test_a_table_of_prices_without_the_model_breaks_a_promise(text: str, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(text)
    case = JudgeCase(name=str(folder(tmp_path)), prices=tmp_path / "prices.toml")
    assert list(broken(case)) == ["its prices are known"]


class _Odd(Clip):
    """The judge on this machine, with a fault."""


class AnswersTwice(_Odd):
    def answers(self, questions: Iterator[Question]) -> Iterator[JudgeAnswer]:
        for answer in super().answers(questions):
            yield from (answer, answer)


class AnswersNothing(_Odd):
    def answers(self, questions: Iterator[Question]) -> Iterator[JudgeAnswer]:
        return iter(())


class PrefersTheFirst(_Odd):
    def read(self, body: str) -> Verdict:
        verdict = super().read(body)
        return replace(verdict, choice="A") if verdict.choice else verdict


class ReadsAnything(_Odd):
    def read(self, body: str) -> Verdict:
        return Verdict(outcome="answered", choice="tie")


class ChargesLessThanNothing(_Odd):
    def answers(self, questions: Iterator[Question]) -> Iterator[JudgeAnswer]:
        for answer in super().answers(questions):
            yield replace(answer, usage=Usage(asked=-1))


class HasNoParser(_Odd):
    @property
    def parser(self) -> str:  # type: ignore[override]
        raise AttributeError


class ReadsNoTie(_Odd):
    endpoint = DEAD

    def read(self, body: str) -> Verdict:
        try:
            word = json.loads(json.loads(body)["choices"][0]["message"]["content"])["verdict"]
        except (ValueError, LookupError, TypeError):
            return Verdict(outcome="unusable")
        return Verdict(outcome="answered", choice="A" if word == "tie" else word)


FAULTS_OF_JUDGES = {
    AnswersTwice: "it answers each question once",
    AnswersNothing: "it answers each question once",
    PrefersTheFirst: "the same picture wins in both orders",
    ReadsAnything: "what is no answer is unusable",
    ChargesLessThanNothing: "it charges no less than nothing",
    HasNoParser: "it has the parts of a judge",
    ReadsNoTie: "every verdict can be read",
}


@pytest.mark.parametrize("fault", FAULTS_OF_JUDGES, ids=lambda fault: fault.__name__)
def test_a_fault_of_a_judge_breaks_the_promise_that_names_it(
    fault: type[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = registry.load
    monkeypatch.setattr(
        registry, "load", lambda group, name: fault if group == "judges" else load(group, name)
    )
    assert FAULTS_OF_JUDGES[fault] in broken(JudgeCase(name="clip"))


def test_every_promise_is_broken_by_some_fault() -> None:
    known = {*FAULTS_OF_FILES.values(), *FAULTS_OF_JUDGES.values(), "its prices are known"}
    known |= {"one picture twice is a tie", "the same picture wins in both orders"}
    assert {name(promise) for promise in PROMISES} == known


def test_a_card_is_named_by_its_path_too(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["check", "judge", f"{folder(tmp_path)}/card.toml"])
    assert answer.exit_code == 0, answer.output
    assert "Nothing was sent" in answer.stderr
