"""The task `compose`: neutral prompts, and methods that steer towards two concepts at once.

Each concept is also steered towards by itself, at the same prompts and seeds, so that it is known
what it loses beside the other.
"""

from collections.abc import Sequence

from htbench.core.errors import UsageError
from htbench.run.tasks.task import PAIR_SCORES, Measure, Task, TaskPrompt, subject_kept
from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.pair import ConceptPair, pair_up

TOGETHER, ALONE = "together", "alone"


def _concepts(chosen: Sequence[Concept], concept_set: ConceptSet) -> tuple[Concept, ...]:
    """Pairs of the chosen concepts, then the concepts of each.

    Raises:
        UsageError: if no two of them make a pair.
    """
    pairs = pair_up(chosen, concept_set)
    if not pairs:
        raise UsageError(
            f"no two of the concepts chosen, {len(chosen):,} in number, make a pair: that takes "
            "two kinds, with no family of words in common",
            remedy="Choose concepts of several kinds: --concepts",
        )
    return (*pairs, *(member for pair in pairs for member in pair.members))


def _prompts(
    concept: Concept, neutral: Sequence[str], concept_set: ConceptSet
) -> tuple[TaskPrompt, ...]:
    part = TOGETHER if isinstance(concept, ConceptPair) else ALONE
    return tuple(
        TaskPrompt(text=prompt, neutral=prompt, part=part, asked=concept) for prompt in neutral
    )


COMPOSE = Task(
    name="compose",
    verb="adds both concepts",
    best="shows both concepts most",
    about="Methods add two concepts at once to images of neutral prompts.",
    direction=1.0,
    make_concepts=_concepts,
    make_prompts=_prompts,
    parts={
        TOGETHER: "the neutral prompt, where methods are given both concepts of a pair",
        ALONE: "the same prompt and seed, where they are given one of the two",
    },
    measures=(
        Measure(
            name="both_present",
            title="Both present",
            definition="the smaller of the presences of the two concepts in each image: near 1 "
            "where it shows both, and near 0 where either is missing",
            metric="presence_both",
            parts=(TOGETHER,),
            worst=0.0,
            best=1.0,
        ),
        Measure(
            name="first_present",
            title="First present",
            definition="presence of the concept of the pair that its words name first",
            metric="presence_first",
            parts=(TOGETHER,),
            worst=0.0,
            best=1.0,
        ),
        Measure(
            name="second_present",
            title="Second present",
            definition="presence of the other concept",
            metric="presence_second",
            parts=(TOGETHER,),
            worst=0.0,
            best=1.0,
        ),
        Measure(
            name="interference",
            title="Interference",
            definition="presence of each concept where the method is given it alone, less that "
            "where it is given both: the mean of the two, below 0 where they help each other",
            metric="presence",
            together=PAIR_SCORES[:2],
            parts=(TOGETHER,),
            worst=1.0,
            best=-1.0,
        ),
        subject_kept(TOGETHER),
    ),
    further_scores=(*PAIR_SCORES, "subject"),
    local=(TOGETHER,),
)
