"""The task `replace`: prompts that carry one value of a kind, and methods that put another in.

Prompts with the new value, with a third one, and with none have the same seeds, and are steered as
well: in none of them is there anything to replace. The unsteered images of the first show how the
picture is to look.
"""

from collections.abc import Sequence

from htbench.core.errors import UsageError
from htbench.run.tasks.remove import (
    BESIDE_LOSS,
    NEIGHBOUR,
    NEIGHBOUR_LOSS,
    PLAIN,
    UNRELATED,
    UNRELATED_KEPT,
    UNRELATED_LOSS,
    beside,
    find_neighbour,
    make_parts,
)
from htbench.run.tasks.task import (
    BESIDE,
    REPLACEMENT_SCORES,
    Measure,
    Task,
    TaskPrompt,
    subject_kept,
)
from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.pair import Replacement, replacements

WANTED = "wanted"


def _concepts(chosen: Sequence[Concept], concept_set: ConceptSet) -> tuple[Concept, ...]:
    """Replacements among the chosen concepts.

    Raises:
        UsageError: if none can take the place of another.
    """
    found = replacements(chosen)
    if not found:
        raise UsageError(
            f"of the concepts chosen, {len(chosen):,} in number, none can take the place of "
            "another: that takes two of one kind, with no family of words in common",
            remedy="Choose several concepts of a kind: --concepts",
        )
    return found


def _prompts(
    concept: Concept, neutral: Sequence[str], concept_set: ConceptSet
) -> tuple[TaskPrompt, ...]:
    if not isinstance(concept, Replacement):
        raise TypeError(f"{concept.id} replaces nothing")
    old, new = concept.members
    said: dict[str, tuple[Concept, Concept]] = {PLAIN: (old, concept), WANTED: (new, concept)}
    if neighbour := find_neighbour(old, concept_set, besides=new):
        said[NEIGHBOUR] = (neighbour, neighbour)
    return make_parts(said, neutral, others=beside(old, neutral, concept_set), asked=concept)


REPLACE = Task(
    name="replace",
    verb="replaces the concept",
    best="shows the new concept in place of the old one most",
    about="Methods replace the concept in images of prompts that ask for it by another of its "
    "kind.",
    direction=1.0,
    make_concepts=_concepts,
    make_prompts=_prompts,
    parts={
        PLAIN: "the prompt with the old concept",
        WANTED: "the prompt with the new concept, which is there already",
        NEIGHBOUR: "the prompt with a third concept of the same kind, which is to stay",
        BESIDE: "the prompt with the old concept and one of another kind, which is to stay",
        UNRELATED: "the prompt without any concept",
    },
    measures=(
        Measure(
            name="replaced",
            title="Replaced",
            definition="probability that the scorer gives to the prompt with the new concept, "
            "among it, the prompt with the old one, and the prompt without either",
            metric="replaced",
            parts=(PLAIN,),
            worst=0.0,
            best=1.0,
        ),
        Measure(
            name="old_left",
            title="Old one left",
            definition="the same probability of the prompt with the old concept",
            metric="old_left",
            parts=(PLAIN,),
            worst=1.0,
            best=0.0,
        ),
        subject_kept(PLAIN),
        Measure(
            name="selectivity",
            title="Selectivity",
            definition="cosine of the steered and the unsteered image of prompts without any "
            "concept and of prompts with a third one: 1 where nothing changes",
            metric="image_preservation",
            parts=(UNRELATED, NEIGHBOUR),
            worst=-1.0,
            best=1.0,
        ),
        UNRELATED_KEPT,
        NEIGHBOUR_LOSS,
        BESIDE_LOSS,
        Measure(
            name="new_loss",
            title="New one lost",
            definition="probability of the new concept, as in the first measure, in the unsteered "
            "image of a prompt that has it already, less that in the steered image",
            metric="replaced",
            parts=(WANTED,),
            is_fall=True,
            worst=1.0,
            best=-1.0,
        ),
    ),
    harms=(UNRELATED_LOSS, NEIGHBOUR_LOSS, BESIDE_LOSS),
    further_scores=("subject", *REPLACEMENT_SCORES),
)
