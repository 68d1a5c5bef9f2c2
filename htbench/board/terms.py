"""The terms on which a bundle's figures were made: only figures on equal terms share a table."""

from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np

from htbench.board.cells import BundledCells
from htbench.core import content
from htbench.core.types import Digest


@dataclass(frozen=True, kw_only=True, order=True)
class Terms:
    """The model, concepts, prompts and scorer of a bundle.

    Methods, strengths, fit seeds and times are no part of them: they are what is compared.
    """

    model: str
    concept_set: str
    set_version: str
    concepts: int
    prompts: int
    seeds: int
    """Largest number of seeds of a prompt."""
    scorer: str
    revision: str
    """Revision of the model."""
    digest: Digest
    """Digest of all this, with the words of the concepts, the prompts and the seeds."""

    @classmethod
    def of(cls, cells: BundledCells) -> Self:
        """The terms of a run."""
        facts, table = cells.facts, cells.table
        images = list(table.image.names)
        pairs = np.unique(table.concept.numbers * len(images) + table.image.numbers).tolist()
        names = {
            name: [
                str(each.stored.get(key) or "") if (each := facts.concepts.get(name)) else ""
                for key in ("kind", "text", "digest")
            ]
            for name in table.concept.names
        }
        is_full = len(pairs) == len(names) * len(images)
        grid = (
            []
            if is_full
            else [(table.concept.names[k // len(images)], *images[k % len(images)]) for k in pairs]
        )
        settings = {
            "model": facts.model.name,
            "concept_set": facts.concept_set.name,
            "set_version": facts.concept_set.version,
            "scorer": facts.scorer.id,
            "revision": facts.model.revision,
        }
        prompts = Counter(prompt for prompt, _ in images)
        return cls(
            **settings,
            concepts=len(names),
            prompts=len(prompts),
            seeds=max(prompts.values(), default=0),
            digest=content.digest(
                [settings, names, sorted(map(list, images)), sorted(map(list, grid))]
            ),
        )

    @property
    def board(self) -> tuple[str, str, str]:
        """The model, the concept set and its version, which have a page together."""
        return self.model, self.concept_set, self.set_version
