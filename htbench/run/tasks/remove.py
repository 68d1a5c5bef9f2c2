"""The task `remove`: prompts that carry the concept, and methods that steer away from it.

The same prompts without the concept have the same seeds, so that their unsteered images show how
the picture looks without it: the rest that removal should keep. They are steered as well: they
never had the concept, and nothing should change in them.
"""

from collections.abc import Mapping, Sequence

from htbench.core.errors import UsageError
from htbench.run.tasks.task import BESIDE, Measure, Task, TaskPrompt
from htbench.steering.concept import Concept, ConceptSet
from htbench.steering.pair import fits, join_in_order

PLAIN, PARAPHRASED, NEIGHBOUR, UNRELATED = "plain", "paraphrased", "neighbour", "unrelated"


def find_neighbour(
    concept: Concept, concept_set: ConceptSet, *, besides: Concept | None = None
) -> Concept | None:
    """Another concept of the same kind that shares most words with `concept`; None without any.

    It has no whole part between commas that `concept` has, since that would be removed with good
    reason, nor one that the concept `besides` has. Of equally near ones it is the next in the order
    of the set.
    """
    every = [each for split in concept_set.splits.values() for each in split]
    start = next((k for k, each in enumerate(every) if each.id == concept.id), 0)
    parts = {part for each in filter(None, (concept, besides)) for part in _parts(each.text)}
    others = [
        each
        for each in (*every[start + 1 :], *every[:start])
        if each.kind == concept.kind and each.text and not parts & set(_parts(each.text))
    ]
    shared = [len(set(each.families) & set(concept.families)) for each in others]
    return others[shared.index(max(shared))] if others else None


def beside(
    concept: Concept, neutral: Sequence[str], concept_set: ConceptSet
) -> tuple[TaskPrompt, ...]:
    """Prompts that ask for `concept` and for one of another kind, a kind per prompt in turn.

    The other is the next of its kind, in the order of the set, that fits the concept.
    """
    every = [each for split in concept_set.splits.values() for each in split]
    start = next((k for k, each in enumerate(every) if each.id == concept.id), 0)
    others: dict[str, Concept] = {}
    for each in (*every[start + 1 :], *every[:start]):
        if each.template and fits(concept, each):
            others.setdefault(each.kind, each)
    kinds = sorted(others)
    prompts = []
    for number, prompt in enumerate(neutral if kinds else ()):
        other = others[kinds[(start + number) % len(kinds)]]
        both = join_in_order(concept, other, concept_set)
        prompts.append(
            TaskPrompt(text=both.target(prompt), neutral=prompt, part=BESIDE, asked=other)
        )
    return tuple(prompts)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _prompts(
    concept: Concept, neutral: Sequence[str], concept_set: ConceptSet
) -> tuple[TaskPrompt, ...]:
    if not concept.template:
        raise UsageError(
            f"concept {concept.id[:80]!r} has no words, and task 'remove' needs prompts with it",
            remedy="Choose concepts with words: --concepts",
        )
    said = {PLAIN: (concept, concept)}
    if other_words := concept.synonyms or concept.paraphrases:
        said[PARAPHRASED] = (concept.reworded(other_words[0]), concept)
    if neighbour := find_neighbour(concept, concept_set):
        said[NEIGHBOUR] = (neighbour, neighbour)
    return make_parts(said, neutral, others=beside(concept, neutral, concept_set), asked=concept)


def make_parts(
    said: Mapping[str, tuple[Concept, Concept]],
    neutral: Sequence[str],
    *,
    others: Sequence[TaskPrompt],
    asked: Concept,
) -> tuple[TaskPrompt, ...]:
    """The prompts of a task, each text once.

    Args:
        said: by part, the concept in whose words prompts ask, and the one that scores ask for.
        neutral: the evaluation prompts.
        others: prompts with a concept of another kind beside.
        asked: the concept that scores ask for in prompts without any.
    """
    carrying = [
        TaskPrompt(text=words.target(prompt), neutral=prompt, part=part, asked=own)
        for part, (words, own) in said.items()
        for prompt in neutral
    ]
    unrelated = [
        TaskPrompt(text=prompt, neutral=prompt, part=UNRELATED, asked=asked) for prompt in neutral
    ]
    # a template may leave a prompt as it is; then the image is of one part alone
    return tuple({each.text: each for each in (*carrying, *others, *unrelated)}.values())


UNRELATED_KEPT = Measure(
    name="unrelated_kept",
    title="Unrelated kept",
    definition="selectivity on prompts without any concept",
    metric="image_preservation",
    parts=(UNRELATED,),
    worst=-1.0,
    best=1.0,
)
NEIGHBOUR_LOSS = Measure(
    name="neighbour_loss",
    title="Neighbour lost",
    definition="presence of the neighbour in the unsteered image of a prompt that asks for it, "
    "less that in the steered image",
    metric="presence",
    parts=(NEIGHBOUR,),
    is_fall=True,
    worst=1.0,
    best=-1.0,
)
BESIDE_LOSS = Measure(
    name="beside_loss",
    title="Others lost",
    definition="presence of a concept of another kind in the unsteered image of a prompt that asks "
    "for both, less that in the steered image",
    metric="presence",
    parts=(BESIDE,),
    is_fall=True,
    worst=1.0,
    best=-1.0,
)
UNRELATED_LOSS = Measure(
    name="unrelated_loss",
    title="Unrelated noun",
    definition="fall of the probability of the subject in images of prompts without any concept",
    metric="subject",
    parts=(UNRELATED,),
    is_fall=True,
    worst=1.0,
    best=-1.0,
)
OVER_REMOVAL = Measure(
    name="over_removal",
    title="Over-removal",
    definition="fall of the probability that the scorer gives to the image’s own neutral "
    "prompt among all evaluation prompts, from the unsteered image to the steered one; "
    "below 0 where the subject is easier to recognise without the concept",
    metric="subject",
    parts=(PLAIN,),
    is_fall=True,
    worst=1.0,
    best=-1.0,
)

REMOVE = Task(
    name="remove",
    verb="removes the concept",
    best="removes most of the concept",
    about="Methods remove the concept from images of prompts that ask for it.",
    direction=-1.0,
    make_prompts=_prompts,
    parts={
        PLAIN: "the prompt with the concept in the set’s words",
        PARAPHRASED: "the prompt with the concept in the first of its synonyms or paraphrases",
        NEIGHBOUR: "the prompt with another concept of the same kind, which is to stay",
        BESIDE: "the prompt with the concept and one of another kind, which is to stay",
        UNRELATED: "the prompt without any concept",
    },
    measures=(
        Measure(
            name="removal",
            title="Removal",
            definition="presence of the concept in the unsteered image of a prompt that asks for "
            "it, less that in the steered image",
            metric="presence",
            parts=(PLAIN,),
            is_fall=True,
            worst=-1.0,
            best=1.0,
        ),
        Measure(
            name="removal_paraphrased",
            title="Removal, other words",
            definition="the same where the prompt asks for the concept in other words",
            metric="presence",
            parts=(PARAPHRASED,),
            is_fall=True,
            worst=-1.0,
            best=1.0,
        ),
        Measure(
            name="rest_kept",
            title="Rest kept",
            definition="cosine of the steered image and the unsteered image of the same prompt and "
            "seed without the concept: 1 where exactly the concept is gone",
            metric="rest_kept",
            parts=(PLAIN,),
            worst=-1.0,
            best=1.0,
        ),
        OVER_REMOVAL,
        Measure(
            name="selectivity",
            title="Selectivity",
            definition="cosine of the steered and the unsteered image of prompts without the "
            "concept and of prompts with its neighbour: 1 where nothing else changes",
            metric="image_preservation",
            parts=(UNRELATED, NEIGHBOUR),
            worst=-1.0,
            best=1.0,
        ),
        UNRELATED_KEPT,
        NEIGHBOUR_LOSS,
        BESIDE_LOSS,
    ),
    harms=(UNRELATED_LOSS, OVER_REMOVAL, NEIGHBOUR_LOSS, BESIDE_LOSS),
    local=(PLAIN,),
    further_scores=("rest_kept", "subject"),
    floor="rest_kept",
)
