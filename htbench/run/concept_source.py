"""The concepts of a run: of an installed set, a user's own, or one that is kept in its folder."""

from pathlib import Path

from htbench.run.fact_table import Facts
from htbench.steering import concept
from htbench.steering.concept import ConceptSet

OWN_SET = "concepts.jsonl"
"""File in the folder of a run of imported pictures whose concepts are given by their words."""


def load_set(facts: Facts, folder: Path) -> ConceptSet:
    """The concept set of the run in `folder`.

    Raises:
        HtbenchError: if it is not there any more, or cannot be read.
    """
    name = facts.plan.concept_set
    if facts.is_imported and name == OWN_SET:
        name = str(folder.absolute() / OWN_SET)
    return concept.load(name, model="" if facts.is_imported else facts.model.name)
