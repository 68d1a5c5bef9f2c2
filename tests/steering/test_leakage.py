"""The leakage audit on concepts with invented embeddings."""

from dataclasses import replace

import numpy as np
import pytest

from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.leakage import (
    LeakageAudit,
    audit,
    concepts_of,
    neighbours,
    normalise,
    prompts_sharing_a_word,
)
from htbench.steering.training import Training, training_digest

VECTORS = {
    "with lemon": (1.0, 0.0),
    "With  Lemon!": (1.0, 0.0),
    "with lime": (0.96, 0.28),
    "as a linocut": (0.0, 1.0),
}

_UNIT = {text: np.array((1.0, 0.0), np.float32) for text in VECTORS}


def _concept(name: str, text: str) -> Concept:
    return Concept(id=name, kind="k", text=text, template="{prompt} x")


def _audit(evaluated: str, *, name: str = "test") -> LeakageAudit:
    known = {"lemon": _concept("lemon", "with lemon")}
    vectors = {text: np.array(vector, np.float32) for text, vector in VECTORS.items()}
    training = Training(concepts=("lemon",))
    return audit([_concept(name, evaluated)], training, known, vectors, encoder="clip")


def test_a_concept_that_was_trained_on_leaks() -> None:
    assert (
        _audit("with lemon", name="lemon").exact
        == _audit("with lemon", name="lemon").leaked
        == ("lemon",)
    )


def test_the_same_words_under_another_name_leak() -> None:
    found = _audit("With  Lemon!")
    assert (found.exact, found.normalised, found.leaked) == ((), ("test",), ("test",))


def test_a_near_neighbour_is_reported_and_does_not_leak() -> None:
    found = _audit("with lime")
    assert [(pair.evaluated, pair.trained) for pair in found.near] == [("test", "lemon")]
    assert found.nearest == pytest.approx(0.96)
    assert not found.leaked


def test_an_unrelated_concept_is_no_neighbour() -> None:
    assert (_audit("as a linocut").near, _audit("as a linocut").nearest) == ((), 0.0)


def test_a_training_concept_that_is_not_in_the_set_counts_by_its_id() -> None:
    found = audit(
        [_concept("lemon", "with lemon")], Training(concepts=("lemon",)), {}, {}, encoder="clip"
    )
    assert (found.exact, found.nearest) == (("lemon",), 0.0)


@pytest.mark.parametrize(
    ("one", "other"), [("With LEMON", "with lemon"), ("with-lemon.", "with lemon"), ("ﬁsh", "fish")]
)
def test_case_punctuation_and_encoding_do_not_count(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


def test_the_order_of_words_counts() -> None:
    assert normalise("red on blue") != normalise("blue on red")


def test_concepts_with_mostly_the_same_stems_are_neighbours() -> None:
    lemon, lemons, lime = (
        _concept("a", "with a ripe lemon"),
        _concept("b", "with ripe lemons"),
        _concept("c", "with a lime"),
    )
    assert neighbours([lemon, lime, lemons]) == [(lemon, lemons)]


def test_a_paraphrase_makes_neighbours_of_synonyms() -> None:
    drizzle, rain = _concept("a", "in drizzle"), _concept("b", "in light rain")
    assert neighbours([replace(drizzle, paraphrases=("in rain",)), rain])
    assert neighbours([replace(drizzle, synonyms=("in rain",)), rain])
    assert not neighbours([drizzle, rain])


def test_a_prompt_mentions_a_concept_whose_noun_it_has() -> None:
    assert prompts_sharing_a_word(
        _concept("a", "with a lemon"), ["two lemons on a table", "a cat with a dog"]
    ) == ["two lemons on a table"]


def _novel(*texts: str, trained: tuple[str, ...]) -> tuple[str, ...] | None:
    known = {text: _concept(text, text) for text in trained}
    every = {text: np.array((1.0, 0.0), np.float32) for text in (*texts, *trained)}
    return audit(
        [_concept(text, text) for text in texts],
        Training(concepts=tuple(known)),
        known,
        every,
        encoder="clip",
    ).novel


def test_words_that_training_had_in_other_concepts_are_not_new() -> None:
    assert _novel(
        "navy dots background", "teal dots", trained=("navy background", "red dots background")
    ) == ("teal dots",)


def test_neither_endings_nor_words_that_say_how_a_concept_is_put_are_new() -> None:
    assert _novel("in the style of a sketch", "with lemons", trained=("sketches", "lemon")) == ()


def test_words_of_synonyms_of_training_concepts_are_not_new() -> None:
    trained = replace(_concept("a", "with lemon"), synonyms=("with citron",))
    audited = audit(
        [_concept("b", "citron background")],
        Training(concepts=("a",)),
        {"a": trained},
        _UNIT | {"citron background": _UNIT["with lemon"]},
        encoder="clip",
    )
    assert audited.novel == ()


def test_a_concept_in_the_words_of_a_synonym_leaks() -> None:
    trained = replace(_concept("a", "with lemon"), synonyms=("with citron",))
    audited = audit(
        [_concept("b", "With citron")],
        Training(concepts=("a",)),
        {"a": trained},
        {},
        encoder="clip",
    )
    assert audited.leaked == ("b",)


def test_a_concept_given_by_pictures_alone_has_no_new_word() -> None:
    assert _novel("", trained=("lemon",)) == ()


def test_what_is_new_is_not_known_where_training_is_not() -> None:
    assert (
        audit(
            [_concept("a", "with lime")],
            Training(concepts=("lemon", "foreign")),
            {"lemon": _concept("lemon", "with lemon")},
            _UNIT,
            encoder="clip",
        ).novel
        is None
    )


def _unverified(training: Training, *known: Concept) -> str:
    by_id = {concept.id: concept for concept in known}
    evaluated = _concept("a", "with lime")
    return audit([evaluated], training, by_id, _UNIT, encoder="clip").unverified


LEMON = _concept("lemon", "with lemon")
OF_LEMON = Training(concepts=("lemon",), concepts_digest=training_digest([LEMON]))


def test_a_list_with_the_digest_of_its_concepts_is_verified() -> None:
    assert _unverified(OF_LEMON, LEMON) == ""


@pytest.mark.parametrize(
    ("training", "said"),
    [
        (replace(OF_LEMON, concepts=()), "not those of these ids"),
        (replace(OF_LEMON, concepts_digest=""), "no digest"),
        (replace(OF_LEMON, concepts=("lemon", "gone")), "in no set at hand"),
        (replace(OF_LEMON, unverified="its record was changed"), "its record was changed"),
    ],
)
def test_a_list_that_cannot_be_relied_on_is_unverified(training: Training, said: str) -> None:
    assert said in _unverified(training, LEMON)


def test_a_training_concept_that_was_rewritten_since_is_unverified() -> None:
    assert "not those of these ids" in _unverified(OF_LEMON, _concept("lemon", "as a linocut"))


@pytest.mark.parametrize("places", [(0, 1), (1, 0)])
def test_of_sets_that_share_ids_the_one_that_was_trained_on_is_asked(
    places: tuple[int, int],
) -> None:
    sets = [_set(LEMON), _set(_concept("lemon", "as a linocut"), _concept("owl", "with owl"))]
    known = concepts_of(OF_LEMON, [sets[place] for place in places])
    assert known == {"lemon": LEMON, "owl": _concept("owl", "with owl")}
    assert _unverified(OF_LEMON, *known.values()) == ""


def _set(*concepts: Concept) -> ConceptSet:
    return ConceptSet(
        name="own",
        version="1",
        licence="",
        about="",
        splits={"train": concepts, "dev": (), "test": ()},
        prompts=(),
    )
