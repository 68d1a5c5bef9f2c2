"""The concepts of imported pictures: those of a concept set, or words that become a set."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from htbench.core import content
from htbench.core.errors import UnknownName, UsageError
from htbench.importing.rows import words
from htbench.run.concept_source import OWN_SET
from htbench.steering import concept
from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.concept_files import MAX_ROWS

_WORDS = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class NamedConcepts:
    """The concepts of an installed set or a user's own, by what pictures call them."""

    set_name: str
    """As `--concept-set` has it."""

    @cached_property
    def concept_set(self) -> ConceptSet:
        """The set."""
        return concept.load(self.set_name)

    @cached_property
    def _ids(self) -> Mapping[str, str]:
        """Ids by name: the id itself, the words, and both as the names of files write them."""
        ids: dict[str, str] = {}
        concepts = [each for split in self.concept_set.splits.values() for each in split]
        for names in (_exact_names, _file_names):
            for each in concepts:
                for name in names(each):
                    ids.setdefault(name, each.id)
        return ids

    def id_of(self, text: str) -> str:
        """The id of the concept that is called so.

        Raises:
            UnknownName: if there is none, with the nearest names.
        """
        found = self._ids.get(text) or self._ids.get(_as_file_name(text))
        if found is None:
            raise UnknownName(
                f"concept of {self.set_name}",
                text,
                self._ids,
                remedy="Without --concept-set, concepts are given by their words.",
            )
        return found

    def save(self, folder: Path) -> None:
        """Nothing is to be kept: the set is where it was."""


@dataclass(frozen=True, kw_only=True)
class WordedConcepts:
    """Concepts given by their words, which become a concept set in the folder of the run."""

    folder: Path
    """The folder of the run."""
    set_name: str = OWN_SET
    _ids: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, folder: Path) -> "WordedConcepts":
        """The concepts that the run has so far."""
        concepts = cls(folder=folder)
        if (folder / OWN_SET).exists():
            for each in concepts.concept_set.splits["test"]:
                concepts._ids[each.text] = each.id
                concepts._taken.add(each.id)
        return concepts

    @property
    def concept_set(self) -> ConceptSet:
        """The set as it was saved."""
        return concept.load(str(self.folder.absolute() / OWN_SET))

    def id_of(self, text: str) -> str:
        """The id of the concept of these words, which is made where there is none.

        Raises:
            UsageError: if there are too many.
        """
        if text not in self._ids:
            if len(self._ids) >= MAX_ROWS:
                raise UsageError(f"a run has at most {MAX_ROWS:,} concepts")
            start = _as_file_name(text)[:80] or content.digest(text)
            id_, number = f"own/{start}", 1
            while id_ in self._taken:
                number += 1
                id_ = f"own/{start}-{number}"
            self._ids[text] = id_
            self._taken.add(id_)
        return self._ids[text]

    def save(self, folder: Path) -> None:
        """Write the set into the folder of the run, unless it is the same."""
        rows = [{"id": id_, "text": text} for text, id_ in self._ids.items()]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path = folder / OWN_SET
        if not path.exists() or path.read_text(encoding="utf-8") != lines:
            content.write_whole(path, lines)


Concepts = NamedConcepts | WordedConcepts


def _exact_names(each: Concept) -> list[str]:
    return [each.id, words(each.text)]


def _file_names(each: Concept) -> list[str]:
    return [_as_file_name(each.id), _as_file_name(each.text)]


def _as_file_name(text: str) -> str:
    """The words of a text in small letters, with hyphens between them."""
    return "-".join(_WORDS.findall(text.casefold().replace("_", " ")))
