"""Worlds: which of the composer's values a set of trained models knows, and in which words."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from htbench.models.emoji import other_words
from htbench.models.emoji.icons import nouns
from htbench.models.emoji.styles import STYLES
from htbench.models.emoji.surroundings import COLOURS, FRAMES, PATTERNS, WEATHERS

WORDINGS = {
    "companion": ("with {}", "and {}", "beside {}", "next to {}", "plus {}", "accompanied by {}"),
    "style": (
        "{} style",
        "in {} style",
        "{} picture",
        "drawn in {} manner",
        "in the style of {}",
        "{} look",
    ),
    "background": (
        "{} background",
        "on {}",
        "{} backdrop",
        "in front of {}",
        "against {}",
        "{} behind",
    ),
    "frame": (
        "{} frame",
        "framed in {}",
        "{} border",
        "with {} edges",
        "{} edging",
        "bordered in {}",
    ),
    "weather": (
        "{} weather",
        "{} day",
        "when it is {}",
        "{} sky",
        "in {} conditions",
        "while it is {}",
    ),
}
"""Phrasings of each kind of modifier, the usual one first. The embedded models are trained on the
first `N_TRAINED_WORDINGS`."""
N_TRAINED_WORDINGS = 3


@dataclass(frozen=True, kw_only=True)
class World:
    """The values of a scene that models are trained on, in the order in which they are drawn."""

    version: str
    """That of its concept set."""
    styles: tuple[str, ...]
    colours: tuple[str, ...]
    """Colours of backgrounds, with and without a pattern."""
    patterns: tuple[str, ...]
    frames: tuple[str, ...]
    weathers: tuple[str, ...]
    rim: int = 0
    """Pixels that each cell of the generator draws beyond its own on every side, mixed with those
    of its neighbours, so that no steering can leave a step between cells."""

    @cached_property
    def values(self) -> Mapping[str, tuple[str, ...]]:
        """All values of each kind of modifier."""
        patterned = (f"{colour} {pattern}" for colour in self.colours for pattern in self.patterns)
        return {
            "companion": nouns(),
            "style": self.styles,
            "background": (*self.colours, *patterned),
            "frame": self.frames,
            "weather": self.weathers,
        }

    def words(self) -> list[str]:
        """Every word that a caption of the generator can contain, sorted; the comma is a word."""
        values = [*nouns(), *(value for kind in self.values.values() for value in kind)]
        phrases = [
            wording.format("")
            for wordings in WORDINGS.values()
            for wording in wordings[:N_TRAINED_WORDINGS]
        ]
        return sorted({word for text in (*values, *phrases, ",") for word in text.split()})

    def synonyms(self, kind: str, value: str) -> tuple[str, ...]:
        """Other words for a value, which the CLIPs learn; nouns have none."""
        return other_words.synonyms(kind, value)

    def unknown_words(self, kind: str, value: str) -> tuple[str, ...]:
        """Other words for a value, which nothing is trained on; nouns have none."""
        return other_words.unknown(kind, value)

    def vocabulary(self) -> list[str]:
        """Every word that the CLIPs read, sorted: those of the generator, and synonyms.

        The generator shares this vocabulary; it has no use for the words of synonyms.
        """
        texts = (
            text
            for kind, values in self.values.items()
            for value in values
            for text in self.synonyms(kind, value)
        )
        return sorted({*self.words(), *(word for text in texts for word in text.split())})


SHIPPED = World(
    version="4",
    styles=tuple(STYLES),
    colours=tuple(COLOURS),
    patterns=tuple(PATTERNS),
    frames=tuple(FRAMES),
    weathers=tuple(WEATHERS),
    rim=2,
)
"""The world that the shipped weights, vocabulary and concepts are of."""
