"""The open concept set: its contents, and no overlap of held-out concepts with the rest."""

import json

import pytest

from htbench.core import content
from htbench.steering import concept, leakage, open_concepts
from htbench.steering.concept import SPLITS, Concept, ConceptSet

FOLDER = content.folder("concepts") / "open"


@pytest.fixture(scope="module")
def everything() -> ConceptSet:
    return concept.load("open")


def concepts(of: ConceptSet) -> list[Concept]:
    return [each for split in SPLITS for each in of.splits[split]]


def fit(of: ConceptSet) -> tuple[str, ...]:
    return of.splits["train"][0].sources


def test_the_lists_make_what_is_shipped() -> None:
    shipped = [
        json.loads(line)
        for line in (FOLDER / "concepts.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert open_concepts.rows(FOLDER) == shipped


def test_it_holds_out_167_of_a_thousand_concepts(everything: ConceptSet) -> None:
    assert [len(everything.splits[split]) for split in SPLITS] == [846, 83, 167]


def test_kinds_have_their_share_of_every_split(everything: ConceptSet) -> None:
    kinds = {split: {each.kind for each in members} for split, members in everything.splits.items()}
    shares = [
        sum(c.kind == kind for c in everything.splits["test"])
        / sum(c.kind == kind for c in concepts(everything))
        for kind in kinds["train"]
    ]
    assert kinds["train"] == kinds["dev"] == kinds["test"]
    assert max(shares) - min(shares) < 0.05


def test_no_two_concepts_have_the_same_words(everything: ConceptSet) -> None:
    assert len({leakage.normalise(each.text) for each in concepts(everything)}) == len(
        concepts(everything)
    )


def test_nothing_that_is_held_out_resembles_a_concept_of_another_split(
    everything: ConceptSet,
) -> None:
    of = {each.id: split for split in SPLITS for each in everything.splits[split]}
    assert [
        (a.id, b.id) for a, b in leakage.neighbours(concepts(everything)) if of[a.id] != of[b.id]
    ] == []


def test_every_concept_can_be_asked_for_in_other_words(everything: ConceptSet) -> None:
    for each in concepts(everything):
        words = [
            leakage.normalise(each.reworded(other).target("a cat")) for other in each.paraphrases
        ]
        assert (
            2
            <= len(
                {*words, leakage.normalise(each.target("a cat"))}
                - {leakage.normalise(each.target("a cat"))}
            )
            == len(words)
            <= 4
        ), each.id


def test_there_are_prompts_to_learn_from_and_others_to_evaluate_on(everything: ConceptSet) -> None:
    seen, held_out = (
        {leakage.normalise(prompt) for prompt in prompts}
        for prompts in (fit(everything), everything.prompts)
    )
    assert (len(seen) >= 128, len(held_out) >= 64, seen & held_out) == (True, True, set())


def test_prompts_are_sentences_of_some_words(everything: ConceptSet) -> None:
    assert all(4 <= len(prompt.split()) <= 15 for prompt in (*fit(everything), *everything.prompts))


@pytest.mark.parametrize("split", ["dev", "test"])
def test_no_neutral_prompt_says_a_held_out_concept(
    everything: ConceptSet, split: concept.Split
) -> None:
    assert [
        each.id
        for each in everything.splits[split]
        if leakage.prompts_sharing_a_word(each, (*fit(everything), *everything.prompts))
    ] == []


def test_the_card_says_that_it_is_no_papers_list(everything: ConceptSet) -> None:
    assert (everything.licence, "not the list of any paper" in everything.about) == (
        "CC0-1.0",
        True,
    )
