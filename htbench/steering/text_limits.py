"""Texts longer than a model or an encoder reads: what is beyond the limit is ignored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@runtime_checkable
class HasTextLimit(Protocol):
    """A model or an encoder that reads the beginning of a text; others leave this out."""

    name: str
    context_length: int
    """The most tokens that are read, with the end mark."""

    def tokens(self, text: str) -> Sequence[object]:
        """All tokens of a text, with its end mark."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A neutral prompt, and the one that asks for a concept."""

    concept: str
    """The concept's id."""
    prompt: str
    target: str


@dataclass(frozen=True, kw_only=True)
class CutText:
    """A text of which a model or an encoder reads the beginning alone."""

    reader: str
    """Name of the model or encoder."""
    concept: str
    target: str
    tokens: int
    limit: int
    is_concept_lost: bool
    """True if what is read does not differ from what is read of the neutral prompt."""

    def __str__(self) -> str:
        lost = ", and nothing of the concept" if self.is_concept_lost else ""
        return (
            f"{self.reader} reads {self.limit} tokens{lost} of the {self.tokens} of "
            f"{self.target[:120]!r} (concept {self.concept!r})"
        )


def cut_texts(reader: object, questions: Iterable[Question]) -> list[CutText]:
    """The targets that `reader` cuts; none if it reads any text."""
    if not isinstance(reader, HasTextLimit):
        return []
    limit, cut = reader.context_length, []
    for question in questions:
        tokens = reader.tokens(question.target)
        if len(tokens) <= limit:
            continue
        read, of_prompt = (
            list(part)[: limit - 1] for part in (tokens, reader.tokens(question.prompt))
        )
        cut.append(
            CutText(
                reader=reader.name,
                concept=question.concept,
                target=question.target,
                tokens=len(tokens),
                limit=limit,
                is_concept_lost=read == of_prompt,
            )
        )
    return cut
