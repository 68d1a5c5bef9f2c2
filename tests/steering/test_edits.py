"""Several concepts at once, as words and columns."""

from dataclasses import replace

import pytest

from htbench.core.errors import UnknownName, UsageError
from htbench.steering.concept import Concept
from htbench.steering.edits import Edit, Edits, leave_out, split_replacements, with_each_alone

SEPIA = Concept(
    id="style/sepia",
    kind="style",
    text="sepia style",
    template="{prompt}, sepia style",
    synonyms=("brown toned style",),
)
SNOW = replace(SEPIA, id="weather/snow", text="snowy weather", template="{prompt}, snowy weather")


def edits(*each: Edit, combine: str = "sum", remove_by: str = "inverse") -> Edits:
    return Edits.of(each, combine=combine, remove_by=remove_by)


@pytest.mark.parametrize(
    ("prompt", "rest"),
    [
        ("panda with lemon", "panda"),
        ("panda With  Lemon, sepia style", "panda, sepia style"),
        ("with lemon", "with lemon"),
        ("panda with lemons", "panda with lemons"),
    ],
)
def test_words_of_a_concept_are_left_out(lemon: Concept, prompt: str, rest: str) -> None:
    assert leave_out(prompt, lemon) == rest


@pytest.mark.parametrize("words", ["sepia style", "brown toned style"])
def test_a_word_that_leads_to_the_concept_goes_with_it_and_with_its_synonyms(words: str) -> None:
    assert leave_out(f"panda in a {words}, red background", SEPIA) == "panda, red background"


def test_the_prompt_that_asks_for_all_edits_has_their_words_and_not_the_removed_ones(
    lemon: Concept,
) -> None:
    wanted = edits(Edit(added=SNOW), Edit(removed=lemon))
    assert wanted.ask("panda with lemon") == "panda, snowy weather"
    assert edits(Edit(added=SNOW, removed=lemon)).ask("panda with lemon") == "panda, snowy weather"


def test_prompts_that_have_nothing_to_remove_are_not_asked_again(lemon: Concept) -> None:
    assert edits(Edit(removed=lemon)).asked(["panda", "koala"]) == {}
    assert edits(Edit(removed=lemon)).asked(["panda with lemon"]) == {"panda with lemon": "panda"}


def test_a_title_tells_the_order_of_a_sequence_and_what_is_replaced(lemon: Concept) -> None:
    each = Edit(added=SEPIA), Edit(removed=SNOW)
    assert edits(*each).title == "sepia style + without snowy weather"
    assert edits(*each, combine="sequence").title == "sepia style, then without snowy weather"
    assert edits(Edit(added=SNOW, removed=lemon)).title == "snowy weather in place of lemon"


def test_a_strength_is_for_each_edit_or_for_all() -> None:
    two = edits(Edit(added=SEPIA), Edit(added=SNOW))
    assert two.columns([0.5, (1, 0.25)]) == ((0.5, 0.5), (1.0, 0.25))
    assert edits(Edit(added=SEPIA)).columns([0, 1]) == (0.0, 1.0)


def test_more_strengths_than_concepts_are_refused() -> None:
    with pytest.raises(UsageError, match="3 strengths for 2 concepts: sepia style; snowy weather"):
        edits(Edit(added=SEPIA), Edit(added=SNOW)).columns([(1, 1, 1)])


def test_a_combination_is_shown_beside_each_concept_alone() -> None:
    assert with_each_alone((1.0, 0.5)) == ((0.0, 0.0), (1.0, 0.0), (0.0, 0.5), (1.0, 0.5))


def test_a_concept_that_is_there_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="'sepia style' would be replaced by itself"):
        edits(Edit(added=SEPIA, removed=SEPIA))
    with pytest.raises(UsageError, match="'sepia style' is given twice"):
        edits(Edit(added=SEPIA), Edit(removed=SEPIA))


def test_no_concept_is_refused() -> None:
    with pytest.raises(UsageError, match="give a concept"):
        edits()


@pytest.mark.parametrize("choice", [{"combine": "sums"}, {"remove_by": "invers"}])
def test_a_choice_that_does_not_exist_is_answered_with_the_nearest(choice: dict[str, str]) -> None:
    with pytest.raises(UnknownName, match=r"did you mean '(sum|inverse)'"):
        edits(Edit(added=SEPIA), **choice)


def test_replacements_are_pairs_of_concepts() -> None:
    assert split_replacements(["sepia style = woodcut style"]) == {"sepia style": "woodcut style"}


@pytest.mark.parametrize("texts", [["sepia style"], ["=lemon"], ["a=b", "a=c"]])
def test_replacements_of_another_form_are_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError):
        split_replacements(texts)
