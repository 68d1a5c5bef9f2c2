"""Picture styles: a name, a program, and other words for it."""

from dataclasses import dataclass

from htbench.models.emoji.canvas import Draw


@dataclass(frozen=True, kw_only=True)
class Style:
    """A look that a whole picture can have."""

    name: str
    """One word, which captions have."""
    family: str
    """The kind of look: styles of a family share operations."""
    draw: Draw
    synonyms: tuple[str, ...]
    """Other words for it that CLIPs learn, and the generator does not."""
    unknown: tuple[str, ...]
    """Words for it that nothing is trained on."""


def family(name: str, *rows: tuple[str, Draw, str, str]) -> dict[str, Style]:
    """Styles by name, from their names, programs, synonyms and unknown words (split by `;`)."""
    return {
        style: Style(
            name=style,
            family=name,
            draw=draw,
            synonyms=split_texts(synonyms),
            unknown=split_texts(unknown),
        )
        for style, draw, synonyms, unknown in rows
    }


def split_texts(texts: str) -> tuple[str, ...]:
    """Texts that `;` separates."""
    return tuple(text.strip() for text in texts.split(";"))
