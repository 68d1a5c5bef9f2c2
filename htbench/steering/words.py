"""Content words of texts, and the families of concepts that follow from them."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping

_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an the in on at as of by with from into over under before against near next beside "
        "joined wearing made and or to for its it style shades shade background among surrounded "
        "mood full covered like one two small little big old all some through seen shot light "
        "surface scene",
    )
)
"""Words that phrase a concept without naming it."""
COMMON_FROM = 0.5
"""Share of a kind's concepts from which a word that they have is the wording of the kind."""
_MIN_COMMON = 3


def normalise(text: str) -> str:
    """The words of a text in Unicode's NFKC form, without case and punctuation."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def stems(text: str) -> frozenset[str]:
    """The content words of a text without common endings; all of its words if it has none."""
    words = normalise(text.replace("'s", "")).split()
    content_words = [word for word in words if word not in _FUNCTION_WORDS] or words
    return frozenset(
        re.sub(r"(?<=\w{3})(?:ies|es|(?<!s)s|ed|ing|[ye])$", "", word) for word in content_words
    )


def families(texts: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Families of concepts by their words, from each concept's kind and text.

    Each content word that a concept has is a family, but for words that at least half of the
    concepts of its kind have: these name the kind, as `weather` in `rain weather`.
    """
    words = {concept: stems(text) for concept, (_, text) in texts.items()}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for concept, (kind, _) in texts.items():
        counts[kind].update(words[concept])
    sizes = Counter(kind for kind, _ in texts.values())
    return {
        concept: tuple(
            sorted(
                word
                for word in words[concept]
                if counts[kind][word] < max(_MIN_COMMON, COMMON_FROM * sizes[kind])
            )
        )
        for concept, (kind, _) in texts.items()
    }
