"""Edits of images: concepts added, removed or put in place of others, one or several at once."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, get_args

from htbench.core.errors import UnknownName, UsageError
from htbench.steering.concept import Concept, ImageFile, Reference

Combine = Literal["sum", "sequence"]
COMBINATIONS: tuple[Combine, ...] = get_args(Combine)
RemoveBy = Literal["inverse", "negative"]
REMOVALS: tuple[RemoveBy, ...] = get_args(RemoveBy)
Strength = float | tuple[float, ...]
"""The strength of a column: of one edit, or of each of several."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A concept that is added to images, removed from them, or put in place of another."""

    added: Concept | None = None
    removed: Concept | None = None

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The removed concept and the added one, as far as there are."""
        return tuple(concept for concept in (self.removed, self.added) if concept)

    @property
    def name(self) -> str:
        """The edit in words, such as `without sepia style`."""
        added = _title(self.added) if self.added else ""
        if not self.removed:
            return added
        removed = _title(self.removed).removeprefix("with ")
        return f"{added} in place of {removed}" if added else f"without {removed}"

    def ask(self, prompt: str) -> str:
        """The prompt that asks for the edited image: removed words left out, added ones put in."""
        if self.removed:
            prompt = leave_out(prompt, self.removed)
        return self.added.target(prompt) if self.added else prompt


@dataclass(frozen=True, kw_only=True)
class Edits:
    """One edit or several that are made at once."""

    edits: tuple[Edit, ...]
    combine: Combine = "sum"
    """`sum` adds the changes that the edits make by themselves; in a `sequence` each edit changes
    what the one before has left."""
    remove_by: RemoveBy = "inverse"
    """`inverse` undoes the maps that add a concept, `negative` applies them at the negative of the
    strength; methods that write prompts have their own wording instead."""

    @classmethod
    def of(cls, edits: Sequence[Edit], *, combine: str, remove_by: str) -> "Edits":
        """The edits, with the two choices by name.

        Raises:
            UnknownName: if there is no such choice.
            UsageError: if there is no edit, or a concept is in two of them or replaces itself.
        """
        if not edits:
            raise UsageError(
                "give a concept: --concept, --remove, --replace, --image or --maps",
                remedy='Such as: htbench steer --concept "woodcut style" --prompt panda',
            )
        for edit in edits:
            if edit.added and edit.removed and edit.added.id == edit.removed.id:
                raise UsageError(
                    f"{_title(edit.added)!r} would be replaced by itself",
                    remedy="Give two concepts.",
                )
        concepts = [concept for edit in edits for concept in edit.concepts]
        times = Counter(concept.id for concept in concepts)
        for concept in concepts:
            if times[concept.id] > 1:
                raise UsageError(
                    f"{_title(concept)!r} is given twice", remedy="Give it once, with its strength."
                )
        if combine not in COMBINATIONS:
            remedy = "Choose sum, which has no order, or sequence."
            raise UnknownName("combination", combine, COMBINATIONS, remedy=remedy)
        if remove_by not in REMOVALS:
            remedy = "Choose inverse, for affine maps, or negative, for any."
            raise UnknownName("way to remove a concept", remove_by, REMOVALS, remedy=remedy)
        return cls(edits=tuple(edits), combine=combine, remove_by=remove_by)

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts of all edits, those of one edit in the order in which they are applied."""
        return tuple(chain.from_iterable(edit.concepts for edit in self.edits))

    @property
    def title(self) -> str:
        """All edits in words, in a sequence with their order."""
        return (", then " if self.combine == "sequence" else " + ").join(
            edit.name for edit in self.edits
        )

    @property
    def references(self) -> tuple[Reference | ImageFile, ...]:
        """Reference images of the concepts that have no words."""
        pictured = [concept for concept in self.concepts if not concept.text]
        return tuple(chain.from_iterable(concept.references for concept in pictured))

    def ask(self, prompt: str) -> str:
        """The prompt that asks for all edits; empty if a concept has no words that ask for it."""
        if any(edit.added and not edit.added.template for edit in self.edits):
            return ""
        for edit in self.edits:
            prompt = edit.ask(prompt)
        return prompt

    def asked(self, prompts: Iterable[str]) -> dict[str, str]:
        """The prompts that ask for all edits by prompt; empty if no such prompt is another one."""
        asking = {prompt: self.ask(prompt) for prompt in prompts}
        only_removes = all(edit.added is None for edit in self.edits)
        changed = any(prompt != asked for prompt, asked in asking.items())
        return asking if all(asking.values()) and (changed or not only_removes) else {}

    def columns(self, strengths: Iterable[float | Sequence[float]]) -> tuple[Strength, ...]:
        """Strengths as columns: a number for one edit; for several a number for each.

        Args:
            strengths: one item per column, which is a number for all edits or one for each.

        Raises:
            UsageError: if a column has a strength too many or too few.
        """
        count = len(self.edits)
        columns: list[Strength] = []
        for strength in strengths:
            each = tuple(strength) if isinstance(strength, Iterable) else (strength,)
            if len(each) not in (1, count):
                number = f"{len(each)} strength{'s' if len(each) != 1 else ''}"
                concepts = f"{count} concept{'s' if count > 1 else ''}"
                names = "; ".join(edit.name for edit in self.edits)
                raise UsageError(
                    f"{number} for {concepts}: {names}",
                    remedy="Give one strength for all of them, or one for each.",
                )
            each = tuple(map(float, each))
            columns.append(each[0] if count == 1 else each * (count // len(each)))
        return tuple(columns)


def with_each_alone(strengths: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    """Columns for one combination of strengths: without any edit, each edit alone, all together."""
    count = len(strengths)
    alone = [
        tuple(strength if k == j else 0.0 for j in range(count))
        for k, strength in enumerate(strengths)
    ]
    return tuple(dict.fromkeys([(0.0,) * count, *alone, strengths]))


def split_replacements(texts: Iterable[str]) -> dict[str, str]:
    """Concepts to replace with what replaces them, from texts such as `with lemon=with cherries`.

    Raises:
        UsageError: if a text is not of that form, or a concept is replaced twice.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        removed, _, added = (part.strip() for part in text.partition("="))
        if not (removed and added):
            raise UsageError(
                f"--replace {text[:80]!r} does not name two concepts",
                remedy='Write it as --replace "sepia style=woodcut style"',
            )
        if removed in pairs:
            raise UsageError(f"{removed[:80]!r} is replaced twice", remedy="Replace it once.")
        pairs[removed] = added
    return pairs


_LEADING_WORDS = r"(?:\b(?:in|with|and|of|as)\s+(?:(?:an?|the)\s+)?)?"


def leave_out(prompt: str, concept: Concept) -> str:
    """`prompt` without the words of a concept, or their synonyms and paraphrases.

    It is the same prompt if it has none of them, or nothing else.
    """
    for text in filter(None, (concept.text, *concept.synonyms, *concept.paraphrases)):
        words = r"\s+".join(map(re.escape, text.split()))
        found = rf"{_LEADING_WORDS}(?<!\w){words}(?!\w)"
        rest = re.sub(found, "", prompt, flags=re.IGNORECASE)
        if rest != prompt:
            parts = (" ".join(part.split()) for part in rest.split(","))
            return ", ".join(filter(None, parts)) or prompt
    return prompt


def _title(concept: Concept) -> str:
    return concept.text or ", ".join(reference.name for reference in concept.references)
