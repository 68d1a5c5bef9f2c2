"""Families of concepts from their words."""

from htbench.steering.words import families


def test_concepts_that_share_a_content_word_share_a_family() -> None:
    found = families(
        {
            "a": ("object", "with a red car"),
            "b": ("object", "beside two cars"),
            "c": ("object", "with a lemon"),
            "d": ("object", "with a red hat"),
            "e": ("object", "with an oak"),
        }
    )
    assert set(found["a"]) & set(found["b"]) == {"car"}
    assert set(found["a"]) & set(found["d"]) == {"red"}
    assert not set(found["c"]) & set(found["e"])


def test_a_word_that_half_of_a_kind_has_is_the_wording_of_the_kind() -> None:
    texts = {word: ("weather", f"{word} weather") for word in ("fog", "rain", "snow", "hail")}
    found = families(texts)
    assert found == {word: (word,) for word in texts}
